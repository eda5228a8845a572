"""The lint as tests: every committed notebook against every rule of tools/notebook_rules.py."""

import functools
from pathlib import Path

import pytest
from notebook_page import Page, read
from notebook_rules import RULES, problems_of
from notebooks import ROOT, default_notebooks

NOTEBOOKS = default_notebooks()


@functools.cache
def page_of(path: Path) -> Page:
    return read(path)


def test_there_are_notebooks() -> None:
    chapters = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
    assert chapters, f"no chapter in {ROOT / 'notebooks'}"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "path", [pytest.param(path, id="/".join(path.parts[-2:])) for path in NOTEBOOKS]
)
def test_notebook_keeps_the_rule(path: Path, rule: str) -> None:
    problems = problems_of(page_of(path), rule)
    assert not problems, "\n".join(["", *map(str, problems)])
