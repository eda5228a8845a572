"""Chapter 2: answers that a student would give, right ones in several styles and likely slips."""

import re
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
from check_cases import accepted, refused

from mmkeras.checks import ch02


def pair(counts: Counter, *, weighted: bool = True, last: bool = False) -> tuple:
    pairs: Counter = Counter()
    single: Counter = Counter()
    for word, n in counts.items():
        for a in word:
            single[a] += n if weighted else 1
        for two in zip(word, word[1:], strict=False):
            pairs[two] += n if weighted else 1
    ratio = {(a, b): n / (single[a] * single[b]) for (a, b), n in pairs.items()}
    most = max(ratio.values())
    return sorted(two for two in ratio if ratio[two] == most)[-1 if last else 0], most


def frequent(counts: Counter) -> tuple:
    """What BPE would join."""
    pairs: Counter = Counter()
    for word, n in counts.items():
        for two in zip(word, word[1:], strict=False):
            pairs[two] += n
    return pairs.most_common(1)[0]


def not_the_ends(counts: Counter) -> tuple:
    """n_a counts a only where a pair begins, n_b counts b only where one ends."""
    pairs: Counter = Counter()
    for word in counts.elements():
        pairs.update(zip(word, word[1:], strict=False))
    a, b = pair(counts)[0]
    first = sum(n for two, n in pairs.items() if two[0] == a)
    second = sum(n for two, n in pairs.items() if two[1] == b)
    return (a, b), pairs[a, b] / (first * second)


def both(left: Any, right: Any, *, every: bool = False) -> Any:
    def find(texts: list[str], words: set[str]) -> dict:
        cuts = {text: (left(text, words), right(text, words)) for text in texts}
        return {text: two for text, two in cuts.items() if every or two[0] != two[1]}

    return find


def backwards(text: str, words: set[str]) -> list[str]:
    """Longest match of the mirrored text with the mirrored words."""
    mirrored = from_the_left(text[::-1], {word[::-1] for word in words})
    return [word[::-1] for word in mirrored][::-1]


def from_the_right(text: str, words: set[str]) -> list[str]:
    cut, end = [], len(text)
    while end:
        n = next((n for n in range(end, 0, -1) if text[end - n : end] in words), 1)
        cut.append(text[end - n : end])
        end -= n
    return cut[::-1]


def from_the_left(text: str, words: set[str]) -> list[str]:
    cut, start = [], 0
    while start < len(text):
        ends = range(len(text), start, -1)
        end = next((end for end in ends if text[start:end] in words), start + 1)
        cut.append(text[start:end])
        start = end
    return cut


def highest(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    there = (ids != 0)[..., None]
    return np.where(there.any(1), np.where(there, vectors, -np.inf).max(1), 0)


def marked(
    tokens: list[str],
    *,
    negations: tuple[str, ...] = ("no", "not", "never", "without"),
    marks: str = ".,;:!?",
    contracted: bool = True,
    itself: bool = False,
) -> list[str]:
    out, on = [], False
    for token in tokens:
        negation = token in negations or (contracted and token.endswith("n't"))
        on = (on or negation) and token not in marks
        plain = token in marks or (negation and not itself)
        out.append("NOT_" + token if on and not plain else token)
    return out


def window(longest: int) -> Any:
    """A match that never looks at more than so many characters."""

    def cut(text: str, words: set[str]) -> list[str]:
        out, end = [], len(text)
        while end:
            sizes = range(min(longest, end), 0, -1)
            n = next((n for n in sizes if text[end - n : end] in words), 1)
            out.append(text[end - n : end])
            end -= n
        return out[::-1]

    return cut


def endless(tokens: list[str]) -> list[str]:
    on, out = False, []
    for token in tokens:
        negation = token in ("no", "not", "never", "without") or token.endswith("n't")
        on = on or negation
        out.append("NOT_" + token if on and not negation and token not in ".,;:!?" else token)
    return out


def twice(again: bool) -> Any:
    """A second negation prefixes once more, or switches the first one off."""

    def mark(tokens: list[str]) -> list[str]:
        count, out = 0, []
        for token in tokens:
            count = 0 if token in ".,;:!?" else count
            if token in ("no", "not", "never", "without") or token.endswith("n't"):
                count += 1
                out.append(token)
            else:
                out.append("NOT_" * (count if again else count % 2) + token)
        return out

    return mark


def by_split(tokens: list[str]) -> list[str]:
    """Stretch by stretch, by a regular expression."""
    out = []
    for stretch in re.split(r"(?<=[.,;:!?]) ", " ".join(tokens)):
        words, negated = stretch.split(), False
        for word in words:
            negation = re.fullmatch(r"no|not|never|without|.*n't", word) is not None
            out.append(f"NOT_{word}" if negated and not negation and word[0].isalnum() else word)
            negated = negated or negation
    return out


def by_max(counts: Counter) -> list:
    letters: Counter = Counter(a for word in counts.elements() for a in word)
    pairs: Counter = Counter()
    for word in counts.elements():
        pairs.update(zip(word, word[1:], strict=False))
    shares = {(a, b): Fraction(n, letters[a] * letters[b]) for (a, b), n in pairs.items()}
    best = max(sorted(shares), key=shares.__getitem__)
    return [best, float(shares[best])]


def filled(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    out = np.zeros((len(ids), vectors.shape[2]))
    for row, (v, i) in enumerate(zip(vectors, ids, strict=True)):
        if i.any():
            out[row] = v[i != 0].max(axis=0)
    return out


FIVE = ("no", "not", "never", "without", "isn't")

RIGHT = {
    ch02.wordpiece_pair: [("floats", lambda: (pair,)), ("fractions, a list", lambda: (by_max,))],
    ch02.disagreements: [
        ("every length", lambda: (both(from_the_left, from_the_right),)),
        ("up to the longest word", lambda: (both(from_the_left, window(6)),)),
        ("mirrored", lambda: (both(from_the_left, backwards),)),
    ],
    ch02.masked_max: [("np.where", lambda: (highest,)), ("a loop", lambda: (filled,))],
    ch02.mark_negation: [("a flag", lambda: (marked,)), ("stretches", lambda: (by_split,))],
    ch02.too_good: [("a set", lambda: ({"B", "C", "D", "G"},)), ("a word", lambda: ("gdcb",))],
}

WRONG = {
    ch02.wordpiece_pair: [
        ("the pair alone", lambda: (lambda counts: pair(counts)[0][0],), "return two things"),
        ("a word", lambda: (lambda counts: ("id!", 0.3),), "a tuple of two characters"),
        ("no such pair", lambda: (lambda counts: (("x", "y"), 9),), "in none of the words"),
        ("the last of a tie", lambda: (
            lambda counts: pair(counts, last=True),
        ), "first in the alphabet"),
        ("the pair of BPE", lambda: (frequent,), "the one that BPE joins"),
        ("another pair", lambda: (
            lambda counts: (("l", "o"), 1 / 7),
        ), "another pair has a higher one"),
        ("the count", lambda: (
            lambda counts: (pair(counts)[0], frequent(counts)[1] if "nab" in counts else 3),
        ), "return the ratio"),
        ("each word once", lambda: (
            lambda counts: pair(counts, weighted=False),
        ), "each word once"),
        ("only where a pair begins or ends", lambda: (not_the_ends,), "also at the end of a word"),
    ],
    ch02.disagreements: [
        ("from the left", lambda: (both(from_the_left, from_the_left),), "begin at the end"),
        ("reversed", lambda: (
            both(from_the_left, lambda *a: from_the_right(*a)[::-1]),
        ), "in reverse order"),
        ("a word is lost", lambda: (
            both(from_the_left, lambda *a: from_the_right(*a)[1:]),
        ), "do not make up"),
        ("all texts", lambda: (both(from_the_left, from_the_right, every=True),), "leave this"),
        ("the right first", lambda: (both(from_the_right, from_the_left),), "left comes first"),
        ("a list", lambda: (lambda texts, words: texts[1:3],), "return a dict"),
        ("the right alone", lambda: (
            lambda texts, words: {text: from_the_right(text, words) for text in texts[1:3]},
        ), "give two cuts"),
        ("strings", lambda: (
            lambda texts, words: {text: (text, text) for text in texts[1:3]},
        ), "a list of words"),
        ("never more than two", lambda: (both(from_the_left, window(2)),), "longest word first"),
        ("characters", lambda: (both(from_the_left, lambda t, w: list(t)),), "longest word first"),
    ],
    ch02.masked_max: [
        ("padding counts", lambda: (lambda v, ids: v.max(axis=1),), "over all places"),
        ("zeros win", lambda: (
            lambda v, ids: (v * (ids != 0)[..., None]).max(axis=1),
        ), "padding wins with its 0"),
        ("an empty text", lambda: (
            lambda v, ids: np.where((ids != 0)[..., None], v, -np.inf).max(axis=1),
        ), "an empty text gives -inf"),
        ("an average", lambda: (
            lambda v, ids: (v * (ids != 0)[..., None]).sum(1)
            / np.maximum((ids != 0).sum(1), 1)[:, None],
        ), "these are averages"),
        ("another shape", lambda: (lambda v, ids: v[:, 0, 0],), "should have shape (4, 3)"),
    ],
    ch02.mark_negation: [
        ("a string", lambda: (lambda t: " ".join(marked(t)),), "return a list as long"),
        ("too short", lambda: (lambda t: marked(t)[:-1],), "return a list as long"),
        ("itself", lambda: (lambda t: marked(t, itself=True),), "the negation itself stays"),
        ("marks", lambda: (lambda t: marked(t, marks=""),), "the mark ',' stays"),
        ("no contraction", lambda: (lambda t: marked(t, contracted=False),), "end in n't"),
        ("only isn't", lambda: (
            lambda t: marked(t, negations=FIVE, contracted=False),
        ), "end in n't"),
        ("nothing as well", lambda: (
            lambda t: marked(t, negations=("no", "not", "never", "nothing", "without")),
        ), "should not be marked"),
        ("unchanged", lambda: (lambda t: list(t),), "should give 'no NOT_chest NOT_pain"),
        ("goes on", lambda: (endless,), "ends at the next mark"),
        ("two prefixes", lambda: (twice(True),), "one prefix is enough"),
        ("a double negation", lambda: (twice(False),), "a second negation changes nothing"),
    ],
    ch02.too_good: [
        ("only the split", lambda: (
            {"B"},
        ), "missing flattering steps: 3; sound steps among yours: 0"),
        ("nothing", lambda: (set(),), "an empty set"),
        ("no label, no harm", lambda: ({"B", "D", "G"},), "if a test sentence were taken away"),
        ("C chosen on the test rows", lambda: ({"B", "C", "G"},), "was something chosen"),
        ("the bootstrap", lambda: ({"B", "C", "D"},), "did the bootstrap draw"),
        ("rows", lambda: ({"C", "D", "G"},), "both sides"),
        ("the easier task", lambda: (set("ABCDG"),), "says openly"),
        ("other text", lambda: (set("BCDFG"),), "text from elsewhere"),
        ("the floor", lambda: (set("BCDEG"),), "in its place"),
        ("a number", lambda: (3,), "a set of letters"),
        ("another letter", lambda: ({"H"},), "none of the letters"),
    ],
}  # fmt: skip

test_wrong, test_right = refused(WRONG), accepted(RIGHT)
