"""Logistic regression on some sources of a table: from its training, on its validation part."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..table import Table
from . import linear
from .sources import Source

Array = np.ndarray


class Rows:
    """The rows of a table, by part.

    Args:
        table: with labels.
        weights: of the classes, or None.

    Attributes:
        y: int (rows,), the classes.
        parts: part → int, the numbers of its rows.
    """

    def __init__(self, table: Table, weights: Array | None) -> None:
        assert table.y is not None
        self.table, self.weights, self.classes = table, weights, len(table.classes)
        self.y = table.y.astype(int)
        self.parts = {part: np.flatnonzero(table.rows["part"] == part) for part in table.parts}

    def chosen(self, sources: Sequence[Source], gaps: bool = True) -> linear.Linear:
        """With the penalty that the validation part likes best.

        Args:
            gaps: have a column for each modality that is 1 where it is absent.
        """
        train, valid = self._both(sources, gaps)
        return linear.chosen(train, valid, self.weights, self.classes)

    def weighed(self, sources: Sequence[Source]) -> linear.Linear:
        """The same with a penalty for each modality."""
        order = list(dict.fromkeys(source.modality for source in sources))
        widths = [source.blocks.shape[1] for source in sources]
        modality = np.repeat([order.index(s.modality) for s in sources], widths)
        modality = np.concatenate([modality, np.full(len(order), -1)])
        train, valid = self._both(sources, gaps=True)
        return linear.weighed(train, valid, self.weights, self.classes, modality)

    def again(
        self, sources: Sequence[Source], found: linear.Linear, gaps: bool = True
    ) -> linear.Linear:
        """With the same penalties, learned from the training and the validation rows."""
        rows = np.concatenate([self.parts["train"], self.parts["valid"]])
        x = self._matrix(sources, rows, gaps)
        return linear.fit(
            x, self.y[rows], self.weights, self.classes, found.strength, scale=found.scale
        )[0]

    def answer(self, sources: Sequence[Source], found: linear.Linear, gaps: bool = True) -> Array:
        """Probabilities of the validation rows."""
        return found.probabilities(self._matrix(sources, self.parts["valid"], gaps))

    def _both(self, sources: Sequence[Source], gaps: bool) -> list[tuple[Any, Array]]:
        rows = (self.parts["train"], self.parts["valid"])
        return [(self._matrix(sources, some, gaps), self.y[some]) for some in rows]

    def _matrix(self, sources: Sequence[Source], rows: Array, gaps: bool) -> Any:
        one = {source.modality: source.there[rows] for source in sources}
        there = list(one.values()) if gaps else []
        return linear.beside([source.blocks[rows] for source in sources], there)
