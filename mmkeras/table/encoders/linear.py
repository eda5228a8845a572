"""Logistic regression whose L2 penalty is chosen on the validation part."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

Array = np.ndarray
# 1 / penalty, from strong to weak. The features of a modality have a mean square length of 1.
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
SHARES = (0.5, 0.25)  # by which the features of a modality may be made smaller
DENSE = 0.1  # share of numbers other than 0 from which on a matrix is written out
FLOOR = 1e-7  # of a probability
NEVER = -30.0  # the logit of a class that no training row has


@dataclass(frozen=True)
class Linear:
    """Logits x @ kernel + bias: one per class, or one of the second class where there are two.

    Attributes:
        kernel, bias: (d, logits) and (logits,).
        strength: one of `STRENGTHS`.
        scale: (d,), by which each column was multiplied before the penalty applied; the kernel is
            for columns as they are. None for 1.
    """

    kernel: Array
    bias: Array
    strength: float
    scale: Array | None = None

    def probabilities(self, x: Any) -> Array:
        """Float (rows, classes)."""
        logits = np.asarray(x @ self.kernel) + self.bias
        if logits.shape[1] == 1:
            logits = np.concatenate([-logits / 2, logits / 2], axis=1)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)


def beside(blocks: Sequence[Any], there: Sequence[Array] = ()) -> Any:
    """Blocks (rows, d) side by side, then a column for each mask: 1 where it is False."""
    gaps = [1.0 - mask[:, None].astype(np.float32) for mask in there]
    if any(sparse.issparse(block) for block in blocks):
        return sparse.hstack([sparse.csr_matrix(block) for block in (*blocks, *gaps)]).tocsr()
    return np.concatenate([*blocks, *gaps], axis=1)


def fit(
    x: Any,
    y: Array,
    weights: Array | None,
    classes: int,
    strength: float,
    start: Any = None,
    scale: Array | None = None,
) -> tuple[Linear, Any]:
    """The regression with one penalty, and scikit-learn's own, from which a next one may start.

    Args:
        x: float (rows, d), dense or sparse.
        y: int (rows,).
        weights: of the classes, or None.
        classes: their number; some may have no row.
        strength: of `STRENGTHS`.
        start: what an earlier call with the same scale gave.
        scale: (d,), see `Linear`: a small one is a strong penalty on its column.
    """
    here = np.unique(y)
    if len(here) < 2:
        kernel, bias = np.zeros((x.shape[1], classes)), np.full(classes, NEVER)
        bias[here] = 0
        return _two(Linear(kernel, bias, strength), classes), None
    size = x.shape[1]
    model = start or LogisticRegression(max_iter=300, tol=1e-4, warm_start=True)
    model.set_params(C=strength)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is good enough, or not chosen
        used, x = _compact(times(x, scale))
        model.fit(x, y, sample_weight=None if weights is None else weights[y])
    kernel, bias = np.zeros((size, classes)), np.full(classes, NEVER)
    if len(here) == 2:  # scikit-learn gives one logit
        kernel[np.ix_(used, here)] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2], axis=1)
        bias[here] = [-model.intercept_[0] / 2, model.intercept_[0] / 2]
    else:
        kernel[np.ix_(used, here)], bias[here] = model.coef_.T, model.intercept_
    if scale is not None:
        kernel *= scale[:, None]
    return _two(Linear(kernel, bias, strength, scale), classes), model


def _compact(x: Any) -> tuple[Array, Any]:
    """The columns that are not empty, whose weights are not 0, and x with these alone."""
    if not sparse.issparse(x):
        return np.arange(x.shape[1]), x
    used = np.flatnonzero(x.getnnz(axis=0))
    x = x[:, used]
    return used, x.toarray() if x.nnz > DENSE * x.shape[0] * x.shape[1] else x


def times(x: Any, scale: Array | None) -> Any:
    """The columns, each multiplied by a number."""
    if scale is None:
        return x
    return x.multiply(scale.astype(np.float32)).tocsr() if sparse.issparse(x) else x * scale


def _two(found: Linear, classes: int) -> Linear:
    """Of two classes the logit of the second against the first."""
    if classes > 2:
        return found
    kernel = found.kernel[:, 1:] - found.kernel[:, :1]
    return Linear(kernel, found.bias[1:] - found.bias[:1], found.strength, found.scale)


def losses(p: Array, y: Array) -> Array:
    """-log of the probability of the true class: (rows,)."""
    return -np.log(np.maximum(p[np.arange(len(y)), y], FLOOR))


def chosen(
    train: tuple[Any, Array],
    valid: tuple[Any, Array],
    weights: Array | None,
    classes: int,
    strengths: Sequence[float] = STRENGTHS,
    scale: Array | None = None,
) -> Linear:
    """The regression with the lowest log loss on the validation part.

    The penalties are tried from the strongest on, until the loss has risen twice in a row.
    """
    best, best_loss, risen, start = None, np.inf, 0, None
    for strength in strengths:
        one, start = fit(*train, weights, classes, strength, start, scale)
        loss = float(losses(one.probabilities(valid[0]), valid[1]).mean())
        if best is None or loss < best_loss:
            best, best_loss, risen = one, loss, 0
        elif (risen := risen + 1) == 2:
            break
    assert best is not None
    return best


def weighed(
    train: tuple[Any, Array],
    valid: tuple[Any, Array],
    weights: Array | None,
    classes: int,
    modality: Array,
) -> Linear:
    """The same, with a penalty for each modality: of a weak one, many features are much noise.

    From equal penalties on, each modality in turn is made smaller as long as that lowers the loss.

    Args:
        modality: int (d,), that of each column; -1 for columns that stay as they are.
    """

    def loss(of: Linear) -> float:
        return float(losses(of.probabilities(valid[0]), valid[1]).mean())

    best, scale = chosen(train, valid, weights, classes), np.ones(len(modality))
    lowest = loss(best)
    for number in range(modality.max() + 1 if modality.max() > 0 else 0):
        for share in SHARES:
            tried = np.where(modality == number, share, scale)
            place = STRENGTHS.index(best.strength)
            near = STRENGTHS[max(place - 1, 0) : place + 3]
            one = chosen(train, valid, weights, classes, near, tried)
            if (now := loss(one)) >= lowest:
                break
            best, lowest, scale = one, now, tried
    return best
