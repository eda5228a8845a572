"""The leader board: what each candidate was worth on the validation part, and which one wins."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...evaluate.intervals import Intervals
from ..table import Table
from ..wording import number
from .linear import losses

Array = np.ndarray
# The fusions, the simplest first. "alone" reads one modality: it is there to compare, and the
# encoder of each modality is chosen by it.
ALONE, LINEAR, LATE, CONCATENATE, GATED = "alone", "linear", "late", "concatenate", "gated"
TUNED = "fine-tuned"
FUSIONS = {
    ALONE: "one modality, logistic regression",
    LINEAR: "logistic regression on all features",
    LATE: "the mean answer of a logistic regression per modality",
    CONCATENATE: "all features into a hidden layer",
    GATED: "a hidden layer per modality, joined by gates",
    TUNED: "the head that won, trained further together with the last blocks of its encoders",
}
AGAIN = (LINEAR, LATE)  # those that, if taken, learn anew from training and validation rows
SURE = 2  # standard errors by which a less simple head must be better
DRAWS = 200  # of the bootstrap, where there are groups


@dataclass(frozen=True)
class Entry:
    """A candidate.

    Attributes:
        encoders: modality → name of the encoder.
        fusion: of `FUSIONS`.
        p: probabilities (n, classes) of the validation rows, or None where it was not tried.
        seconds: that it took on top of what was there, its encoders included.
        note: why it was not tried, or what else is to be said; or "".
    """

    encoders: dict[str, str]
    fusion: str
    p: Array | None = None
    seconds: float = 0.0
    note: str = ""


@dataclass
class Board:
    """The candidates so far, told as they come.

    Args:
        y: int (n,), classes of the validation rows.
        groups: of these rows, or None.
        seed: of the bootstrap.
    """

    y: Array
    groups: list[str] | None
    seed: int
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table, seed: int) -> "Board":
        """For the validation rows of a table."""
        valid = (table.rows["part"] == "valid").to_numpy()
        assert table.y is not None
        groups = None
        if "group" in table.rows:
            names = table.rows["group"][valid]
            groups = [name or f"row {i}" for i, name in names.items()]
        return cls(table.y[valid].astype(int), groups, seed)

    def add(self, entry: Entry) -> None:
        """With a line on stdout."""
        self.entries.append(entry)
        names = ", ".join(f"{m}: {name}" for m, name in entry.encoders.items())
        told = f"not tried, {entry.note}"
        if entry.p is not None:
            of = self.scores(entry)
            value, low, high = (number(of["accuracy"][k], 2) for k in ("value", "low", "high"))
            told = f"accuracy {value} ({low} to {high}), log loss {number(of['log_loss'])}"
            told += f", {entry.seconds:.1f} s" + (f"; {entry.note}" if entry.note else "")
        print(f"  {entry.fusion:12} {told}  [{names}]", flush=True)

    def scores(self, entry: Entry) -> dict[str, Any]:
        """accuracy (value, low, high) and log_loss, None where they are not known."""
        if entry.p is None:
            return {"accuracy": dict.fromkeys(("value", "low", "high")), "log_loss": None}
        right = entry.p.argmax(axis=1) == self.y
        low, high = Intervals(len(right), self.groups, DRAWS, self.seed).share(right)
        known = not math.isnan(low)
        interval = {"low": low if known else None, "high": high if known else None}
        return {
            "accuracy": {"value": float(right.mean()), **interval},
            "log_loss": float(losses(entry.p, self.y).mean()),
        }

    def lines(self) -> list[dict[str, Any]]:
        """All entries, fit for JSON, the lowest log loss first."""
        found = [
            {"encoders": e.encoders, "fusion": e.fusion, **self.scores(e),
             "seconds": round(e.seconds, 2), "note": e.note}
            for e in self.entries
        ]  # fmt: skip
        return sorted(found, key=lambda of: (of["log_loss"] is None, of["log_loss"] or 0))

    def winner(self, able: Collection[str]) -> tuple[Entry, str]:
        """The simplest that is not shown to be worse than the best, and a sentence that says why.

        Shown means: its log loss on the same rows is higher by more than two standard errors of
        the difference (after Breiman et al. 1984, whose rule has one). A regression has an
        advantage that the race does not see: it then learns from the validation rows, too.

        Args:
            able: the fusions that can be made into a model.
        """
        found = {e.fusion: e.p for e in self.entries if e.fusion in able and e.p is not None}
        lost = {fusion: losses(p, self.y) for fusion, p in found.items()}
        best = min(lost, key=lambda fusion: float(lost[fusion].mean()))
        for fusion in (name for name in FUSIONS if name in lost):
            worse = lost[fusion] - lost[best]
            error = float(worse.std(ddof=1)) / math.sqrt(len(worse)) if len(worse) > 1 else 0.0
            if fusion == best or worse.mean() <= SURE * error:
                break
        why = f"{best!r} has the lowest log loss on the validation part."
        if fusion != best:
            why += (
                f" {fusion!r} is simpler, and its log loss is higher by {worse.mean():.3f} only, "
                f"which is within two standard errors of the difference ({error:.3f} each)."
            )
        elif len(lost) > 1:
            why += " No simpler candidate is within two standard errors of it."
        entry = next(e for e in self.entries if e.fusion == fusion and e.p is not None)
        return entry, why

    def advice(self, winner: Entry) -> list[str]:
        """Sentences: a cheaper candidate that ties with the winner, or one that is better.

        A tie means: the log losses on the same rows differ by less than two standard errors. A
        candidate that reads one modality never wins, so that it may be better, or as good.
        """
        assert winner.p is not None
        base = np.bincount(self.y, minlength=winner.p.shape[1]) / len(self.y)
        by_frequency, _ = self.worse(np.broadcast_to(base, winner.p.shape), winner.p)
        found = []
        if by_frequency <= 0:
            found.append(
                "No model here is shown to be of use: on the validation part, answering by the "
                "frequencies of the classes has as low a log loss as what was taken."
            )
        alone = [e for e in self.entries if e.fusion == ALONE and e.p is not None]
        if len(winner.encoders) == 1:
            of = next(iter(winner.encoders.values()))
            for e in (e for e in alone if of not in e.encoders.values()):
                worse, error = self.worse(e.p, winner.p)
                if worse <= SURE * error and e.seconds < self._seconds(winner):
                    found.append(self._tie(e, worse, error, "has the cheaper encoder"))
            return found
        for e in alone:
            modality = next(iter(e.encoders))
            others = " ".join(f"--without {m}" for m in winner.encoders if m != modality)
            worse, error = self.worse(e.p, winner.p)
            if worse < -SURE * error:
                found.append(
                    f"Take {modality} alone ({e.encoders[modality]}): its log loss is lower than "
                    f"that of what was taken by {-worse:.3f} (standard error {error:.3f}). "
                    f"The option is {others}."
                )
            elif worse <= SURE * error:
                text = f"needs no other modality (the option is {others})"
                found.append(self._tie(e, worse, error, text))
        return found

    def _tie(self, e: Entry, worse: float, error: float, why: str) -> str:
        ((modality, name),) = e.encoders.items()
        return (
            f"{modality} alone, by {name}, ties with what was taken (log loss higher by "
            f"{worse:.3f}, standard error {error:.3f}), and {why}: take it where cost matters."
        )

    def _seconds(self, winner: Entry) -> float:
        """Of the encoders of the winner."""
        return sum(e.seconds for e in self.entries if e.fusion == ALONE
                   and e.encoders.items() <= winner.encoders.items())  # fmt: skip

    def worse(self, p: Array | None, than: Array | None) -> tuple[float, float]:
        """By how much the log loss of p is higher, and the standard error of that."""
        assert p is not None and than is not None
        gap = losses(p, self.y) - losses(than, self.y)
        error = float(gap.std(ddof=1)) / math.sqrt(len(gap)) if len(gap) > 1 else 0.0
        return float(gap.mean()), error
