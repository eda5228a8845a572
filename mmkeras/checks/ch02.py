"""Checks of chapter 02, text."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "02.1",
    "the next pair to join",
    hint="zip(word, word[1:]) gives the pairs of a word; add the word's count to a Counter of "
    "pairs, then take the largest",
)
def best_pair(find: Callable) -> str | None:
    """a function of a Counter of words that returns (pair, occurrences)."""
    cases = (
        (Counter({"low": 5, "lower": 2, "newest": 6, "widest": 3}), ("e", "s"), 9),
        (Counter({"banana": 3, "an": 1}), ("a", "n"), 7),
        (Counter({"zz": 4, "by": 1, "at": 4, "rare": 1, "ra": 1}), ("a", "t"), 4),
    )
    for counts, pair, occurrences in cases:
        got = find(Counter(counts))
        case = f"for {dict(counts)}"
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("return two things: the pair, and how often it occurs")
        if not isinstance(got[0], tuple | list) or len(got[0]) != 2:
            raise NotYet(f"the pair should be a tuple of two characters, yours is {got[0]!r}")
        mine, count = tuple(got[0]), got[1]
        pairs: Counter = Counter()
        for word, n in counts.items():
            for two in zip(word, word[1:], strict=False):
                pairs[two] += n
        once = sum(two == mine for word in counts for two in zip(word, word[1:], strict=False))
        if mine not in pairs:
            raise NotYet(f"{mine} is in none of the words, {case}")
        if pairs[mine] == occurrences and mine != pair:
            raise NotYet(
                f"{mine} is as frequent as {pair}, {case}; ties go to the pair that comes first in "
                "the alphabet"
            )
        if mine != pair:
            raise NotYet(
                f"{case} the pair should be {pair}, yours is {mine}: count each word as often as "
                "it occurs, and all of its pairs"
            )
        if count == once != occurrences:
            raise NotYet(f"{case} you counted each word once; it occurs several times")
        if count != occurrences:
            raise NotYet(f"{case} the pair {pair} occurs {occurrences} times, you say {count!r}")
    return "that is one step of byte-pair encoding"


@exercise(
    "02.2",
    "longest match from the right",
    hint="keep an end, try text[end - n : end] from the longest n to 1, put the word aside, move "
    "the end; at last reverse the list",
)
def match_from_the_right(cut: Callable) -> str | None:
    """a function of text and dictionary that returns a list of words in reading order."""
    words = {"研究", "研究生", "生命", "的", "起源", "胸痛", "患者", "否认"}
    words |= {"自然", "语言", "自然语言", "自然语言处理", "处理", "有限", "公司", "有限公司"}
    cases: tuple[tuple[str, list[str]], ...] = (
        ("研究生命的起源", ["研究", "生命", "的", "起源"]),
        ("患者否认胸痛", ["患者", "否认", "胸痛"]),
        ("我研究它", ["我", "研究", "它"]),
        ("我学自然语言处理", ["我", "学", "自然语言处理"]),
        ("有限公司的语言", ["有限公司", "的", "语言"]),
        ("", []),
    )
    for text, want in cases:
        got = cut(text, set(words))
        if not isinstance(got, list):
            raise NotYet(f"return a list of words, yours is {type(got).__name__}")
        if got == want:
            continue
        if got == want[::-1]:
            raise NotYet("the words are in reverse order: turn the list round at the end")
        if got == ["研究生", "命", "的", "起源"]:
            raise NotYet(f"{got} is what a walk from the left gives; begin at the end of the text")
        if "".join(map(str, got)) != text:
            raise NotYet(f"the pieces {got} do not make up {text!r}: nothing may be lost or added")
        if got == list(text):
            raise NotYet(f"{got} are characters: try the longest piece first, down to one")
        if max(map(len, got)) < max(map(len, want)):
            raise NotYet(
                f"{text!r} has a word of {max(map(len, want))} characters, your longest piece has "
                f"{max(map(len, got))}: begin with the longest that the dictionary can have"
            )
        raise NotYet(f"{text!r} should give {want}, yours is {got}")
    return "the graduate student is gone; other texts need the left, or a look at the whole"


@exercise(
    "02.3",
    "a maximum without padding",
    hint="np.where(mask, vectors, -np.inf) and its maximum over axis 1; where a text has no word "
    "at all, put zeros",
)
def masked_max(pool: Callable) -> str | None:
    """a function of vectors (batch, time, d) and ids (batch, time) that returns (batch, d)."""
    rng = np.random.default_rng(0)
    vectors = -rng.random((4, 5, 3)) - 0.5  # all negative
    vectors[1, 0] = 2.0
    ids = np.array([[3, 1, 4, 0, 0], [7, 2, 2, 5, 9], [0, 0, 0, 0, 0], [5, 0, 0, 0, 0]])
    vectors[0, 4] = 9.0  # whatever stands at the padding does not count
    there = (ids != 0)[..., None]
    want = np.where(there.any(axis=1), np.where(there, vectors, -np.inf).max(axis=1), 0.0)
    got = pool(vectors.copy(), ids.copy())
    slips = {
        "this is the maximum over all places: padding counts, too": vectors.max(axis=1),
        "padding wins with its 0 where all features are negative; give it -inf instead of 0": (
            vectors * there
        ).max(axis=1),
        "these are averages; the exercise asks for the maximum": (vectors * there).sum(axis=1)
        / np.maximum(there.sum(axis=1), 1),
    }
    for problem, slip in slips.items():
        if np.shape(got) == slip.shape and np.allclose(got, slip):
            raise NotYet(problem)
    if np.shape(got) == want.shape and np.isneginf(np.asarray(got, float)[2]).all():
        raise NotYet("an empty text gives -inf; it should give zeros")
    expect_close(got, want, "the maximum over the words")
    return "an empty text is zeros, and padding is silent"


@exercise(
    "02.4",
    "marked negations",
    hint="go through the tokens with a flag that a negation switches on and a punctuation mark "
    "switches off",
)
def mark_negation(mark: Callable) -> str | None:
    """a function of a list of tokens that returns a list of the same length."""
    cases = (
        ("no chest pain , but fever", "no NOT_chest NOT_pain , but fever"),
        ("it isn't good ! great", "it isn't NOT_good ! great"),
        ("not bad and never dull .", "not NOT_bad NOT_and never NOT_dull ."),
        ("good film", "good film"),
        ("nothing to note ; without pain", "nothing to note ; without NOT_pain"),
        ("we didn't laugh : it wasn't fun", "we didn't NOT_laugh : it wasn't NOT_fun"),
        ("a knot ? no , a note", "a knot ? no , a note"),
    )
    for text, wanted in cases:
        tokens, want = text.split(), wanted.split()
        got = mark(list(tokens))
        if not isinstance(got, list) or len(got) != len(tokens):
            raise NotYet(f"return a list as long as the tokens: {len(tokens)} for {text!r}")
        if got == want:
            continue
        shown = " ".join(map(str, got))
        at = next(i for i, pair in enumerate(zip(got, want, strict=True)) if pair[0] != pair[1])
        token, mine = tokens[at], str(got[at])
        if mine.startswith("NOT_NOT_"):
            raise NotYet(f"one prefix is enough, also after two negations; yours: {shown}")
        if at > 0 and want[at].startswith("NOT_") and tokens[at - 1] == "never":
            raise NotYet(
                f"a second negation changes nothing: it does not end the stretch; yours: {shown}"
            )
        if token in {"no", "not", "never", "without"} or token.endswith("n't"):
            raise NotYet(f"the negation itself stays as it is: {token!r} became {mine!r}")
        if token in ".,;:!?":
            raise NotYet(f"the mark {token!r} stays as it is, yours is {mine!r}")
        if token == "nothing" or (mine.startswith("NOT_") and "not" in text and at < 3):
            raise NotYet(f"{token!r} should not be marked in {text!r}; yours: {shown}")
        if mine.startswith("NOT_"):
            raise NotYet(f"the negation ends at the next mark; in {text!r} yours goes on: {shown}")
        if "NOT_" in wanted and text.count("n't"):
            raise NotYet(f"words that end in n't are negations, too; yours: {shown}")
        raise NotYet(f"{text!r} should give {wanted!r}, yours is {shown!r}")
    return "now 'no chest pain' and 'chest pain' have no feature 'pain' in common"


# Exercise 5: which steps flatter the result, and why; the others are sound.
FLATTERS = {
    "B": "B deals out rows, so relatives of training sentences are tested; deal out groups",
    "C": "C lets test sentences shape the vocabulary and n_w; in use, new texts are not there yet",
    "D": "D picks the best of ten on the test rows, which is partly luck; use a validation part",
    "G": "G draws sentences, but whole documents were sampled: its interval is too narrow",
}
SOUND = {
    "A": "A makes the task easier, but the report says so: the reader can judge",
    "E": "E is sound: the majority is the floor that any accuracy has to be compared with",
    "F": "F is sound: text from elsewhere without these sentences tells nothing about their labels",
}


@exercise(
    "02.5",
    "what flatters an accuracy",
    hint="ask of each step whether something about the test rows, their relatives or their labels "
    "had a say in the model or in a choice, and what was drawn at random in the first place",
)
def too_good(answer: Any) -> str | None:
    """the set of letters of the steps that flatter the result."""
    try:
        letters = {str(letter).strip().upper() for letter in answer}
    except TypeError:
        raise NotYet(f"hand in a set of letters, yours is {type(answer).__name__}") from None
    if strange := sorted(letters - set(FLATTERS) - set(SOUND)):
        raise NotYet(f"{strange[0]!r} is none of the letters A to G")
    for letter in sorted(letters & set(SOUND)):
        raise NotYet(SOUND[letter])
    for letter in sorted(set(FLATTERS) - letters):
        raise NotYet(f"one is missing. {FLATTERS[letter]}")
    return "relatives, the test texts, the test labels, and the wrong unit of the bootstrap"
