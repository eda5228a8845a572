"""The speed benchmarks: the PyTorch twin is the same model; the stored tables are complete."""

import importlib.util
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkeras.branches import IMAGE_ENCODERS
from mmkeras.datasets import load_emoji
from mmkeras.datasets.emoji import ARTISTS

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bench():
    return load("speed")


@pytest.fixture(scope="module")
def encoders():
    return load("encoders")


# ------------------------------------------------------------------------------ the twin

TURNED = {  # ours → theirs, by number of axes; theirs sees the pictures upside down
    1: lambda w: w,
    2: lambda w: w.T,
    4: lambda w: w[::-1, ::-1].transpose(3, 2, 0, 1),
}


def pairs(ours, twin):
    """(name, our variable, their parameter or buffer), all that are trained or kept."""
    names = {
        "text_encoder": ["embedding", "text"],
        "image_encoder": [kind + i for i in "123" for kind in ("convolution", "norm")] + ["image"],
    }
    found = []
    for part, wanted in names.items():
        layers = [layer for layer in ours.get_layer(part).layers if layer.weights]
        found += zip(wanted, layers, strict=True)
    for name, layer in [*found, ("head", ours.get_layer("group"))]:
        theirs = getattr(twin, name)  # in the order of Keras: scale, shift, mean, variance
        theirs = [*theirs.parameters(), *theirs.buffers()][: len(layer.weights)]
        yield from ((name, *pair) for pair in zip(layer.weights, theirs, strict=True))


def turned(name, weight):
    weight = np.asarray(weight)
    return weight if name == "embedding" else TURNED[weight.ndim](weight)


@pytest.mark.parametrize("side", [48, 96])
def test_the_twin_has_our_weights_and_with_them_our_answers_and_gradients(bench, side):
    torch = pytest.importorskip("torch")
    import tensorflow as tf

    ours, twin = bench.joint_model(side), bench.torch_twin()
    state = [w for key, w in twin.state_dict().items() if not key.endswith("num_batches_tracked")]
    assert sum(w.numel() for w in state) == ours.count_params()
    with torch.no_grad():
        for name, weight, parameter in pairs(ours, twin):
            assert turned(name, weight).shape == tuple(parameter.shape), name
            parameter.copy_(torch.from_numpy(turned(name, weight).copy()))
    x, y = bench.random_rows(side, 1)
    x, y = {name: values[:8] for name, values in x.items()}, y[:8]
    x["text"][0] = 0  # an empty text
    mirrored = torch.from_numpy(x["image"][:, ::-1, ::-1].copy()).permute(0, 3, 1, 2)
    words = torch.from_numpy(x["text"]).long()
    twin.eval()
    said = torch.softmax(twin(words, mirrored), 1).detach().numpy()
    np.testing.assert_allclose(said, ours.predict(x, verbose=0), atol=1e-5)

    twin.train()
    loss = torch.nn.functional.cross_entropy(twin(words, mirrored), torch.from_numpy(y))
    loss.backward()
    with tf.GradientTape() as tape:
        ours_loss = ours.compute_loss(y=y, y_pred=ours(x, training=True))
    assert loss.item() == pytest.approx(float(ours_loss), abs=1e-5)
    trained = ours.trainable_variables
    found = tape.gradient(ours_loss, [v.value for v in trained])
    wanted = {id(v): tf.convert_to_tensor(g) for v, g in zip(trained, found, strict=True)}
    compared = 0
    for name, weight, parameter in pairs(ours, twin):
        if id(weight) in wanted:
            gradient = turned(name, wanted[id(weight)])
            apart = np.linalg.norm(
                parameter.grad.numpy() - gradient
            )  # a value at a kink may differ
            assert apart < 0.01 * np.linalg.norm(gradient), name
            compared += 1
    assert compared == len(wanted) == 16


# ------------------------------------------------------------------------------ time


def test_runners_take_turns_forth_and_back_and_warm_up_is_left_out(bench):
    calls = []
    runners = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    times = bench.race(runners, 3, 10)
    assert calls == ["a", "b", "b", "a"] * 2 + ["a", "b"]
    assert list(times) == ["a", "b"] and len(times) == 3 and (times >= 0).all(axis=None)


def test_time_asleep_does_not_count(bench):
    times = bench.race({"asleep": lambda: time.sleep(0.05)}, 1, 1)
    assert times["asleep"].item() < 40


def test_the_ratio_is_taken_turn_by_turn(bench):
    times = pd.DataFrame({"a": [1.0, 2.0, 9.0], "b": [2.0, 2.0, 2.0]})
    row = bench.summary("g", times, {"a": 1, "b": 2}, "b").set_index("variant").loc["a"]
    assert row[["ms_median", "ms_min", "ms_max"]].tolist() == [2, 1, 9]
    assert row[["ratio_median", "ratio_min", "ratio_max"]].tolist() == [1, 0.5, 4.5]


def test_the_stored_times_are_complete(bench):
    table = pd.read_csv(FOLDER / "results" / "speed.csv")
    base = {"image 48": "stack", "image 224": "article", "two": "fit"}
    for setting in (0, 1):
        half = table[table["onednn"] == setting]
        wanted = {
            "image 48x48, batch 64": list(IMAGE_ENCODERS),
            "image 224x224, batch 4": [bench.DEFAULT, "article"],
            "text + image 48x48, batch 64": ["train_on_batch", "fit", "PyTorch"],
            "text + image 96x96, batch 64": ["train_on_batch", "fit", "PyTorch"],
            "two vectors, batch 64": ["train_on_batch", "fit", "fit, 20 steps a call"],
        }
        found = half.groupby("group", sort=False)["variant"].agg(list).to_dict()
        assert found == wanted and list(found) == list(wanted)
    for what in ("ms", "ratio"):
        low, middle, high = (table[f"{what}_{name}"] for name in ("min", "median", "max"))
        assert ((low > 0) & (low <= middle) & (middle <= high)).all()
    for group, rows in table.groupby("group"):
        name = next((b for start, b in base.items() if group.startswith(start)), "train_on_batch")
        assert (rows.loc[rows["variant"] == name, "ratio_median"] == 1).all()


def test_the_stored_profile_has_the_step_and_its_operations(bench):
    table = pd.read_csv(FOLDER / "results" / "speed_profile.csv")
    for _, half in table.groupby("who"):
        assert half["operation"].iloc[0] == "(step)" and len(half) == 11
        assert half["ms"].gt(0).all() and half["ms"].iloc[1:].is_monotonic_decreasing
    assert set(table["who"]) == {"Keras", "PyTorch"}


# ------------------------------------------------------------------------------ accuracy


def test_a_fit_on_the_stream_repeats_itself(encoders, monkeypatch):
    monkeypatch.setattr(encoders, "STEPS", 3)
    part = load_emoji(encoders.SIDE).take(range(0, 4000, 40))
    trainer = encoders.Trainer(lambda: encoders.build("small"))
    weights = []
    for seed in (1, 2, 1):
        pictures, labels = encoders.stream(part, seed)
        how = {"batch_size": encoders.BATCH, "shuffle": False}
        trainer.fit({"image": pictures}, labels, seed=seed, **how)
        weights.append(trainer.model.get_weights()[0])
    np.testing.assert_array_equal(weights[0], weights[2])
    assert np.abs(weights[0] - weights[1]).max() > 1e-3
    assert encoders.right(trainer, part).shape == (len(part),)


def test_the_stream_is_the_training_part_pass_by_pass(encoders, monkeypatch):
    monkeypatch.setattr(encoders, "STEPS", 2)
    part = load_emoji(encoders.SIDE).take(range(0, 4000, 50))  # 80 pictures; 128 are wanted
    pictures, labels = encoders.stream(part, 0)
    assert len(pictures) == len(labels) == 2 * encoders.BATCH
    known = {image.tobytes(): y for image, y in zip(part.images, part.y, strict=True)}
    seen = []
    for picture, label in zip(pictures, labels, strict=True):
        as_drawn = picture if picture.tobytes() in known else picture[:, ::-1]
        assert known[as_drawn.tobytes()] == label
        seen.append(as_drawn.tobytes())
    assert len(set(seen[:80])) == 80 and set(seen) <= set(known)


def test_the_gain_is_that_of_the_runs_and_its_interval_that_of_the_families(encoders):
    rng = np.random.default_rng(0)
    runs = pd.MultiIndex.from_product([["x", "y"], [1, 2], range(400)])
    table = runs.to_frame(index=False, name=["artist", "seed", "family"])
    table[encoders.DEFAULT] = rng.random(len(table)) < 0.7
    table[encoders.REFERENCE] = rng.random(len(table)) < 0.5
    table = table.astype({encoders.DEFAULT: int, encoders.REFERENCE: int})
    difference, low, high, runs = encoders.gain(table, encoders.REFERENCE)
    assert runs == 4
    apart = table[encoders.DEFAULT] - table[encoders.REFERENCE]
    assert difference == pytest.approx(apart.mean())
    error = apart.groupby(table["family"]).mean().std() / 20  # of 400 families
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_the_stored_answers_belong_to_the_test_pictures_of_today(encoders):
    table = pd.read_csv(FOLDER / "results" / "image_encoders.csv")
    emoji = load_emoji(encoders.SIDE)
    runs = table.groupby(["artist", "seed"])
    assert set(runs.groups) == {(a, s) for a in ARTISTS for s in encoders.SEEDS}
    for (artist, seed), run in runs:
        test = emoji.split(artist, seed=seed)[2].table
        assert run["row"].tolist() == test.index.tolist()
        assert run["family"].tolist() == test["family"].tolist()
    assert table[list(encoders.COMPARED)].isin([0, 1]).all(axis=None)


@pytest.mark.parametrize("base", ["patch", "stack"])
def test_the_stored_table_says_that_the_default_is_the_most_accurate(encoders, base):
    table = pd.read_csv(FOLDER / "results" / "image_encoders.csv")
    assert encoders.gain(table, base)["low"] > 0
