"""Chapter 0: wrong answers are refused with a line that helps, right ones pass in any style."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from check_cases import accepted, refused

import mmkeras as mm
from mmkeras.checks import ch00

GROUPS = ("animals", "food")


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


def build(
    *,
    encoder: str = "lstm",
    words: int = 1000,
    length: int = 8,
    image: str = "image",
    **heads: Any,
) -> Any:
    def model() -> Any:
        text = mm.text_branch(words, length, encoder=encoder)
        return mm.multimodal_model(
            [text, mm.vector_branch(1280, name=image)], heads or {"group": 6, "edible": "binary"}
        )

    return lambda: (model,)


def counted(answer: Any) -> Any:
    return lambda: (answer, tiny())


def looked(function: Any) -> Any:
    return lambda: (function, tiny())


def given(*answers: Any) -> Any:
    return lambda: answers


WRONG = {
    ch00.concepts_per_group: [
        ("pictures", counted({"animals": 6, "food": 2}), "these are pictures"),
        ("a group is missing", counted({"animals": 3}), "look at 'food'"),
        ("the keys are numbers", counted({0: 3, 1: 1}), "the keys should be"),
        ("one too many", counted({"animals": 4, "food": 1}), "animals: yours is 4"),
        ("the total", counted(4), "of type int"),
    ],
    ch00.third_branch: [
        ("two branches", given(128, 966), "joint_width = 128: that is text and image alone"),
        ("three times 64", given(192, 1158), "gives 32 features, not 64"),
        ("multiplied", given(64 * 64 * 32, 966), "does not multiply"),
        ("a guess", given(7, 966), "what do 64, 64 and 32 features make"),
        ("no bias", given(160, 960), "has a bias"),
        ("one group", given(160, 161), "of one group"),
        ("the old head", given(160, 774), "the two-branch model"),
        ("a string", given("160", 966), "joint_width should be one number"),
        ("half a stub", given(160, ...), "replace the ..."),
    ],
    ch00.two_heads: [
        ("no LSTM", build(encoder="average"), "no LSTM"),
        ("another vocabulary", build(words=500), "yours has 500"),
        ("another length", build(length=9), "'text': (9,)"),
        ("the branch has no name", build(image="vector"), "'vector': (1280,)"),
        ("one head", build(group=6), "this model has one head"),
        ("another name", build(group=6, food="binary"), "yours: ['food', 'group']"),
        ("five groups", build(group=5, edible="binary"), "yours gives (5,)"),
        ("two classes", build(group=6, edible=2), "the probability of yes"),
        ("a number", build(group=6, edible="regression"), "a sigmoid"),
        ("no model", given(lambda: "model"), "of type str"),
        ("a stub", given(lambda: None), "returns nothing yet"),
    ],
    ch00.own_words: [
        ("no name", looked(lambda name, picture: GROUPS[int(picture.max())]), "is the name used"),
        ("no picture", looked(lambda name, _: GROUPS[int(name == "soup")]), "is the picture used"),
        (
            "all wrong",
            looked(lambda name, picture: GROUPS[int(name != "soup" or picture.max() < 1)]),
            "only 0 of 4",
        ),
        ("a class", looked(lambda _, picture: int(picture.max())), "is the number of a class"),
        ("no group", looked(lambda name, picture: "fruit"), "yours is 'fruit'"),
        ("probabilities", looked(lambda name, picture: np.zeros(6)), "a ndarray"),
        ("it crashes", looked(lambda name, picture: picture / name), "<lambda> raised"),
    ],
    ch00.claims: [
        (
            "all",
            given("ABCDEF"),
            "3 of 6 sentences are judged wrongly. Think about B again: on drawings of how many",
        ),
        (
            "fusion helps",
            given("ACDF"),
            "1 of 6 sentences is judged wrongly. Think about C again: which model was trained",
        ),
        (
            "a better score, a better model",
            given("ADEF"),
            "E again: were the two kinds of models asked about the same drawings",
        ),
        (
            "only the test",
            given("A"),
            "2 of 6 sentences are judged wrongly. Think about D again: which cell",
        ),
        ("the cats are forgotten", given("AD"), "F again: which cell compares the two drawings"),
        ("doubt of everything", given(""), "at least one sentence"),
        ("no such letter", given("ADFG"), "there is no sentence G"),
        ("a number", given(3), "of type int"),
    ],
}
RIGHT = {
    ch00.concepts_per_group: [
        ("a dict", counted({"animals": 3, "food": 1})),
        ("a Series in another order", counted(pd.Series({"food": 1, "animals": 3}))),
    ],
    ch00.third_branch: [("ints", given(160, 966)), ("NumPy", given(np.int64(160), 966.0))],
    ch00.two_heads: [("the model", build())],
    ch00.own_words: [
        (
            "both are used",
            looked(lambda name, picture: GROUPS[int(name == "soup" and picture.max() > 0)]),
        ),
    ],
    ch00.claims: [
        ("letters", given("ADF")),
        ("lower case, commas", given("f, a, d")),
        ("a set", given({"A", "D", "F"})),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)


def test_third_branch_is_right() -> None:
    branches = [mm.vector_branch(5, units=n, name=f"m{n}{i}") for i, n in enumerate((64, 64, 32))]
    model = mm.multimodal_model(branches, {"group": 6})
    assert model.get_layer("fusion").output.shape[-1] == 160
    assert model.get_layer("group").count_params() == 966
