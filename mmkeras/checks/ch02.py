"""Checks of chapter 02, text."""

from collections import Counter
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from . import NotYet, exercise, expect_close


def _ratios(counts: Counter, *, once: bool = False) -> tuple[Counter, dict]:
    """How often each pair of neighbours occurs, and n_ab / (n_a n_b); once: each word once."""
    pairs: Counter = Counter()
    single: Counter = Counter()
    for word, n in counts.items():
        for a in word:
            single[a] += 1 if once else n
        for two in zip(word, word[1:], strict=False):
            pairs[two] += 1 if once else n
    return pairs, {(a, b): n / (single[a] * single[b]) for (a, b), n in pairs.items()}


@exercise(
    "02.1",
    "the pair that WordPiece joins",
    hint="fill two Counters, one of characters and one of the pairs in zip(word, word[1:]), both "
    "with the word's count; then divide, and take the largest",
)
def wordpiece_pair(find: Callable) -> str | None:
    """a function of a Counter of words that returns (pair, ratio)."""
    cases = (
        Counter({"low": 5, "lower": 2, "newest": 6, "widest": 3}),
        Counter({"banana": 3, "nab": 2}),
        Counter({"hi": 2, "by": 2, "at": 3}),
        Counter({"ab": 4, "ca": 2, "cc": 1}),
    )
    for counts in cases:
        got = find(Counter(counts))
        case = f"for {dict(counts)}"
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("return two things: the pair, and its ratio")
        if not isinstance(got[0], tuple | list) or len(got[0]) != 2:
            raise NotYet(f"the pair should be a tuple of two characters, yours is {got[0]!r}")
        mine = tuple(got[0])
        pairs, ratios = _ratios(counts)
        pair = min(ratios, key=lambda two: (-ratios[two], two))
        if mine not in ratios:
            raise NotYet(f"{mine} is in none of the words, {case}")
        if mine != pair and np.isclose(ratios[mine], ratios[pair]):
            raise NotYet(f"{mine} ties with another pair, {case}: the first in the alphabet wins")
        if mine != pair and pairs[mine] == max(pairs.values()):
            raise NotYet(
                f"{case} {mine} is the most frequent pair, the one that BPE joins; WordPiece "
                "divides by how often its two characters occur"
            )
        if mine != pair:
            raise NotYet(
                f"{case} {mine} has the ratio {ratios[mine]:.3f}, and another pair has a higher one"
            )
        if not isinstance(got[1], Real):
            raise NotYet(f"the ratio should be a number, yours is {got[1]!r}")
        ratio = float(got[1])
        if np.isclose(ratio, ratios[pair]):
            continue
        if np.isclose(ratio, pairs[pair]):
            raise NotYet(f"{case} {ratio:g} is how often {pair} occurs; return the ratio")
        if np.isclose(ratio, _ratios(counts, once=True)[1][pair]):
            raise NotYet(f"{case} you counted each word once; it occurs several times")
        raise NotYet(
            f"{case} the ratio of {pair} should be {ratios[pair]:.4f}, yours is "
            f"{ratio:.4f}: every occurrence of a character counts, also at the end of a word"
        )
    return "WordPiece asks how seldom two characters are apart, and BPE how often they meet"


@exercise(
    "02.2",
    "where two directions disagree",
    hint="keep an end, try text[end - n : end] from the longest n to 1, put the word aside, move "
    "the end; finally reverse the list, and compare it with longest_match",
)
def disagreements(find: Callable) -> str | None:
    """a function of texts and dictionary: {text: (from the left, from the right)}."""
    words = {"研究", "研究生", "生命", "的", "起源", "胸痛", "患者", "否认", "结合", "合成", "成分"}
    words |= {"分子", "自然", "语言", "自然语言", "自然语言处理", "处理"}
    want = {
        "研究生命的起源": (["研究生", "命", "的", "起源"], ["研究", "生命", "的", "起源"]),
        "结合成分子": (["结合", "成分", "子"], ["结", "合成", "分子"]),
    }
    got = find(["患者否认胸痛", *want, "我学自然语言处理", "我研究它", ""], set(words))
    if not isinstance(got, dict):
        raise NotYet(f"return a dict, yours is {type(got).__name__}")
    for text, cuts in got.items():
        if not isinstance(cuts, tuple | list) or len(cuts) != 2:
            raise NotYet(f"{text!r}: give two cuts, from the left and from the right")
        for cut in cuts:
            if not isinstance(cut, tuple | list):
                raise NotYet(f"{text!r}: each cut is a list of words, yours is {cut!r}")
            if "".join(map(str, cut)) != text:
                order = "".join(map(str, cut[::-1])) == text
                problem = "are in reverse order" if order else "do not make up the text"
                raise NotYet(f"the pieces {list(cut)} {problem}")
    for text, cuts in got.items():
        if list(cuts[0]) == list(cuts[1]):
            raise NotYet(f"both cuts of {text!r} are the same: leave this text out")
        if text not in want:
            raise NotYet(
                f"the two cuts of {text!r} should be the same, yours are {cuts}: try the longest "
                "word first, down to one character"
            )
    for text, (left, right) in want.items():
        if text not in got:
            raise NotYet(
                f"{text!r} is missing: does your second walk begin at the end of the text?"
            )
        mine = [list(cut) for cut in got[text]]
        if mine == [right, left]:
            raise NotYet(f"{text!r}: the cut from the left comes first, then that from the right")
        if mine != [left, right]:
            raise NotYet(f"{text!r} should give {left} and {right}, yours are {mine}")
    return "in the second text neither is right: 结合 / 成 / 分子 needs a look at the whole"


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
    return "an empty text gives zeros, and padding has no say"


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
            raise NotYet(f"one prefix is enough, even after two negations; yours: {shown}")
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


# Exercise 5: a question about each step that flatters the result, and about each sound one.
FLATTERS = {
    "B": "who stands on both sides of the split?",
    "C": "which numbers of the model would change if a test sentence were taken away?",
    "D": "on which rows was something chosen, and on which was the result reported?",
    "G": "what was sampled in the first place, and what did the bootstrap draw?",
}
SOUND = {
    "A": "does a report mislead with what it says openly?",
    "E": "does the comparison make the accuracy look better, or put it in its place?",
    "F": "what can text from elsewhere tell about the labels of these sentences?",
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
    if not letters:
        raise NotYet("an empty set says that nothing flatters the result, but some steps do")
    missing, sound = sorted(set(FLATTERS) - letters), sorted(letters & set(SOUND))
    if missing or sound:
        question = FLATTERS[missing[0]] if missing else SOUND[sound[0]]
        raise NotYet(
            f"missing flattering steps: {len(missing)}; sound steps among yours: {len(sound)}. "
            f"Ask yourself: {question}"
        )
    return (
        "B: relatives are on both sides; C: the test texts shape the vocabulary and n_w; D: the "
        "best of ten on the test rows is partly luck; G: documents were sampled, not sentences"
    )
