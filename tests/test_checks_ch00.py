"""Chapter 0: what a student with a likely slip is told."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mmkeras as mm
from mmkeras.checks import ch00

GROUPS = ("animals", "food")


@pytest.fixture
def tiny() -> Any:
    """Three animals and one dish, each drawn twice; a picture is as bright as its group counts."""
    table = pd.DataFrame(
        {
            "hexcode": [*"abcd"] * 2,
            "label_en": ["fox", "cat", "ant", "soup"] * 2,
            "group": ["animals", "animals", "animals", "food"] * 2,
        }
    )
    y = np.array([0, 0, 0, 1] * 2)
    images = np.repeat(y, 12).reshape(8, 2, 2, 3).astype(np.uint8)

    class Tiny(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.table)

    return Tiny(table=table, groups=GROUPS, y=y, images=images)


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"animals": 3, "food": 1}, "✓ 8 pictures, but only 4 concepts"),
        (pd.Series({"food": 1, "animals": 3}), "✓"),
        ({"animals": 6, "food": 2}, "these are pictures"),
        ({"animals": 3}, "look at 'food'"),
        ({"animals": 4, "food": 1}, "animals: yours is 4"),
        (4, "of type int"),
    ],
)
def test_concepts_per_group(capsys: Any, tiny: Any, answer: Any, message: str) -> None:
    assert message in said(capsys, ch00.concepts_per_group, answer, tiny)


@pytest.mark.parametrize(
    ("width", "weights", "message"),
    [
        (160, 966, "✓"),
        (np.int64(160), 966.0, "✓"),
        (128, 966, "joint_width = 128: that is text and image alone"),
        (7, 966, "what do 64, 64 and 32 features make"),
        (160, 960, "has a bias"),
        (160, 774, "the two-branch model"),
        ("160", 966, "joint_width should be one number"),
        (160, ..., "replace the ..."),
    ],
)
def test_third_branch(capsys: Any, width: Any, weights: Any, message: str) -> None:
    assert message in said(capsys, ch00.third_branch, width, weights)


def test_third_branch_is_right() -> None:
    branches = [mm.vector_branch(5, units=n, name=f"m{n}{i}") for i, n in enumerate((64, 64, 32))]
    model = mm.multimodal_model(branches, {"group": 6})
    assert model.get_layer("fusion").output.shape[-1] == 160
    assert model.get_layer("group").count_params() == 966


def build(
    *,
    encoder: str = "lstm",
    words: int = 1000,
    length: int = 8,
    image: str = "image",
    **heads: Any,
) -> Any:
    branches = [mm.text_branch(words, length, encoder=encoder), mm.vector_branch(1280, name=image)]
    return lambda: mm.multimodal_model(branches, heads or {"group": 6, "edible": "binary"})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (build(), "✓"),
        (build(encoder="average"), "no LSTM"),
        (build(words=500), "yours has 500"),
        (build(length=9), "'text': (9,)"),
        (build(image="vector"), "'vector': (1280,)"),
        (build(group=6), "this model has one head"),
        (build(group=6, food="binary"), "yours: ['food', 'group']"),
        (build(group=5, edible="binary"), "yours gives (5,)"),
        (build(group=6, edible=2), "the probability of yes"),
        (build(group=6, edible="regression"), "a sigmoid"),
        (lambda: "model", "of type str"),
        (lambda: None, "returns nothing yet"),
    ],
)
def test_two_heads(capsys: Any, function: Any, message: str) -> None:
    assert message in said(capsys, ch00.two_heads, function)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda name, picture: GROUPS[int(name == "soup" and picture.max() > 0)], "✓"),
        (lambda name, picture: GROUPS[int(picture.max())], "is the name used"),
        (lambda name, picture: GROUPS[int(name == "soup")], "is the picture used"),
        (lambda name, picture: GROUPS[int(name != "soup" or picture.max() < 1)], "only 0 of 4"),
        (lambda name, picture: int(picture.max()), "is the number of a class"),
        (lambda name, picture: "fruit", "yours is 'fruit'"),
        (lambda name, picture: np.zeros(6), "a ndarray"),
        (lambda name, picture: picture / name, "your function <lambda> raised"),
    ],
)
def test_own_words(capsys: Any, tiny: Any, function: Any, message: str) -> None:
    assert message in said(capsys, ch00.own_words, function, tiny)
