"""Checks of chapter 15, captioning."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from . import NotYet, exercise, expect_close, expect_verdicts, languages

VERDICTS = {
    "A": "leak",
    "B": "wrong measure",
    "C": "no rival",
    "D": "not settled",
    "E": "holds",
}


def _same(got: Any, wrong: Any) -> bool:
    got, wrong = np.asarray(got), np.asarray(wrong)
    return got.shape == wrong.shape and bool(np.allclose(got, wrong, atol=1e-9))


def _numbers(got: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The answer as numbers of this shape."""
    try:
        given = np.asarray(got, dtype=float)
    except (TypeError, ValueError):
        raise NotYet(f"{name} must be numbers of shape {shape}") from None
    if given.shape != shape:
        raise NotYet(f"{name} has the shape {given.shape}, it should have shape {shape}")
    return given


def _rows(
    texts: list[list[int]], start: int, end: int, length: int, **how: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets; `how` makes the slips of students."""
    reads, writes = np.zeros((len(texts), length), int), np.full((len(texts), length), -1)
    for row, text in enumerate(texts):
        told = [*text, end] if how.get("ends", True) else text
        given = told if how.get("unmoved") else [start, *text]
        reads[row, : len(given)], writes[row, : len(told)] = given, told
    if how.get("padding") is not None:
        writes[writes == -1] = how["padding"]
    return reads, writes


@exercise(
    "15.1",
    "one place later",
    hint="for a row of n tokens: reads[row, :n + 1] = [start, *text], and "
    "writes[row, :n + 1] = [*text, end]; begin with np.zeros and np.full(…, -1)",
)
def teacher(function: Callable) -> str | None:
    """Return two arrays, `reads` and `writes`, int (n, length) each."""
    for texts, start, end, length in (
        ([[5, 6, 7], [8], [9, 5]], 1, 2, 6),
        ([[4, 4, 3, 7], [6, 3]], 2, 1, 5),
    ):
        got = function([list(text) for text in texts], start, end, length)
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("return two arrays, what is read and what has to be written")
        shape = (len(texts), length)
        reads, writes = (
            _numbers(part, name, shape) for part, name in zip(got, ("reads", "writes"), strict=True)
        )
        want = _rows(texts, start, end, length)
        if _same(reads, want[1]) and _same(writes, want[0]):
            raise NotYet("the two are exchanged: the start token is read, the end is written")
        if _same(reads, _rows(texts, start, end, length, unmoved=True)[0]):
            raise NotYet(
                "place t reads the token that it has to write, and learns to copy: what is read "
                "begins with the start token"
            )
        if _same(reads, _rows([[*text, end] for text in texts], start, end, length + 1)[0][:, :-1]):
            raise NotYet("reads holds the end token, too: after it nothing has to be written")
        if _same(writes, _rows(texts, start, end, length, ends=False)[1]):
            raise NotYet("the end token is missing in writes: the network would never stop")
        for padding in (0, end, start):
            if _same(writes, _rows(texts, start, end, length, padding=padding)[1]):
                raise NotYet(
                    f"the places behind the end are filled with {padding} in writes, and would be "
                    "trained: fill them with -1, which the loss ignores"
                )
        if _same(reads, np.where(want[1] == -1, -1, want[0])):
            raise NotYet("reads is filled with -1, which is no row of a table of words: use 0")
        expect_close(reads, want[0], "what is read")
        expect_close(writes, want[1], "what has to be written")
    return "every place is trained at once, and none sees its own answer"


@exercise(
    "15.2",
    "the nucleus",
    hint="order = np.argsort(-p); before = the probability of all likelier words, which is "
    "np.cumsum(p[order]) - p[order]; keep the words with before < top_p; divide by their sum",
)
def nucleus(function: Callable) -> str | None:
    """Return the probabilities to draw from, float (words,), with the sum 1."""
    rng = np.random.default_rng(0)
    cases = [(np.array([0.1, 0.5, 0.15, 0.25]), top) for top in (0.8, 0.45, 1.0)]
    cases += [(np.array([0.1875, 0.5, 0.25, 0.0625]), 0.75)]  # two words reach it exactly
    cases += [(rng.dirichlet(np.full(9, 0.4)), top) for top in (0.6, 0.9, 0.97)]
    for p, top in cases:
        order = np.argsort(-p)
        before = np.cumsum(p[order]) - p[order]
        kept = np.zeros(len(p), bool)
        kept[order[before < top - 1e-12]] = True
        short, low = np.zeros(len(p), bool), np.zeros(len(p), bool)
        short[order[np.cumsum(p[order]) <= top]] = True
        up = np.argsort(p)
        low[up[(np.cumsum(p[up]) - p[up]) < top - 1e-12]] = True
        want = np.where(kept, p, 0) / p[kept].sum()
        in_order = np.zeros(len(p))
        in_order[: kept.sum()] = p[order][: kept.sum()] / p[kept].sum()
        got = _numbers(function(p.copy(), top), "the answer", p.shape)
        slips = {
            "these do not sum to 1: divide by the sum of what is kept": np.where(kept, p, 0),
            "these are the unlikeliest words: begin with the likeliest": (
                np.where(low, p, 0) / p[low].sum()
            ),
            "these are sorted: each word must keep its own place": in_order,
            "this keeps each word whose own probability is at least top_p: add them up": (
                np.where(p >= top, p, 0)
            ),
        }
        further = kept.copy()
        further[order[: kept.sum() + 1]] = True
        if not kept.all():
            slips["this keeps a word too many: two words that reach top_p exactly are enough"] = (
                np.where(further, p, 0) / p[further].sum()
            )
        if short.any() and not np.array_equal(short, kept):
            slips["the word that crosses top_p belongs to the nucleus, too"] = (
                np.where(short, p, 0) / p[short].sum()
            )
        if not np.isfinite(got).all():
            raise NotYet(
                "NaN: nothing is kept, although the likeliest word always belongs to the nucleus"
            )
        if not _same(got, want):
            for advice, wrong in slips.items():
                if _same(got, wrong):
                    raise NotYet(advice)
        expect_close(got, want, f"the probabilities for top_p = {top}")
    return "few words where the next one is sure, many where it is open"


def _grams(text: list[str], n: int) -> Counter:
    return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))


@exercise(
    "15.3",
    "clipped precision",
    hint="with Counter: (grams(a) & grams(b)).total() is the clipped number of a sentence; add up "
    "these numbers and the numbers of n-grams over all sentences, then divide once",
)
def precision(function: Callable) -> str | None:
    """Return the share of written n-grams that occur in their references, 0 to 1."""
    written = [
        "the the the cat".split(),
        "a small dog on a red mat".split(),
        "owl left of small kite".split(),
        ["fox"],
    ]
    wanted = [
        "the cat is on the mat".split(),
        "a dog is on a mat today".split(),
        "small kite left of owl".split(),
        ["fox"],
    ]
    for n in (1, 2, 3, 5):
        pairs = [(_grams(a, n), _grams(b, n)) for a, b in zip(written, wanted, strict=True)]
        shared = sum((a & b).total() for a, b in pairs)
        count, there = (sum(pair[i].total() for pair in pairs) for i in (0, 1))
        loose = sum(sum(c for g, c in a.items() if g in b) for a, b in pairs)
        everywhere = sum((b for _, b in pairs), Counter())
        pooled = (sum((a for a, _ in pairs), Counter()) & everywhere).total()
        each = [(a & b).total() / a.total() for a, b in pairs if a.total()]
        want = shared / count
        got = _numbers(function([*map(list, written)], [*map(list, wanted)], n), "the answer", ())
        slips = {
            "an n-gram counts at most as often as its reference has it: seven times “the” is no "
            "better than two": loose / count,
            "this divides by the n-grams of the references, which is a recall": shared / there,
            "this is the mean over sentences: add up both numbers over the corpus, divide once": (
                np.mean(each)
            ),
            "an n-gram must occur in the reference of its own sentence, not in any": pooled / count,
            "each n-gram counts once here: one that both have twice counts twice": (
                sum(len(a.keys() & b.keys()) for a, b in pairs) / count
            ),
            "these are single words: take n of them in a row": sum(
                (_grams(a, 1) & _grams(b, 1)).total() for a, b in zip(written, wanted, strict=True)
            )
            / sum(map(len, written)),
        }
        if not _same(got, want):
            for advice, wrong in slips.items():
                if _same(got, wrong):
                    raise NotYet(advice)
        expect_close(got, want, f"p_{n}")
    none = function([["fox"], ["hot", "dog"]], [["fox"], ["hot", "dog"]], 4)
    if none is None or not _same(none, 0.0):
        raise NotYet(f"where no n-gram was written the answer is 0, not {none!r}")
    return "and four right names of two words have p_4 = 0"


LOOK = {
    "A": "which pairs of the test were in the training set?",
    "B": "how many of these names have four words in a row?",
    "C": "what would a copy of the nearest drawing's name reach?",
    "D": "does the interval exclude 0?",
    "E": "could the copies have been right, and were they measured? Is more claimed than that?",
}


@exercise(
    "15.4",
    "five claims",
    hint="for each claim ask: was the test new? Is there a simple rival? Does the measure see what "
    "is claimed? Is 0 in the interval?",
)
def verdicts(answer: dict) -> str | None:
    """Give a verdict for each of the claims A to E, as a dict."""
    expect_verdicts(answer, VERDICTS, LOOK)
    return "a sentence is worth as much as the rival that could not write it"


ASKS = 40


def _answer(function: Callable, table: np.ndarray) -> list[int]:
    """The text that a student's search finds, with at most ASKS questions."""
    asked = 0

    def step(text: Any) -> np.ndarray:
        nonlocal asked
        asked += 1
        return table[languages.context(list(text))].copy()

    text = _numbers(function(step, languages.LENGTH), "the text", (languages.LENGTH,))
    if asked > ASKS:
        raise NotYet(
            f"step was asked {asked} times for one text, {ASKS} are allowed: ask only about the "
            "beginnings that are worth it"
        )
    if not np.isin(text, np.arange(languages.WORDS)).all():
        raise NotYet(
            f"the text must hold word numbers, 0 to {languages.WORDS - 1}, got {text.tolist()}"
        )
    return [int(word) for word in text]


@exercise(
    "15.5",
    "your own search",
    hint="keep several beginnings, each a pair (log-probability, text); which one do you continue "
    "next, and which do you give up? Three beginnings kept in each step take 1 + 6 · 3 questions",
)
def search(function: Callable) -> str | None:
    """Return a text, `length` word numbers, likelier than what greedy finds."""
    tables = languages.draw(30)
    found = np.array([languages.value(table, _answer(function, table)) for table in tables])
    plain = np.array([languages.value(table, languages.greedy(table)) for table in tables])
    top = np.array([languages.likeliest(table) for table in tables])
    exact, before = (int(np.isclose(value, top).sum()) for value in (found, plain))
    if np.allclose(found, plain):
        raise NotYet("these are the texts of greedy: look further than the likeliest next word")
    closed = 100 * (found - plain).mean() / (top - plain).mean()
    if closed < 0:
        raise NotYet(
            "in the mean these texts are less likely than those of greedy: add up the "
            "log-probabilities of all words, and return the text with the largest sum"
        )
    if closed < 50:
        raise NotYet(
            f"the texts are likelier than those of greedy, but close only {closed:.0f}% of the gap "
            "between greedy and the likeliest text: close half of it"
        )
    return (
        f"{closed:.0f}% of greedy's gap is closed, and the likeliest text is found in {exact} of "
        f"{len(tables)} languages (greedy: {before}). How far do you come with 20 questions?"
    )
