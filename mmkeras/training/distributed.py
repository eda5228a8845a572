"""One model on several devices or hosts: the same numbers as one process on the same batches.

Each replica computes the gradient of its share of a batch, and all add theirs up (Goyal et al.
2017, arXiv:1706.02677), so that every replica takes the same step:

    strategy = distributed.devices("all")              # or distributed.worker(addresses, index)
    with strategy.scope():
        model = distributed.synchronized(build())
        model.compile("adam", "sparse_categorical_crossentropy")
    data = distributed.fed(strategy, distributed.divided(batches, distributed.share(strategy)))
    distributed.fit(model, data, epochs=2)

Derived in chapter 20.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

MENDED = ("3.15.1",)  # versions of Keras whose `fit` fails with several workers, and is mended here
LEAVE = 3.0  # seconds that a worker stays when it is done: another may still fetch its last sums


@dataclass(frozen=True)
class Share:
    """The pieces of each batch that this process computes.

    Attributes:
        first, count: number of the first piece, and number of pieces, of this process.
        of: number of pieces into which each batch is divided, which is that of all replicas.
    """

    first: int = 0
    count: int = 1
    of: int = 1

    def pieces(self, rows: np.ndarray) -> list[np.ndarray]:
        """Those of the rows (n, …) of a batch; their sizes differ by at most 1."""
        return np.array_split(rows, self.of)[self.first : self.first + self.count]

    def batches(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Batches of the rows (n, …), in their order, each of which has a row for every replica.

        A last batch with fewer rows than replicas is joined to the one before it.

        Raises:
            ValueError: there are fewer rows than replicas, or a batch has.
        """
        if min(size, len(rows)) < self.of:
            raise ValueError(
                f"each of the {self.of} devices needs a row of every batch, but there are "
                f"{min(size, len(rows))}: take larger batches, or fewer devices"
            )
        found = [rows[start : start + size] for start in range(0, len(rows), size)]
        if len(found[-1]) < self.of:
            found[-2:] = [np.concatenate(found[-2:])]
        return found


# ------------------------------------------------------------------------------ strategies


def devices(which: str = "all") -> tf.distribute.Strategy:
    """A `MirroredStrategy` over devices of this machine.

    Args:
        which: "all" for all GPUs, or, without a GPU, all logical CPUs; "cpu:2" for two logical
            CPUs, which is no faster than one, but shows on any machine how it works.

    Raises:
        ValueError: `which` is something else.
        RuntimeError: TensorFlow has computed before, so that it has another number of CPUs.
    """
    if found := re.fullmatch(r"cpu:([1-9]\d?)", which):
        count = int(found[1])
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise RuntimeError(
                f"TensorFlow has started with {len(tf.config.list_logical_devices('CPU'))} logical "
                f"CPUs: call distributed.split_cpu({count}) in a new process, before anything else"
            )
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])
    if which != "all":
        raise ValueError(f"devices must be 'all' or such as 'cpu:2', got {which!r}")
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices(kind)])


def split_cpu(count: int) -> None:
    """Let TensorFlow see one processor as `count` logical CPUs; before it computes anything."""
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(cpu, logical)


def worker(addresses: Sequence[str], index: int) -> tf.distribute.Strategy:
    """A `MultiWorkerMirroredStrategy` for this process, which waits here for all others.

    TensorFlow must not have computed anything before. Its server listens on the port of every
    address of this host, has no password, and runs what it is sent: use it in a network that you
    trust, or see `loopback`.

    Args:
        addresses: "host:port" of each worker, the same list in every process.
        index: which of them this process is; 0 is the chief.

    Raises:
        ValueError: an address or the index is wrong.
        RuntimeError: this version of Keras is not known to work.
    """
    for address in addresses:
        if not re.fullmatch(r"[^\s:/]+:\d{1,5}", address):
            raise ValueError(f"an address must be host:port, got {address!r}")
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"each worker needs an address of its own, got {', '.join(addresses)}")
    if not 0 <= index < len(addresses):
        raise ValueError(
            f"the number of a worker must be from 0 to {len(addresses) - 1}, got {index}"
        )
    mend()
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": [*addresses]}, "task": task})
    return tf.distribute.MultiWorkerMirroredStrategy()


def number(strategy: tf.distribute.Strategy | None) -> int:
    """The number of this process among the workers; 0, the chief, alone writes files."""
    resolver = getattr(strategy, "cluster_resolver", None)
    return int(resolver.task_id or 0) if resolver is not None else 0


def of(model: keras.Model) -> tf.distribute.Strategy | None:
    """The strategy in whose scope the model was built, or None."""
    return model._distribute_strategy


def share(strategy: tf.distribute.Strategy | None) -> Share:
    """What of each batch this process computes under the strategy; all of it without one."""
    if strategy is None:
        return Share()
    local = len(strategy.extended.worker_devices)
    return Share(number(strategy) * local, local, strategy.num_replicas_in_sync)


# ------------------------------------------------------------------------------ model and data


def synchronized(model: keras.Model) -> keras.Model:
    """The model, whose batch normalisation now takes mean and variance of the whole batch.

    As it is, each replica takes those of its own rows: with few rows per replica another model.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return model


def divided(batches: tf.data.Dataset, part: Share) -> tf.data.Dataset:
    """The pieces of this process, from batches of all rows that every process reads in one order.

    Every row of a batch is in one piece of one process. `Table.dataset(…, share=part)` gives the
    same, and does not read the other rows. A batch must have a row for every replica: where the
    last one has not, `drop_remainder=True` leaves it out.
    """

    def cut(*batch: Any) -> tf.data.Dataset:
        rows = tf.shape(tf.nest.flatten(batch)[0])[0]
        few = f"a batch has fewer rows than the {part.of} devices that share it"
        with tf.control_dependencies([tf.debugging.assert_greater_equal(rows, part.of, few)]):
            rows = tf.identity(rows)
        small, larger = rows // part.of, rows % part.of  # as NumPy's array_split: larger ones first
        number = tf.range(part.first, part.first + part.count)
        starts = number * small + tf.minimum(number, larger)
        ends = starts + small + tf.cast(number < larger, tf.int32)

        def piece(start: Any, end: Any) -> Any:
            found = tf.nest.map_structure(lambda tensor: tensor[start:end], batch)
            return found if len(found) > 1 else found[0]

        return tf.data.Dataset.from_tensor_slices((starts, ends)).map(piece)

    steps = batches.cardinality()
    found = batches.flat_map(cut)
    return found.apply(tf.data.experimental.assert_cardinality(steps * part.count))


def fed(strategy: tf.distribute.Strategy | None, pieces: tf.data.Dataset) -> Any:
    """What `fit` and `evaluate` take: one piece to each replica of this process in each step."""
    if strategy is None:
        return pieces
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    found = strategy.distribute_datasets_from_function(lambda _: pieces.with_options(options))
    # Keras takes this for the number of steps; TensorFlow counted the pieces.
    found._cardinality = int(pieces.cardinality()) // share(strategy).count
    return found


def fit(model: keras.Model, data: Any, **kwargs: Any) -> keras.callbacks.History:
    """As `model.fit`, on what `fed` gives, or on plain batches without a strategy.

    Keras takes a first batch to see the shapes of the data, and begins anew. Here the shapes are
    taken from the dataset, so that the first pass over a shuffled table is the first.
    """
    if isinstance(data, tf.distribute.DistributedDataset):
        (spec, *_) = data._datasets
        with model.distribute_strategy.scope():
            model._symbolic_build(data_batch=spec.element_spec)
        vars(model)["_maybe_symbolic_build"] = lambda **_: None  # not tracked by Keras
    return model.fit(data, **{"shuffle": False, **kwargs})


# ------------------------------------------------------------------------------ among workers


def total(strategy: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
    """The sum over all workers of float32 values (n,), which all must call."""

    def of_replica(context: Any) -> Any:
        mine = context.replica_id_in_sync_group % len(strategy.extended.worker_devices) == 0
        return tf.constant(values if mine else np.zeros_like(values), tf.float32)

    each = strategy.experimental_distribute_values_from_function(of_replica)
    return np.asarray(strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None))


def from_chief(strategy: tf.distribute.Strategy, content: bytes) -> bytes:
    """The content that the chief passed, in every worker; all must call it."""
    chief = number(strategy) == 0
    places = 2.0 ** np.array([0, 16, 32])  # a float32 holds 16 bits of the length exactly
    size = len(content) if chief else 0
    parts = np.array([size & 0xFFFF, size >> 16 & 0xFFFF, size >> 32], np.float32)
    size = int((total(strategy, parts).astype(np.float64) * places).sum())
    mine = np.frombuffer(content, np.uint8) if chief else np.zeros(size, np.uint8)
    return total(strategy, mine.astype(np.float32)).astype(np.uint8).tobytes() if size else b""


def differing(strategy: tf.distribute.Strategy, facts: Any) -> list[int]:
    """The workers whose facts (anything JSON can hold) are not those of the chief; all call it."""
    ours = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).digest()
    others = np.zeros(int(total(strategy, np.ones(1, np.float32))[0]), np.float32)
    others[number(strategy)] = from_chief(strategy, ours) != ours
    return [int(i) for i in np.flatnonzero(total(strategy, others))]


def leave(strategy: tf.distribute.Strategy) -> None:
    """Wait until all workers are here; then a worker may end, and the chief go on alone."""
    total(strategy, np.ones(1, np.float32))
    if number(strategy):
        time.sleep(LEAVE)


# ------------------------------------------------------------------------------ the mend


def mend() -> None:
    """Make the `fit` of Keras work with several workers; see keras#20585 and keras#20329.

    Keras wants the mean over the first axis of every number of the logs, which has no axis. The
    logs of a step are those of this worker here; the metrics of an epoch are those of all.

    Raises:
        RuntimeError: the version of Keras is not one of `MENDED`.
    """
    if keras.__version__ not in MENDED:
        raise RuntimeError(
            f"training with several workers is tested with Keras {', '.join(MENDED)}, and this is "
            f"Keras {keras.__version__}: install the tested one, or train with one process"
        )
    from keras.src.backend.tensorflow import trainer

    theirs = trainer.reduce_per_replica
    if theirs.__module__ == __name__:
        return

    def reduce_per_replica(values: Any, strategy: Any, reduction: str) -> Any:
        if reduction != "auto" or not trainer._collective_all_reduce_multi_worker(strategy):
            return theirs(values, strategy, reduction)
        return keras.tree.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], values
        )

    trainer.reduce_per_replica = reduce_per_replica
