"""Tests that need more than `mmkeras data fetch` brings are skipped where it is not there."""

from typing import Any

import pytest

from mmkeras.assets.cache import faults
from mmkeras.assets.entries import find


def needs(name: str) -> Any:
    """The mark of a test that reads an optional asset: skipped, and said, where it is missing."""
    missing = bool(faults(find(name), thorough=False))
    why = f"{name} is not in the cache; to run this: python -m mmkeras data fetch {name}"
    return pytest.mark.skipif(missing, reason=why)
