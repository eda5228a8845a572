"""The pictures that notebooks draw more than once.

Each function returns its Axes or Figure, and the caller calls `plt.show()`. Every picture can be
read without colour, because series also differ in marker, line style or brightness.
"""

from .diagrams import diagram, flow, gallery
from .probabilities import precision_recall, reliability, roc
from .scores import confusion, curves, intervals, spread
from .style import INK, LABELS, LINES, MARKERS, PAPER, SHADE

__all__ = [
    "INK", "LABELS", "LINES", "MARKERS", "PAPER", "SHADE", "confusion", "curves", "diagram",
    "flow", "gallery", "intervals", "precision_recall", "reliability", "roc", "spread",
]  # fmt: skip
