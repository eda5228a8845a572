"""Chapter 3: right answers in several styles pass; a likely slip is named."""

from typing import Any

import numpy as np
from check_cases import accepted, refused
from PIL import Image, ImageOps

from mmkeras.checks import ch03
from mmkeras.checks.ch03 import DEVIATION, MEAN


def told_apart(x: np.ndarray) -> np.ndarray:
    if x.max() > 10:
        return x
    if x.min() >= 0:
        return 255 * x
    return (x + 1) * 127.5 if x.min() >= -1 else (x * DEVIATION + MEAN) * 255


def stretched(x: np.ndarray) -> np.ndarray:
    """Each channel holds black and white, so its ends are known."""
    low, high = x.min(axis=(0, 1, 2)), x.max(axis=(0, 1, 2))
    return np.round((x - low) / (high - low) * 255)


def never_negative(x: np.ndarray) -> np.ndarray:
    return x if x.max() > 10 else np.clip(255 * x, 0, 255)


def without_pytorch(x: np.ndarray) -> np.ndarray:
    return told_apart(x) if x.min() >= -1 else (x + 1) * 127.5


def wrong_order(x: np.ndarray) -> np.ndarray:
    return told_apart(x) if x.min() >= -1 else (x + MEAN) * DEVIATION * 255


def move(box: Any, height: int, width: int, side: int) -> tuple[float, ...]:
    scale = side / max(height, width)
    down = (side - round(height * scale)) // 2
    across = (side - round(width * scale)) // 2
    top, left, bottom, right = (edge * scale for edge in box)
    return top + down, left + across, bottom + down, right + across


def shifted(times: float, swapped: bool = False) -> Any:
    def answer(box: Any, height: int, width: int, side: int) -> np.ndarray:
        scale = side / max(height, width)
        margins = [(side - round(n * scale)) // 2 for n in (height, width)][:: -1 if swapped else 1]
        return np.array(box) * scale + times * np.array(margins * 2)

    return answer


def with_pillow(pixels: np.ndarray) -> np.ndarray:
    """An independent way: Pillow's own YCbCr and its own equalisation, rounded at each step."""
    luma, blue, red = Image.fromarray(pixels).convert("YCbCr").split()
    merged = Image.merge("YCbCr", (ImageOps.equalize(luma), blue, red))
    return np.asarray(merged.convert("RGB"))


def luma_added(pixels: np.ndarray) -> np.ndarray:
    """Another way: a change of the luma is the same change of R, G and B."""
    luma = pixels @ ch03.LUMA
    return np.clip(pixels + (ch03._equalise(luma) - luma)[..., None], 0, 255)


def luma_of(pixels: np.ndarray) -> np.ndarray:
    return ch03._equalise(pixels @ ch03.LUMA)


def replaced(pixels: np.ndarray, luma: np.ndarray, clip: bool = True) -> np.ndarray:
    ycc = np.dstack([luma, (pixels @ ch03.TO_YCC.T)[..., 1:]])
    rgb = ycc @ np.linalg.inv(ch03.TO_YCC).T
    return np.clip(rgb, 0, 255) if clip else rgb


def mean_scaled(pixels: np.ndarray) -> np.ndarray:
    mean = pixels.mean(axis=-1)
    return np.clip(pixels * (ch03._equalise(mean) / np.maximum(mean, 1))[..., None], 0, 255)


def by_channel(pixels: np.ndarray) -> np.ndarray:
    return np.stack([ch03._equalise(pixels[..., c]) for c in range(3)], axis=-1)


def build(sequence: np.ndarray, height: int, width: int, p: int) -> np.ndarray:
    """An independent way: each patch is put at its place."""
    picture = np.zeros((height, width, sequence.shape[1] // p**2), sequence.dtype)
    for number, patch in enumerate(sequence):
        i, j = divmod(number, width // p)
        picture[i * p : (i + 1) * p, j * p : (j + 1) * p] = patch.reshape(p, p, -1)
    return picture


def backwards(sequence: np.ndarray, height: int, width: int, p: int) -> np.ndarray:
    cut = sequence.reshape(height // p, width // p, p, p, -1)
    return cut.transpose(0, 2, 1, 3, 4).reshape(height, width, -1)


def down_the_columns(sequence: np.ndarray, height: int, width: int, p: int) -> np.ndarray:
    grid = sequence.reshape(width // p, height // p, p, p, -1)
    return grid.transpose(1, 2, 0, 3, 4).reshape(height, width, -1)


READ = {"A": "frozen", "B": "scaled twice", "C": "aliasing", "D": "label", "E": "leak", "F": "fine"}

WRONG = {
    ch03.to_255: [
        ("always PyTorch's", lambda: (lambda x: (x * DEVIATION + MEAN) * 255,), "undoes PyTorch's"),
        ("always 0 to 1", lambda: (lambda x: 255 * x,), "undoes 0 to 1"),
        ("nothing", lambda: (lambda x: x,), "returned unchanged"),
        ("below 0 cut off", lambda: (never_negative,), "below 0 was cut off"),
        ("three of four", lambda: (without_pytorch,), "undoes -1 to 1"),
        ("the wrong order", lambda: (wrong_order,), "in the wrong order"),
        (
            "one stretch for all channels",
            lambda: (lambda x: (x - x.min()) / np.ptp(x) * 255,),
            "three means and deviations",
        ),
        ("one picture", lambda: (lambda x: told_apart(x)[0],), "should have shape"),
    ],
    ch03.box_after_padding: [
        ("no margin", lambda: (shifted(0),), "the margin is missing"),
        ("the whole margin", lambda: (shifted(2),), "half of it is on each side"),
        ("the margin taken away", lambda: (shifted(-1),), "so add the margin"),
        ("margins swapped", lambda: (shifted(1, True),), "the margins are swapped"),
        (
            "squeezed",
            lambda: (lambda b, h, w, s: np.array(b) * [s / h, s / w, s / h, s / w],),
            "as in squeezing; padding uses one scale for both",
        ),
        ("two numbers", lambda: (lambda *a: move(*a)[:2],), "return four numbers"),
        ("as it was", lambda: (lambda b, h, w, s: b,), "padded to 100×100"),
        ("cut off", lambda: (lambda *a: [int(edge) for edge in move(*a)],), "cut off to whole"),
    ],
    ch03.equalise_brightness: [
        ("grey", lambda: (luma_of,), "this is grey"),
        (
            "grey in three channels",
            lambda: (lambda x: np.repeat(luma_of(x)[..., None], 3, axis=-1),),
            "the picture is grey",
        ),
        ("channel by channel", lambda: (by_channel,), "channel by channel"),
        ("unchanged", lambda: (lambda x: x,), "nothing has changed"),
        ("not clipped", lambda: (lambda x: replaced(x, luma_of(x), False),), "clip to 0 to 255"),
        (
            "the plain mean in place of Y",
            lambda: (lambda x: replaced(x, ch03._equalise(x.mean(axis=-1))),),
            "the eye weighs green most",
        ),
        ("a factor from the plain mean", lambda: (mean_scaled,), "the eye weighs green most"),
        ("five rows", lambda: (lambda x: x[:5],), "should have shape (96, 120, 3)"),
        ("a negative", lambda: (lambda x: 255 - with_pillow(x),), "levels from the right picture"),
        ("NaN", lambda: (lambda x: x * np.nan,), "levels from the right picture"),
    ],
    ch03.from_patches: [
        ("one reshape", lambda: (lambda s, h, w, p: s.reshape(h, w, -1),), "a reshape alone"),
        ("transposed", lambda: (lambda *a: build(*a).swapaxes(0, 1),), "transposed"),
        ("one channel", lambda: (lambda *a: build(*a)[..., 0],), "should have shape"),
        ("unchanged", lambda: (lambda s, h, w, p: s,), "should have shape"),
        ("upside down", lambda: (lambda *a: build(*a)[::-1],), "the picture of 6×6"),
        ("down the columns", lambda: (down_the_columns,), "run down the columns"),
    ],
    ch03.review: [
        ("all fine", lambda: (dict.fromkeys(READ, "fine"),), "A is not 'fine'"),
        ("agreeing twice is not right once", lambda: (READ | {"B": "fine"},), "for black and for"),
        ("aliasing forgiven", lambda: (READ | {"C": "fine"},), "how many does it skip"),
        ("patients forgotten", lambda: (READ | {"E": "fine"},), "second photograph"),
        ("the good one suspected", lambda: (READ | {"F": "aliasing"},), "go through the list"),
        ("three letters", lambda: ({"A": "frozen"},), "the keys A to F"),
        ("a word of one's own", lambda: (READ | {"D": "bad"},), "none of the words"),
    ],
}
RIGHT = {
    ch03.to_255: [("told apart", lambda: (told_apart,)), ("per channel", lambda: (stretched,))],
    ch03.box_after_padding: [
        ("exact", lambda: (move,)),
        ("rounded", lambda: (lambda *a: [round(edge) for edge in move(*a)],)),
    ],
    ch03.equalise_brightness: [
        ("by Pillow", lambda: (with_pillow,)),
        ("the luma's change added", lambda: (luma_added,)),
    ],
    ch03.from_patches: [("patch by patch", lambda: (build,)), ("at once", lambda: (backwards,))],
    ch03.review: [("as the solution", lambda: (dict(READ),))],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
