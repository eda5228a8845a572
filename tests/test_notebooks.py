"""The lint as tests: every committed notebook keeps every rule of tools/notebook_rules.py."""

from pathlib import Path

import pytest
from notebook_rules import lint
from notebooks import ROOT, default_notebooks

NOTEBOOKS = default_notebooks()


def test_there_are_notebooks() -> None:
    chapters = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
    assert chapters, f"no chapter in {ROOT / 'notebooks'}"


@pytest.mark.parametrize(
    "path", [pytest.param(path, id="/".join(path.parts[-2:])) for path in NOTEBOOKS]
)
def test_a_notebook_keeps_every_rule(path: Path) -> None:
    _, problems = lint(path)
    assert not problems, "\n".join(["", *map(str, problems)])
