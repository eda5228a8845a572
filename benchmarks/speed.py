"""What a training step costs, and what the cheap default image encoder gives up for it.

    python benchmarks/speed.py steps       time a step: image encoders, large pictures, PyTorch twin
    python benchmarks/speed.py profile     where a step of the Keras model and of its twin goes
    python benchmarks/speed.py accuracy    the encoders on emoji, from scratch

The first writes benchmarks/results/speed.csv in about 3 minutes on two cores. These should do no
other work: PyTorch's threads wait for each other at every operation, so that on busy cores it looks
many times slower than it is. All variants of a group take turns in one process, so that a ratio is
fair where the milliseconds are not. Everything is measured with TensorFlow's oneDNN kernels off
(the default of this package, for repeatability) and on. The PyTorch twin needs the extra `bench`;
without it the rest is still measured. The second writes benchmarks/results/image_encoders.csv, one
row a test picture (1 where an encoder was right), in about an hour; TF_ENABLE_ONEDNN_OPTS=1, with
which the stored table was made, halves that.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers

import mmkeras as mm
from mmkeras.branches import IMAGE_ENCODERS
from mmkeras.datasets import Emoji, load_emoji

RESULTS = Path(__file__).parent / "results"
CLASSES, UNITS, THREADS = 6, 64, 2
IDS, LENGTH = 800, 8  # of the names of the emoji
SIDE, BATCH, ROUNDS = 48, 64, 25
LARGE, LARGE_BATCH, LARGE_ROUNDS = 224, 4, 7
EPOCH, EPOCHS = 20, 7  # steps of the joint models in a row, and how often
DEFAULT, REFERENCE = "conv", "stack"
COMPARED = (DEFAULT, "patch", REFERENCE)
SEEDS = range(1, 6)
STEPS, RATE, DROPOUT = 240, 2e-3, 0.5  # of every fit that is compared for accuracy


# ------------------------------------------------------------------------------ models


def compiled(inputs: keras.Model | list[keras.Model], **options: Any) -> keras.Model:
    """Branches with a linear head; a step is forward, backward and Adam."""
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


def joint_model() -> keras.Model:
    text = mm.text_branch(IDS, LENGTH, units=UNITS)
    return compiled([text, mm.image_branch((SIDE, SIDE, 3), encoder=DEFAULT, units=UNITS)])


def torch_twin() -> Any:
    """`joint_model` in PyTorch, layer by layer: the same sizes, and pictures channels-last.

    A stride of 2 leaves one row over. Keras' "same" pads it at the end, PyTorch's at the start:
    mirrored pictures and kernels give the same answers (if the pooled maps have an even side), and
    nothing is copied to pad it.
    """
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


def race(runners: dict[str, Callable[[], None]], rounds: int, pictures: int) -> pd.DataFrame:
    """Milliseconds a picture of each runner; they take turns, and the first two turns are left out.

    Args:
        runners: name → a function that trains on `pictures` pictures.
        rounds: turns of each that count.
        pictures: pictures a turn.

    Returns:
        Columns are the names, one row a turn.
    """
    turns = []
    for _ in range(rounds + 2):
        turn = {}
        for name, run in runners.items():
            started = time.perf_counter()
            run()
            turn[name] = 1000 * (time.perf_counter() - started) / pictures
        turns.append(turn)
    return pd.DataFrame(turns[2:])


def summary(group: str, times: pd.DataFrame, weights: dict[str, int], base: str) -> pd.DataFrame:
    """One row a variant; the ratio to `base` is the median, least and greatest of the turns."""
    ratio = times.div(times[base], axis=0)
    table = {"group": group, "variant": times.columns, "weights": [weights[n] for n in times]}
    for name, values in {"ms": times, "ratio": ratio}.items():
        for what in ("median", "min", "max"):
            table[f"{name}_{what}"] = values.agg(what).to_numpy()
    return pd.DataFrame(table).round(3)


def step_of(model: keras.Model, x: dict[str, np.ndarray], y: np.ndarray) -> Callable[[], None]:
    return lambda: model.train_on_batch(x, y)


def encoders(side: int, batch: int, rounds: int, base: str) -> pd.DataFrame:
    """Image encoders alone, with a head."""
    rng = np.random.default_rng(0)
    x = {"image": rng.integers(0, 256, (batch, side, side, 3)).astype("float32")}
    y = rng.integers(0, CLASSES, batch)
    names = [DEFAULT] if base == "article" else list(IMAGE_ENCODERS)
    branches = {n: mm.image_branch((side, side, 3), encoder=n, units=UNITS) for n in names}
    if base == "article":
        branches["article"] = article(side)
    models = {name: compiled({"image": branch}) for name, branch in branches.items()}
    times = race({n: step_of(model, x, y) for n, model in models.items()}, rounds, batch)
    weights = {name: model.count_params() for name, model in models.items()}
    return summary(f"image {side}x{side}, batch {batch}", times, weights, base)


def epoch_of_batches() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[slice]]:
    """Random ids, pictures, labels, and the batches they are dealt in."""
    rng = np.random.default_rng(0)
    n = EPOCH * BATCH
    ids = rng.integers(1, IDS, (n, LENGTH)).astype("int32")
    pixels = rng.integers(0, 256, (n, SIDE, SIDE, 3)).astype("float32")
    return (
        ids,
        pixels,
        rng.integers(0, CLASSES, n),
        [slice(i, i + BATCH) for i in range(0, n, BATCH)],
    )


def joint() -> pd.DataFrame:
    """The concatenation model in Keras, both ways of training, and in PyTorch; whole epochs."""
    ids, pixels, y, batches = epoch_of_batches()
    model = joint_model()
    weights = dict.fromkeys(["train_on_batch", "fit", "PyTorch"], model.count_params())

    def one_by_one() -> None:
        for b in batches:
            model.train_on_batch({"text": ids[b], "image": pixels[b]}, y[b])

    def at_once() -> None:
        x = {"text": ids, "image": pixels}
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)

    runners = {"train_on_batch": one_by_one, "fit": at_once}
    if importlib.util.find_spec("torch"):
        runners["PyTorch"] = torch_epoch(ids, pixels, y, batches)
    else:
        print("PyTorch is not installed (the extra `bench`): its twin is left out.")
    base = "PyTorch" if "PyTorch" in runners else "train_on_batch"
    group = f"text + image {SIDE}x{SIDE}, batch {BATCH}"
    return summary(group, race(runners, EPOCHS, len(y)), weights, base)


def torch_epoch(
    ids: np.ndarray, pixels: np.ndarray, y: np.ndarray, batches: list[slice]
) -> Callable[[], None]:
    import torch

    torch.set_num_threads(THREADS)
    twin = torch_twin()
    optimiser = torch.optim.Adam(twin.parameters(), 1e-3, eps=1e-7)
    words, truth = torch.from_numpy(ids).long(), torch.from_numpy(y)
    pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # in memory: channels-last, as in Keras

    def epoch() -> None:
        for b in batches:
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(twin(words[b], pictures[b]), truth[b])
            loss.backward()
            optimiser.step()
            loss.item()  # as Keras does, which returns it

    return epoch


def steps() -> pd.DataFrame:
    """All three groups under the oneDNN setting of this process."""
    table = pd.concat(
        [
            encoders(SIDE, BATCH, ROUNDS, REFERENCE),
            encoders(LARGE, LARGE_BATCH, LARGE_ROUNDS, "article"),
            joint(),
        ]
    )
    table.insert(0, "onednn", int(os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")))
    return table


def both_settings() -> pd.DataFrame:
    """TensorFlow reads the setting once, so that each needs a process of its own."""
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
    """Milliseconds of computing a step of the joint model, by operation, in Keras and in PyTorch.

    Two threads work at once, so that the sum may exceed the time that passes; "(step)" is that.
    """
    ids, pixels, y, batches = epoch_of_batches()
    model = joint_model()

    def epoch() -> None:
        for b in batches:
            model.train_on_batch({"text": ids[b], "image": pixels[b]}, y[b])

    table = [busy("Keras", epoch, tensorflow_times)]
    if importlib.util.find_spec("torch"):
        table.append(busy("PyTorch", torch_epoch(ids, pixels, y, batches), torch_times))
    return pd.concat(table)


def busy(who: str, epoch: Callable[[], None], times: Callable) -> pd.DataFrame:
    epoch()
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - started)
    spent = {"(step)": 1000 * float(np.median(seconds)), **times(epoch)}
    table = pd.DataFrame({"who": who, "operation": list(spent), "ms": list(spent.values())})
    table["ms"] /= EPOCH
    return table.round(3)


def tensorflow_times(epoch: Callable[[], None]) -> dict[str, float]:
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
                if hasattr(tf.raw_ops, kind.strip("_")):
                    spent[kind] += event.duration_ps / 1e9
    return dict(spent.most_common(10))


def torch_times(epoch: Callable[[], None]) -> dict[str, float]:
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as trace

    with trace(activities=[ProfilerActivity.CPU]) as done:
        epoch()
    spent = Counter({e.key: e.self_cpu_time_total / 1000 for e in done.key_averages()})
    return dict(spent.most_common(10))


# ------------------------------------------------------------------------------ accuracy


class Trainer:
    """One compiled model an encoder; each fit starts from new weights and a blank optimiser."""

    def __init__(self, encoder: str) -> None:
        self.encoder = encoder
        self.model = self.build()

    def build(self) -> keras.Model:
        branch = mm.image_branch((SIDE, SIDE, 3), encoder=self.encoder, units=UNITS)
        model = compiled([branch], dropout=DROPOUT)
        rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        return model

    def fit(self, part: Emoji, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        self.model.set_weights(self.build().get_weights())
        for variable in self.model.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        pictures, labels = stream(part, seed)
        self.model.fit({"image": pictures}, labels, batch_size=BATCH, shuffle=False, verbose=0)

    def right(self, part: Emoji) -> np.ndarray:
        said = self.model.predict({"image": part.images}, batch_size=256, verbose=0)
        return (said.argmax(axis=1) == part.y).astype(int)


def stream(part: Emoji, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """STEPS batches: passes in random order, the last cut short; half of the pictures mirrored."""
    rng = np.random.default_rng(seed)
    wanted = STEPS * BATCH
    order = [rng.permutation(len(part)) for _ in range(-(-wanted // len(part)))]
    rows = np.concatenate(order)[:wanted]
    pictures = part.images[rows]
    mirrored = rng.random(wanted) < 0.5
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    return pictures, part.y[rows]


def accuracy(seeds: range) -> Iterator[pd.DataFrame]:
    """The encoders on every held-out artist and seed; new concepts by a new artist."""
    emoji = load_emoji(SIDE)
    trainers = [Trainer(encoder) for encoder in COMPARED]
    blocks = []
    for seed in seeds:
        for artist in emoji.table["artist"].unique():
            train, valid, test = emoji.split(artist, seed=seed)
            block = test.table[["family"]].rename_axis("row").reset_index()
            block.insert(0, "seed", seed)
            block.insert(0, "artist", artist)
            for trainer in trainers:
                started = time.perf_counter()
                trainer.fit(train, seed)
                block[trainer.encoder] = trainer.right(test)
                print(
                    f"seed {seed} {artist:9} {trainer.encoder:6} "
                    f"valid {trainer.right(valid).mean():.3f} "
                    f"{time.perf_counter() - started:4.0f} s",
                    flush=True,
                )
            blocks.append(block)
            yield pd.concat(blocks)


def gain(table: pd.DataFrame, base: str, replicates: int = 1000) -> pd.Series:
    """Mean over runs of the accuracy of the default less that of `base`, with a 95% interval.

    Bootstrap over families of concepts; a family that is drawn is drawn in every run.
    """
    table = table.assign(gain=table[DEFAULT] - table[base], pictures=1)
    runs = table.groupby(["artist", "seed", "family"])[["gain", "pictures"]].sum().unstack()
    won, size = (runs[c].fillna(0).to_numpy() for c in ("gain", "pictures"))  # (runs, families)
    n = won.shape[1]
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), replicates).T
    means = ((won @ draws) / (size @ draws)).mean(axis=0)
    low, high = np.quantile(means, [0.025, 0.975])
    value = (won.sum(axis=1) / size.sum(axis=1)).mean()
    return pd.Series({"difference": value, "low": low, "high": high, "runs": len(won)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["steps", "profile", "accuracy", "one_setting"])
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of accuracy; default 5")
    options = parser.parse_args()
    mm.start(seed=0)
    if options.what == "one_setting":  # what `steps` calls
        print(steps().to_csv(index=False))
        return
    RESULTS.mkdir(exist_ok=True)
    if options.what == "steps":
        table = both_settings()
        table.to_csv(RESULTS / "speed.csv", index=False)
        print(table.to_string(index=False))
        return
    if options.what == "profile":
        table = profile()
        table.to_csv(RESULTS / "speed_profile.csv", index=False)
        print(table.to_string(index=False))
        return
    for table in accuracy(range(1, 1 + options.seeds)):
        table.to_csv(RESULTS / "image_encoders.csv", index=False)
    print(table.groupby(["artist", "seed"])[list(COMPARED)].mean().round(3))
    print(pd.DataFrame({base: gain(table, base) for base in COMPARED[1:]}).round(3))


if __name__ == "__main__":
    main()
