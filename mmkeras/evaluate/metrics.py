"""The nine metrics of `mmkeras.evaluate`: by scikit-learn, and for many sets of weights at once.

The bootstrap needs the weights, which say how often each row was drawn. `mmkeras.evaluate` makes
the tables.

Derived in chapter 09.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import metrics as sk

from ..arguments import Arrays, check_labels, check_positive, check_probabilities, check_threshold

BINS = 10  # bins of equal width for the calibration error


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of one model, class by class; a binary problem has only class 1.

    Attributes:
        y: int (n,), the true classes.
        predicted: int (n,), the predicted classes.
        scores: float (classes, n), the probability of each class.
    """

    y: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray

    @property
    def binary(self) -> bool:
        """Whether this is a binary problem, with scores of class 1 alone."""
        return len(self.scores) == 1

    @functools.cached_property
    def truth(self) -> np.ndarray:
        """Bool (classes, n): whether this is the true class."""
        return self.y == self.classes

    @property
    def correct(self) -> np.ndarray:
        """Bool (n,): whether the predicted class is the true one."""
        return self.predicted == self.y

    @functools.cached_property
    def squares(self) -> np.ndarray:
        """Float64 (n,): squared error of the probabilities, summed over the classes one by one."""
        total = np.zeros(self.y.size)
        for truth, score in zip(self.truth, self.scores, strict=True):
            total += (score - truth) ** 2
        return total

    @property
    def classes(self) -> np.ndarray:
        """Int (classes, 1): the class of each row of `scores`."""
        return np.array([[1]]) if self.binary else np.arange(len(self.scores))[:, None]

    @property
    def confidence(self) -> np.ndarray:
        """Float (n,): probability of class 1, or of the most probable of several classes."""
        return self.scores[0] if self.binary else self.scores.max(axis=0)

    @property
    def hit(self) -> np.ndarray:
        """Bool (n,): whether the event with the probability `confidence` happened."""
        return self.truth[0] if self.binary else self.correct


class Metric(NamedTuple):
    """Two forms of a metric: by scikit-learn, and for many weights (replicates, n) at once."""

    value: Callable[[Answers], float]
    weighted: Callable[[Answers, np.ndarray], np.ndarray]


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """The ratio of two arrays (replicates, classes), averaged over the classes: (replicates,)."""
    return _divide(top, bottom).mean(axis=1)


def _sums(
    a: Answers, weights: np.ndarray, labels: np.ndarray, where: np.ndarray | None = None
) -> np.ndarray:
    """Weight of the rows of each class: (replicates, n), int labels (n,) → (replicates, classes).

    Only rows where `where`, bool (n,), is true count. Each row has one label, so a sparse matrix
    saves nearly all of the work.
    """
    label = labels - a.classes[0, 0]
    rows = np.flatnonzero((label >= 0) if where is None else (label >= 0) & where)
    shape = (labels.size, len(a.scores))
    return weights @ sparse.csr_array((np.ones(rows.size), (rows, label[rows])), shape)


def _divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)


def _average(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return weights @ values.astype(float) / weights.sum(axis=1)


def _ties(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weight of the positives and negatives at each distinct score, from the highest down."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    ordered, positive = weights[:, order], truth[order].astype(float)
    positives = np.add.reduceat(ordered * positive, starts, axis=1)
    return positives, np.add.reduceat(ordered, starts, axis=1) - positives


def _each_curve(a: Answers, weights: np.ndarray, area: Callable, classes: int) -> np.ndarray:
    """The mean over the classes of an area, from (positives, negatives) at each distinct score.

    It is NaN in a replicate that lacks a positive of some class, or, if `classes` is 2, a negative.
    """
    positives = _sums(a, weights, a.y)
    defined = (positives > 0).all(axis=1)
    if classes == 2:
        defined &= (positives < weights.sum(axis=1, keepdims=True)).all(axis=1)
    found = np.full(len(weights), np.nan)
    if defined.any():
        pairs = zip(a.truth, a.scores, strict=True)
        areas = [area(*_ties(truth, score, weights[defined])) for truth, score in pairs]
        found[defined] = np.mean(areas, axis=0)
    return found


def _auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """The share of pairs (positive, negative) in the right order; a tie counts half."""
    above = positives.cumsum(axis=1) - positives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return (above * negatives).sum(axis=1) / pairs


def _precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """The mean over the positives of the precision at their score."""
    found = positives.cumsum(axis=1)
    precision = found / np.maximum(found + negatives.cumsum(axis=1), np.finfo(float).tiny)
    return (precision * positives).sum(axis=1) / positives.sum(axis=1)


def _weighted_specificity(a: Answers, weights: np.ndarray) -> np.ndarray:
    negatives = weights.sum(axis=1, keepdims=True) - _sums(a, weights, a.y)
    alarms = _sums(a, weights, a.predicted) - _sums(a, weights, a.y, a.correct)
    return _ratio(negatives - alarms, negatives)


def _weighted_ece(a: Answers, weights: np.ndarray, bins: int = BINS) -> np.ndarray:
    gaps = np.zeros((a.y.size, bins))
    edges = np.linspace(0, 1, bins + 1)
    # As in scikit-learn, an edge belongs to the bin on its left.
    place = np.searchsorted(edges[1:-1], a.confidence)
    gaps[np.arange(a.y.size), place] = a.confidence - a.hit
    return np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)


def _each_class(score: Callable[..., Any]) -> Callable[[Answers], float]:
    """The mean over the classes of a metric of (y, predicted) by scikit-learn; 0/0 is NaN."""

    def value(a: Answers) -> float:
        classes = a.classes.ravel()
        of = score(a.y, a.predicted, labels=classes, average=None, zero_division=np.nan)
        return float(np.mean(of))

    return value


def _specificity(a: Answers) -> float:
    counts = sk.multilabel_confusion_matrix(a.y, a.predicted, labels=a.classes.ravel())
    return float(np.mean(_divide(counts[:, 0, 0], counts[:, 0].sum(axis=1))))


def _each_ranking(score: Callable[..., float], classes: int) -> Callable[[Answers], float]:
    """As `_each_class`, of (truth, scores); NaN without a positive (or negative: `classes` 2)."""

    def value(a: Answers) -> float:
        for truth in a.truth:
            if not truth.any() or (classes == 2 and truth.all()):
                return np.nan
        return float(np.mean([score(t, s) for t, s in zip(a.truth, a.scores, strict=True)]))

    return value


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        lambda a: float(sk.accuracy_score(a.y, a.predicted)),
        lambda a, w: _average(w, a.correct),
    ),
    "precision": Metric(
        _each_class(sk.precision_score),
        lambda a, w: _ratio(_sums(a, w, a.y, a.correct), _sums(a, w, a.predicted)),
    ),
    "recall": Metric(
        _each_class(sk.recall_score),
        lambda a, w: _ratio(_sums(a, w, a.y, a.correct), _sums(a, w, a.y)),
    ),
    "specificity": Metric(_specificity, _weighted_specificity),
    "f1": Metric(
        _each_class(sk.f1_score),
        lambda a, w: _ratio(
            2 * _sums(a, w, a.y, a.correct), _sums(a, w, a.y) + _sums(a, w, a.predicted)
        ),
    ),
    "roc_auc": Metric(
        _each_ranking(sk.roc_auc_score, 2), lambda a, w: _each_curve(a, w, _auc, classes=2)
    ),
    "average_precision": Metric(
        _each_ranking(sk.average_precision_score, 1),
        lambda a, w: _each_curve(a, w, _precision, classes=1),
    ),
    "brier": Metric(lambda a: float(a.squares.mean()), lambda a, w: _average(w, a.squares)),
    "ece": Metric(
        lambda a: float(_weighted_ece(a, np.ones((1, a.y.size)))[0]),
        _weighted_ece,
    ),
}


def metric_names(metrics: Sequence[str] | None) -> list[str]:
    """The requested names, or all of `METRICS` for None; ValueError for an unknown name."""
    names = list(METRICS) if metrics is None else [metrics] if isinstance(metrics, str) else metrics
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(f"metrics={metrics!r} must be some of {', '.join(METRICS)}, each once")
    return list(names)


def expected_calibration_error(y: Arrays, probabilities: Arrays, bins: int = BINS) -> float:
    """Mean distance of confidence and frequency over bins of equal width (Naeini 2015; Guo 2017).

    Confidence is the probability of class 1, and frequency is the share of class 1; in a
    multi-class problem they are the probability of the most probable class and the share of rows in
    which that class is right. The error is from 0 to 1. With few rows it is too high, even for
    perfect probabilities.

    Args:
        y, probabilities: as for `report`, of one model.
        bins: number of bins from 0 to 1, int ≥ 1.

    Raises:
        ValueError: as for `report`, or bins is not a positive integer.
    """
    a = answers(y, {"": probabilities})[""]
    return float(_weighted_ece(a, np.ones((1, a.y.size)), check_positive("bins", bins))[0])


def answers(
    y: Arrays, probabilities: Arrays, threshold: float | Mapping[str, float] = 0.5
) -> dict[str, Answers]:
    """The checked input as model name → `Answers`; a single array has the name "".

    Raises:
        ValueError: as for `report`.
    """
    models = probabilities if isinstance(probabilities, Mapping) else {"": probabilities}
    if not models:
        raise ValueError("probabilities is an empty dict; give at least one model")
    if isinstance(threshold, Mapping) and set(threshold) != set(models):
        raise ValueError(
            f"threshold has {sorted(threshold)}, but the models are {sorted(models)}; "
            "give a threshold for each model, or one for all"
        )
    checked = {}
    for model, values in models.items():
        p = check_probabilities(values, f"probabilities of {model!r}" if model else "probabilities")
        labels = check_labels(y, len(p), 2 if p.ndim == 1 else p.shape[1])
        cut = threshold[model] if isinstance(threshold, Mapping) else threshold
        predicted = (p >= check_threshold(cut)).astype(int) if p.ndim == 1 else p.argmax(axis=1)
        checked[model] = Answers(labels, predicted, np.atleast_2d(p.T))
    counts = {model: len(a.scores) for model, a in checked.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"all models must have the same number of columns, got {counts}")
    return checked
