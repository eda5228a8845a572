"""Pictures of the quality of probabilities: ROC, precision over recall, reliability."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from ..evaluate.metrics import METRICS, Answers, answers, expected_calibration_error
from .style import LINES, MARKERS


def roc(
    y: Any,
    probabilities: Any,
    *,
    classes: Mapping[str, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """ROC curves, with the area under each in the legend; the diagonal is the level of chance.

    Args:
        y, probabilities: one binary problem and one or several models, as for `evaluate.report`.
        classes: for one multi-class model, name → number of each class that gets a curve, against
            the rest.

    Raises:
        ValueError: input that `evaluate.report` refuses, several columns of probabilities without
            `classes`, or rows of one class only.
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
    """Precision over recall, with the average precision (AP) in the legend.

    A dotted line shows the share of class 1. Args and Raises are those of `roc`; with `classes`
    there is no dotted line.
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


def reliability(
    y: Any, probabilities: Any, *, bins: int = 10, fewest: int = 1, ax: Axes | None = None
) -> Axes:
    """Frequency over predicted probability; the points of a calibrated model lie on the diagonal.

    The bins have equal width, each with a 95% interval of its share (Wilson 1927). The legend gives
    the calibration error (ECE), and a strip above shows where the predictions lie. With several
    classes, the event is that the most probable class is right.

    Args:
        y, probabilities: one or several models, as for `evaluate.report`.
        bins: number of bins from 0 to 1, int ≥ 1.
        fewest: bins with fewer rows than this get no point; they still count in the ECE.

    Raises:
        ValueError: input that `evaluate.report` refuses, or bins that are not a positive integer.
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
        rows = rows[rows > 0]
        happened, said, rows = (part[rows >= fewest] for part in (happened, said, rows))
        low, high = _wilson(happened, rows)
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
    """The 95% interval of a share that was seen in `count` independent rows (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return middle - half, middle + half
