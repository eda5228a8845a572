"""The pictures that more than one notebook draws.

Each returns its Axes or Figure; `plt.show()` is left to the caller. Every picture reads without
colour: series differ in marker, line style or brightness too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay

MARKERS = "osD^vPX*"
INK, PAPER, SHADE = "#1f2d3d", "#ffffff", "#dfe7f1"


def gallery(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    rows: Sequence[str] | None = None,
    size: float = 1.1,
) -> Figure:
    """Pictures in a grid, row by row.

    Args:
        images: (n, height, width, 3), 0 to 255, or floats from 0 to 1.
        titles: one line or several lines of text above each picture.
        columns: pictures in a row.
        rows: a label on the left of each row.
        size: width of a picture in inches.

    Raises:
        ValueError: no picture, or not as many titles as pictures, or row labels as rows.
    """
    images = np.asarray(images)
    if len(images) == 0:
        raise ValueError("there is no picture to show")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(images)} pictures need {len(images)} titles, got {len(titles)}")
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    if rows is not None and len(rows) != lines:
        raise ValueError(f"{lines} rows of pictures need {lines} labels, got {len(rows)}")
    deepest = max((str(t).count("\n") + 1 for t in titles), default=0) if titles is not None else 0
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(size * columns, (size + 0.17 * deepest) * lines),
        squeeze=False,
        layout="constrained",
    )
    for i, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if i < len(images):
            ax.imshow(images[i])
            if titles is not None:
                ax.set_title(titles[i], fontsize=8)
        if rows is not None and i % columns == 0:
            ax.set_ylabel(rows[i // columns], rotation=0, ha="right", va="center", fontsize=9)
    return figure


def confusion(
    truth: np.ndarray, predicted: np.ndarray, classes: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Confusion matrix in percent of each true class (row), by predicted class (column).

    truth, predicted: int (n,), from 0 to len(classes) - 1. A class that does not occur has an empty
    row.
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
    ax.set(xlabel="predicted group", ylabel="true group (each row: % of it)")
    plt.setp(ax.get_xticklabels(), rotation=40, ha="right", rotation_mode="anchor")
    return ax


def curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]],
    metric: str = "accuracy",
    *,
    ax: Axes | None = None,
) -> Axes:
    """One metric over the epochs, training beside validation, for one or several runs.

    histories: name of the run → `History.history` of Keras; `val_<metric>` is drawn where it is
        there.

    Raises:
        ValueError: a run that has no such metric; the message names those it has.
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
    ax: Axes | None = None,
) -> Axes:
    """Every run as a dot and their mean as a bar across, so that no mean hides its runs.

    Args:
        scores: one row a run.
        value: column of numbers to show.
        by: column of what is compared, such as the model; one marker each, in the order they come
            in.
        within: column of the groups along the axis, such as the held-out artist; None for one
            group.
        chance: draws a line there.
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
        ax.annotate("chance", (1, chance), xycoords=place, ha="right", va="bottom", fontsize=8)
    ax.set_xticks(range(len(groups)), groups)
    ax.set(ylabel=value, xlabel=within or "")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    ax.grid(axis="y", alpha=0.3)
    return ax


def flow(
    lanes: Mapping[str, Sequence[str]],
    joint: Sequence[str],
    *,
    stages: Sequence[str] | None = None,
    box: tuple[float, float] = (1.55, 0.62),
) -> Figure:
    """The data flow of a multimodal model: a lane of boxes a modality, then joint boxes.

    Args:
        lanes: modality → what its data becomes, step by step; every lane is of one length.
        joint: the boxes after the lanes have met; the first of them is the fusion.
        stages: a heading above each column, as many as there are columns.
        box: width and height of a box in inches.

    Raises:
        ValueError: lanes of different lengths, or not as many headings as columns.
    """
    steps = {len(lane) for lane in lanes.values()}
    if len(steps) != 1:
        raise ValueError(f"every lane needs as many steps, got {[len(v) for v in lanes.values()]}")
    depth = steps.pop()
    columns = depth + len(joint)
    if stages is not None and len(stages) != columns:
        raise ValueError(f"{columns} columns need {columns} headings, got {len(stages)}")
    (width, height), gap = box, 0.42
    right = columns * (width + gap) - gap / 2  # in inches, like all that follows
    top = len(lanes) * (height + gap) - gap + (0.45 if stages else gap / 4)
    figure = plt.figure(figsize=(right + gap / 2, top + gap / 4))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-gap / 2, right), ylim=(-gap / 4, top))
    ax.axis("off")
    middle = (len(lanes) - 1) / 2

    def corner(column: float, lane: float) -> tuple[float, float]:
        return column * (width + gap), (len(lanes) - 1 - lane) * (height + gap)

    def draw(column: int, lane: float, words: str, shaded: bool) -> None:
        x, y = corner(column, lane)
        face = SHADE if shaded else PAPER
        ax.add_patch(plt.Rectangle((x, y), width, height, fc=face, ec=INK, lw=1.2))
        ax.text(
            x + width / 2, y + height / 2, words, ha="center", va="center", fontsize=9, color=INK
        )

    def arrow(column: int, start: float, end: float) -> None:
        x0, y0 = corner(column, start)
        x1, y1 = corner(column + 1, end)
        line = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (x1, y1 + height / 2), (x0 + width, y0 + height / 2), arrowprops=line)

    for lane, steps_of_lane in enumerate(lanes.values()):
        for column, words in enumerate(steps_of_lane):
            draw(column, lane, words, shaded=column == depth - 1)
            arrow(column, lane, lane if column < depth - 1 else middle)
    for j, words in enumerate(joint):
        draw(depth + j, middle, words, shaded=j == 0)
        if j + 1 < len(joint):
            arrow(depth + j, middle, middle)
    for column, words in enumerate(stages or ()):
        x, y = corner(column, 0)
        ax.text(x + width / 2, y + height + gap / 2, words, ha="center", fontsize=9, style="italic")
    return figure
