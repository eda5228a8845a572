"""Pictures of scores: confusion matrices, learning curves, runs side by side, intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay

from .style import INK, LABELS, MARKERS, PAPER


def confusion(
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str],
    *,
    what: str = "group",
    ax: Axes | None = None,
) -> Axes:
    """Confusion matrix in percent of each true class (row), by predicted class (column).

    Args:
        truth, predicted: int (n,), from 0 to len(classes) - 1. A class that does not occur has an
            empty row.
        classes: the names of the classes.
        what: the word for a class along the axes, such as "diagnosis".
    """
    ax = ax or plt.subplots(figsize=(4.6, 4.2), layout="constrained")[1]
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (truth, predicted), 1)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    display = ConfusionMatrixDisplay(shares, display_labels=classes)
    display.plot(
        ax=ax, cmap="Greys", values_format=".0f", colorbar=False, im_kw={"vmin": 0, "vmax": 100}
    )
    for text, share in zip(display.text_.flat, shares.flat, strict=True):
        text.set_color(PAPER if share > 50 else INK)
    ax.set(xlabel=f"predicted {what}", ylabel=f"true {what} (each row adds up to 100%)")
    plt.setp(ax.get_xticklabels(), rotation=40, ha="right", rotation_mode="anchor")
    return ax


def curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]],
    metric: str = "accuracy",
    *,
    ax: Axes | None = None,
) -> Axes:
    """One metric over the epochs, in training and validation, for one or several runs.

    Args:
        histories: name of the run → `History.history` of Keras.
        metric: the name of a metric; `val_<metric>` is drawn, too, if the history has it.

    Raises:
        ValueError: a run lacks this metric; the message names those that it has.
    """
    ax = ax or plt.subplots(figsize=(5.6, 3.2), layout="constrained")[1]
    for i, (name, history) in enumerate(histories.items()):
        if metric not in history:
            raise ValueError(f"{name} has no {metric!r}; it has {', '.join(map(repr, history))}")
        epochs = np.arange(1, len(history[metric]) + 1)
        style: dict[str, Any] = {"color": f"C{i}", "marker": MARKERS[i % len(MARKERS)], "ms": 3.5}
        ax.plot(epochs, history[metric], ls="--", label=f"{name}, training", **style)
        if f"val_{metric}" in history:
            ax.plot(epochs, history[f"val_{metric}"], label=f"{name}, validation", **style)
    ax.set(xlabel="epoch", ylabel=metric)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    return ax


def spread(
    scores: pd.DataFrame,
    *,
    value: str,
    by: str,
    within: str | None = None,
    chance: float | None = None,
    chance_label: str = "chance",
    ax: Axes | None = None,
) -> Axes:
    """Every run as a dot, and the mean of the runs as a bar, so that no mean hides its runs.

    Args:
        scores: a table with one row per run.
        value: the column of numbers to show.
        by: the column of what is compared, such as the model; each value has its own marker, in
            the order of the table.
        within: the column of the groups along the axis, such as the held-out artist; None for one
            group.
        chance: where to draw a horizontal line, in the unit of `value`; None for no line.
        chance_label: the text at that line.
    """
    ax = ax or plt.subplots(figsize=(6.4, 3.4), layout="constrained")[1]
    groups = list(scores[within].unique()) if within else [""]
    kinds = list(scores[by].unique())
    for k, kind in enumerate(kinds):
        label = kind
        offset = (k - (len(kinds) - 1) / 2) * 0.7 / len(kinds)
        style: dict[str, Any] = {"color": f"C{k}", "marker": MARKERS[k % len(MARKERS)]}
        for g, group in enumerate(groups):
            here = scores[by] == kind
            values = scores.loc[here if within is None else here & (scores[within] == group), value]
            if values.empty:
                continue
            places = np.full(len(values), g + offset)
            ax.plot(places, values, ls="none", alpha=0.6, ms=4.5, label=label, **style)
            left, right = g + offset - 0.28 / len(kinds), g + offset + 0.28 / len(kinds)
            ax.hlines(values.mean(), left, right, colors=INK, lw=2)
            label = None
    if chance is not None:
        ax.axhline(chance, color="0.5", ls=":", lw=1.2)
        place: Any = ("axes fraction", "data")
        ax.annotate(chance_label, (1, chance), xycoords=place, ha="right", va="bottom", fontsize=8)
    ax.set_xticks(range(len(groups)), groups)
    ax.set(ylabel=value, xlabel=within or "")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    ax.grid(axis="y", alpha=0.3)
    return ax


def intervals(table: pd.DataFrame, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Values with their intervals, one below the other: a forest plot.

    Args:
        table: the result of `evaluate.report` or `evaluate.compare`; for differences, 0 is marked.
        metric: for a table of several models, the metric to draw, one row per model. For a single
            model, None draws all metrics, one row each.

    Raises:
        ValueError: the table lacks the columns value (or difference), low and high, or the metric.
    """
    centre = "difference" if "difference" in table else "value"
    if not {centre, "low", "high"} <= set(table):
        raise ValueError(f"table needs value or difference, low and high; it has {list(table)}")
    known = list(table.index.unique("metric")) if "metric" in table.index.names else []
    several = "model" in table.index.names
    if metric not in known and (several or metric is not None):
        raise ValueError(f"metric={metric!r} must be one of {', '.join(known)}")
    if several:
        table = table.xs(metric, level="metric")
    elif metric is not None:
        table = table.loc[[metric]]
    ax = ax or plt.subplots(figsize=(5.2, 0.9 + 0.34 * len(table)), layout="constrained")[1]
    for place, (_, row) in enumerate(table.iterrows()):
        ax.hlines(place, row["low"], row["high"], colors=INK, lw=2)
        ax.plot(row[centre], place, "o", color=INK, ms=6)
    if centre == "difference":
        ax.axvline(0, color="0.5", ls=":", lw=1.2)
    ax.set_yticks(range(len(table)), [str(name) for name in table.index])
    ax.set_ylim(len(table) - 0.5, -0.5)
    name = LABELS.get(metric or "", metric or centre)
    ax.set_xlabel(f"difference in {name}" if metric and centre == "difference" else name)
    ax.grid(axis="x", alpha=0.3)
    return ax
