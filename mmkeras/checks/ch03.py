"""Checks of chapter 03, images."""

from collections.abc import Callable

import numpy as np

from . import NotYet, exercise, expect_close

LUMA = np.array([0.299, 0.587, 0.114])
TO_YCC = np.array([LUMA, ([0, 0, 1] - LUMA) / 1.772, ([1, 0, 0] - LUMA) / 1.402])


def _is_slip(got: object, slip: object, want: object, atol: float = 1e-3) -> bool:
    """Whether an answer is this typical mistake, in a case where the mistake shows."""
    try:
        given = np.asarray(got, float)
    except (TypeError, ValueError):
        return False
    wrong, right = np.asarray(slip, float), np.asarray(want, float)
    if not given.shape == wrong.shape == right.shape or np.allclose(wrong, right, atol=atol):
        return False
    return np.allclose(given, wrong, atol=atol)


@exercise(
    "03.1",
    "back to 0 to 255",
    hint="go back step by step: times std, plus mean, times 255; (3,) fits the last axis by itself",
)
def undo_scaling(undo: Callable) -> str | None:
    """A function of x (n, h, w, 3), mean (3,), std (3,): the pixels from 0 to 255."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    want = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(float)
    x = (want / 255 - mean) / std
    got = undo(x.copy(), mean.copy(), std.copy())
    slips = {
        "these are the pixels from 0 to 1: the first step was to divide by 255": want / 255,
        "multiply by std first and add mean then: undo the last step first": (x + mean) * std * 255,
        "the deviation was divided by, so multiply by it": (x / std + mean) * 255,
        "the mean was subtracted, so add it": (x * std - mean) * 255,
        "the mean belongs to pixels from 0 to 1: add it before you multiply by 255": x * std * 255
        + mean,
    }
    for problem, slip in slips.items():
        if _is_slip(got, slip, want):
            raise NotYet(problem)
    expect_close(got, want, "the pixels", atol=0.01)
    return "and the pretrained network sees a picture again"


@exercise(
    "03.2",
    "the box in the padded square",
    hint="scale = side / max(height, width) for all four; then add the margin above to top and "
    "bottom, the margin on the left to left and right",
)
def box_after_padding(move: Callable) -> str | None:
    """A function of box, height, width, side: (top, left, bottom, right) in the square."""
    cases = (((10, 20, 110, 60), 200, 400, 100), ((5.0, 8.0, 50.0, 30.0), 90, 60, 30))
    for box, height, width, side in cases:
        got = move(box, height, width, side)
        if np.shape(got) != (4,):
            raise NotYet("return four numbers: (top, left, bottom, right)")
        scale = side / max(height, width)
        down, across = ((side - round(n * scale)) // 2 for n in (height, width))
        scaled = np.array(box) * scale
        want = scaled + [down, across, down, across]
        each = np.array([side / height, side / width] * 2)
        slips = {
            "the box is scaled, but the margin is missing": scaled,
            "the margins are swapped: a wide picture has them above and below": scaled
            + [across, down, across, down],
            "each direction has its own scale here: that is where squeezing puts it": np.array(box)
            * each,
            "the whole margin was added; half of it is on each side": scaled
            + 2 * np.array([down, across, down, across]),
            "the picture moves away from the corner, so add the margin": scaled
            - [down, across, down, across],
        }
        for problem, slip in slips.items():
            if _is_slip(got, slip, want):
                raise NotYet(f"{problem} (height {height}, width {width}, side {side})")
        what = f"the box in a picture of {height}×{width} padded to {side}×{side}"
        expect_close(np.asarray(got, float), want, what, atol=1.0)
    return "boxes, points and masks must go wherever the pixels go"


def _equalise(v: np.ndarray) -> np.ndarray:
    values = np.round(v).astype(int)
    count = np.cumsum(np.bincount(values.ravel(), minlength=256))
    smallest = count[values.min()]
    return (255 * (count - smallest) / max(values.size - smallest, 1))[values]


@exercise(
    "03.3",
    "equalised brightness, same colours",
    hint="to_ycbcr, equalise the first channel, keep the other two, to_rgb",
)
def equalise_brightness(equalise: Callable) -> str | None:
    """A function of uint8 (h, w, 3): the same with its luma equalised, from 0 to 255."""
    rng = np.random.default_rng(0)
    base = rng.integers(60, 120, (96, 120, 1)) + np.array([30, 0, -20])
    pixels = (base + rng.integers(-8, 9, base.shape)).astype("uint8")
    got = equalise(pixels.copy())
    if np.shape(got) == pixels.shape[:2]:
        raise NotYet("this is grey: put the colour channels beside the new luma and go back to RGB")
    if np.shape(got) != pixels.shape:
        raise NotYet(f"the picture should have shape {pixels.shape}, yours has {np.shape(got)}")
    got = np.asarray(got, float)
    ycc = pixels @ TO_YCC.T
    new = np.dstack([_equalise(ycc[..., 0]), ycc[..., 1:]])
    raw = new @ np.linalg.inv(TO_YCC).T
    want = np.clip(raw, 0, 255)
    one_by_one = np.stack([_equalise(pixels[..., c]) for c in range(3)], axis=-1)
    if np.isfinite(got).all() and (got.min() < -0.5 or got.max() > 255.5):
        raise NotYet(
            f"values from {got.min():.0f} to {got.max():.0f}: a bright luma and a strong colour "
            "can leave the range, so clip to 0 to 255"
        )
    if np.abs(got - one_by_one).mean() < 3:
        raise NotYet("this is channel by channel, which changes the colours: equalise Y alone")
    if np.abs(got - pixels).mean() < 3:
        raise NotYet("nothing has changed: put the equalised luma back before you go to RGB")
    if np.ptp(got, axis=-1).max() < 1:
        raise NotYet("the picture is grey: the two colour channels must come back unchanged")
    if not np.isfinite(got).all() or np.abs(got - want).mean() > 6:
        off = np.abs(got - want).mean()
        raise NotYet(
            f"on average {off:.1f} levels from the right picture: Y = 0.299 R + 0.587 G + 0.114 B "
            "is equalised, Cb and Cr are kept"
        )
    return "brighter, and every thing has the colour it had"


@exercise(
    "03.4",
    "a picture from its patches",
    hint="the three steps of to_patches backwards: reshape to (h/p, w/p, p, p, c), swap axes 1 "
    "and 2, reshape to (h, w, c)",
)
def from_patches(build: Callable) -> str | None:
    """A function of sequence (h/p · w/p, p · p · c), height, width, p: the picture (h, w, c)."""
    for height, width, p, c in ((6, 6, 2, 3), (8, 12, 4, 1), (6, 4, 2, 3)):
        want = np.arange(height * width * c).reshape(height, width, c)
        cut = want.reshape(height // p, p, width // p, p, c).swapaxes(1, 2)
        sequence = cut.reshape(-1, p * p * c)
        got = build(sequence.copy(), height, width, p)
        if _is_slip(got, sequence.reshape(height, width, c), want):
            raise NotYet(
                "a reshape alone lays each patch out as a line: the rows of neighbouring patches "
                "must be interleaved, which the swap of axes does"
            )
        grid = sequence.reshape(width // p, height // p, p, p, c)
        if _is_slip(got, grid.transpose(1, 2, 0, 3, 4).reshape(want.shape), want):
            raise NotYet("the patches run row by row, yours run down the columns")
        if _is_slip(got, want.swapaxes(0, 1), want):
            raise NotYet("the picture is transposed: rows come before columns")
        expect_close(got, want, f"the picture of {height}×{width} from patches of {p}×{p}")
    return "nothing was lost: a sequence of patches is the picture in another order"
