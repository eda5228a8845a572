"""Explanations by removal: what the answer becomes without a part of the row.

What "without" means is decided by the background: rows from which the removed part is taken. One
row of zeros, or the mean row, is a choice that the model may never have met; rows of other people
are such as it has met, and the answer is then a mean over them. Derived in chapter 17.
"""

import math
from collections.abc import Mapping

import keras
import numpy as np

from ..arguments import check_positive, check_seed
from .answers import Answer, Inputs
from .regions import Regions, mixed

MOST_EXACT = 12  # regions whose subsets are all tried


def occlusion(
    model: keras.Model,
    x: Inputs,
    parts: Regions,
    background: Inputs,
    *,
    head: str | None = None,
    target: int | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """The answer at a row minus the answer without one region (Zeiler & Fergus 2014).

    Args:
        model: with named inputs, such as `multimodal_model` builds.
        x: input name → (n, …).
        parts: the regions, R of them.
        background: the same names → (k, …), k rows from which the removed part is taken, one after
            the other; the result is the mean over them.
        head, target, batch_size: as for `Answer`.

    Returns:
        float (n, R). What two regions say alike is counted in neither.

    Raises:
        ValueError: as `Answer`, or the regions do not fit the inputs.
    """
    game = _Game(model, x, parts, background, head, target, batch_size)
    everything = np.ones(len(parts), bool)
    whole = game.at_the_rows
    without = [game.value(everything & (np.arange(len(parts)) != r)) for r in range(len(parts))]
    return whole[:, None] - np.stack(without, 1)


def shapley(
    model: keras.Model,
    x: Inputs,
    parts: Regions,
    background: Inputs,
    *,
    permutations: int | None = None,
    seed: int = 0,
    head: str | None = None,
    target: int | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """What each region adds to the answer, averaged over the orders of adding them (Shapley 1953).

    A row's parts sum to its answer minus the mean answer of the background (Strumbelj & Kononenko
    2014; Lundberg & Lee 2017).

    Args:
        model, x, parts, background, head, target, batch_size: as for `occlusion`.
        permutations: None for the exact values, which need all 2**R subsets, R at most 12; or the
            number of random orders. Each order is walked forwards and backwards.
        seed: of the random orders.

    Returns:
        float (n, R).

    Raises:
        ValueError: as `occlusion`; or more than 12 regions without a number of permutations.
    """
    game = _Game(model, x, parts, background, head, target, batch_size)
    if permutations is None:
        return _exact(game, len(parts))
    rng, out = np.random.default_rng(check_seed(seed)), np.zeros((game.n, len(parts)))
    count = check_positive("permutations", permutations)
    nothing = game.value(np.zeros(len(parts), bool))
    for _ in range(count):
        forwards = rng.permutation(len(parts))
        for order in (forwards, forwards[::-1]):
            keep, before = np.zeros(len(parts), bool), nothing
            for r in order:
                keep[r] = True
                after = game.at_the_rows if keep.all() else game.value(keep)
                out[:, r] += (after - before) / (2 * count)
                before = after
    return out


def _exact(game: "_Game", size: int) -> np.ndarray:
    if size > MOST_EXACT:
        raise ValueError(
            f"{size} regions have {2**size:,} subsets; give permutations=, or at most {MOST_EXACT} "
            "regions"
        )
    keeps = (np.arange(2**size)[:, None] >> np.arange(size)) & 1 == 1
    values = np.stack([game.value(keep) for keep in keeps])  # by the number of the subset
    out = np.zeros((game.n, size))
    for subset, keep in enumerate(keeps):
        for r in np.flatnonzero(~keep):
            weight = 1 / (size * math.comb(size - 1, int(keep.sum())))
            out[:, r] += weight * (values[subset | 1 << r] - values[subset])
    return out


def deletion_curve(
    model: keras.Model,
    x: Inputs,
    parts: Regions,
    background: Inputs,
    scores: np.ndarray,
    *,
    insert: bool = False,
    head: str | None = None,
    target: int | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """The answer while the regions are removed, those with the highest scores first.

    A steep fall is taken for a good explanation (Samek et al. 2017; Petsiuk, Das & Saenko 2018). It
    shows what the model reacts to, which is not always what is true.

    Args:
        model, x, parts, background, head, target, batch_size: as for `occlusion`.
        scores: float (n, R): the order, row by row.
        insert: whether to begin with nothing and to add the regions instead.

    Returns:
        float (n, R + 1): the answer after 0, 1, …, R regions.

    Raises:
        ValueError: as `occlusion`, or the scores do not fit.
    """
    game = _Game(model, x, parts, background, head, target, batch_size)
    scores = np.asarray(scores, float)
    if scores.shape != (game.n, len(parts)) or not np.isfinite(scores).all():
        raise ValueError(
            f"scores must be finite and of shape {(game.n, len(parts))}, got {scores.shape}"
        )
    place = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)  # 0 goes first
    steps = range(len(parts) + 1)
    return np.stack([game.value((place < s) if insert else (place >= s)) for s in steps], 1)


class _Game:
    """The answer at all rows for any set of regions that are kept."""

    def __init__(
        self,
        model: keras.Model,
        x: Inputs,
        parts: Regions,
        background: Inputs,
        head: str | None,
        target: int | None,
        batch_size: int,
    ) -> None:
        self.answer = Answer(model, head=head, target=target, batch_size=batch_size)
        self.x, self.parts = self.answer.checked(x), parts
        _check_fit(parts, self.x)
        self.others = self.answer.checked(self._whole(background))
        self.chosen = self.answer.chosen(self.x)
        self.n, self.at_the_rows = len(self.chosen), self.answer(self.x, self.chosen)
        self.at_once = max(1, batch_size // self.n)

    def _whole(self, background: Inputs) -> dict[str, np.ndarray]:
        """The background; what is never removed, such as a mask, need not be given."""
        rows = {name: np.asarray(value) for name, value in background.items()}
        k = len(next(iter(rows.values()))) if rows else 0
        never = [name for name in self.x if name not in self.parts.labels]
        return rows | {name: np.zeros((k, *self.x[name].shape[1:])) for name in never}

    def value(self, keep: np.ndarray) -> np.ndarray:
        """The mean answer over the background, float (n,), where `keep` is (R,) or (n, R)."""
        keep = np.atleast_2d(keep)
        if keep.all():
            return self.at_the_rows
        total, count = np.zeros(self.n), len(self.others[self.answer.names[0]])
        for i in range(0, count, self.at_once):
            other = {name: value[i : i + self.at_once] for name, value in self.others.items()}
            total += self._answers(other, keep).sum(0)
        return total / count

    def _answers(self, other: Mapping[str, np.ndarray], keep: np.ndarray) -> np.ndarray:
        """float (k, n), for k rows of the background side by side."""
        k = len(other[self.answer.names[0]])
        x, labels = ({name: _copies(v, k, self.n) for name, v in of.items()}
                     for of in (self.x, self.parts.labels))  # fmt: skip
        filling = {name: np.repeat(v, self.n, axis=0) for name, v in other.items()}
        kept = _copies(np.broadcast_to(keep, (self.n, len(self.parts))), k, self.n)
        answers = self.answer(mixed(labels, x, filling, kept), np.tile(self.chosen, k))
        return answers.reshape(k, self.n)


def _copies(rows: np.ndarray, times: int, n: int) -> np.ndarray:
    """n rows several times, one copy after the other; one row for all stays as it is."""
    return np.tile(rows, (times, *[1] * (rows.ndim - 1))) if len(rows) == n else rows


def _check_fit(parts: Regions, x: Mapping[str, np.ndarray]) -> None:
    for name, at in parts.labels.items():
        if name not in x:
            raise ValueError(f"the regions name {name!r}, which is none of {sorted(x)}")
        shape = x[name].shape
        if at.ndim != len(shape) or at.shape[0] not in (1, shape[0]) or at.shape[1:] != shape[1:]:
            raise ValueError(f"the labels of {name!r} have shape {at.shape}, the input {shape}")
