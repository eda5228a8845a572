"""The heads of the package's modules, and the rule that reads them."""

import json
from pathlib import Path

import module_rules
import pytest
from notebooks import ROOT


def test_every_head_names_a_chapter_that_knows_the_module() -> None:
    assert list(module_rules.problems(ROOT)) == []


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A package of one module, derived in one chapter of two."""
    (tmp_path / "notebooks").mkdir()
    for number, text in (("02", "We call it `fuse`."), ("03", "We call fuses and _hidden.")):
        cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": text}
        nb = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (tmp_path / "notebooks" / f"{number}_x.ipynb").write_text(json.dumps(nb), "utf-8")
    (tmp_path / "mmkeras" / "table").mkdir(parents=True)
    for name in ("__init__.py", "table/other.py"):
        (tmp_path / "mmkeras" / name).write_text('"""Nothing."""\n', "utf-8")
    return tmp_path


def head(course: Path, says: str) -> list[str]:
    text = f'"""Fusion.\n\n{says}\n"""\n\n\ndef fuse():\n    pass\n\n\ndef _hidden():\n    pass\n'
    (course / "mmkeras" / "fusion.py").write_text(text, "utf-8")
    return list(module_rules.problems(course))


def test_a_true_head_passes_and_the_others_are_listed(course: Path) -> None:
    assert head(course, "Derived in chapter 02.") == []
    assert module_rules.underived(course) == ["table.other"]
    assert head(course, "It stands alone.") == []
    assert module_rules.underived(course) == ["fusion", "table.other"]


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("Derived in chapter 04.", "chapter 04, which is not there"),
        ("Derived in chapters 02 and\n04.", "chapter 04, which is not there"),
        ("Derived in chapter 02 (one, two) and in\nchapter 04 (three).", "chapter 04, which is"),
        ("Derived in chapters 02, 03 and 02.", "03_x.ipynb names nothing of it"),
        ("Derived in chapter 03.", "03_x.ipynb names nothing of it"),
    ],
)
def test_a_false_head_is_found(course: Path, says: str, problem: str) -> None:
    (found,) = head(course, says)
    assert found.startswith("mmkeras/fusion.py: ") and problem in found
