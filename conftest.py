"""Shared by the unit tests and by nbval, which turns every code cell of a notebook into a test."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))  # the tools are scripts, tested as modules
# nbval's kernels import the package of this checkout, as those of tools/notebooks.py do.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Do not compare stderr: logs differ between machines, and are kept out of committed files.

    Pictures need nothing here. nbval skips image/png, since fonts and versions move pixels, but it
    compares the text beside each, `<Figure size …>`: a picture that goes missing or changes its
    size fails.
    """
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
