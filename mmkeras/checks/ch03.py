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


MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_SCALINGS: dict[str, Callable] = {
    "0 to 255": lambda v: v,
    "0 to 1": lambda v: v / 255,
    "-1 to 1": lambda v: v / 127.5 - 1,
    "PyTorch's": lambda v: (v / 255 - MEAN) / DEVIATION,
}


@exercise(
    "03.1",
    "back to 0 to 255",
    hint="look at the smallest and the largest number of the batch: which values has black, and "
    "which has white, in each of the four scalings?",
)
def to_255(answer: Callable) -> str | None:
    """A function of x (n, h, w, 3) in one of the four scalings: the pixels from 0 to 255."""
    rng = np.random.default_rng(0)
    for name, scale in _SCALINGS.items():
        want = rng.integers(0, 256, (2, 4, 5, 3)).astype(float)
        want[0, 1, 2], want[1, 3, 0] = 0, 255
        x = scale(want)
        got = answer(x.copy())
        slips = {
            "the steps are undone in the wrong order: multiply by the deviation, then add the "
            "mean, then multiply by 255": (x + MEAN) * DEVIATION * 255,
            "the mean and deviation belong to pixels from 0 to 1, so multiply by 255 last": (
                x * DEVIATION * 255 + MEAN
            ),
            "this undoes PyTorch's scaling": (x * DEVIATION + MEAN) * 255,
            "this undoes 0 to 1": x * 255,
            "this undoes -1 to 1": (x + 1) * 127.5,
            "the numbers are returned unchanged": x,
            "one straight line for all channels cannot undo three means and deviations": (
                (x - x.min()) / np.ptp(x) * 255
            ),
            "what is below 0 was cut off": np.clip(x * 255, 0, 255),
        }
        for problem, slip in slips.items():
            if _is_slip(got, slip, want):
                raise NotYet(f"{problem}; the batch was prepared as {name}")
        expect_close(got, want, f"the pixels of a batch prepared as {name}", atol=0.51)
    return "and the pretrained network sees a picture again"


@exercise(
    "03.2",
    "the box in the padded square",
    hint="the picture is shrunk by one factor, and then moved: by how much down, and by how much "
    "to the right? pad_to_square computes both",
)
def box_after_padding(move: Callable) -> str | None:
    """A function of box, height, width, side: (top, left, bottom, right) in the square."""
    cases = (((11, 23, 111, 63), 200, 400, 100), ((5.0, 8.0, 50.0, 29.0), 90, 60, 30))
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
            "here each direction has a scale of its own, as in squeezing; padding uses one scale "
            "for both": np.array(box) * each,
            "the whole margin was added; half of it is on each side": scaled
            + 2 * np.array([down, across, down, across]),
            "the picture moves away from the corner, so add the margin": scaled
            - [down, across, down, across],
            "cut off to whole pixels: leave the fractions, or round": np.floor(want),
        }
        for problem, slip in slips.items():
            if _is_slip(got, slip, want):
                raise NotYet(f"{problem} (height {height}, width {width}, side {side})")
        what = f"the box in a picture of {height}×{width} padded to {side}×{side}"
        expect_close(np.asarray(got, float), want, what, atol=0.55)
    return "boxes, points and masks must go wherever the pixels go"


def _equalise(v: np.ndarray) -> np.ndarray:
    values = np.round(v).astype(int)
    count = np.cumsum(np.bincount(values.ravel(), minlength=256))
    smallest = count[values.min()]
    return (255 * (count - smallest) / max(values.size - smallest, 1))[values]


@exercise(
    "03.3",
    "equalised brightness, same colours",
    hint="go to a colour space whose first channel is the brightness, change that one alone, and "
    "come back",
)
def equalise_brightness(equalise: Callable) -> str | None:
    """A function of uint8 (h, w, 3): the same with its luma equalised, from 0 to 255."""
    rng = np.random.default_rng(0)
    colours = np.array([[150, 80, 70], [70, 130, 80], [80, 90, 160], [130, 120, 60]])
    base = np.repeat(colours, 24, axis=0)[:, None] + rng.integers(-25, 26, (96, 120, 1))
    pixels = (base + rng.integers(-4, 5, (96, 120, 3))).astype("uint8")
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
    mean = _equalise(pixels.mean(axis=-1))
    by_mean = np.clip(np.dstack([mean, ycc[..., 1:]]) @ np.linalg.inv(TO_YCC).T, 0, 255)
    factor = (mean / np.maximum(pixels.mean(axis=-1), 1))[..., None]
    if np.isfinite(got).all() and (got.min() < -0.5 or got.max() > 255.5):
        raise NotYet(
            f"values from {got.min():.0f} to {got.max():.0f}: a bright luma and a strong colour "
            "can leave the range, so clip to 0 to 255"
        )
    if np.abs(got - one_by_one).mean() < 3:
        raise NotYet("this is channel by channel, which changes the colours: equalise Y alone")
    shifted = np.clip(pixels + (mean - pixels.mean(axis=-1))[..., None], 0, 255)
    for slip in (by_mean, np.clip(pixels * factor, 0, 255), shifted):
        if np.abs(got - slip).mean() < 3:
            raise NotYet("this equalises the plain mean (R + G + B) / 3; the eye weighs green most")
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
    return "brighter, and everything has the colour it had"


@exercise(
    "03.4",
    "a picture from its patches",
    hint="to_patches has three steps; undo the last one first, and find the shape that the array "
    "had before it",
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


_WORDS = ("fine", "frozen", "scaled twice", "aliasing", "label", "leak", "channels")
_REVIEW = {
    "A": "frozen",
    "B": "scaled twice",
    "C": "aliasing",
    "D": "label",
    "E": "leak",
    "F": "fine",
}
_ASK = {
    "A": "what happens once, and what anew in each epoch, on either side of cache()?",
    "B": "which numbers does the first convolution get for black and for white?",
    "C": "how many pixels does the filter look at, and how many does it skip?",
    "D": "what is a mirrored left hand?",
    "E": "where can the second photograph of a lesion be when the first is in training?",
    "F": "go through the list: decoding, size, scale, who is in the test set",
}


@exercise(
    "03.5",
    "six projects, reviewed",
    hint="follow one picture through each project, from the file to the first layer, and ask what "
    "the test set shares with the training set",
)
def review(answer: dict[str, str]) -> str | None:
    """A dict from the letters A to F to one of the seven words."""
    if not isinstance(answer, dict) or set(answer) != set(_REVIEW):
        raise NotYet("give a dict with the keys A to F, and one word for each")
    for letter, word in answer.items():
        if not isinstance(word, str) or word not in _WORDS:
            raise NotYet(f"{letter}: {word!r} is none of the words {', '.join(_WORDS)}")
    wrong = [letter for letter in sorted(answer) if answer[letter] != _REVIEW[letter]]
    if wrong:
        others = f" ({len(wrong)} of 6 are not right yet)" if len(wrong) > 1 else ""
        raise NotYet(f"{wrong[0]} is not {answer[wrong[0]]!r}: {_ASK[wrong[0]]}{others}")
    return (
        "B, C and E hide best: in B and C training and serving agree, and in E the score looks "
        "splendid"
    )
