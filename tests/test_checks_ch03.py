"""Chapter 3: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmkeras.checks import ch03


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


def move(box: Any, height: int, width: int, side: int) -> tuple[float, ...]:
    scale = side / max(height, width)
    down = (side - round(height * scale)) // 2
    across = (side - round(width * scale)) // 2
    top, left, bottom, right = (edge * scale for edge in box)
    return top + down, left + across, bottom + down, right + across


def with_pillow(pixels: np.ndarray) -> np.ndarray:
    """An independent way: Pillow's own YCbCr and its own equalisation, rounded at each step."""
    luma, blue, red = Image.fromarray(pixels).convert("YCbCr").split()
    merged = Image.merge("YCbCr", (ImageOps.equalize(luma), blue, red))
    return np.asarray(merged.convert("RGB"))


def build(sequence: np.ndarray, height: int, width: int, p: int) -> np.ndarray:
    """An independent way: each patch is put at its place."""
    picture = np.zeros((height, width, sequence.shape[1] // p**2), sequence.dtype)
    for number, patch in enumerate(sequence):
        i, j = divmod(number, width // p)
        picture[i * p : (i + 1) * p, j * p : (j + 1) * p] = patch.reshape(p, p, -1)
    return picture


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        (ch03.undo_scaling, lambda x, mean, std: (x * std + mean) * 255),
        (ch03.undo_scaling, lambda x, mean, std: np.round(255 * mean + 255 * std * x)),
        (ch03.box_after_padding, move),
        (ch03.box_after_padding, lambda *args: [round(edge) for edge in move(*args)]),
        (ch03.equalise_brightness, with_pillow),
        (ch03.from_patches, build),
    ]
    for check, answer in answers:
        assert "✓" in said(capsys, check, answer), check


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda x, m, s: x * s + m, "from 0 to 1"),
        (lambda x, m, s: (x + m) * s * 255, "undo the last step first"),
        (lambda x, m, s: (x / s + m) * 255, "so multiply by it"),
        (lambda x, m, s: (x * s - m) * 255, "so add it"),
        (lambda x, m, s: x * s * 255 + m, "before you multiply by 255"),
        (lambda x, m, s: x, "the pixels: yours is"),
        (lambda x, m, s: ((x * s + m) * 255)[0], "should have shape"),
        (lambda x, m, s: None, "returns nothing yet"),
    ],
)
def test_the_scaling(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch03.undo_scaling, answer)


def shifted(times: float) -> Any:
    def answer(box: Any, height: int, width: int, side: int) -> np.ndarray:
        scale = side / max(height, width)
        margins = np.array([(side - round(n * scale)) // 2 for n in (height, width)] * 2)
        return np.array(box) * scale + times * margins

    return answer


def swapped_margins(box: Any, height: int, width: int, side: int) -> np.ndarray:
    scale = side / max(height, width)
    margins = np.array([(side - round(n * scale)) // 2 for n in (width, height)] * 2)
    return np.array(box) * scale + margins


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (shifted(0), "the margin is missing"),
        (shifted(2), "half of it is on each side"),
        (shifted(-1), "so add the margin"),
        (swapped_margins, "the margins are swapped"),
        (lambda b, h, w, s: np.array(b) * [s / h, s / w, s / h, s / w], "where squeezing puts it"),
        (lambda b, h, w, s: move(b, h, w, s)[:2], "return four numbers"),
        (lambda b, h, w, s: b, "padded to 100×100"),
    ],
)
def test_the_box(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch03.box_after_padding, answer)


def luma_of(pixels: np.ndarray) -> np.ndarray:
    return ch03._equalise(pixels @ ch03.LUMA)


def unclipped(pixels: np.ndarray) -> np.ndarray:
    ycc = pixels @ ch03.TO_YCC.T
    ycc[..., 0] = ch03._equalise(ycc[..., 0])
    return ycc @ np.linalg.inv(ch03.TO_YCC).T


def by_channel(pixels: np.ndarray) -> np.ndarray:
    return np.stack([ch03._equalise(pixels[..., c]) for c in range(3)], axis=-1)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (luma_of, "this is grey"),
        (lambda x: np.repeat(luma_of(x)[..., None], 3, axis=-1), "the picture is grey"),
        (by_channel, "channel by channel"),
        (lambda x: x, "nothing has changed"),
        (unclipped, "clip to 0 to 255"),
        (lambda x: x[:5], "should have shape (96, 120, 3)"),
        (lambda x: 255 - with_pillow(x), "levels from the right picture"),
        (lambda x: x * np.nan, "levels from the right picture"),
    ],
)
def test_the_brightness(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch03.equalise_brightness, answer)


def down_the_columns(sequence: np.ndarray, height: int, width: int, p: int) -> np.ndarray:
    grid = sequence.reshape(width // p, height // p, p, p, -1)
    return grid.transpose(1, 2, 0, 3, 4).reshape(height, width, -1)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda s, h, w, p: s.reshape(h, w, -1), "a reshape alone"),
        (lambda s, h, w, p: build(s, h, w, p).swapaxes(0, 1), "transposed"),
        (lambda s, h, w, p: build(s, h, w, p)[..., 0], "should have shape"),
        (lambda s, h, w, p: s, "should have shape"),
        (lambda s, h, w, p: build(s, h, w, p)[::-1], "the picture of 6×6"),
    ],
)
def test_the_patches(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch03.from_patches, answer)


def test_patches_down_the_columns_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert "run down the columns" in said(capsys, ch03.from_patches, down_the_columns)
