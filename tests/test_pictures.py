"""Pictures in notebooks get smaller: plots exactly, photographs without a visible change."""

import base64
import io

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pictures import shrink_pictures
from PIL import Image


def shrunk(pixels: np.ndarray) -> tuple[np.ndarray, int, int]:
    """The pixels after shrinking, and the bytes before and after."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    data = {"image/png": base64.b64encode(stream.getvalue()).decode(), "text/plain": "<Figure>"}
    nb = new_notebook(cells=[new_code_cell(outputs=[new_output("display_data", data=data)])])
    shrink_pictures(nb)
    found = nb.cells[0].outputs[0].data
    assert found["text/plain"] == "<Figure>"
    after = base64.b64decode(found["image/png"])
    picture = Image.open(io.BytesIO(after)).convert("RGBA" if pixels.shape[2] == 4 else "RGB")
    return np.asarray(picture), len(stream.getvalue()), len(after)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_plot_keeps_every_pixel_in_fewer_bytes(rng: np.random.Generator) -> None:
    grey = rng.integers(0, 256, (60, 80, 1), dtype="uint8")
    pixels = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    found, before, after = shrunk(pixels)
    assert np.array_equal(found, pixels)
    assert after < 0.6 * before


def test_a_photograph_keeps_every_pixel(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (60, 80, 3), dtype="uint8")
    found, before, after = shrunk(pixels)
    assert np.array_equal(found, pixels)
    assert after <= before


def test_a_smooth_photograph_moves_by_less_than_two_levels(rng: np.random.Generator) -> None:
    down, across = np.mgrid[:120, :160]
    pixels = np.dstack([40 + down, 90 + across // 2, 250 - down])
    pixels = np.uint8(np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255))
    found, before, after = shrunk(pixels)
    assert 1 < np.abs(found.astype(int) - pixels).mean() < 2
    assert after < before / 2


def test_many_nearly_equal_colours_move_by_less_than_one_level(rng: np.random.Generator) -> None:
    pixels = np.full((120, 120, 3), 250, "uint8")
    pixels[:60, :60] = rng.integers(100, 112, (60, 60, 3))  # up to 1,728 colours
    found, before, after = shrunk(pixels)
    moved = np.abs(found.astype(int) - pixels)
    assert 0 < moved.mean() < 1
    assert after < before


def test_a_see_through_picture_stays_as_it_is(rng: np.random.Generator) -> None:
    pixels = np.zeros((30, 30, 4), "uint8")
    pixels[:10] = (200, 30, 30, 128)
    found, before, after = shrunk(pixels)
    assert np.array_equal(found, pixels) and before == after
