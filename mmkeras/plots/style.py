"""Markers, lines and colours of all pictures; they can be told apart without colour, too."""

from typing import Any

MARKERS = "osD^vPX*"
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
INK, PAPER, SHADE = "#1f2d3d", "#ffffff", "#dfe7f1"
LABELS = {  # of metrics, on an axis
    "roc_auc": "AUC",
    "average_precision": "average precision",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
