"""A training on several devices: what a process that takes part in it does.

Nothing heavy is imported here before it is needed, so that `--help` appears at once.
"""

import argparse
import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import run as runs
from .cluster import PARENT, Task
from .command import RunError


def strategy_of(options: argparse.Namespace, task: Task | None) -> Any:
    """The strategy, or None for one device; before TensorFlow computes anything.

    Raises:
        RunError: this Keras does not work with several workers, or the devices are not there.
    """
    if task is None and not options.devices:
        return None
    from ..training import distributed

    try:
        if task:
            _end_with_parent()
            strategy = distributed.worker(task.addresses, task.index or 0)
        else:
            if options.devices.startswith("cpu:"):
                distributed.split_cpu(int(options.devices[4:]))
            strategy = distributed.devices(options.devices)
    except (RuntimeError, ValueError) as error:
        raise RunError(str(error)) from None
    part = distributed.share(strategy)
    where = f"{len(task.addresses)} workers" if task else "this machine"
    print(f"Devices: {part.of} on {where}, which share the rows of each batch")
    return strategy


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even while it waits for others."""
    parent = int(os.environ.get(PARENT, os.getppid()))
    if PARENT not in os.environ:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    threading.Thread(target=watch, daemon=True, name="parent").start()


@contextlib.contextmanager
def quiet(options: argparse.Namespace) -> Iterator[None]:
    """A worker that is no chief says nothing, and writes into a folder that vanishes."""
    with tempfile.TemporaryDirectory(prefix="mmkeras-") as folder, open(os.devnull, "w") as nowhere:
        options.out = Path(folder)
        with contextlib.redirect_stdout(nowhere):
            yield


@contextlib.contextmanager
def together(task: Task | None) -> Iterator[None]:
    """In this block workers wait for each other; RunError if one of them is gone."""
    if task is None:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if "Collective" not in str(error) and not isinstance(error, tf.errors.UnavailableError):
            raise
        raise RunError("another worker is gone, so that this one cannot go on: start all again, "
                       "with --resume") from None  # fmt: skip


@contextlib.contextmanager
def scope(strategy: Any) -> Iterator[None]:
    """In this block a model is built for the strategy; for one device if it is None."""
    if strategy is None:
        yield
        return
    with strategy.scope():
        yield


def synchronized(model: Any, strategy: Any) -> Any:
    """The model; under a strategy, its batch normalisation sees whole batches."""
    from ..training import distributed

    return distributed.synchronized(model) if strategy else model


def left(strategy: Any) -> bool:
    """Whether this worker is done, because the training is over and another is the chief."""
    from ..training import distributed

    distributed.leave(strategy)
    return distributed.number(strategy) > 0


def check(strategy: Any, options: argparse.Namespace, table: Any, settings: Any) -> None:
    """Raise RunError if a part has too few rows, or a worker other data, options or versions."""
    from ..training import distributed

    replicas = distributed.share(strategy).of
    for part in ("train", "valid"):
        if table.parts[part] < replicas:
            raise RunError(f"the part {part!r} has {table.parts[part]} rows for {replicas} "
                           "devices: take fewer devices, or more rows")  # fmt: skip
    if not options.task:
        return
    own = {key: value for key, value in vars(options).items() if key not in runs.CHANGEABLE}
    facts = own, {key: value for key, value in settings.items() if key not in ("day", "device")}
    if others := distributed.differing(strategy, facts):
        raise RunError(
            f"worker {', '.join(map(str, others))} has another table, other options or other "
            "versions than the chief, worker 0: give all workers the same"
        )


def receive(strategy: Any, folder: Path) -> None:
    """Give every worker the chief's last epoch and best model, from which all then go on."""
    from ..training import distributed

    for name in (runs.STATE, "model.keras"):
        file = folder / name
        mine = file.read_bytes() if file.exists() and not distributed.number(strategy) else b""
        if (content := distributed.from_chief(strategy, mine)) and not mine:
            file.write_bytes(content)
