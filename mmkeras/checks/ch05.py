"""Checks of chapter 05, what each modality knows alone."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from ..datasets.emoji import Emoji, load_emoji
from . import NotYet, exercise, expect_close


@exercise(
    "05.1",
    "guessing in proportion",
    hint="for class k: the share of k in test_y times the probability that you say k, which is "
    "its share in train_y; then add up (np.bincount with minlength counts)",
)
def proportional_floor(answer: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """a function of train_y and test_y (ints) that returns the expected accuracy, one float."""
    _needs_function(answer)
    train, test = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    got = answer(train, test)
    if np.isclose(_number(got), 0.75 * 0.75 + 0.25 * 0.25):
        raise NotYet(
            "you multiply the training shares by themselves: a case of class k turns up as often "
            "as in the test labels"
        )
    if np.isclose(_number(got), 0.5):
        # here 0.5 is right by luck for several formulas, so look at another case
        got = answer(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]))
        if np.isclose(_number(got), 0.6):  # the majority
            raise NotYet(
                "this is the accuracy of always giving the commonest group; the die says every "
                "group from time to time"
            )
        expect_close(
            got, 0.75 * 0.6 + 0.25 * 0.4, "the accuracy for training 0 0 0 1 and test 0 0 0 1 1"
        )
    else:
        expect_close(got, 0.5, "the accuracy for training 0 0 0 1 and test 0 0 1 1")
    got = answer(np.array([0, 1, 2, 2]), np.array([0, 1]))
    expect_close(got, 0.25, "the accuracy when class 2 does not occur in the test")
    got = answer(np.array([0, 1]), np.array([2, 2, 1, 0]))
    expect_close(got, 0.25, "the accuracy when class 2 occurs in the test only")
    train_part, _, test_part = _emoji().split("noto", seed=0)
    shares = [
        np.bincount(y, minlength=len(train_part.groups)) / len(y)
        for y in (train_part.y, test_part.y)
    ]
    want = float(shares[0] @ shares[1])
    expect_close(answer(train_part.y, test_part.y), want, "the accuracy for the emoji")
    return f"{want:.1%} for the emoji: lower than always the commonest group, so report that one"


@exercise(
    "05.2",
    "unknown names",
    hint="adapt a TextVectorization(split=split) to the training texts; ids of the test texts "
    "above 1 are known tokens; count the texts that have none",
)
def unknown_share(answer: Callable[[np.ndarray, np.ndarray, str], Any]) -> str:
    """a function of train_texts, test_texts and split that returns a share from 0 to 1."""
    _needs_function(answer)
    train = np.array(["red apple", "apple pie"], dtype=object)
    test = np.array(["green apple", "blue lagoon", "pear", "red pear"], dtype=object)
    got = _number(answer(train, test, "whitespace"))
    if np.isclose(got, 0.0):
        raise NotYet(
            "your share for a toy set is 0: is the vocabulary learned from the training texts only?"
        )
    if np.isclose(got, [5 / 7, 4 / 6]).any():  # of all words, of the different ones
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


# What the five plans of exercise 3 share between training and test, and what is new therefore.
NEW = {"A": "both", "B": "concepts", "C": "neither", "D": "artist", "E": "artist"}


@exercise(
    "05.3",
    "what is new in each test",
    hint="for a plan, compare emoji.table.loc[train] with emoji.table.loc[test]: which values of "
    '"artist", of "hexcode" and of "family" are in both?',
)
def new_in_test(answer: Any) -> str:
    """a dict with "concepts", "artist", "both" or "neither" for each plan A to E."""
    if not isinstance(answer, Mapping):
        raise NotYet(f"hand in a dict, yours is of type {type(answer).__name__}")
    said = {str(plan).upper(): str(word).strip().lower() for plan, word in answer.items()}
    if set(said) != set(NEW):
        raise NotYet(f"the plans are {', '.join(NEW)}; yours are {', '.join(sorted(said))}")
    shared = _shared()
    for plan, word in said.items():
        if word not in ("concepts", "artist", "both", "neither"):
            raise NotYet(f"{plan}: {word!r} is none of concepts, artist, both, neither")
        artist, concept, family = shared[plan]
        if word in ("artist", "both") and artist:
            raise NotYet(_less_new(plan, artist, "an artist"))
        if word in ("concepts", "both") and concept:
            raise NotYet(_less_new(plan, concept, "a concept"))
        if word in ("concepts", "both") and family:
            raise NotYet(_less_new(plan, family, "a near-duplicate (the same family)"))
        if word != NEW[plan]:
            missed = "the artist is new" if not artist else "no family is in both parts"
            raise NotYet(f"{plan} is stricter than you think: {missed}")
    return (
        "only A tests both at once; E shows that a picture with a new hexcode can still be a "
        "near-duplicate of an old one"
    )


_told: set[str] = set()  # the plans of exercise 3 that were said to be newer than they are


def _less_new(plan: str, share: float, what: str) -> str:
    """What to compare; from the second time on also what is shared, and how often."""
    said = f"{plan} is not as new as you say"
    if plan in _told:
        return f"{said}: {share:.0%} of its test pictures have {what} that training has, too"
    _told.add(plan)
    return (
        f'{said}: compare the columns "artist", "hexcode" and "family" of its two parts. Run this '
        "cell again to hear what they share"
    )


@functools.cache
def _shared() -> dict[str, tuple[float, float, float]]:
    """Of each plan: shares of test rows whose artist, concept and family training has."""
    emoji = _emoji()
    table, draw = emoji.table, np.random.default_rng(0)
    fluent = (table["artist"] == "fluent").to_numpy()
    concepts = table["hexcode"].drop_duplicates()
    unseen = table["hexcode"].isin(draw.choice(concepts, 250, replace=False)).to_numpy()
    dealt = draw.permutation(len(emoji))
    plans = {
        "A": [part.table.index for part in emoji.split("fluent", seed=0)[::2]],
        "B": [part.table.index for part in emoji.split(None, seed=0)[::2]],
        "C": (dealt[1000:], dealt[:1000]),
        "D": (np.flatnonzero(~fluent), np.flatnonzero(fluent)),
        "E": (np.flatnonzero(~fluent & ~unseen), np.flatnonzero(fluent & unseen)),
    }
    return {
        plan: tuple(  # type: ignore[misc]
            float(table.loc[test, column].isin(table.loc[train, column]).mean())
            for column in ("artist", "hexcode", "family")
        )
        for plan, (train, test) in plans.items()
    }


@exercise(
    "05.4",
    "a referee",
    hint="np.where(known > 0, answer of the text, answer of the picture), where an answer is the "
    "argmax over axis 1",
)
def referee(answer: Callable[[np.ndarray, np.ndarray, np.ndarray], Any]) -> str:
    """a function of text_p (n, 6), picture_p (n, 6), known (n,) that returns group numbers (n,)."""
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
        surest = np.where(text.max(axis=1) > picture.max(axis=1), said, seen)
        if np.array_equal(got, surest):
            raise NotYet(
                "this trusts the surer modality; the rule asks only whether a word is known"
            )
        if np.array_equal(got, (text + picture).argmax(axis=1)):
            raise NotYet("this is an average; the rule chooses one modality by known")
    expect_close(got, np.where(known > 0, said, seen), "the group numbers")
    return "a rule that needs no truth; test it on splits that section 6 did not use"


@exercise(
    "05.5",
    "a better text",
    hint='read rows["tags_en"] instead of rows["label_en"] and allow about 16 ids; adapt and train '
    "on the training concepts, and return probabilities.argmax(axis=1) for the test concepts",
)
def better_text(answer: Callable[[Emoji, Emoji, Emoji], Any]) -> str:
    """a function of train, valid and test that returns one group number per test concept."""
    _needs_function(answer)
    ahead = []
    for seed in (3, 4):  # splits that the chapter does not use
        train, valid, test = _emoji().split("noto", seed=seed)
        blank = Emoji(test.table.drop(columns=["group", "subgroup"]), test.drawings, test.groups)
        got = np.asarray(answer(train, valid, blank))
        if got.shape != test.y.shape or got.dtype.kind not in "iu":
            raise NotYet(
                f"expected {len(test.y)} whole numbers, one per test concept; yours has shape "
                f"{got.shape} and type {got.dtype}. From probabilities take argmax(axis=1)"
            )
        names = _names_alone(train, test)
        ahead.append((got == test.y).mean() - names)
        if ahead[-1] < 0.08:
            raise NotYet(
                f"for seed {seed}, {(got == test.y).mean():.0%} are right. Counted words of the "
                f"names alone give {names:.0%}, and the goal is 8 points more"
            )
    return f"{100 * min(ahead):.0f} points or more above the names alone, on two new splits"


def _names_alone(train: Emoji, test: Emoji) -> float:
    """Accuracy of a linear model on the counted words of the names (chapter 02)."""
    rows = train.table.drop_duplicates("hexcode")
    model = make_pipeline(TfidfVectorizer(), LinearSVC(random_state=0))
    model.fit(rows["label_en"], rows["group"])
    return float((model.predict(test.table["label_en"]) == test.table["group"]).mean())


@functools.cache
def _emoji() -> Emoji:
    return load_emoji(48)


def _needs_function(answer: Any) -> None:
    if not callable(answer):
        raise NotYet(f"hand in the function itself, not its result ({type(answer).__name__})")


def _number(got: Any) -> float:
    """The answer as one float, NaN if it is none; `expect_close` then says what is wrong."""
    array = np.asarray(got)
    return float(array) if array.shape == () and array.dtype.kind in "iuf" else np.nan


def _texts(column: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and test texts of the concepts with noto held out, seed 0."""
    train, _, test = _emoji().split("noto", seed=0)
    tables: list[pd.DataFrame] = [part.table.drop_duplicates("hexcode") for part in (train, test)]
    old, new = (table[column].to_numpy(object) for table in tables)
    return old, new


def _plain(text: str) -> str:
    """Lower case without punctuation, as TextVectorization reads a text."""
    return "".join(c for c in text.lower() if c not in r"""!"#$%&()*+,-./:;<=>?@[\]^_`{|}~'""")
