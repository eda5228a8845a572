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
from sklearn.calibration import calibration_curve
from sklearn.metrics import ConfusionMatrixDisplay, precision_recall_curve, roc_curve

from .evaluate.metrics import METRICS, Answers, answers, expected_calibration_error

MARKERS = "osD^vPX*"
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
INK, PAPER, SHADE = "#1f2d3d", "#ffffff", "#dfe7f1"
LABELS = {  # of metrics on an axis
    "roc_auc": "AUC",
    "average_precision": "average precision",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}


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
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str],
    *,
    what: str = "group",
    ax: Axes | None = None,
) -> Axes:
    """Confusion matrix in percent of each true class (row), by predicted class (column).

    truth, predicted: int (n,), from 0 to len(classes) - 1. A class that does not occur has an empty
    row. what: the word for a class along the axes, such as "diagnosis".
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
    ax.set(xlabel=f"predicted {what}", ylabel=f"true {what} (each row: % of it)")
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
    chance_label: str = "chance",
    ax: Axes | None = None,
) -> Axes:
    """Every run as a dot and their mean as a bar across, so that no mean hides its runs.

    Args:
        scores: one row per run.
        value: column of numbers to show.
        by: column of what is compared, such as the model; one marker each, in the order they come
            in.
        within: column of the groups along the axis, such as the held-out artist; None for one
            group.
        chance: draws a line there.
        chance_label: what is written at that line.
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


def roc(
    y: Any,
    probabilities: Any,
    *,
    classes: Mapping[str, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """ROC curves, with the area under each in the legend; the diagonal is what chance does.

    Args:
        y, probabilities: one binary problem and one or several models, as for `evaluate.report`.
        classes: name → number of classes of one multi-class model: a curve each, against the rest.

    Raises:
        ValueError: as there, more than one column of probabilities and no classes, or rows of one
            class only.
    """
    ax = _unit_square(ax)
    ax.plot([0, 1], [0, 1], color="0.6", ls=":", lw=1)
    for i, (model, a) in enumerate(_binary_models(y, probabilities, classes).items()):
        false_positive, true_positive, _ = roc_curve(a.truth[0], a.scores[0])
        label = f"{model} AUC {METRICS['roc_auc'].value(a):.3f}".strip()
        ax.plot(false_positive, true_positive, color=f"C{i}", ls=LINES[i % len(LINES)], label=label)
    ax.set(xlabel="false positive rate (1 - specificity)", ylabel="true positive rate (recall)")
    ax.legend(fontsize=8, loc="lower right")
    return ax


def precision_recall(
    y: Any,
    probabilities: Any,
    *,
    classes: Mapping[str, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Precision over recall, average precision (AP) in the legend; dots: the share of class 1.

    Args and Raises: as for `roc`; with classes there are no dots.
    """
    ax = _unit_square(ax)
    for i, (model, a) in enumerate(_binary_models(y, probabilities, classes).items()):
        if i == 0 and classes is None:
            ax.axhline(a.truth.mean(), color="0.6", ls=":", lw=1)
        precision, recall, _ = precision_recall_curve(a.truth[0], a.scores[0])
        label = f"{model} AP {METRICS['average_precision'].value(a):.3f}".strip()
        style: dict[str, Any] = {"color": f"C{i}", "ls": LINES[i % len(LINES)], "label": label}
        ax.plot(recall, precision, drawstyle="steps-post", **style)
    ax.set(xlabel="recall", ylabel="precision")
    ax.legend(fontsize=8, loc="lower left")
    return ax


def _unit_square(ax: Axes | None) -> Axes:
    ax = ax or plt.subplots(figsize=(4.4, 4.2), layout="constrained")[1]
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.grid(alpha=0.3)
    return ax


def _binary_models(
    y: Any, probabilities: Any, classes: Mapping[str, int] | None = None
) -> dict[str, Answers]:
    models = answers(y, probabilities)
    if classes is not None:
        (whole,) = models.values()
        models = {name: answers(whole.y == k, whole.scores[k])[""] for name, k in classes.items()}
    first = next(iter(models.values()))
    if not first.binary:
        raise ValueError(
            f"this picture is for a binary problem, but there are {len(first.scores)} columns of "
            "probabilities; for class k against the rest pass y == k and p[:, k]"
        )
    for name, a in models.items():
        if a.truth.all() or not a.truth.any():
            of = f" of {name}" if classes is not None else ""
            raise ValueError(f"y must hold both classes, but all {a.y.size} rows{of} are {a.y[0]}")
    return models


def reliability(y: Any, probabilities: Any, *, bins: int = 10, ax: Axes | None = None) -> Axes:
    """How often what a model gives a probability for does happen; on the diagonal it is calibrated.

    Bins of equal width, each with a 95% interval of its share (Wilson 1927), with the calibration
    error (ECE) in the legend and a strip above that shows where the predictions lie. Several
    classes: of the most probable one, how often it is right.

    y, probabilities: one or several models, as for `evaluate.report`.

    Raises:
        ValueError: as there, or bins that are not a positive integer.
    """
    models = answers(y, probabilities)
    errors = {
        model: expected_calibration_error(a.hit, a.confidence, bins) for model, a in models.items()
    }
    ax = _unit_square(ax)
    ax.plot([0, 1], [0, 1], color="0.6", ls=":", lw=1)
    strip = ax.inset_axes((0, 1.03, 1, 0.16), sharex=ax)
    for i, (model, a) in enumerate(models.items()):
        happened, said = calibration_curve(a.hit, a.confidence, n_bins=bins)
        rows = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], a.confidence))
        low, high = _wilson(happened, rows[rows > 0])
        style: dict[str, Any] = {"color": f"C{i}", "ls": LINES[i % len(LINES)]}
        label = f"{model} ECE {errors[model]:.3f}".strip()
        ax.plot(said, happened, marker=MARKERS[i % len(MARKERS)], ms=4.5, label=label, **style)
        ax.vlines(said, low, high, color=f"C{i}", lw=1, alpha=0.6)
        edges = np.linspace(0, 1, bins + 1)
        strip.hist(a.confidence, edges.tolist(), histtype="step", **style)
    strip.tick_params(bottom=False, labelbottom=False, labelsize=7)
    strip.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    strip.set_ylabel("rows", fontsize=7)
    strip.spines[["top", "right"]].set_visible(False)
    binary = next(iter(models.values())).binary
    words = ("probability of class 1", "share of class 1")
    said_of, happened_of = words if binary else ("probability of the answer", "share right")
    ax.set(xlabel=f"{said_of} (mean of each bin)", ylabel=happened_of)
    ax.legend(fontsize=8, loc="best")
    return ax


def _wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95% interval of a share that was seen in so many independent rows (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return middle - half, middle + half


def intervals(table: pd.DataFrame, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Values with their intervals, one below the other: a forest plot.

    Args:
        table: what `evaluate.report` or `evaluate.compare` returns; of differences, 0 is marked.
        metric: which one, for a table of several models: a row per model. Of a single model all
            metrics are drawn, a row each, or this one.

    Raises:
        ValueError: a table without value or difference, low and high; a metric that it has not.
    """
    centre = "difference" if "difference" in table else "value"
    if not {centre, "low", "high"} <= set(table):
        raise ValueError(f"table needs value or difference, low, high; it has {list(table)}")
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


def flow(
    lanes: Mapping[str, Sequence[str]],
    joint: Sequence[str],
    *,
    stages: Sequence[str] | None = None,
    box: tuple[float, float] = (1.55, 0.62),
) -> Figure:
    """The data flow of a multimodal model: a lane of boxes per modality, then joint boxes.

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
