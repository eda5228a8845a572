"""Encoders and heads compete on the validation part; the winner becomes one Keras model."""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from ..table import Table
from . import heads, linear, networks
from .board import CONCATENATE, GATED, LATE, LINEAR, Board, Entry
from .entrants import best_of
from .rows import Rows
from .sources import Source

Array = np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What the race gave.

    Attributes:
        board: of all candidates.
        winner, why: the entry that won, and a sentence.
        advice: see `Board.advice`.
        table: reads the inputs of the model.
        model: encoders and head.
        head: the head alone, and `features` what `measure.answer` reads it with as from a table.
        strength: 1 / penalty of a linear head, else None.
        loss: of the winner on the validation part.
        sources: of the encoders.
        again: seed → the head, trained with this seed, and its validation loss; None for a
            regression, which has no random numbers.
        untested: the head that the validation part has judged, which has learned nothing of it.
    """

    board: Board
    winner: Entry
    why: str
    advice: list[str]
    table: Table
    model: keras.Model
    head: keras.Model
    features: Any
    strength: float | None
    loss: float
    again: Callable[[int], tuple[keras.Model, float]] | None
    untested: Callable[[], keras.Model]
    sources: Sequence[Source]

    @property
    def parameters(self) -> dict[str, Any]:
        """For the list of all settings in the report."""
        s = self.table.settings
        size = len(self.table.vocabulary)
        text = {"words": s["words"], "tokens": s["tokens"], "vocabulary": size}
        return {
            **(text if "text" in self.table.modalities else {}),
            **{f"encoder of {m}": name for m, name in self.winner.encoders.items()},
            "fusion": self.winner.fusion,
            "L2 penalty (inverse)": self.strength,
        }


@dataclass(frozen=True)
class _Final:
    """A head that may win, as it is saved; the other attributes are those of `Outcome`."""

    head: Callable[[], keras.Model]
    untested: Callable[[], keras.Model]
    strength: float | None = None
    again: Callable[[int], tuple[keras.Model, float]] | None = None


class Race:
    """One race.

    Args:
        table: with single words and pairs as the ids of texts.
        options: of `mmkeras train`.
        weights: of the classes, or None.
        encoders: "auto" or "pretrained".
    """

    def __init__(
        self, table: Table, options: argparse.Namespace, weights: Array | None, encoders: str
    ) -> None:
        assert table.y is not None
        self.table, self.options, self.encoders = table, options, encoders
        self.classes = len(table.classes)
        self.rows = Rows(table, weights)
        self.end = time.monotonic() + (options.time_limit or math.inf)
        self.board = Board.of(table, options.seed)
        self.final: dict[str, _Final] = {}

    def run(self) -> Outcome:
        """Every candidate for which there is time; the winner is learned anew from more rows.

        NumPy computes on one core meanwhile: on matrices of this size its threads mostly wait for
        each other, at full speed, and on a busy machine that took four times the time.
        """
        with threadpool_limits(1, "blas"):
            return self._run()

    def _run(self) -> Outcome:
        best: list[Source] = []
        names = {}
        for modality in self.table.modalities:
            names[modality], found = best_of(
                modality, self.rows, self.board, pretrained_only=self.encoders == "pretrained",
                end=self.end,
            )  # fmt: skip
            best += found
        self._linear(best, names)
        if len(names) > 1:
            self._late(best, names)
        for fusion in (CONCATENATE, GATED)[: len(names)]:
            self._network(best, names, fusion)
        winner, why = self.board.winner(self.final)
        of = self.final[winner.fusion]
        head = of.head()
        table = next((s.table for s in best if s.modality == "text"), self.table)
        assert winner.p is not None
        return Outcome(
            board=self.board,
            winner=winner,
            why=why,
            advice=self.board.advice(winner),
            table=table,
            model=heads.whole(best, head),
            head=head,
            features=self._features(best),
            strength=of.strength,
            loss=float(linear.losses(winner.p, self.board.y).mean()),
            again=of.again,
            untested=of.untested,
            sources=best,
        )

    # ---- heads --------------------------------------------------------------------------------

    def _linear(self, best: Sequence[Source], names: dict[str, str]) -> None:
        began = time.monotonic()
        found = self.rows.weighed(best)
        p = self.rows.answer(best, found)
        self.board.add(Entry(names, LINEAR, p, time.monotonic() - began))
        self.final[LINEAR] = _Final(
            lambda: heads.linear_head(best, self.rows.again(best, found)),
            lambda: heads.linear_head(best, found),
            found.strength,
        )

    def _late(self, best: Sequence[Source], names: dict[str, str]) -> None:
        began, rows, parts = time.monotonic(), self.rows, list(heads.by_modality(best).values())
        found = [rows.chosen(some, gaps=False) for some in parts]
        each = [rows.answer(some, one, gaps=False) for some, one in zip(parts, found, strict=True)]
        there = np.stack([some[0].there[rows.parts["valid"]] for some in parts], axis=1)
        there = there.astype(float)
        there[~there.any(axis=1)] = 1
        p = np.einsum("nm,mnk->nk", there / there.sum(axis=1, keepdims=True), np.stack(each))
        self.board.add(Entry(names, LATE, p, time.monotonic() - began))

        def final() -> keras.Model:
            pairs = zip(parts, found, strict=True)
            again = [rows.again(some, one, gaps=False) for some, one in pairs]
            return heads.late_head(best, again)

        self.final[LATE] = _Final(final, lambda: heads.late_head(best, found))

    def _network(self, best: Sequence[Source], names: dict[str, str], fusion: str) -> None:
        if self.end <= time.monotonic():
            self.board.add(Entry(names, fusion, note="no time was left"))
            return
        began = time.monotonic()
        head, p = self._trained(best, fusion, self.options.seed)
        self.board.add(Entry(names, fusion, p, time.monotonic() - began))

        def again(seed: int) -> tuple[keras.Model, float]:
            head, p = self._trained(best, fusion, seed)
            return head, float(linear.losses(p, self.board.y).mean())

        self.final[fusion] = _Final(lambda: head, lambda: head, again=again)

    def _trained(self, best: Sequence[Source], fusion: str, seed: int) -> tuple[keras.Model, Array]:
        keras.utils.set_random_seed(seed)
        head = heads.network(best, fusion, 1 if self.classes == 2 else self.classes)
        rows = self.rows
        train, valid = (
            (self._inputs(best, rows.parts[part]), rows.y[rows.parts[part]])
            for part in ("train", "valid")
        )
        return head, networks.trained(head, train, valid, rows.weights, self.classes, self.end)

    # ---- the head by itself -------------------------------------------------------------------

    def _inputs(self, best: Sequence[Source], rows: Array) -> dict[str, Array]:
        one = [some[0] for some in heads.by_modality(best).values()]
        there = np.stack([source.there[rows] for source in one], axis=1).astype(np.float32)
        return {**{s.key: s.features[rows] for s in best}, "present": there}

    def _features(self, best: Sequence[Source]) -> Any:
        """What `measure.answer` asks of a table, with features instead of what they are made of."""

        def dataset(part: str, shuffle: bool = False) -> Any:
            def batches() -> Iterator[Any]:
                rows = self.rows.parts[part]
                for some in np.split(rows, range(256, len(rows), 256)):
                    yield self._inputs(best, some), self.rows.y[some]

            return SimpleNamespace(as_numpy_iterator=batches)

        table = self.table
        return SimpleNamespace(
            modalities=table.modalities, classes=table.classes, parts=table.parts, dataset=dataset
        )
