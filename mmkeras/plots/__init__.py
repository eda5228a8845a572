"""The pictures that more than one notebook draws.

Each returns its Axes or Figure; `plt.show()` is left to the caller. Every picture reads without
colour: series differ in marker, line style or brightness too.
"""

from .diagrams import flow, gallery
from .probabilities import precision_recall, reliability, roc
from .scores import confusion, curves, intervals, spread
from .style import INK, LABELS, LINES, MARKERS, PAPER, SHADE

__all__ = [
    "INK", "LABELS", "LINES", "MARKERS", "PAPER", "SHADE", "confusion", "curves", "flow",
    "gallery", "intervals", "precision_recall", "reliability", "roc", "spread",
]  # fmt: skip
