"""Self-checks of the exercises: one module per chapter (`ch05`), one function per exercise.

A check says in one line whether an answer is right, and if not, what is wrong and what to try. It
never raises for a student's mistake, so that a notebook with open exercises runs to its end:

    @exercise("05.1", "the majority class", hint="np.bincount counts how often a class occurs")
    def majority(answer: float) -> str | None:
        '''The accuracy of always guessing the most frequent class, a float in [0, 1].'''
        expect_close(answer, 0.41, "the accuracy", atol=0.005)
        return "every model of this chapter must beat 41%"
"""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

SENTENCE = 5  # words


class NotYet(AssertionError):
    """Raised by a check: what is wrong with the answer, and what to try."""


class _Stub(NotYet):
    """Nothing has been answered yet."""


def exercise(number: str, title: str, *, hint: str) -> Callable[[Callable[..., Any]], Any]:
    """Turn a function into the check of an exercise, which prints one line and returns None.

    The function takes the student's answers and returns a line of praise or None, or raises
    `NotYet` (any AssertionError will do). An answer that is None or `...` is the untouched stub,
    and so is a plain function that returns one of these or raises NotImplementedError when the
    check calls it. For a stub the check says what is asked for, in the words of the first line of
    its docstring; when it meets a stub again, it gives the hint.

    Args:
        number: chapter and exercise, "05.1"; printed as "Exercise 5.1".
        title: a few words, shown when the answer is right and there is no praise.
        hint: what to try first, shown from the second call on a stub on.

    Raises:
        ValueError: when a check is defined with a number of another form.
    """
    if not re.fullmatch(r"\d\d\.[1-9]", number):
        raise ValueError(f"number must look like '05.1' (chapter, exercise), got {number!r}")
    label = f"Exercise {int(number[:2])}{number[2:]}"

    def decorate(check: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(check)
        def run(*answers: Any) -> None:
            try:
                verdict = f"✓ {check(*(_watched(answer) for answer in answers)) or title}"
            except _Stub as stub:
                verdict = f"✗ not yet: {stub}. {_help(run, f'Hint: {hint}')}"
            except AssertionError as wrong:
                verdict = f"✗ not yet: {str(wrong) or title}"
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                verdict = f"✗ not yet: the answer could not be checked, {reason}"
            print(label, textwrap.shorten(verdict, width=400, placeholder=" …"))

        run.number, run.seen_stub = number, False  # type: ignore[attr-defined]
        return run

    return decorate


def _help(check: Any, hint: str) -> str:
    """What is asked for, or the hint if the check has met a stub before; it is noted here."""
    task = (inspect.getdoc(check) or "").partition("\n")[0]
    said = hint if check.seen_stub else f"Asked for: {task} Run this cell again for a hint."
    check.seen_stub = True
    return said


def _watched(answer: Any) -> Any:
    """Refuse a stub; wrap a plain function so that a stub or an error inside it is told apart."""
    if answer is None or answer is ...:
        raise _Stub("replace the ... in the cell above with your answer")
    if not inspect.isfunction(answer):
        return answer

    @functools.wraps(answer)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = answer(*args, **kwargs)
        except NotImplementedError:
            result = None
        except Exception as error:
            reason = f"raised {type(error).__name__}: {error}"
            raise NotYet(f"your function {answer.__name__} {reason}") from error
        if result is None or result is ...:
            raise _Stub(f"your function {answer.__name__} returns nothing yet")
        return result

    return call


def expect_verdicts(given: Any, right: dict[str, str], look: dict[str, str]) -> None:
    """Compare verdicts on claims with the right ones, and say where to look for a wrong one.

    Args:
        given: the answer, claim → verdict.
        right: the right verdict of each claim; all verdicts there are stand among them.
        look: claim → a question that leads to its verdict.

    Raises:
        NotYet: a claim is missing or open, a verdict is unknown, or one is wrong.
    """
    if not isinstance(given, dict) or set(given) != set(right):
        raise NotYet('give a verdict for each claim, such as {"A": "holds", "B": …}')
    known = set(right.values())
    for claim, verdict in given.items():
        if verdict is ... or verdict is None:
            raise NotYet(f"claim {claim} has no verdict yet")
        if verdict not in known:
            raise NotYet(
                f"claim {claim}: {verdict!r} is no verdict; they are {', '.join(sorted(known))}"
            )
    for claim, verdict in right.items():
        if given[claim] != verdict:
            raise NotYet(f"claim {claim} is not {given[claim]!r}: {look[claim]}")


def expect_truths(given: Any, right: dict[str, bool], look: dict[str, str]) -> None:
    """Compare True or False for each sentence with what is right.

    Args:
        given: the answer, sentence → bool.
        right: the right verdict of each sentence.
        look: sentence → where to look, or a question that leads to its verdict.

    Raises:
        NotYet: a sentence is missing or open, a verdict is no bool, or one is wrong.
    """
    if not isinstance(given, Mapping) or set(given) != set(right):
        raise NotYet(f"give True or False for each of {', '.join(right)}")
    for name, verdict in given.items():
        if verdict is None or verdict is ...:
            raise NotYet(f"sentence {name} has no verdict yet")
        if not isinstance(verdict, (bool, np.bool_)):
            raise NotYet(f"sentence {name}: {verdict!r} is neither True nor False")
    for name, verdict in right.items():
        if bool(given[name]) != verdict:
            raise NotYet(f"sentence {name} does not deserve {given[name]}: {look[name]}")


def expect_plan(plan: Any, asked: Sequence[str], words: Mapping[str, int]) -> None:
    """Look whether a plan has these entries and no others, and texts of enough words.

    Args:
        plan: the answer, a dict.
        asked: its entries.
        words: entry → least number of words; entries that are not texts are left out.

    Raises:
        NotYet: it is no dict, lacks an entry or has another one, or a text is too short.
    """
    if not isinstance(plan, Mapping) or set(plan) != set(asked):
        raise NotYet(f"the plan needs exactly {', '.join(asked)}")
    for name, least in words.items():
        if not isinstance(plan[name], str) or len(plan[name].split()) < least:
            size = "a sentence" if least >= SENTENCE else "a few words"
            raise NotYet(f"say in {size} what {name!r} is: yours is {plan[name]!r}")


def refuse_slips(got: Any, slips: dict[str, Any], want: Any, *, atol: float = 1e-6) -> None:
    """Tell a student which likely slip gives exactly this wrong answer, if one does.

    Args:
        got: the answer.
        slips: advice → what the slip gives; only those of the shape of the answer are compared.
        want: the right answer, which no slip is taken for.
        atol: largest absolute difference that counts as equal.

    Raises:
        NotYet: with the advice.
    """
    try:
        given = np.asarray(got, dtype=float)
    except (TypeError, ValueError):
        return  # expect_close says what is wrong with it
    if given.shape != np.shape(want) or np.allclose(given, want, atol=atol):
        return
    for advice, wrong in slips.items():
        if np.shape(wrong) == given.shape and np.allclose(given, wrong, atol=atol):
            raise NotYet(advice)


def expect_close(got: Any, want: Any, what: str, *, atol: float = 1e-6) -> None:
    """Compare an answer (number, array or tensor) with the right one, and say how they differ.

    `what` names the answer in the message ("the accuracy"); `atol` is the largest absolute
    difference that is still right. NaN is never right.

    Raises:
        NotYet: not numeric, another shape, not finite, or further off than `atol`.
    """
    expected = np.asarray(want)
    try:
        given = np.asarray(got)
    except Exception:  # ragged lists, symbolic tensors: whatever it is, it is no array of numbers
        given = np.asarray(None)
    if given.dtype.kind not in "biuf":
        raise NotYet(f"{what} should be numbers, yours is of type {type(got).__name__}")
    if given.shape != expected.shape:
        raise NotYet(f"{what} should have shape {expected.shape}, yours has {given.shape}")
    if not np.isfinite(given).all():
        raise NotYet(f"{what} holds NaN or infinity: look for a division by 0 or log(0)")
    off = np.abs(given.astype(float) - expected.astype(float))
    if off.size and off.max() > atol:
        at = np.unravel_index(int(off.argmax()), off.shape)
        where = f" at {[int(i) for i in at]}" if at else ""
        raise NotYet(f"{what}: yours is {given[at]:.6g}{where}, expected {expected[at]:.6g}")
