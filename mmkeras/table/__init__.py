"""Your own CSV: reading, checking, splitting and streaming it, training, testing and predicting."""

from typing import TYPE_CHECKING, Any

__all__ = ["Table", "TableError", "load_table"]

if TYPE_CHECKING:
    from .loader import load_table
    from .problems import TableError
    from .table import Table


def __getattr__(name: str) -> Any:
    """Load the names above only when they are used, so that a command's --help loads no pandas."""
    if name not in __all__:
        raise AttributeError(f"module 'mmkeras.table' has no attribute {name!r}")
    from . import loader

    return getattr(loader, name)


def __dir__() -> list[str]:
    return sorted(__all__)
