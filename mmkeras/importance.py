"""What follows from a model's answers: temperatures, thresholds, and what each modality is worth.

All of it is reached through `mmkeras.evaluate`, where the tables of metrics are.
"""

import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special

Arrays = Any  # array-like: an array, a list, a pandas Series
FLOOR = 1e-7  # about the step of float32 below 1, where a sigmoid saturates
COLDEST, HOTTEST = 0.01, 100.0  # temperatures that are searched


# ------------------------------------------------------------------------------ modalities

Subset = tuple[str, ...]
Value = Mapping[Any, float] | Callable[[Subset], float]


def subsets(modalities: Sequence[str]) -> list[Subset]:
    """Every choice of modalities from () to all, small ones first, each in the order given.

    Raises:
        ValueError: no modality, or one twice.
    """
    if isinstance(modalities, str) or not modalities or len(set(modalities)) < len(modalities):
        raise ValueError(
            f'modalities must be a list of different names, such as ["text", "image"]; '
            f"got {modalities!r}"
        )
    sizes = range(len(modalities) + 1)
    return [c for size in sizes for c in itertools.combinations(modalities, size)]


def shapley(value: Value, modalities: Sequence[str]) -> pd.Series:
    """What each modality adds to a score, averaged over all orders of adding them (Shapley 1953).

    Exact: `value` is needed for all 2**n subsets of the n modalities.

    Args:
        value: the score of a model that has only these modalities: a dict subset → number, with
            tuples (in any order) or frozensets as keys, () among them; or a function of a tuple,
            called once for each of `subsets(modalities)`.
        modalities: names.

    Returns:
        Series by modality; its sum is value(all) - value(()).

    Raises:
        ValueError: a subset without a value, a value that is not finite, an unknown modality.
    """
    scores, count = _scores(value, modalities, subsets(modalities)), len(modalities)
    shares = dict.fromkeys(modalities, 0.0)
    for subset in subsets(modalities):
        for modality in subset:
            gain = scores[frozenset(subset)] - scores[frozenset(subset) - {modality}]
            shares[modality] += gain / (count * math.comb(count - 1, len(subset) - 1))
    return pd.Series(shares, name="shapley").rename_axis("modality")


def ablation(value: Value, modalities: Sequence[str]) -> pd.Series:
    """What is lost when one modality goes: value(all) - value(all but this one), by modality.

    Args and Raises: as for `shapley`; only the values named here are needed.
    """
    subsets(modalities)  # checks the names
    without = {m: tuple(other for other in modalities if other != m) for m in modalities}
    scores = _scores(value, modalities, [tuple(modalities), *without.values()])
    whole = scores[frozenset(modalities)]
    losses = {m: whole - scores[frozenset(rest)] for m, rest in without.items()}
    return pd.Series(losses, name="ablation").rename_axis("modality")


def _scores(
    value: Value, modalities: Sequence[str], needed: Sequence[Subset]
) -> dict[frozenset[str], float]:
    if not isinstance(value, Mapping):
        scores = {frozenset(subset): value(subset) for subset in needed}
    else:
        given = {_key(key, modalities): number for key, number in value.items()}
        missing = [subset for subset in needed if frozenset(subset) not in given]
        if missing:
            raise ValueError(f"there is no value for {', '.join(map(str, missing))}")
        scores = {frozenset(subset): given[frozenset(subset)] for subset in needed}
    for subset, number in scores.items():
        if not np.isfinite(number):
            raise ValueError(f"the value of {tuple(sorted(subset))} is {number}, not a number")
    return {subset: float(number) for subset, number in scores.items()}


def _key(key: Hashable, modalities: Sequence[str]) -> frozenset[str]:
    if not isinstance(key, tuple | frozenset) or not set(key) <= set(modalities):
        raise ValueError(
            f"{key!r} must be a tuple or a frozenset of {', '.join(map(repr, modalities))}"
        )
    return frozenset(key)


def permutation_importance(
    predict: Callable[[dict[str, np.ndarray]], np.ndarray],
    inputs: Mapping[str, Arrays],
    y: Arrays,
    score: Callable[[np.ndarray, np.ndarray], float],
    *,
    repeats: int = 10,
    seed: int = 0,
    groups: Arrays | None = None,
    keep: Sequence[str] = ("present",),
) -> pd.DataFrame:
    """How much the score drops when one modality is dealt out anew among the rows.

    Breiman (2001), for any model and a whole modality at a time (Fisher, Rudin & Dominici 2019).
    A model that can do with either of two modalities loses little by each: see `shapley`.

    Args:
        predict: dict of inputs → probabilities, such as `model.predict`.
        inputs: modality → array (n, …).
        y: (n,), handed on to `score`.
        score: function of (y, probabilities), higher is better.
        repeats: how often each modality is dealt out anew.
        seed: of the permutations.
        groups: (n,) labels such as patients; a row then gets the modality of another group, never
            of its own. None: of any row.
        keep: inputs that stay as they are, such as presence masks; names that are not there do no
            harm.

    Returns:
        Columns mean and sd (over the repeats; 0 for one repeat) of the drop, by modality.

    Raises:
        ValueError: inputs of different lengths, nothing to permute, a group of over half the rows.
    """
    arrays = {name: np.asarray(values) for name, values in inputs.items()}
    modalities = [name for name in arrays if name not in keep]
    lengths = {name: len(values) for name, values in arrays.items()}
    if not modalities or set(lengths.values()) != {len(y)} or len(y) < 2:
        raise ValueError(
            f"inputs must hold at least one modality besides keep={tuple(keep)}, and two or more "
            f"rows, as many as y; got {lengths} for {len(y)} labels"
        )
    check_positive("repeats", repeats)
    member = None if groups is None else check_codes("groups", groups, len(y))
    rng, truth = np.random.default_rng(seed), np.asarray(y)
    whole = score(truth, predict(dict(arrays)))
    drops = np.empty((repeats, len(modalities)))
    for r, (m, name) in itertools.product(range(repeats), enumerate(modalities)):
        mixed = {**arrays, name: arrays[name][_deal(rng, len(y), member)]}
        drops[r, m] = whole - score(truth, predict(mixed))
    spread = drops.std(axis=0, ddof=1) if repeats > 1 else np.zeros(len(modalities))
    index = pd.Index(modalities, name="modality")
    return pd.DataFrame({"mean": drops.mean(axis=0), "sd": spread}, index=index)


def _deal(rng: np.random.Generator, n: int, member: np.ndarray | None) -> np.ndarray:
    """A permutation of n rows; with groups, one that takes no row from its own group.

    In a random order of the groups, each whole, a shift by the size of the largest leaves every
    group.
    """
    if member is None:
        return rng.permutation(n)
    sizes = np.bincount(member)
    if 2 * sizes.max() > n:
        raise ValueError(f"a group of {sizes.max()} holds over half of the {n} rows")
    order = np.lexsort((rng.random(n), rng.permutation(len(sizes))[member]))
    taken = np.empty(n, dtype=int)
    taken[order] = np.roll(order, sizes.max())
    return taken


# ------------------------------------------------------------------------------ calibration


def fit_temperature(y: Arrays, probabilities: Arrays) -> float:
    """The temperature that makes probabilities fit best (Guo 2017); above 1: they were too sure.

    It minimises the log loss, between 0.01 and 100, in which probabilities below 1e-7 count as
    1e-7. Fit it on validation rows: never on those that are tested, nor on those trained on.

    Args:
        y: int (n,).
        probabilities: (n,), (n, 1) or (n, classes).

    Raises:
        ValueError: input that is not as described.
    """
    p = check_probabilities(probabilities)
    columns = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    truth = check_labels(y, len(p), columns.shape[1])
    logs = np.log(np.maximum(columns, FLOOR))

    def loss(log_temperature: float) -> float:
        logits = logs / np.exp(log_temperature)
        return -special.log_softmax(logits, axis=1)[np.arange(len(p)), truth].mean()

    bounds = np.log([COLDEST, HOTTEST])
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))


def apply_temperature(probabilities: Arrays, temperature: float) -> np.ndarray:
    """Probabilities whose logits are divided by the temperature: float64, of the same shape.

    The predicted class stays (at threshold 0.5, in a binary problem), and so does the order of
    binary probabilities, and with it the AUC.

    Raises:
        ValueError: a temperature that is not a positive number, or what are not probabilities.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, got {temperature!r}")
    p = check_probabilities(probabilities)
    if p.ndim == 1:
        return special.expit(special.logit(p) / temperature).reshape(np.shape(probabilities))
    with np.errstate(divide="ignore"):  # a probability of 0 stays 0
        return special.softmax(np.log(p) / temperature, axis=1)


# ------------------------------------------------------------------------------ costs


def cost_threshold(false_positive: float, false_negative: float) -> float:
    """The probability from which on "positive" is the cheaper answer, if p is calibrated.

    That is false_positive / (false_positive + false_negative) (Elkan 2001), with nothing to pay
    for right answers.

    Raises:
        ValueError: a negative or infinite cost, or both 0.
    """
    costs = (false_positive, false_negative)
    if not np.isfinite(costs).all() or min(costs) < 0 or max(costs) == 0:
        raise ValueError(f"costs must be numbers from 0 up and not both 0, got {costs}")
    return false_positive / (false_positive + false_negative)


def expected_cost(
    y: Arrays,
    probabilities: Arrays,
    threshold: float,
    false_positive: float = 1,
    false_negative: float = 1,
) -> float:
    """Mean cost a row when class 1 is predicted from the threshold on; binary problems only.

    Args and Raises: as for `best_threshold`; threshold from 0 to 1, or inf for never.
    """
    cost_threshold(false_positive, false_negative)  # checks the costs
    truth, p = _binary(y, probabilities)
    positive = p >= check_threshold(threshold)
    wrong = false_positive * (positive & ~truth) + false_negative * (~positive & truth)
    return float(wrong.mean())


def best_threshold(
    y: Arrays, probabilities: Arrays, false_positive: float = 1, false_negative: float = 1
) -> float:
    """The threshold of the smallest mean cost on these rows; choose it on validation rows.

    Tried are 0 (always positive), the middles between neighbouring probabilities and inf (never).
    Of equally cheap ones the nearest to `cost_threshold` is returned.

    Args:
        y: int (n,), 0 or 1.
        probabilities: (n,) or (n, 1), of class 1.
        false_positive, false_negative: costs, from 0 up, not both 0.

    Raises:
        ValueError: input that is not as described.
    """
    theory = cost_threshold(false_positive, false_negative)
    truth, p = _binary(y, probabilities)
    levels, place = np.unique(p, return_inverse=True)
    middles = (levels[:-1] + levels[1:]) / 2
    middles = np.where(middles > levels[:-1], middles, levels[1:])  # neighbours in floating point
    cuts = np.concatenate([[0.0], middles, [np.inf]])
    positives = np.bincount(place, truth, len(levels))
    negatives = np.bincount(place, ~truth, len(levels))
    missed = np.concatenate([[0], positives.cumsum()])
    alarms = negatives.sum() - np.concatenate([[0], negatives.cumsum()])
    costs = false_positive * alarms + false_negative * missed
    cheapest = cuts[np.isclose(costs, costs.min(), rtol=1e-12, atol=0)]
    return float(cheapest[np.abs(cheapest - theory).argmin()])


def _binary(y: Arrays, probabilities: Arrays) -> tuple[np.ndarray, np.ndarray]:
    p = check_probabilities(probabilities)
    if p.ndim > 1:
        raise ValueError(f"probabilities must be (n,) or (n, 1) of class 1, got shape {p.shape}")
    return check_labels(y, len(p), 2) == 1, p


# ------------------------------------------------------------------------------ checks


def check_probabilities(probabilities: Arrays, what: str = "probabilities") -> np.ndarray:
    """Float64 (n,) for a binary problem, or (n, classes); rounding beyond 0 and 1 is cut off."""
    p = np.asarray(probabilities, dtype=float)
    if p.ndim == 2 and p.shape[1] == 1:
        p = p[:, 0]
    if p.ndim not in (1, 2) or p.size == 0:
        raise ValueError(f"{what} must be (n,), (n, 1) or (n, classes), not empty; got {p.shape}")
    wrong = np.argwhere(~((p >= -1e-6) & (p <= 1 + 1e-6)))  # NaN is wrong too
    if len(wrong):
        raise ValueError(
            f"{what} must lie between 0 and 1, got {p[tuple(wrong[0])]} in row {wrong[0][0]}"
        )
    sums = p.sum(axis=1) if p.ndim == 2 else np.ones(len(p))
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 1e-3:
        raise ValueError(f"each row of {what} must sum to 1, but row {worst} sums to {sums[worst]}")
    return np.clip(p, 0, 1)


def check_labels(
    y: Arrays, n: int | None = None, classes: int | None = None, what: str = "y"
) -> np.ndarray:
    """Int (n,), from 0 to classes - 1."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"{what} must be (n,) and not empty, got shape {labels.shape}")
    if labels.dtype.kind not in "biuf" or not _whole(labels):
        raise ValueError(f"{what} must be whole numbers, got {labels[:3].tolist()} …")
    if n is not None and labels.size != n:
        raise ValueError(f"{what} has {labels.size} rows, but there are {n}")
    bad = (labels < 0) | (labels >= classes) if classes else np.zeros(labels.size, bool)
    if bad.any():
        raise ValueError(
            f"{what} must be from 0 to {(classes or 0) - 1}, got {labels[bad][0]} in row "
            f"{bad.argmax()}"
        )
    return labels.astype(int)


def _whole(numbers: np.ndarray) -> bool:
    return bool(np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all())


def check_codes(what: str, labels: Arrays, n: int) -> np.ndarray:
    """Int (n,): numbers of labels of any kind, in sorted order."""
    values = np.asarray(labels)
    if values.shape != (n,) or n == 0:
        raise ValueError(
            f"{what} must be of shape ({n},), one label a row, and not empty; got {values.shape}"
        )
    codes = pd.factorize(values, sort=True)[0]
    if (codes < 0).any():
        raise ValueError(f"{what} has no label in row {(codes < 0).argmax()}")
    return codes


def check_threshold(threshold: float) -> float:
    if not (0 <= threshold <= 1 or threshold == np.inf):
        raise ValueError(f"threshold must be from 0 to 1, or inf for never; got {threshold!r}")
    return float(threshold)


def check_positive(what: str, value: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"{what} must be a positive integer, got {value!r}")
    return value.__index__()
