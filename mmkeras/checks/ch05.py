"""Self-checks of chapter 5, What each modality knows alone."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd

from ..branches import MaskedAverage
from ..datasets.emoji import load_emoji
from . import NotYet, exercise, expect_close


@exercise(
    "05.1",
    "guessing in proportion",
    hint="for class k: the share of k in test_y times the probability that you say k, which is "
    "its share in train_y; then add up (np.bincount with minlength counts)",
)
def proportional_floor(answer: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """A function (train_y, test_y) → expected accuracy of guessing as often as in training."""
    _needs_function(answer)
    train, test = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    got = answer(train, test)
    if np.isclose(_number(got), 0.75 * 0.75 + 0.25 * 0.25):
        raise NotYet(
            "you multiply the training shares with themselves: a case of class k turns up as often "
            "as in the test labels"
        )
    if np.isclose(_number(got), 0.5):
        # here 0.5 is right by luck for several formulas, so look at another case
        got = answer(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]))
        expect_close(
            got, 0.75 * 0.6 + 0.25 * 0.4, "the accuracy for training 0 0 0 1 and test 0 0 0 1 1"
        )
    else:
        expect_close(got, 0.5, "the accuracy for training 0 0 0 1 and test 0 0 1 1")
    got = answer(np.array([0, 1, 2, 2]), np.array([0, 1]))
    expect_close(got, 0.25, "the accuracy when class 2 does not occur in the test")
    got = answer(np.array([0, 1]), np.array([2, 2, 1, 0]))
    expect_close(got, 0.25, "the accuracy when class 2 occurs in the test only")
    train_part, _, test_part = load_emoji(48).split("noto", seed=0)
    shares = [
        np.bincount(y, minlength=len(train_part.groups)) / len(y)
        for y in (train_part.y, test_part.y)
    ]
    want = float(shares[0] @ shares[1])
    expect_close(answer(train_part.y, test_part.y), want, "the accuracy for the emoji")
    return f"{want:.1%} for the emoji: a lower floor than the majority, so report the majority"


@exercise(
    "05.2",
    "the masked average",
    hint="mask = (ids != 0)[..., None]; sum the vectors times the mask over axis 1, divide by the "
    "number of words, and never by less than 1",
)
def masked_average(answer: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """A function (vectors (batch, T, d), ids (batch, T)) → (batch, d), compared with the layer."""
    _needs_function(answer)
    random = np.random.default_rng(5)
    vectors = random.normal(size=(4, 6, 3)).astype("float32")
    ids = np.array([[3, 1, 0, 0, 0, 0], [2, 5, 7, 1, 4, 9], [8, 0, 0, 0, 0, 0], [0] * 6])
    layer = MaskedAverage()
    want = keras.ops.convert_to_numpy(layer(vectors, mask=keras.ops.convert_to_tensor(ids != 0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        got = np.asarray(answer(vectors.copy(), ids.copy()))
    if got.shape == want.shape and got.dtype.kind == "f":
        if np.allclose(got, vectors.mean(axis=1), atol=1e-5):
            raise NotYet("this averages over the padding too: multiply by the mask first")
        if not np.isfinite(got[3]).all():
            raise NotYet("an empty text gives NaN: divide by np.maximum(number of words, 1)")
        if np.allclose(got, want * (ids != 0).sum(1, keepdims=True) / 6, atol=1e-5):
            raise NotYet("divide by the number of words that are there, not by the length T")
    expect_close(got, want, "the average", atol=1e-5)
    return "the same numbers as the layer, an empty text included"


@exercise(
    "05.3",
    "unknown names",
    hint="adapt a TextVectorization(split=split) to the training texts; ids of the test texts "
    "above 1 are known tokens; count the texts that have none",
)
def unknown_share(answer: Callable[[np.ndarray, np.ndarray, str], Any]) -> str:
    """A function (train_texts, test_texts, split) → share of test texts without a known token."""
    _needs_function(answer)
    train = np.array(["red apple", "apple pie"], dtype=object)
    test = np.array(["green apple", "blue lagoon", "pear", "red pear"], dtype=object)
    got = _number(answer(train, test, "whitespace"))
    if np.isclose(got, 0.0):
        raise NotYet(
            "for a toy set it is 0: is the vocabulary learned from the training texts only?"
        )
    if np.isclose(got, 4 / 7):
        raise NotYet("this is the share of unknown words; count the texts without a known word")
    expect_close(got, 0.5, 'for training "red apple", "apple pie" and four test texts the share')
    shares = {}
    for column, split in {"label_en": "whitespace", "label_zh": "character"}.items():
        old, new = _texts(column)
        tokens = (lambda text: text.split()) if split == "whitespace" else list
        known = {token for text in old for token in tokens(_plain(text))}
        want = np.mean([not known & set(tokens(_plain(text))) for text in new])
        expect_close(answer(old, new, split), want, f"the share for {column}", atol=0.005)
        shares[column] = want
    return (
        f"{shares['label_en']:.0%} of the English names have no known word, "
        f"{shares['label_zh']:.0%} of the Chinese ones no known character"
    )


@exercise(
    "05.4",
    "a referee",
    hint="np.where(known > 0, answer of the text, answer of the picture), where an answer is the "
    "argmax over axis 1",
)
def referee(answer: Callable[[np.ndarray, np.ndarray, np.ndarray], Any]) -> str:
    """A function (text_p (n, 6), picture_p (n, 6), known (n,)) → group numbers (n,)."""
    _needs_function(answer)
    random = np.random.default_rng(5)
    text, picture = random.dirichlet(np.ones(6), size=(2, 40))
    known = random.integers(0, 3, size=40)
    said, seen = text.argmax(axis=1), picture.argmax(axis=1)
    got = np.asarray(answer(text.copy(), picture.copy(), known.copy()))
    if got.shape == (40,):
        if np.array_equal(got, np.where(known > 0, seen, said)):
            raise NotYet("the wrong way round: trust the text where a word IS known")
        if np.array_equal(got, np.where(known > 1, said, seen)):
            raise NotYet("one known word is enough: known > 0, or known >= 1")
    expect_close(got, np.where(known > 0, said, seen), "the group numbers")
    return "a rule that needs no truth; on the pooled answers it beats either modality"


@exercise(
    "05.5",
    "a better text",
    hint='read rows["tags_en"] instead of rows["label_en"], allow about 16 ids, train one model a '
    "seed, and collect probabilities.argmax(axis=1) for the test concepts",
)
def better_text(answer: Any) -> str:
    """Group numbers of the test concepts: a list of three int arrays, for seeds 0, 1 and 2."""
    if not isinstance(answer, list | tuple) or len(answer) != 3:
        raise NotYet(
            "give a list of three arrays, one for each of the seeds 0, 1 and 2; "
            f"yours is of type {type(answer).__name__}"
            + (f" and holds {len(answer)}" if isinstance(answer, list | tuple) else "")
        )
    emoji, right = load_emoji(48), []
    for seed, given in enumerate(answer):
        test = emoji.split("noto", seed=seed)[2]
        got = np.asarray(given)
        if got.shape != test.y.shape or got.dtype.kind not in "iu":
            raise NotYet(
                f"seed {seed}: expected {len(test.y)} whole numbers, one per test concept; yours "
                f"has shape {got.shape} and type {got.dtype}. From probabilities take "
                "argmax(axis=1)"
            )
        right.append((got == test.y).mean())
    mean, goal = float(np.mean(right)), 0.64
    if mean > 0.99:
        raise NotYet("above 99%: are these the true groups, or was the test part trained on?")
    if mean < goal:
        raise NotYet(
            f"right for {mean:.0%} of the test concepts; the names alone give about 53%, "
            f"the goal is {goal:.0%}"
        )
    return "at least 10 points above the names alone"


def _needs_function(answer: Any) -> None:
    if not callable(answer):
        raise NotYet(f"hand in the function itself, not its result ({type(answer).__name__})")


def _number(got: Any) -> float:
    """The answer as one float, NaN if it is none; `expect_close` then says what is wrong."""
    array = np.asarray(got)
    return float(array) if array.shape == () and array.dtype.kind in "iuf" else np.nan


def _texts(column: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and test texts of the concepts with noto held out, seed 0."""
    train, _, test = load_emoji(48).split("noto", seed=0)
    tables: list[pd.DataFrame] = [part.table.drop_duplicates("hexcode") for part in (train, test)]
    old, new = (table[column].to_numpy(object) for table in tables)
    return old, new


def _plain(text: str) -> str:
    """Lower case without punctuation, as TextVectorization reads a text."""
    return "".join(c for c in text.lower() if c not in r"""!"#$%&()*+,-./:;<=>?@[\]^_`{|}~'""")
