"""Files in which other programs run a model: written, loaded again, and compared with the model.

A quiet export proves nothing: `written` makes a file, `loaded` runs it with the program it is made
for, and `compared` says how far its answers are from those of the model. Chapter 18 shows why.
"""

from .compare import Comparison, Limits, compared, latency
from .load import lacking, loaded, size_of
from .refusals import refusal
from .tracing import format_now, kept_float, log1p, written_as
from .write import FORMATS, Unwritable, written

__all__ = [
    "FORMATS",
    "Comparison",
    "Limits",
    "Unwritable",
    "compared",
    "format_now",
    "kept_float",
    "lacking",
    "latency",
    "loaded",
    "log1p",
    "refusal",
    "size_of",
    "written",
    "written_as",
]
