"""The explanation of one answer of a trained run: modalities, words, patches, stretches, columns.

Everything is measured on the whole model, with the reading of `mmkeras predict`: a part is taken
out of the row, and the model answers again. Chapter 17 compares such explanations with the truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..explain import Answer, mean_gain, without_each
from . import cuts
from .measure import probabilities

Array = np.ndarray
AT_ONCE = 64  # answers that are computed together


@dataclass(frozen=True, eq=False)
class Explained:
    """What one answer came from; effects are log-odds, log(p / (1 - p)), of the class `chosen`.

    Attributes:
        row: its number in the file; the header is row 1.
        p: the probabilities of all classes, float (classes,).
        chosen: the number of the class whose log-odds are explained.
        odds: the log-odds of this class for the whole row.
        nothing: the log-odds when the model is given no modality at all.
        shares: modality → its Shapley value; they sum to odds - nothing. None: the row lacks it.
        parts: each modality divided, with the effect of each part, float (R,), and the effect of
            removing all of them at once.
        text, picture, sound: what the model was given, or None where absent.
        rate: samples of the sound per second.
    """

    row: int
    p: Array
    chosen: int
    odds: float
    nothing: float
    shares: dict[str, float | None]
    parts: list[tuple[cuts.Cut, Array, float]]
    text: str | None = None
    picture: Array | None = None
    sound: Array | None = None
    rate: int = 0


class Explainer:
    """Explains answers of one model about the rows of one table.

    Args:
        model: of a run.
        table: from `load_table`, without a label.
        classes: their names.
        method: "shapley", what a part adds, averaged over orders of adding the parts; or
            "occlusion", the answer minus that without the part.
        permutations, seed: of `mmkeras.explain.mean_gain`.
        grid, stretches: patches along a side of a picture, and stretches of a sound.
    """

    def __init__(
        self,
        model: Any,
        table: Any,
        classes: list[str],
        *,
        method: str = "shapley",
        permutations: int = 4,
        seed: int = 0,
        grid: int = 8,
        stretches: int = 16,
    ) -> None:
        self.model, self.table, self.classes = model, table, classes
        self.method, self.permutations, self.seed = method, permutations, seed
        self.grid, self.stretches = grid, stretches
        self.answer = Answer(model, batch_size=AT_ONCE)

    def __call__(self, place: int, cells: Mapping[str, str], target: int | None) -> Explained:
        """Explain one row.

        Args:
            place: of the row in `table.rows`, from 0.
            cells: column of the file → cell of this row.
            target: the number of the class, or None for the most probable one.
        """
        table = self.table
        x = table.inputs(np.array([place]))
        p = probabilities(self.model, x, len(self.classes))[0]
        chosen = int(p.argmax()) if target is None else target
        ends, shares = self._modalities(x, chosen)
        parts = []
        for cut in cuts.of_row(table, place, x, cells, self.grid, self.stretches):
            parts.append((cut, *self._effects(cut, x, chosen)))
        row = table.rows.iloc[place]
        there = {m for m, share in shares.items() if share is not None}
        return Explained(
            int(row["row"]), p, chosen, *ends, shares, parts,
            row["text"] if "text" in there else None,
            x["image"][0] if "image" in there else None,
            x["audio"][0] if "audio" in there else None,
            table.settings["audio_rate"],
        )  # fmt: skip

    def _modalities(
        self, x: cuts.Inputs, chosen: int
    ) -> tuple[tuple[float, float], dict[str, float | None]]:
        """The log-odds with everything and with nothing, and the exact share of each modality."""
        there = np.flatnonzero(x["present"][0])

        def without(keep: Array) -> dict[str, Array]:
            present = np.zeros((len(keep), x["present"].shape[1]), np.float32)
            present[:, there] = keep
            return {"present": present}

        shares: dict[str, float | None] = dict.fromkeys(self.table.modalities)
        ends = np.array([[True], [False]]).repeat(len(there), axis=1)
        odds, nothing = self._answers(without(ends), x, chosen)
        if len(there):
            found = mean_gain(lambda keep: self._answers(without(keep), x, chosen), len(there))
            names = [self.table.modalities[m] for m in there]
            shares |= dict(zip(names, found.tolist(), strict=True))
        return (float(odds), float(nothing)), shares

    def _effects(self, cut: cuts.Cut, x: cuts.Inputs, chosen: int) -> tuple[Array, float]:
        """The effect of each part, float (R,), while the other modalities stay; and of all."""

        def value(keep: Array) -> Array:
            some = [keep[i : i + AT_ONCE] for i in range(0, len(keep), AT_ONCE)]
            return np.concatenate([self._answers(cut.without(k), x, chosen) for k in some])

        size = len(cut.names)
        whole, nothing = value(np.array([[True], [False]]).repeat(size, axis=1))
        if self.method == "occlusion":
            return without_each(value, size), float(whole - nothing)
        return mean_gain(value, size, self.permutations, self.seed), float(whole - nothing)

    def _answers(self, changed: Mapping[str, Array], x: cuts.Inputs, chosen: int) -> Array:
        """The log-odds, float (k,), of the row with k changes."""
        k = len(next(iter(changed.values())))
        whole = {name: np.repeat(x[name], k, axis=0) for name in self.answer.names}
        return self.answer(whole | dict(changed), np.full(k, chosen, np.int32))
