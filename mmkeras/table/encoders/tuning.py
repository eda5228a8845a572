"""Fine-tuning: the winner of the race goes on, together with the last blocks of its encoders.

The head comes first, as it was learned behind frozen encoders, so that the blocks need not follow a
head that knows nothing yet (Kumar et al. 2022, arXiv:2202.10054).
"""

import argparse
import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ... import pretrained
from .. import fit
from .. import run as runs
from ..measure import probabilities
from ..wording import number
from . import choice, heads
from .board import SURE, TUNED, Entry
from .race import Outcome

TOP, EPOCHS, RATE, DECAY, NORM = 2, 5, 1e-4, 0.01, 1.0  # blocks, …, weight decay, largest gradient
NOTHING = "none of the encoders that won is a pretrained one"


@dataclass(frozen=True)
class Tuned:
    """What came of it.

    Attributes:
        model: the fine-tuned model if it is shown to be better, else None.
        fitted: the course of its training.
        why: a sentence.
    """

    model: keras.Model | None
    fitted: fit.Fitted
    why: str

    @property
    def settings(self) -> dict[str, Any]:
        """For the list of all settings in the report."""
        tried = {
            "fine-tuning": "kept" if self.model else "tried, not kept",
            "blocks per encoder, fine-tuned": TOP,
            "fine-tuning, epochs at most": EPOCHS,
            "fine-tuning, optimiser": f"AdamW, rate {RATE:g}, decay {DECAY:g}, norm {NORM:g}",
        }
        return tried


def tuned(
    found: Outcome,
    options: argparse.Namespace,
    weights: Any,
    settings: dict[str, Any],
    folder: Path,
    seconds: float = math.inf,
) -> Tuned | None:
    """Train on from the winner; None where it has no pretrained encoder.

    The fine-tuned model is better if its log loss on the validation rows is lower than that of the
    frozen one, whose head has not learned from these rows either, by more than two standard errors
    of the difference. Otherwise the encoders get their old weights back.

    Args:
        weights: of the classes, or None.
        settings: of settings.json, for a run that is stopped.
        folder: where each epoch is kept; a training that it holds is continued.
        seconds: that it may take.
    """
    encoders = [s.encoder for s in found.sources if s.encoder and s.name in choice.NAMES.values()]
    if not encoders:
        return None
    began = time.monotonic()
    model = heads.whole(found.sources, found.untested())
    with _given_back(encoders) as keep:
        for encoder in encoders:
            pretrained.unfreeze(encoder, TOP)
        folder.mkdir(parents=True, exist_ok=True)
        runs.check_room(folder, model)
        ours = {"weights": model.count_params(), "training": "not ended"}
        runs.write_json(folder / "settings.json", {**settings, **ours})
        own = {"epochs": EPOCHS, "learning_rate": RATE, "fusion": found.winner.fusion}
        optimizer = keras.optimizers.AdamW(RATE, weight_decay=DECAY, global_clipnorm=NORM)
        fitted = fit.fit(
            model, found.table, argparse.Namespace(**vars(options) | own), weights, folder, seconds,
            optimizer,
        )  # fmt: skip
        p = _answers(model, found.table)
        found.board.add(Entry(found.winner.encoders, TUNED, p, time.monotonic() - began))
        worse, error = found.board.worse(p, found.winner.p)
        better = worse < -SURE * error
        keep(better)
    if np.allclose(p, np.asarray(found.winner.p), atol=1e-4):
        why = "No epoch of the fine-tuning had a lower loss on the validation part than the start"
        return Tuned(None, fitted, f"{why}: the encoders stay as they were.")
    told = (
        f"Fine-tuning the last {TOP} blocks of each pretrained encoder changed the log loss on the "
        f"validation part by {number(worse)} (standard error {number(error)})"
    )
    if better:
        return Tuned(model, fitted, f"{told}: the fine-tuned model is taken.")
    why = f"{told}, which does not show that it is better: the encoders stay as they were."
    return Tuned(None, fitted, why)


@contextlib.contextmanager
def _given_back(encoders: list[keras.Model]) -> Iterator[Any]:
    """Encoders get their weights back at the end, unless the block says that they keep theirs."""
    before = [encoder.get_weights() for encoder in encoders]
    kept: list[bool] = []
    try:
        yield kept.append
    finally:
        if kept != [True]:
            for encoder, old in zip(encoders, before, strict=True):
                encoder.set_weights(old)
                encoder.trainable = False


def _answers(model: keras.Model, table: Any) -> np.ndarray:
    """Probabilities (n, classes) of the validation rows."""
    batches = table.dataset("valid").as_numpy_iterator()
    return np.concatenate([probabilities(model, x, len(table.classes)) for x, _ in batches])
