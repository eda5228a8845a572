"""Wrong and right answers of the exercises as tests: what each chapter's test_checks_chNN.py uses.

    WRONG = {ch05.majority: [("the rarest class", lambda: (0.05,), "most frequent"), …]}
    RIGHT = {ch05.majority: [("a NumPy float", lambda: (np.float32(0.41),)), …]}
    test_wrong, test_right = refused(WRONG), accepted(RIGHT)

A case is a name, a function that makes the answers (a tuple, one entry per argument of the check),
and for a wrong answer some words of the message. `test_checks.py` counts the cases per exercise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

Check = Callable[..., None]
Answers = Callable[[], tuple[Any, ...]]
Wrong = Mapping[Check, Sequence[tuple[str, Answers, str]]]
Right = Mapping[Check, Sequence[tuple[str, Answers]]]


def verdict(capsys: pytest.CaptureFixture[str], check: Check, answers: tuple[Any, ...]) -> str:
    """The one line that a check prints."""
    assert isinstance(answers, tuple), "a case makes a tuple, with one entry per argument"
    capsys.readouterr()
    assert check(*answers) is None
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1, f"a check prints exactly one line, not {printed!r}"
    return printed


def wrong_verdicts(right: Mapping[str, str]) -> list[tuple[str, Answers, str]]:
    """Cases for a check by `expect_verdicts`: each wrong verdict of each claim, and no verdicts."""
    first, last = min(right), max(right)
    cases: list[tuple[str, Answers, str]] = [
        (f"{claim}: {other}", lambda claim=claim, other=other: ({**right, claim: other},),
         f"claim {claim} is not {other!r}: ")
        for claim in right for other in sorted(set(right.values()) - {right[claim]})
    ]  # fmt: skip
    return [
        *cases,
        ("unknown", lambda: ({**right, first: "true"},), "'true' is no verdict"),
        ("one missing", lambda: ({first: right[first]},), "a verdict for each claim"),
        ("open", lambda: ({**right, last: ...},), f"claim {last} has no verdict yet"),
    ]


def right_verdicts(right: Mapping[str, str]) -> list[tuple[str, Answers]]:
    """The one right answer of such a check."""
    return [("the verdicts", lambda: (dict(right),))]


def refused(wrong: Wrong) -> Callable[..., None]:
    """A test per wrong answer: the check says ✗, with these words, and without a crash."""
    cases = [
        pytest.param(check, answers, words, id=f"{_name(check)}: {name}")
        for check, listed in wrong.items()
        for name, answers, words in listed
    ]

    @pytest.mark.parametrize(("check", "answers", "words"), cases)
    def test(
        check: Check, answers: Answers, words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said = verdict(capsys, check, answers())
        assert "✗ not yet: " in said
        assert words and words in said
        assert "could not be checked" not in said, "a crash is no help: say what is wrong"

    return test


def accepted(right: Right) -> Callable[..., None]:
    """A test per right answer: the check says ✓."""
    cases = [
        pytest.param(check, answers, id=f"{_name(check)}: {name}")
        for check, listed in right.items()
        for name, answers in listed
    ]

    @pytest.mark.parametrize(("check", "answers"), cases)
    def test(check: Check, answers: Answers, capsys: pytest.CaptureFixture[str]) -> None:
        assert " ✓ " in verdict(capsys, check, answers())

    return test


def _name(check: Check) -> str:
    return f"{check.number} {check.__name__}"  # type: ignore[attr-defined]
