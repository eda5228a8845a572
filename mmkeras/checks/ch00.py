"""Self-checks of chapter 0, Welcome."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd

from ..datasets.emoji import Emoji
from . import NotYet, exercise


@exercise(
    "00.1",
    "concepts, not pictures",
    hint="which pandas method keeps one row per hexcode, and which one counts the groups then?",
)
def concepts_per_group(answer: Any, emoji: Emoji) -> str:
    """A dict or Series from the name of each group to the number of its concepts."""
    if not isinstance(answer, dict | pd.Series):
        raise NotYet(
            "give a dict or a pandas Series from the name of a group to a number, "
            f"yours is of type {type(answer).__name__}"
        )
    given = dict(answer)
    pictures = emoji.table["group"].value_counts()
    concepts = emoji.table.drop_duplicates("hexcode")["group"].value_counts()
    if set(given) != set(emoji.groups):
        wrong = sorted(map(str, set(given) ^ set(emoji.groups)))
        raise NotYet(f"the keys should be the {len(emoji.groups)} groups; look at {wrong[0]!r}")
    if all(given[group] == pictures[group] for group in given):
        raise NotYet(
            "these are pictures: every concept is counted once per artist. Count each hexcode once"
        )
    for group, number in given.items():
        if number != concepts[group]:
            raise NotYet(f"{group}: yours is {number}, but that is not the number of its concepts")
    return (
        f"{len(emoji)} pictures, but only {sum(concepts)} concepts: the smaller number tells how "
        "much there is to learn from"
    )


@exercise(
    "00.2",
    "a third branch",
    hint="concatenating puts the features side by side; a Dense layer has one weight per pair of "
    "input and output, and one bias per output",
)
def third_branch(joint_width: Any, head_weights: Any) -> str:
    """The width of 64, 64 and 32 features side by side; the weights of a head for 6 groups."""
    slips = {
        128: "that is text and image alone: add the 32 of the audio branch",
        192: "the audio branch gives 32 features, not 64",
        64 * 64 * 32: "concatenation does not multiply: it puts the vectors side by side",
    }
    _expect(joint_width, 160, "joint_width", slips, "what do 64, 64 and 32 features make?")
    slips = {
        960: "that is W alone: each of the 6 groups also has a bias",
        160: "that is the weights of one group: there are 6",
        161: "that is the weights and the bias of one group: there are 6",
        128 * 6 + 6: "that is the head of the two-branch model: the joint representation is wider",
    }
    _expect(head_weights, 966, "head_weights", slips, "W is (joint_width, 6), b is (6,)")
    return "the third branch widens W by 32 rows, and nothing else in the model changes"


def _expect(given: Any, want: int, what: str, slips: dict[int, str], otherwise: str) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
        raise NotYet(f"{what} should be one number, yours is of type {type(given).__name__}")
    if given != want:
        slip = next((text for wrong, text in slips.items() if given == wrong), None)
        raise NotYet(f"{what} = {given}: {slip or otherwise}")


@exercise(
    "00.3",
    "another branch, another head",
    hint="start from the cell of section 2 that builds the model: what changes is an argument of "
    "mm.text_branch and the dict of heads",
)
def two_heads(build: Callable[[], keras.Model]) -> str:
    """A function that builds a model: text (8,) and image (1280,) in, group and edible out."""
    model = build()
    if not isinstance(model, keras.Model):
        raise NotYet(f"return the model; yours returns an object of type {type(model).__name__}")
    inputs = {x.name: tuple(x.shape[1:]) for x in model.inputs}
    if inputs != {"text": (8,), "image": (1280,)}:
        raise NotYet(f"the inputs should be text (8,) and image (1280,), yours are {inputs}")
    if not isinstance(model.output, dict):
        raise NotYet("this model has one head: heads takes a dict with two entries")
    outputs = {name: tuple(x.shape[1:]) for name, x in model.output.items()}
    if set(outputs) != {"group", "edible"}:
        raise NotYet(f'the heads should be called "group" and "edible", yours: {sorted(outputs)}')
    if outputs["group"] != (6,):
        raise NotYet(f"the head group should give 6 numbers, yours gives {outputs['group']}")
    edible = model.get_layer("edible")
    if outputs["edible"] != (1,):
        raise NotYet(
            'a yes-or-no head gives one number, the probability of yes: use "binary" for "edible"'
        )
    if edible.activation is not keras.activations.sigmoid:
        raise NotYet('the head edible should give a probability (a sigmoid): use "binary"')
    layers = model.get_layer("text_encoder").layers
    if not any(isinstance(layer, keras.layers.LSTM) for layer in layers):
        raise NotYet('the text branch has no LSTM: pass encoder="lstm" to mm.text_branch')
    words = next(x.input_dim for x in layers if isinstance(x, keras.layers.Embedding))
    if words != 1000:
        raise NotYet(f"the vocabulary should have 1000 words, yours has {words}")
    return "one joint representation, two answers: only the heads and one branch were exchanged"


@exercise(
    "00.4",
    "your own words",
    hint="reader and eye both want a batch: an array of one name (of type object), and "
    "picture[None]. Pass what they return to the model as a dict with its two input names",
)
def own_words(predict_group: Callable[[str, np.ndarray], str], train: Emoji) -> str:
    """A function of a name and a picture that returns the name of a group."""
    of_group = [np.flatnonzero(train.y == i) for i in range(len(train.groups))]
    rows = [int(rows[place]) for rows in of_group for place in (0, len(rows) // 2)]
    names = [str(name) for name in train.table["label_en"].iloc[rows]]
    answers = []
    for name, row in zip(names, rows, strict=True):
        answer = predict_group(name, train.images[row])
        if isinstance(answer, int | np.integer):
            raise NotYet(f"{answer} is the number of a class: emoji.groups[{answer}] is its name")
        if not isinstance(answer, str) or answer not in train.groups:
            shown = repr(answer) if isinstance(answer, str) else f"a {type(answer).__name__}"
            raise NotYet(f"the answer should be one of {', '.join(train.groups)}; yours is {shown}")
        answers.append(answer)
    half = len(rows) // 2  # now each drawing with the name of one from another group
    mixed = [predict_group(names[i - half], train.images[row]) for i, row in enumerate(rows)]
    if mixed == answers:
        raise NotYet("another name never changes the answer: is the name used at all?")
    if [mixed[i - half] for i in range(len(rows))] == answers:
        raise NotYet("another picture never changes the answer: is the picture used at all?")
    hits = sum(answer == train.groups[train.y[r]] for answer, r in zip(answers, rows, strict=True))
    if hits < 0.75 * len(rows):
        raise NotYet(
            f"only {hits} of {len(rows)} training drawings come out right, where the model knows "
            "nearly all. Hand the eye the pixels as they are, 0 to 255, and feed both by name"
        )
    return "it looks and it reads, and a wrong name can change its mind"


@exercise(
    "00.5",
    "which claims hold",
    hint="which cell's output would differ if the sentence were wrong? If there is none, the "
    "chapter does not support it",
)
def claims(supported: Any) -> str:
    """The letters of the sentences that the chapter supports, a str in any order or a list."""
    if not isinstance(supported, str | list | tuple | set):
        raise NotYet(f'give letters, such as "XYZ"; yours is of type {type(supported).__name__}')
    given = {str(letter).strip().upper() for letter in supported} - {"", ","}
    if unknown := given - set("ABCDEF"):
        raise NotYet(
            f"there is no sentence {', '.join(sorted(unknown))}; enter letters from A to F"
        )
    if not given:
        raise NotYet("at least one sentence is supported; start with A: which cell is about it?")
    supports = set("ADF")
    ask = {
        "A": "section 2 compares model and rival on the same drawings: how far apart are they?",
        "B": "on drawings of how many artists was the model of section 2 tested?",
        "C": "which model was trained on the picture alone? Shuffling misleads a "
        "model, which is something else",
        "D": "which cell changed nothing but the names, and what did it print?",
        "E": "were the two kinds of models asked about the same drawings? And "
        "how did they do where the name is new?",
        "F": "which cell compares the two drawings, and what did it print?",
    }
    if wrong := sorted(given ^ supports):
        raise NotYet(
            f"{len(wrong)} of 6 sentences {'is' if len(wrong) == 1 else 'are'} judged wrongly. "
            f"Think about {wrong[0]} again: {ask[wrong[0]]}"
        )
    return (
        "A, D and F: a cell could have come out the other way and did not. B: only one artist was "
        "tested. C: no model was trained on the picture alone. E: its score is higher because its "
        "test is easier, which says nothing about its model"
    )
