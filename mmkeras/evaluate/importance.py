"""The importance of each modality: by ablation, by permutation, and by Shapley values.

Derived in chapter 09.
"""

import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..arguments import Arrays, check_codes, check_positive

Subset = tuple[str, ...]
Value = Mapping[Any, float] | Callable[[Subset], float]


def subsets(modalities: Sequence[str]) -> list[Subset]:
    """All subsets of the modalities, from () to all, small ones first, each in the given order.

    Raises:
        ValueError: there is no modality, or one occurs twice.
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

    The values are exact, and need the score of all 2**n subsets of the n modalities.

    Args:
        value: the score of a model that has only these modalities: a dict subset → number, with
            tuples (in any order) or frozensets as keys, including (); or a function of a tuple,
            which is called once for each of `subsets(modalities)`.
        modalities: their names.

    Returns:
        Series by modality; its sum is value(all) - value(()).

    Raises:
        ValueError: a subset has no value, a value is not finite, or a modality is unknown.
    """
    scores, count = _scores(value, modalities, subsets(modalities)), len(modalities)
    shares = dict.fromkeys(modalities, 0.0)
    for subset in subsets(modalities):
        for modality in subset:
            gain = scores[frozenset(subset)] - scores[frozenset(subset) - {modality}]
            shares[modality] += gain / (count * math.comb(count - 1, len(subset) - 1))
    return pd.Series(shares, name="shapley").rename_axis("modality")


def ablation(value: Value, modalities: Sequence[str]) -> pd.Series:
    """The loss without one modality: value(all) - value(all but this one), by modality.

    Args and Raises: as for `shapley`, but only these values are needed.
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
            raise ValueError(
                f"the value of {tuple(sorted(subset))} is {number}, not a finite number"
            )
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
    modalities: Sequence[str] | None = None,
) -> pd.DataFrame:
    """How much the score drops when one modality is permuted among the rows.

    This is Breiman's (2001) measure, for any model, with a whole modality permuted at a time
    (Fisher, Rudin & Dominici 2019). If either of two modalities suffices for a model, the drop of
    each is small: see `shapley`.

    If the inputs hold a presence mask, a modality is permuted among the rows that have it, so that
    no row gets what was absent elsewhere. A modality that fewer than two rows have has no drop.

    Args:
        predict: dict of inputs → probabilities, such as `model.predict`.
        inputs: modality → array (n, …); "present", if it is there, is the mask (n, modalities),
            1 where a row has the modality, 0 where it does not.
        y: (n,), passed on to `score`.
        score: (y, probabilities) → number, where higher is better.
        repeats: number of permutations of each modality.
        seed: seed of the permutations, int from 0.
        groups: (n,) labels such as patients; a row then gets the modality of another group, never
            of its own. None: it may get that of any row.
        keep: inputs that stay as they are, such as presence masks; other names are ignored.
        modalities: those to permute, in the order of the columns of the mask; None: all inputs
            that are not kept, in their order.

    Returns:
        A table by modality with columns mean and sd of the drop over the repeats (sd is 0 for one
        repeat).

    Raises:
        ValueError: the inputs differ in length, there is nothing to permute, the mask has another
            shape, or a group holds over half of the rows that have a modality.
    """
    arrays = {name: np.asarray(values) for name, values in inputs.items()}
    modalities = modalities or [name for name in arrays if name not in keep]
    lengths = {name: len(values) for name, values in arrays.items()}
    if (
        not modalities
        or not set(modalities) <= set(arrays)
        or set(lengths.values()) != {len(y)}
        or len(y) < 2
    ):
        raise ValueError(
            f"inputs must hold {', '.join(modalities or ['at least one modality'])} besides "
            f"keep={tuple(keep)}, and two or more "
            f"rows, as many as y; got {lengths} for {len(y)} labels"
        )
    check_positive("repeats", repeats)
    member = None if groups is None else check_codes("groups", groups, len(y))
    there = _mask(arrays.get("present"), modalities, len(y))
    rng, truth = np.random.default_rng(seed), np.asarray(y)
    whole = score(truth, predict(dict(arrays)))
    drops = np.empty((repeats, len(modalities)))
    for r, (m, name) in itertools.product(range(repeats), enumerate(modalities)):
        rows, mixed = np.flatnonzero(there[:, m]), arrays[name].copy()
        mixed[rows] = arrays[name][rows[_deal(rng, rows, member, name)]]
        drops[r, m] = whole - score(truth, predict({**arrays, name: mixed}))
    spread = drops.std(axis=0, ddof=1) if repeats > 1 else np.zeros(len(modalities))
    index = pd.Index(modalities, name="modality")
    return pd.DataFrame({"mean": drops.mean(axis=0), "sd": spread}, index=index)


def _mask(present: np.ndarray | None, modalities: Sequence[str], n: int) -> np.ndarray:
    """Bool (n, modalities): which row has which modality; all True without a mask."""
    shape = (n, len(modalities))
    if present is None:
        return np.ones(shape, bool)
    if present.shape != shape:
        raise ValueError(
            f"the mask 'present' must be of shape {shape}, a column each for "
            f"{', '.join(modalities)}; got {present.shape}"
        )
    return present > 0


def _deal(
    rng: np.random.Generator, rows: np.ndarray, member: np.ndarray | None, name: str
) -> np.ndarray:
    """A permutation of these rows; with groups, no row gets a row of its own group.

    The rows are sorted by groups in random order. A shift by the size of the largest group then
    moves every row into another group.
    """
    n = len(rows)
    if member is None or n < 2:
        return rng.permutation(n)
    sizes = np.bincount(member[rows])
    if 2 * sizes.max() > n:
        raise ValueError(f"a group of {sizes.max()} holds over half of the {n} rows with {name}")
    order = np.lexsort((rng.random(n), rng.permutation(len(sizes))[member[rows]]))
    taken = np.empty(n, dtype=int)
    taken[order] = np.roll(order, sizes.max())
    return taken
