"""The self-checks: what a student reads, and that chapter and solution use every check."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from notebook_page import read
from notebooks import ROOT

import mmkeras.checks
from mmkeras.checks import NotYet, exercise, expect_close

MODULES = sorted(Path(mmkeras.checks.__file__).parent.glob("ch[0-9][0-9].py"))


@exercise("05.1", "the mean", hint="add the numbers, divide by how many there are")
def mean(answer: float) -> str | None:
    """The mean of 1, 2 and 6."""
    expect_close(answer, 3.0, "the mean")
    return None


@exercise("05.2", "double", hint="multiply by 2")
def double(answer: Callable[[float], float]) -> str:
    """A function that doubles a number."""
    expect_close(answer(4.0), 8.0, "the double of 4")
    return "twice as much"


def line(capsys: pytest.CaptureFixture[str], check: Callable[..., None], *answers: Any) -> str:
    assert check(*answers) is None
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1, "a check prints exactly one line"
    return printed.rstrip("\n")


def todo(x: float) -> float:
    raise NotImplementedError


def broken(x: float) -> float:
    return x / 0


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert line(capsys, mean, 3) == "Exercise 5.1 ✓ the mean"
    assert line(capsys, double, lambda x: 2 * x) == "Exercise 5.2 ✓ twice as much"


@pytest.fixture(autouse=True)
def nobody_has_tried() -> None:
    """Each test begins as a fresh notebook does: no check has met a stub."""
    mean.seen_stub = double.seen_stub = False


@pytest.mark.parametrize("stub", [None, ...])
def test_an_untouched_value_is_told_the_task_and_then_the_hint(
    capsys: pytest.CaptureFixture[str], stub: object
) -> None:
    replace = "Exercise 5.1 ✗ not yet: replace the ... in the cell above with your answer. "
    task = replace + "Asked for: The mean of 1, 2 and 6. Run this cell again for a hint."
    hint = replace + "Hint: add the numbers, divide by how many there are"
    assert line(capsys, mean, stub) == task
    assert [line(capsys, mean, stub) for _ in range(2)] == [hint, hint]


@pytest.mark.parametrize("stub", [lambda x: None, lambda x: ..., todo])
def test_an_untouched_function_is_told_the_task_and_then_the_hint(
    capsys: pytest.CaptureFixture[str], stub: Callable[[float], Any]
) -> None:
    nothing = f"Exercise 5.2 ✗ not yet: your function {stub.__name__} returns nothing yet. "
    task = nothing + "Asked for: A function that doubles a number. Run this cell again for a hint."
    assert line(capsys, double, stub) == task
    assert line(capsys, double, stub) == nothing + "Hint: multiply by 2"


def test_the_stub_of_another_exercise_and_a_wrong_answer_bring_no_hint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line(capsys, double, ...)
    line(capsys, mean, 4.5)
    line(capsys, mean, 3.0)
    assert "Run this cell again for a hint" in line(capsys, mean, ...)


def test_a_wrong_answer_is_told_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert line(capsys, mean, 4.5) == "Exercise 5.1 ✗ not yet: the mean: yours is 4.5, expected 3"
    assert "of type str" in line(capsys, mean, "three")


def test_an_error_in_the_answer_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    text = line(capsys, double, broken)
    assert text == (
        "Exercise 5.2 ✗ not yet: your function broken raised ZeroDivisionError: "
        "float division by zero"
    )
    assert "your function <lambda> raised TypeError" in line(capsys, double, lambda: 8.0)


def test_an_answer_that_the_check_cannot_read_is_no_exception(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = line(capsys, double, "a string is not callable")
    assert text.startswith("Exercise 5.2 ✗ not yet: the answer could not be checked, TypeError")
    assert "TypeError" in line(capsys, mean)  # called without an answer


def test_a_long_message_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(x: float) -> float:
        raise ValueError("many\nlines " * 200)

    assert len(line(capsys, double, fail)) < 450


def test_a_malformed_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'05\.1'.*got '5\.1'"):
        exercise("5.1", "title", hint="hint")


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ("abc", "of type str"),
        (None, "of type NoneType"),
        ([[1, 2], [3]], "of type list"),
        ([1.0, 2.0], r"should have shape \(2, 2\), yours has \(2,\)"),
        ([[1.0, np.nan], [3.0, 4.0]], "NaN or infinity"),
        ([[1.0, 2.0], [3.5, 4.0]], r"yours is 3\.5 at \[1, 0\], expected 3"),
        (np.array([[1, 2], [3, 9]]), r"yours is 9 at \[1, 1\], expected 4"),
    ],
)
def test_expect_close_says_how_it_differs(got: Any, message: str) -> None:
    with pytest.raises(NotYet, match=message):
        expect_close(got, [[1.0, 2.0], [3.0, 4.0]], "the table")


def test_expect_close_tolerates_what_it_is_told() -> None:
    expect_close([1.0, 2.05], [1, 2], "the pair", atol=0.1)
    with pytest.raises(NotYet):
        expect_close([1.0, 2.05], [1, 2], "the pair", atol=0.01)
    expect_close(np.float32(0.5), 0.5, "a half")
    expect_close([], [], "nothing")


def checks_of(module: ModuleType) -> dict[str, Callable[..., None]]:
    """The check functions that a chapter's module defines, in the order of their numbers."""
    found = {n: f for n, f in vars(module).items() if isinstance(getattr(f, "number", None), str)}
    return dict(sorted(found.items(), key=lambda item: item[1].number))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in MODULES])
def test_every_check_is_documented_and_used(path: Path) -> None:
    module = importlib.import_module(f"mmkeras.checks.{path.stem}")
    checks = checks_of(module)
    chapter = path.stem.removeprefix("ch")
    numbers = [check.number for check in checks.values()]  # type: ignore[attr-defined]
    assert numbers == [f"{chapter}.{i + 1}" for i in range(len(checks))]
    for name, check in checks.items():
        assert inspect.getdoc(check), f"{path.stem}.{name} has no docstring"
    for folder in (ROOT / "notebooks", ROOT / "notebooks" / "solutions"):
        files = list(folder.glob(f"{chapter}_*.ipynb"))
        assert len(files) == 1, f"{folder} has {len(files)} notebooks of chapter {chapter}"
        assert read(files[0]).checks == list(checks), f"{files[0].name} and {path.name} disagree"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in MODULES])
def test_every_check_refuses_every_stub(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"mmkeras.checks.{path.stem}")
    for check in checks_of(module).values():
        monkeypatch.setattr(check, "seen_stub", False)
        stub = [...] * len(inspect.signature(check).parameters)
        task = line(capsys, check, *stub)
        assert "✗ not yet: replace the ..." in task
        assert "Asked for: " in task and task.endswith("Run this cell again for a hint.")
        hint = line(capsys, check, *stub).partition("Hint: ")[2]
        assert len(hint.split()) >= 3, f"{path.stem}: a hint of a few words, not {hint!r}"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in MODULES])
def test_every_check_is_tried_with_three_wrong_answers_and_a_right_one(path: Path) -> None:
    cases = importlib.import_module(f"test_checks_{path.stem}")
    for name, check in checks_of(importlib.import_module(f"mmkeras.checks.{path.stem}")).items():
        assert len(cases.WRONG.get(check, [])) >= 3, f"{path.stem}.{name}: three wrong answers"
        assert cases.RIGHT.get(check), f"{path.stem}.{name}: a right answer in another style"
    assert callable(cases.test_wrong) and callable(cases.test_right)
