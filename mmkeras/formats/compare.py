"""How far the answers of a file are from those of the model, and whether that is too far."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Arrays = Mapping[str, np.ndarray]
Answer = Callable[[Arrays], np.ndarray]
BATCHES = (1, 64)
# The largest difference of a probability: what rounding explains. A format of whole numbers may
# move an answer that is in doubt, but not turn it round.
DIFFERENCE = {"savedmodel": 1e-3, "litert": 1e-3, "onnx": 1e-3, "litert-fp16": 0.02}
DIFFERENCE |= {"litert-dynamic": 0.25, "litert-int8": 0.25}


@dataclass(frozen=True)
class Limits:
    """What a file may differ from the model in.

    Attributes:
        difference: of any probability, in absolute terms.
        points: of accuracy lost, in percentage points; of rows with another class three times as
            many per cent. One row is always allowed, since fewer cannot change.
    """

    difference: float
    points: float = 1.0

    @classmethod
    def of(cls, format: str, points: float = 1.0) -> "Limits":
        """The limits of a key of `FORMATS`."""
        return cls(DIFFERENCE[format], points)


@dataclass(frozen=True)
class Comparison:
    """A file against the model, on the same rows.

    Attributes:
        rows: how many.
        difference: largest absolute difference of a probability; NaN if an answer is not finite.
        changed: rows with another most probable class.
        accuracy, before: shares of right answers of the file and of the model; NaN without labels.
    """

    rows: int
    difference: float
    changed: int
    accuracy: float
    before: float

    @property
    def agreement(self) -> float:
        """Share of rows with the same most probable class."""
        return 1 - self.changed / self.rows

    @property
    def lost(self) -> float:
        """Points of accuracy lost; negative if the file is right more often."""
        return 100 * (self.before - self.accuracy)

    def faults(self, limits: Limits) -> list[str]:
        """What exceeds the limits, in words; empty if the file can be trusted."""
        found = []
        if not np.isfinite(self.difference):
            return ["an answer is no finite number"]
        if self.difference > limits.difference:
            found.append(
                f"a probability differs by {self.difference:.3g}, more than {limits.difference:g}"
            )
        row = 100 / self.rows
        if 100 * self.changed / self.rows > max(3 * limits.points, row) + 1e-9:
            found.append(
                f"{self.changed} of {self.rows} rows get another class, more than "
                f"{3 * limits.points:g} in 100"
            )
        if self.lost > max(limits.points, row) + 1e-9:
            found.append(
                f"it loses {self.lost:.1f} points of accuracy, more than {limits.points:g}"
            )
        return found


def compared(got: np.ndarray, want: np.ndarray, y: np.ndarray | None = None) -> Comparison:
    """Compare probabilities, (n, classes), or (n, 1) of a binary head.

    Args:
        got, want: answers of the file and of the model.
        y: true classes, int (n,).

    Raises:
        ValueError: the shapes differ, or there is no row.
    """
    if got.shape != want.shape or not len(got):
        raise ValueError(f"the file gives answers of shape {got.shape}, the model {want.shape}")
    whole = [_classes(p) for p in (got, want)]
    difference = float(np.abs(np.asarray(got, float) - want).max())
    said = [p.argmax(axis=1) for p in whole]
    shares = [float((s == y).mean()) if y is not None else np.nan for s in said]
    return Comparison(len(got), difference, int((said[0] != said[1]).sum()), *shares)


def _classes(p: np.ndarray) -> np.ndarray:
    return np.concatenate([1 - p, p], axis=1) if p.shape[1] == 1 else p


def answers(run: Answer, x: Arrays, batch: int = 64) -> np.ndarray:
    """What a function says to all rows, batch by batch: (n, …)."""
    rows = len(next(iter(x.values())))
    return np.concatenate(
        [run({name: v[i : i + batch] for name, v in x.items()}) for i in range(0, rows, batch)]
    )


def latency(run: Answer, x: Arrays, batch: int, repeats: int = 15) -> float:
    """Milliseconds of one call with so many rows, the median of `repeats`; rows are repeated."""
    rows = np.arange(batch) % len(next(iter(x.values())))
    fed = {name: np.ascontiguousarray(value[rows]) for name, value in x.items()}
    run(fed)
    run(fed)
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        run(fed)
        taken.append(time.perf_counter() - began)
    return float(1000 * np.median(taken))
