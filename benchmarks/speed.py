"""What a training step costs: image encoders, a text and picture model and its PyTorch twin, tiny
models.

    python benchmarks/speed.py steps       processor time per step, with oneDNN off and on
    python benchmarks/speed.py profile     which operations take the time, in Keras and in PyTorch

Everything runs on one thread, and processor time is measured, because other work on the machine
changes it little, while it may double the elapsed time. All variants of a group take turns in one
process, forwards and backwards in alternation, and the ratio is taken for each turn, so that it is
fair even if the milliseconds vary. TensorFlow's oneDNN kernels are off in one half of the table and
on, which is the default, in the other. The PyTorch twin has the same layers, weights and inputs and
needs the extra `bench`; without it, the rest is still measured. `steps` writes
benchmarks/results/speed.csv in about 10 minutes, `profile` speed_profile.csv in half a minute.
"""

import argparse
import importlib.util
import io
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers

import mmkeras as mm
from mmkeras.branches import IMAGE_ENCODERS

RESULTS = Path(__file__).parent / "results"
CLASSES, UNITS = 6, 64
IDS, LENGTH = 800, 8  # of the names of the emoji
BATCH, ROUNDS = 64, 15
SIDE, LARGE, LARGE_BATCH, LARGE_ROUNDS = 48, 224, 4, 5
SIDES, EPOCH, EPOCHS = (48, 96), 20, 8  # text and picture: steps per turn, number of turns
TINY_EPOCH, TINY_ROUNDS, AT_ONCE = 500, 7, 20  # steps per turn, turns, steps per call
DEFAULT, REFERENCE = "conv", "stack"


# ------------------------------------------------------------------------------ models


def compiled(inputs: keras.Model | list[keras.Model], **options: Any) -> keras.Model:
    """Branches with a linear head, compiled; a step is forward, backward and Adam."""
    model = mm.multimodal_model(inputs, {"group": CLASSES}, **options)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    return model


def article(side: int) -> keras.Model:
    """The two convolutions at full resolution that tutorials start with; pooled, not flattened."""
    pixels = keras.Input((side, side, 3), name="image")
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    x = layers.Conv2D(64, 3, padding="same", activation="relu", name="convolution1")(x)
    x = layers.Conv2D(128, 3, padding="same", activation="relu", name="convolution2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, layers.Dense(UNITS, activation="relu", name="features")(x))


def joint_model(side: int) -> keras.Model:
    text = mm.text_branch(IDS, LENGTH, units=UNITS)
    return compiled([text, mm.image_branch((side, side, 3), encoder=DEFAULT, units=UNITS)])


def tiny_model() -> keras.Model:
    """A model of two vectors of 16 numbers, whose step is only overhead."""
    return compiled([mm.vector_branch(16, units=16, name=name) for name in ("text", "image")])


def torch_twin() -> Any:
    """`joint_model` in PyTorch, layer by layer: the same sizes, and pictures channels-last.

    With a stride of 2, one row is left over. Keras' "same" pads at the end, PyTorch at the start.
    Mirrored pictures and kernels give the same answers (if the pooled maps have an even side), and
    no copy is needed for the padding.
    """
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]  # crashes beside TensorFlow
    import torch
    from torch import nn

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(IDS, UNITS, padding_idx=0)
            self.text = nn.Linear(UNITS, UNITS)
            widths = (3, 32, 64, 128)
            for i, (n, m) in enumerate(itertools.pairwise(widths), start=1):
                stride = 2 if i == 1 else 1
                setattr(self, f"convolution{i}", nn.Conv2d(n, m, 3, stride, padding=1, bias=False))
                setattr(self, f"norm{i}", nn.BatchNorm2d(m, eps=1e-3, momentum=0.1))
            self.image, self.head = nn.Linear(128, UNITS), nn.Linear(2 * UNITS, CLASSES)

        def forward(self, ids: Any, pixels: Any) -> Any:
            there = (ids != 0).float()[..., None]
            there = there / there.sum(1, keepdim=True).clamp(min=1)
            text = torch.relu(self.text((self.embedding(ids) * there).sum(1)))
            x = pixels / 127.5 - 1
            for i in (1, 2, 3):
                x = x if i == 1 else nn.functional.max_pool2d(x, 2)
                x = getattr(self, f"norm{i}")(getattr(self, f"convolution{i}")(x))
                x = nn.functional.relu(x, inplace=True)
            return self.head(torch.cat([text, torch.relu(self.image(x.mean((2, 3))))], 1))

    torch.manual_seed(0)
    return Twin().to(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------ time


def race(runners: dict[str, Callable[[], None]], rounds: int, steps: int) -> pd.DataFrame:
    """Milliseconds of processor time per step; the runners take turns, after two warm-up turns.

    Args:
        runners: name → a function that trains for `steps` steps.
        rounds: number of measured turns of each runner; every second turn has the reverse order.
        steps: training steps per turn.

    Returns:
        A table with one column per runner, and one row per turn.
    """
    turns = []
    for n in range(rounds + 2):
        turn = {}
        for name in list(runners)[:: 1 if n % 2 == 0 else -1]:
            started = time.process_time()
            runners[name]()
            turn[name] = 1000 * (time.process_time() - started) / steps
        turns.append(turn)
    return pd.DataFrame(turns[2:], columns=list(runners))


def summary(group: str, times: pd.DataFrame, weights: dict[str, int], base: str) -> pd.DataFrame:
    """One row per variant; the ratio to `base` has the median, minimum and maximum over turns."""
    ratio = times.div(times[base], axis=0)
    table = {"group": group, "variant": times.columns, "weights": [weights[n] for n in times]}
    for name, values in {"ms": times, "ratio": ratio}.items():
        for what in ("median", "min", "max"):
            table[f"{name}_{what}"] = values.agg(what).to_numpy()
    return pd.DataFrame(table).round(3)


def step_of(model: keras.Model, x: dict[str, np.ndarray], y: np.ndarray) -> Callable[[], None]:
    return lambda: model.train_on_batch(x, y)


def encoders(side: int, batch: int, rounds: int, base: str) -> pd.DataFrame:
    """The times of image encoders alone, with a head."""
    rng = np.random.default_rng(0)
    x = {"image": rng.integers(0, 256, (batch, side, side, 3)).astype("float32")}
    y = rng.integers(0, CLASSES, batch)
    names = [DEFAULT] if base == "article" else list(IMAGE_ENCODERS)
    branches = {n: mm.image_branch((side, side, 3), encoder=n, units=UNITS) for n in names}
    if base == "article":
        branches["article"] = article(side)
    models = {name: compiled({"image": branch}) for name, branch in branches.items()}
    times = race({n: step_of(model, x, y) for n, model in models.items()}, rounds, 1)
    weights = {name: model.count_params() for name, model in models.items()}
    return summary(f"image {side}x{side}, batch {batch}", times, weights, base)


def random_rows(side: int, steps: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Ids and pictures for this number of batches, and their labels."""
    rng = np.random.default_rng(0)
    n = steps * BATCH
    ids = rng.integers(1, IDS, (n, LENGTH)).astype("int32")
    pixels = rng.integers(0, 256, (n, side, side, 3), dtype="uint8").astype("float32")
    return {"text": ids, "image": pixels}, rng.integers(0, CLASSES, n)


def batches(x: dict[str, np.ndarray], y: np.ndarray) -> list[tuple[dict[str, np.ndarray], Any]]:
    parts = [slice(i, i + BATCH) for i in range(0, len(y), BATCH)]
    return [({name: values[b] for name, values in x.items()}, y[b]) for b in parts]


def one_by_one(model: keras.Model, x: dict[str, np.ndarray], y: np.ndarray) -> Callable[[], None]:
    dealt = batches(x, y)

    def epoch() -> None:
        for inputs, labels in dealt:
            model.train_on_batch(inputs, labels)

    return epoch


def fitted(model: keras.Model, x: dict[str, np.ndarray], y: np.ndarray) -> Callable[[], None]:
    return lambda: model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)


def joint(side: int) -> pd.DataFrame:
    """The concatenation model in Keras and in PyTorch; ratios are relative to Keras' step."""
    x, y = random_rows(side, EPOCH)
    model = joint_model(side)
    base = "train_on_batch"
    runners = {base: one_by_one(model, x, y), "fit": fitted(joint_model(side), x, y)}
    if importlib.util.find_spec("torch"):
        runners["PyTorch"] = torch_epoch(x, y)
    else:
        print("PyTorch is not installed (the extra `bench`): its twin is left out.")
    weights = dict.fromkeys(runners, model.count_params())
    group = f"text + image {side}x{side}, batch {BATCH}"
    return summary(group, race(runners, EPOCHS, EPOCH), weights, base)


def tiny() -> pd.DataFrame:
    """The cost of a step that computes almost nothing, with and without `steps_per_execution`."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, TINY_EPOCH * BATCH)
    x = {name: rng.random((len(y), 16), "float32") for name in ("text", "image")}
    model, many = tiny_model(), tiny_model()
    many.compile(many.optimizer, many.loss, steps_per_execution=AT_ONCE)
    many_name = f"fit, {AT_ONCE} steps a call"
    runners = {
        "train_on_batch": one_by_one(tiny_model(), x, y),
        "fit": fitted(model, x, y),
        many_name: fitted(many, x, y),
    }
    weights = dict.fromkeys(runners, model.count_params())
    return summary(
        f"two vectors, batch {BATCH}", race(runners, TINY_ROUNDS, TINY_EPOCH), weights, "fit"
    )


def torch_epoch(x: dict[str, np.ndarray], y: np.ndarray) -> Callable[[], None]:
    import torch

    torch.set_num_threads(1)
    twin = torch_twin()
    optimiser = torch.optim.Adam(twin.parameters(), 1e-3, eps=1e-7)
    dealt = []
    for inputs, labels in batches(x, y):
        pictures = torch.from_numpy(inputs["image"])  # in memory: channels-last, as in Keras
        words, truth = torch.from_numpy(inputs["text"]).long(), torch.from_numpy(labels)
        dealt.append((words, pictures.permute(0, 3, 1, 2), truth))

    def epoch() -> None:
        for words, pictures, truth in dealt:
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(twin(words, pictures), truth)
            loss.backward()
            optimiser.step()
            loss.item()  # as Keras does, which returns it

    return epoch


def steps() -> pd.DataFrame:
    """All groups under the oneDNN setting of this process."""
    table = pd.concat(
        [
            encoders(SIDE, BATCH, ROUNDS, REFERENCE),
            encoders(LARGE, LARGE_BATCH, LARGE_ROUNDS, "article"),
            *map(joint, SIDES),
            tiny(),
        ]
    )
    table.insert(0, "onednn", int(os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")))
    return table


def one_thread() -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def both_settings() -> pd.DataFrame:
    """All groups with both settings, each in a separate process: TensorFlow reads it only once."""
    tables = []
    for setting in "01":
        environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": setting}
        command = [sys.executable, __file__, "one_setting"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"the run with TF_ENABLE_ONEDNN_OPTS={setting} failed; see above")
        said, head, rows = done.stdout.partition("onednn,")
        print(said.strip(), flush=True)
        tables.append(pd.read_csv(io.StringIO(head + rows)))
    return pd.concat(tables)


# ------------------------------------------------------------------------------ profile


def profile() -> pd.DataFrame:
    """Milliseconds of a step of the joint model, by operation, in Keras and in PyTorch.

    The row "(step)" is the processor time of a whole step without the profiler. It is divided among
    the operations in proportion to the profiler's times, which other work on the machine lengthens.
    """
    x, y = random_rows(SIDE, EPOCH)
    table = [busy("Keras", one_by_one(joint_model(SIDE), x, y), tensorflow_times)]
    if importlib.util.find_spec("torch"):
        table.append(busy("PyTorch", torch_epoch(x, y), torch_times))
    return pd.concat(table)


def busy(who: str, epoch: Callable[[], None], times: Callable) -> pd.DataFrame:
    epoch()
    seconds = []
    for _ in range(EPOCHS):
        started = time.process_time()
        epoch()
        seconds.append(time.process_time() - started)
    step = 1000 * float(np.median(seconds))
    seen = times(epoch)
    spent = {name: step * ms / seen.total() for name, ms in seen.most_common(10)}
    spent = {"(step)": step, **spent}
    table = pd.DataFrame({"who": who, "operation": list(spent), "ms": list(spent.values())})
    table["ms"] /= EPOCH
    return table.round(3)


def tensorflow_times(epoch: Callable[[], None]) -> Counter:
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            epoch()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    spent: Counter = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:  # operations are named "name:Kind"
                kind = plane.event_metadata[event.metadata_id].name.rpartition(":")[2]
                kind = kind.strip("_").removeprefix("MklNative")  # the prefix of oneDNN's kernels
                if hasattr(tf.raw_ops, kind):
                    spent[kind] += event.duration_ps / 1e9
    return spent


def torch_times(epoch: Callable[[], None]) -> Counter:
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as trace

    with trace(activities=[ProfilerActivity.CPU]) as done:
        epoch()
    return Counter({e.key: e.self_cpu_time_total / 1000 for e in done.key_averages()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["steps", "profile", "one_setting"])
    options = parser.parse_args()
    mm.start(seed=0)
    one_thread()
    if options.what == "one_setting":  # what `steps` calls
        print(steps().to_csv(index=False))
        return
    RESULTS.mkdir(exist_ok=True)
    if options.what == "steps":
        table = both_settings()
        table.to_csv(RESULTS / "speed.csv", index=False)
    else:
        table = profile()
        table.to_csv(RESULTS / "speed_profile.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
