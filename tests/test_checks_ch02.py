"""Chapter 2: right answers pass, and a student with a likely slip is told which one."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from mmkeras.checks import ch02


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


def pair(counts: Counter, *, weighted: bool = True, last: bool = False) -> tuple:
    pairs: Counter = Counter()
    for word, n in counts.items():
        for two in zip(word, word[1:], strict=False):
            pairs[two] += n if weighted else 1
    most = max(pairs.values())
    return sorted(two for two in pairs if pairs[two] == most)[-1 if last else 0], most


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


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        (ch02.best_pair, pair),
        (ch02.match_from_the_right, from_the_right),
        (ch02.masked_max, highest),
        (ch02.mark_negation, marked),
    ]
    for check, answer in answers:
        assert "✓" in said(capsys, check, answer), check


@pytest.mark.parametrize(
    "check",
    [ch02.best_pair, ch02.match_from_the_right, ch02.masked_max, ch02.mark_negation],
)
def test_a_stub_gets_a_hint(capsys: pytest.CaptureFixture[str], check: Any) -> None:
    def stub(*arguments: Any) -> None: ...

    assert "✗ not yet: your function stub returns nothing yet. Asked for: " in said(
        capsys, check, stub
    )


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda counts: pair(counts)[0][0], "return two things"),
        (lambda counts: ("es!", 9), "a tuple of two characters"),
        (lambda counts: (("x", "y"), 9), "in none of the words"),
        (lambda counts: pair(counts, last=True), "first in the alphabet"),
        (lambda counts: (("l", "o"), 7), "count each word as often"),
        (lambda counts: (pair(counts)[0], pair(counts, weighted=False)[1]), "each word once"),
        (lambda counts: (pair(counts)[0], 1), "occurs 9 times, you say 1"),
    ],
)
def test_the_pair(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch02.best_pair, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (from_the_left, "what a walk from the left gives"),
        (lambda text, words: from_the_right(text, words)[::-1], "in reverse order"),
        (lambda text, words: from_the_right(text, words)[1:], "do not make up"),
        (lambda text, words: list(text), "are characters"),
        (lambda text, words: "/".join(from_the_right(text, words)), "return a list"),
        (lambda text, words: [text], "should give"),
    ],
)
def test_the_match(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch02.match_from_the_right, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda v, ids: v.max(axis=1), "over all places"),
        (lambda v, ids: (v * (ids != 0)[..., None]).max(axis=1), "padding wins with its 0"),
        (
            lambda v, ids: np.where((ids != 0)[..., None], v, -np.inf).max(axis=1),
            "an empty text gives -inf",
        ),
        (
            lambda v, ids: (
                (v * (ids != 0)[..., None]).sum(1) / np.maximum((ids != 0).sum(1), 1)[:, None]
            ),
            "these are averages",
        ),
        (lambda v, ids: v[:, 0, 0], "should have shape (4, 3)"),
    ],
)
def test_the_maximum(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch02.masked_max, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda tokens: " ".join(marked(tokens)), "return a list as long"),
        (lambda tokens: marked(tokens)[:-1], "return a list as long"),
        (lambda tokens: marked(tokens, itself=True), "the negation itself stays"),
        (lambda tokens: marked(tokens, marks=""), "the mark ',' stays"),
        (lambda tokens: marked(tokens, contracted=False), "end in n't"),
        (
            lambda tokens: marked(tokens, negations=("no", "not", "never", "nothing", "without")),
            "should not be marked",
        ),
        (lambda tokens: list(tokens), "should give 'no NOT_chest NOT_pain"),
    ],
)
def test_the_negations(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch02.mark_negation, answer)


def test_a_negation_that_goes_on_after_the_mark(capsys: pytest.CaptureFixture[str]) -> None:
    def endless(tokens: list[str]) -> list[str]:
        on, out = False, []
        for token in tokens:
            negation = token in ("no", "not", "never", "without") or token.endswith("n't")
            on = on or negation
            out.append("NOT_" + token if on and not negation and token not in ".,;:!?" else token)
        return out

    assert "ends at the next mark" in said(capsys, ch02.mark_negation, endless)


@pytest.mark.parametrize(
    ("prefix_again", "advice"),
    [(True, "one prefix is enough"), (False, "a second negation changes nothing")],
)
def test_a_second_negation(
    capsys: pytest.CaptureFixture[str], prefix_again: bool, advice: str
) -> None:
    def twice(tokens: list[str]) -> list[str]:
        count, out = 0, []
        for token in tokens:
            count = 0 if token in ".,;:!?" else count
            if token in ("no", "not", "never", "without") or token.endswith("n't"):
                count += 1
                out.append(token)
            else:
                out.append("NOT_" * (count if prefix_again else count % 2) + token)
        return out

    assert advice in said(capsys, ch02.mark_negation, twice)
