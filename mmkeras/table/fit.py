"""Training in which each finished epoch is kept, so that a killed run can continue from there.

From the first epoch on, the best model so far is in the folder. With `training.Resume`, a run that
was killed and resumed gives the same bits as one that was not. Derived in chapter 08.
"""

import argparse
import contextlib
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import branches, models
from ..training import Resume, distributed
from .command import RunError
from .run import save_model

UNBALANCED = 3.0  # ratio of the largest to the smallest class from which on classes are weighted
DROPOUT = 0.2  # rate of the modality dropout, and of the dropout before the head


@dataclass(frozen=True)
class Fitted:
    """The course of the training with one seed.

    Attributes:
        history: metric → a number per epoch, over all starts of the run.
        why: the reason why it ended: "patience", "epochs" or "time".
    """

    history: dict[str, list[float]]
    why: str

    @property
    def best_epoch(self) -> int:
        """The epoch whose model is kept, counted from 1."""
        return int(np.argmin(self.history["val_loss"])) + 1

    @property
    def best_loss(self) -> float:
        """The lowest validation loss."""
        return min(self.history["val_loss"])


def build(table: Any, options: argparse.Namespace, seed: int) -> keras.Model:
    """A model with one encoder per modality and their fusion, for missing modalities; not compiled.

    Raises:
        ValueError: the fusion or encoder is unknown, or a size is too small for it.
    """
    keras.utils.set_random_seed(seed)
    s, sequences = table.settings, options.fusion in ("cross_attention", "bottleneck")
    make = {
        "text": lambda: branches.text_branch(len(table.vocabulary), s["words"], tokens=sequences),
        "image": lambda: branches.image_branch(
            (*s["image_size"], 3), encoder=options.image_encoder, tokens=sequences
        ),
        "audio": lambda: branches.audio_branch(
            round(s["audio_rate"] * s["audio_seconds"]), s["audio_rate"], tokens=sequences
        ),
        "numbers": lambda: branches.vector_branch(len(table.number_names), name="numbers"),
    }
    parts = [make[modality]() for modality in table.modalities]
    heads: dict[str, Any] = {"answer": "binary" if len(table.classes) == 2 else len(table.classes)}
    return models.multimodal_model(
        parts, heads, fusion=options.fusion, missing=True, dropout=DROPOUT
    )


def class_weights(counts: Sequence[int], choice: str = "auto") -> np.ndarray | None:
    """Weights n / (classes · n_c) of the classes, with mean 1 over the rows; None for equal ones.

    Args:
        counts: number of training rows of each class.
        choice: "balanced", "none", or "auto", which balances if the largest class has at least
            three times as many rows as the smallest.
    """
    rows = np.maximum(np.asarray(counts, float), 1)
    if choice == "none" or (choice == "auto" and rows.max() < UNBALANCED * rows.min()):
        return None
    return rows.sum() / (len(rows) * rows)


def batch_size(table: Any, options: argparse.Namespace) -> int:
    """Rows per training batch: the option, or a tenth of the training rows, from 8 to 32."""
    return options.batch_size or int(np.clip(table.parts["train"] // 10, 8, 32))


def patience(epochs: int) -> int:
    """Number of epochs without a better validation loss after which the training ends."""
    return max(5, epochs // 5)


def fit(
    model: keras.Model,
    table: Any,
    options: argparse.Namespace,
    weights: np.ndarray | None,
    folder: Path,
    seconds: float = math.inf,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> Fitted:
    """Train until the validation loss has stopped falling; the model then has the best weights.

    Args:
        model: from `build`.
        table: a `Table`.
        options: those of `mmkeras train`.
        weights: weights of the classes, or None.
        folder: the folder where each epoch is kept; a training that it holds is continued.
        seconds: the time after which to stop.
        optimizer: None for Adam and a model that has learned nothing yet. With another one the
            model has: it is the best until an epoch has a lower validation loss.

    Raises:
        RunError: the loss is not finite, or a file of the table was deleted.
        OSError: the folder cannot be written to; it still holds all earlier epochs.
    """
    binary = len(table.classes) == 2
    loss = "binary_crossentropy" if binary else "sparse_categorical_crossentropy"
    strategy = distributed.of(model)
    with model.distribute_strategy.scope():
        model.compile(
            optimizer or keras.optimizers.Adam(options.learning_rate),
            loss,
            metrics=["accuracy"],
            steps_per_execution=1 if strategy else _steps_at_once(table, options),
        )
    resume = Resume(folder, seed=options.seed)
    stop = _Stop(resume.history, options.epochs, options.learning_rate, seconds)
    if not stop.why:
        train, valid = _streams(table, options, weights, resume.done, strategy)
        start = (
            model.evaluate(valid, verbose=0, return_dict=True)["loss"] if optimizer else math.inf
        )
        best = _Best(folder / "model.keras", resume.history, options.learning_rate, start)
        if optimizer and not resume.done:
            model.optimizer.build(model.trainable_variables)
            save_model(model, best.file)
        with contextlib.suppress(_TimeUp):
            distributed.fit(
                model,
                train,
                validation_data=valid,
                initial_epoch=resume.done,
                epochs=options.epochs,
                verbose=0,
                callbacks=[best, resume, stop, _Progress(options.epochs, resume.history, start)],
            )
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)  # it is in the file, too
    model.load_weights(folder / "model.keras")
    history = {name: [logs[name] for logs in resume.history] for name in resume.history[0]}
    return Fitted(history, stop.why)


def _steps_at_once(table: Any, options: argparse.Namespace) -> int:
    """Steps per call from Python: several steps save 0.8 ms each, but cost 0.2 s to trace.

    The weights do not depend on this number, to the last bit.
    """
    steps = table.parts["train"] // batch_size(table, options)
    return 8 if steps >= 16 and steps * options.epochs >= 500 else 1


def _streams(
    table: Any, options: argparse.Namespace, weights: np.ndarray | None, done: int, strategy: Any
) -> list[Any]:
    """Batches of (x, y, weight of y) for training, from epoch `done` on, and for validation."""
    share = distributed.share(strategy)
    size = max(batch_size(table, options), share.of)
    scale = tf.constant(np.ones(len(table.classes)) if weights is None else weights, tf.float32)

    def weigh(x: Any, y: Any) -> Any:
        return x, y, tf.gather(scale, y)

    streams = [
        table.dataset(part, size, seed=options.seed, first_pass=done, share=share).map(weigh)
        for part in ("train", "valid")
    ]
    return [distributed.fed(strategy, stream) for stream in streams]


class _TimeUp(Exception):
    """The time ended within an epoch, which is repeated when the run is resumed."""


class _Best(keras.callbacks.Callback):
    """Saves each new best model; called before `Resume`, whose state must not be ahead of it."""

    def __init__(
        self, file: Path, earlier: Sequence[dict[str, float]], rate: float, start: float
    ) -> None:
        super().__init__()
        self.file, self.earlier, self.rate, self.start = file, earlier, rate, start

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._check("loss", logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        self._check("loss", logs)
        self._check("val_loss", logs)
        lowest = min([self.start, *(before["val_loss"] for before in self.earlier)])
        if logs["val_loss"] < lowest:
            save_model(self.model, self.file)

    def _check(self, name: str, logs: dict[str, float]) -> None:
        if not math.isfinite(logs[name]):
            where = "validation loss" if name == "val_loss" else "loss"
            lower = min(self.rate / 10, 1e-3)
            raise RunError(
                f"in epoch {self.epoch} the {where} is {logs[name]}, no finite number: the steps "
                f"are too large. Lower --learning-rate: it is {self.rate:g}; try {lower:g}"
            )


class _Stop(keras.callbacks.Callback):
    """Ends the training; called after `Resume`, which reads the optimiser's state."""

    def __init__(
        self, history: Sequence[dict[str, float]], epochs: int, rate: float, seconds: float
    ) -> None:
        super().__init__()
        self.history, self.epochs, self.rate = history, epochs, rate
        self.end, self.why = time.monotonic() + seconds, ""
        self._look()

    def _look(self) -> None:
        losses = [logs["val_loss"] for logs in self.history]
        if losses and len(losses) - 1 - int(np.argmin(losses)) >= patience(self.epochs):
            self.why = "patience"
        elif len(losses) >= self.epochs:
            self.why = "epochs"

    def on_train_begin(self, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = self.rate

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if time.monotonic() > self.end:
            self.why = "time"
            if self.history:
                raise _TimeUp
            self.model.stop_training = True  # a part of the first epoch is better than nothing

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._look()
        now = time.monotonic()
        if not self.why and now + (now - self.began) > self.end:  # the next one would end too late
            self.why = "time"
        if self.why:
            self.model.stop_training = True


class _Progress(keras.callbacks.Callback):
    """Prints a line per epoch, and, on a terminal, the number of the current batch."""

    def __init__(self, epochs: int, history: Sequence[dict[str, float]], start: float) -> None:
        super().__init__()
        self.epochs = epochs
        self.best = min([start, *(logs["val_loss"] for logs in history)])

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self.began = epoch + 1, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if sys.stdout.isatty():
            of = self.params.get("steps") or "?"
            print(f"\repoch {self.epoch}/{self.epochs}, batch {batch + 1}/{of}  ", end="")
            sys.stdout.flush()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs, best = logs or {}, ""
        again = "\r" if sys.stdout.isatty() else ""  # over the line that counted batches
        if logs["val_loss"] < self.best:
            self.best, best = logs["val_loss"], "  best so far"
        print(
            f"{again}epoch {self.epoch:3d}/{self.epochs}"
            f"  loss {logs['loss']:.3f} (validation {logs['val_loss']:.3f})"
            f"  accuracy {logs['accuracy']:.2f} ({logs['val_accuracy']:.2f})"
            f"  {time.monotonic() - self.began:.1f} s{best}",
            flush=True,
        )
