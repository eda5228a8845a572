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

from ..table import Table
from . import choice, heads, linear, networks, sources
from .board import ALONE, CONCATENATE, GATED, LATE, LINEAR, Board, Entry
from .sources import Source, TooSlow

Array = np.ndarray
Maker = Callable[[float], Source | str]  # seconds that it may take → a source, or why not


@dataclass(frozen=True)
class Outcome:
    """What the race gave.

    Attributes:
        board: see `Board.lines`.
        winner, why: the entry that won, and a sentence.
        table: reads the inputs of the model.
        model: encoders and head.
        head: the head alone, and `features` what `measure.answer` reads it with as from a table.
        strength: 1 / penalty of a linear head, else None.
    """

    board: list[dict[str, Any]]
    winner: Entry
    why: str
    table: Table
    model: keras.Model
    head: keras.Model
    features: Any
    strength: float | None

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
        self.weights, self.classes, self.y = weights, len(table.classes), table.y.astype(int)
        self.parts = {part: np.flatnonzero(table.rows["part"] == part) for part in table.parts}
        self.end = time.monotonic() + (options.time_limit or math.inf)
        self.board = Board.of(table, options.seed)
        self.final: dict[str, Callable[[], tuple[keras.Model, float | None]]] = {}

    def run(self) -> Outcome:
        """Every candidate for which there is time; the winner is learned anew from more rows."""
        best = [self._best_of(modality) for modality in self.table.modalities]
        names = {source.modality: source.name for source in best}
        self._linear(best, names)
        if len(best) > 1:
            self._late(best, names)
        for fusion in (CONCATENATE, GATED)[: len(best)]:
            self._network(best, names, fusion)
        winner, why = self.board.winner(self.final)
        head, strength = self.final[winner.fusion]()
        table = next((s.table for s in best if s.modality == "text"), self.table)
        return Outcome(
            self.board.lines(), winner, why, table, heads.whole(best, head), head,
            self._features(best), strength,
        )  # fmt: skip

    # ---- encoders -----------------------------------------------------------------------------

    def _best_of(self, modality: str) -> Source:
        """The encoder whose linear head has the lowest validation loss."""
        small, large = self._makers(modality)
        makers = {**({} if large and self.encoders == "pretrained" else small), **large}
        found: list[tuple[float, Source]] = []
        for name, make in makers.items():
            self._try(modality, name, make, found)
        if not found:  # a language that the pretrained encoder does not read
            for name, make in small.items():
                self._try(modality, name, make, found)
        return min(found, key=lambda pair: pair[0])[1]

    def _try(
        self, modality: str, name: str, make: Maker, found: list[tuple[float, Source]]
    ) -> None:
        began = time.monotonic()
        limit = self._left() if found else math.inf  # one must be there
        try:
            source = make(limit) if limit > 0 else "no time was left"
        except TooSlow as slow:
            source = str(slow)
        if isinstance(source, str):
            self.board.add(Entry({modality: name}, ALONE, note=source))
            return
        p = self._answer([source], self._chosen([source]))
        self.board.add(Entry({modality: name}, ALONE, p, time.monotonic() - began))
        found.append((float(linear.losses(p, self.board.y).mean()), source))

    def _makers(self, modality: str) -> tuple[dict[str, Maker], dict[str, Maker]]:
        """Name → maker of the small encoders, which are always there, and of the pretrained."""
        table, keep = self.table, not self.options.no_cache
        small: dict[str, dict[str, Maker]] = {
            "text": {"TF-IDF": lambda _: sources.tf_idf(table)},
            "image": {},
            "audio": {"mel statistics": lambda _: sources.mel_statistics(table, keep=keep)},
            "numbers": {"as they are": lambda _: sources.numbers(table)},
        }
        pretrained = {
            "text": sources.minilm, "image": sources.efficientnet, "audio": sources.whisper,
        }  # fmt: skip
        if modality not in pretrained or not choice.here(modality):
            return small[modality], {}
        make = pretrained[modality]
        large: dict[str, Maker] = {
            choice.NAMES[modality]: lambda seconds: make(table, keep=keep, seconds=seconds)
        }
        return small[modality], large

    def _left(self) -> float:
        """Seconds until the time limit."""
        return self.end - time.monotonic()

    # ---- heads --------------------------------------------------------------------------------

    def _linear(self, best: Sequence[Source], names: dict[str, str]) -> None:
        began = time.monotonic()
        found = self._chosen(best)
        p = self._answer(best, found)
        self.board.add(Entry(names, LINEAR, p, time.monotonic() - began))
        self.final[LINEAR] = lambda: (
            heads.linear_head(best, self._again(best, found)), found.strength
        )  # fmt: skip

    def _late(self, best: Sequence[Source], names: dict[str, str]) -> None:
        began = time.monotonic()
        found = [self._chosen([source], gaps=False) for source in best]
        each = [self._answer([s], one, gaps=False) for s, one in zip(best, found, strict=True)]
        there = np.stack([s.there[self.parts["valid"]] for s in best], axis=1).astype(float)
        there[~there.any(axis=1)] = 1
        p = np.einsum("nm,mnk->nk", there / there.sum(axis=1, keepdims=True), np.stack(each))
        self.board.add(Entry(names, LATE, p, time.monotonic() - began))

        def final() -> tuple[keras.Model, float | None]:
            pairs = zip(best, found, strict=True)
            again = [self._again([source], one, gaps=False) for source, one in pairs]
            return heads.late_head(best, again), None

        self.final[LATE] = final

    def _network(self, best: Sequence[Source], names: dict[str, str], fusion: str) -> None:
        if self._left() <= 0:
            self.board.add(Entry(names, fusion, note="no time was left"))
            return
        began = time.monotonic()
        keras.utils.set_random_seed(self.options.seed)
        head = heads.network(best, fusion, 1 if self.classes == 2 else self.classes)
        train, valid = (
            (self._inputs(best, self.parts[part]), self.y[self.parts[part]])
            for part in ("train", "valid")
        )
        p = networks.trained(head, train, valid, self.weights, self.classes, self.end)
        self.board.add(Entry(names, fusion, p, time.monotonic() - began))
        self.final[fusion] = lambda: (head, None)

    # ---- logistic regression ------------------------------------------------------------------

    def _matrix(self, best: Sequence[Source], rows: Array, gaps: bool = True) -> Any:
        there = [source.there[rows] for source in best] if gaps else []
        return linear.beside([source.blocks[rows] for source in best], there)

    def _chosen(self, best: Sequence[Source], gaps: bool = True) -> linear.Linear:
        train, valid = (
            (self._matrix(best, self.parts[part], gaps), self.y[self.parts[part]])
            for part in ("train", "valid")
        )
        return linear.chosen(train, valid, self.weights, self.classes)

    def _again(
        self, best: Sequence[Source], found: linear.Linear, gaps: bool = True
    ) -> linear.Linear:
        """With the same penalty, learned from the training and the validation rows."""
        rows = np.concatenate([self.parts["train"], self.parts["valid"]])
        x = self._matrix(best, rows, gaps)
        return linear.fit(x, self.y[rows], self.weights, self.classes, found.strength)[0]

    def _answer(self, best: Sequence[Source], found: linear.Linear, gaps: bool = True) -> Array:
        return found.probabilities(self._matrix(best, self.parts["valid"], gaps))

    # ---- the head by itself -------------------------------------------------------------------

    def _inputs(self, best: Sequence[Source], rows: Array) -> dict[str, Array]:
        there = np.stack([source.there[rows] for source in best], axis=1).astype(np.float32)
        return {**{s.modality: s.features[rows] for s in best}, "present": there}

    def _features(self, best: Sequence[Source]) -> Any:
        """What `measure.answer` asks of a table, with features instead of what they are made of."""

        def dataset(part: str, shuffle: bool = False) -> Any:
            def batches() -> Iterator[Any]:
                rows = self.parts[part]
                for some in np.split(rows, range(256, len(rows), 256)):
                    yield self._inputs(best, some), self.y[some]

            return SimpleNamespace(as_numpy_iterator=batches)

        table = self.table
        return SimpleNamespace(
            modalities=table.modalities, classes=table.classes, parts=table.parts, dataset=dataset
        )
