"""A CSV of one's own: read, checked, split, streamed; trained on, tested, and answered."""

from .loader import Table, load_table
from .reading import TableError

__all__ = ["Table", "TableError", "load_table"]
