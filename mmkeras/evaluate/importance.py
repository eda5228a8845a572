"""What each modality is worth: by leaving it out, by dealing it out anew, by Shapley values.

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
    modalities: Sequence[str] | None = None,
) -> pd.DataFrame:
    """How much the score drops when one modality is dealt out anew among the rows.

    Breiman (2001), for any model and a whole modality at a time (Fisher, Rudin & Dominici 2019).
    A model that can do with either of two modalities loses little by each: see `shapley`.

    Where the inputs hold a presence mask, a modality is dealt out among the rows that have it, so
    that no row gets what was absent elsewhere. A modality of fewer than two rows loses nothing.

    Args:
        predict: dict of inputs → probabilities, such as `model.predict`.
        inputs: modality → array (n, …); "present", if there, is the mask (n, modalities), 1 where
            the row has it, 0 where not.
        y: (n,), handed on to `score`.
        score: function of (y, probabilities), higher is better.
        repeats: how often each modality is dealt out anew.
        seed: of the permutations.
        groups: (n,) labels such as patients; a row then gets the modality of another group, never
            of its own. None: of any row.
        keep: inputs that stay as they are, such as presence masks; names that are not there do no
            harm.
        modalities: those to deal out, in the order of the columns of the mask; None: all inputs
            that are not kept, in their order.

    Returns:
        Columns mean and sd (over the repeats; 0 for one repeat) of the drop, by modality.

    Raises:
        ValueError: inputs of different lengths, nothing to permute, a mask of another shape, a
            group of over half the rows that have a modality.
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
    """Bool (n, modalities): which row has what; everything without a mask."""
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
    """A permutation of as many places; with groups, one that takes no row from its own group.

    In a random order of the groups, each whole, a shift by the size of the largest leaves every
    group.
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
