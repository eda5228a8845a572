"""Intervals of what is measured on test rows, by rows or by groups; 95% unless told otherwise.

- A **share of rows** (accuracy, recall of a class) has, for independent rows, Wilson's interval
  (1927), which also holds for few rows and at 0% and 100%. For groups it has the percentile
  bootstrap, which draws whole groups (Efron 1979; Field & Welsh 2007). If all rows of all groups
  are right, or all are wrong, its draws are all equal and say nothing. Then each group counts as
  one trial in Wilson's interval, as if its rows were copies of one row, so that the interval is too
  wide rather than too narrow.
- **Any other number** has the percentile bootstrap over rows or groups. If all draws are equal it
  has no interval.
- With a single group there is no interval at all, since no other groups can be drawn.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

Array = np.ndarray
Interval = tuple[float, float]  # low, high; NaN where there is none
NONE: Interval = (math.nan, math.nan)
BLOCK = 2_000_000  # weights of the bootstrap in memory at a time
SHARES = {
    "rows": "of shares of rows: Wilson (1927)",
    "groups": "of shares of rows: percentile bootstrap over groups (Efron 1979); where all groups "
    "agree, Wilson (1927) with each group as one trial",
}


def wilson(right: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's interval (1927) of a share, right of n trials; NaN for no trial."""
    if n == 0:
        return NONE
    interval = binomtest(right, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


class Intervals:
    """Intervals over the same rows, all from the same draws.

    Args:
        n: number of rows.
        groups: a label per row, such as the patient; None: each row is a group.
        draws: number of bootstrap draws.
        seed: seed of the draws, which are those of `mmkeras.evaluate.report`.
        confidence: coverage, between 0 and 1.

    Attributes:
        unit: "rows", "groups", or None for a single group, which gives no interval.
        groups: as for `mmkeras.evaluate.report`.
        count: number of units.
    """

    def __init__(
        self,
        n: int,
        groups: Sequence[Any] | None,
        draws: int,
        seed: int,
        confidence: float = 0.95,
    ) -> None:
        self.groups, self.draws, self.seed, self.confidence = groups, draws, seed, confidence
        member = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
        self.member: Array = member
        self.count = len(np.unique(member))
        self.unit = "rows" if groups is None else "groups" if self.count > 1 else None

    @property
    def kind(self) -> str | None:
        """How the intervals are made, in words."""
        if self.unit is None:
            return None
        return f"{SHARES[self.unit]}; of all else: percentile bootstrap over {self.unit}"

    def share(self, right: Array, rows: Array | None = None) -> Interval:
        """The interval of the share of rows that are right.

        Args:
            right: bool (n,).
            rows: int positions of the rows that count; None for all.
        """
        if rows is None:
            rows = np.arange(len(self.member))
        here, member = right[rows], np.unique(self.member[rows], return_inverse=True)[1]
        if self.unit == "rows":
            return wilson(int(here.sum()), len(here), self.confidence)
        count = int(member.max()) + 1 if len(member) else 0
        if self.unit is None or count < 2:
            return NONE
        if here.all() or not here.any():
            return wilson(count if here.all() else 0, count, self.confidence)
        found = self._limits(self._means(here[:, None].astype(float), member))
        return float(found[0, 0]), float(found[1, 0])

    def mean(self, values: Array) -> Array:
        """The intervals of means over the rows: float (n, k) → (2, k), low and high, or NaN."""
        if self.unit is None:
            return np.full((2, values.shape[1]), math.nan)
        return self._limits(self._means(values, self.member))

    def _limits(self, draws: Array) -> Array:
        return percentiles(draws, self.confidence)

    def _means(self, values: Array, member: Array) -> Array:
        """Weighted means, float (draws, k); the weight of a unit is how often it was drawn."""
        sizes = np.bincount(member)
        sums = np.stack([np.bincount(member, column) for column in values.T], axis=1)
        rng, step = np.random.default_rng(self.seed), max(1, BLOCK // len(sizes))
        found = []
        for start in range(0, self.draws, step):
            chance = np.full(len(sizes), 1 / len(sizes))
            times = rng.multinomial(len(sizes), chance, size=min(step, self.draws - start))
            weights = times.astype(float)
            found.append(weights @ sums / (weights @ sizes)[:, None])
        return np.concatenate(found)


def percentiles(draws: Array, confidence: float = 0.95) -> Array:
    """The limits of each column of (draws, k), float (2, k); NaN where all draws are equal."""
    found = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    found[:, flat(*found)] = math.nan
    return found


def flat(low: Any, high: Any) -> Any:
    """Whether low and high are equal except for rounding."""
    return np.isclose(low, high, rtol=0, atol=1e-12)
