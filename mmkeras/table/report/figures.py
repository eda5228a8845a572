"""The plots of the report; each can be read in grey, and holds no text from the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ... import plots

Array = np.ndarray
WIDE, SQUARE = 4.8, 4.2  # inches


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def forest(models: Mapping[str, Any]) -> Figure:
    """Accuracy of each model with its interval."""
    entries = {name: of["accuracy"] for name, of in models.items()}
    figure, ax = _values(entries)
    ax.set(xlim=(-0.02, 1.02), xlabel="accuracy on the test part, 95% interval")
    return figure


def importance(shares: Mapping[str, Mapping[str, float | None]]) -> Figure:
    """Shapley value of each modality, in accuracy."""
    entries = {
        m: {"value": of["accuracy"], "low": of["accuracy_low"], "high": of["accuracy_high"]}
        for m, of in shares.items()
    }
    figure, ax = _values(entries)
    ax.axvline(0, color="0.5", ls=":", lw=1.2)
    ax.set(xlabel="accuracy that the modality adds (Shapley), 95% interval")
    return figure


def _values(entries: Mapping[str, Mapping[str, float | None]]) -> tuple[Figure, Axes]:
    columns = ["value", "low", "high"]
    lists = {
        name: [np.nan if of[c] is None else of[c] for c in columns] for name, of in entries.items()
    }
    frame = pd.DataFrame.from_dict(lists, orient="index", columns=columns).rename_axis("metric")
    figure, ax = _figure(WIDE, 1.0 + 0.36 * len(frame))
    plots.intervals(frame, ax=ax)
    return figure, ax


def ranking(y: Array, p: Array, classes: Sequence[int]) -> list[Figure]:
    """ROC and precision-recall curves; with several classes, one curve for each against the rest.

    Args:
        classes: the numbers of the classes to draw; [1] for a binary problem.
    """
    names = {"classes": {f"class {k + 1}": k for k in classes}} if len(classes) > 1 else {}
    found = []
    for draw in (plots.roc, plots.precision_recall):
        figure, ax = _figure(SQUARE, SQUARE)
        draw(y, p if names else p[:, classes[0]], ax=ax, **names)
        found.append(figure)
    return found


def thresholds(y: Array, p: Array) -> Figure:
    """Recall, specificity and precision of a binary model over the threshold. p: (n,)."""
    cuts = np.linspace(0, 1, 201)
    positive, said = y == 1, p[:, None] >= cuts
    found = (said & positive[:, None]).sum(axis=0)
    passed = (~said & ~positive[:, None]).sum(axis=0)
    called = said.sum(axis=0)
    precision = np.where(called > 0, found / np.maximum(called, 1), np.nan)
    lines = {
        "recall (sensitivity)": found / positive.sum(),
        "specificity": passed / (~positive).sum(),
        "precision": precision,
    }
    figure, ax = _figure(SQUARE, SQUARE)
    for (name, values), style in zip(lines.items(), plots.LINES, strict=False):
        ax.plot(cuts, values, ls=style, label=name)
    ax.axvline(0.5, color="0.6", ls=":", lw=1)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="threshold")
    ax.set_ylabel("share of rows")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="best")
    return figure


def calibration(y: Array, p: Array) -> Figure:
    """The frequency of right answers over their predicted probability."""
    figure, ax = _figure(SQUARE, SQUARE + 0.9)
    plots.reliability(p.argmax(axis=1) == y, {"model": p.max(axis=1)}, ax=ax)
    ax.set(xlabel="probability of the answer (mean of each bin)", ylabel="share right")
    return figure


def learning(history: Mapping[str, Sequence[float]], best: int) -> list[Figure]:
    """Loss and accuracy over the epochs."""
    found = []
    for metric in ("loss", "accuracy"):
        figure, ax = _figure(SQUARE, 3.2)
        plots.curves({"model": history}, metric, ax=ax)
        ax.axvline(best, color="0.5", ls=":", lw=1.2)
        if metric == "loss":
            ax.set_ylabel("loss (cross-entropy, nats)")
        found.append(figure)
    return found
