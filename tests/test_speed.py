"""The speed benchmark: its PyTorch twin is the same model; its stored tables are complete."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkeras.branches import IMAGE_ENCODERS
from mmkeras.datasets import load_emoji
from mmkeras.datasets.emoji import ARTISTS

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("benchmark_speed", FOLDER / "speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_twin_has_the_weights_of_our_model_and_with_them_its_answers(bench):
    torch = pytest.importorskip("torch")
    ours, twin = bench.joint_model(), bench.torch_twin()
    state = [w for key, w in twin.state_dict().items() if not key.endswith("num_batches_tracked")]
    assert sum(w.numel() for w in state) == ours.count_params()
    turned = {  # ours → theirs, by number of axes; theirs sees the pictures upside down
        1: lambda w: w,
        2: lambda w: w.T,
        4: lambda w: w[::-1, ::-1].transpose(3, 2, 0, 1),
    }
    names = {"text_encoder": ["embedding", "text"], "head": ["head"]}
    parts = (("convolution", "norm"), "123")
    names["image_encoder"] = [kind + i for i in parts[1] for kind in parts[0]] + ["image"]
    layers = [layer for part in ("text_encoder", "image_encoder") for layer in
              ours.get_layer(part).layers if layer.weights]  # fmt: skip
    layers.append(ours.get_layer("group"))
    names = [*names["text_encoder"], *names["image_encoder"], *names["head"]]
    with torch.no_grad():
        for layer, name in zip(layers, names, strict=True):
            theirs = getattr(twin, name).state_dict()  # as in Keras: scale, shift, mean, variance
            theirs = [p for key, p in theirs.items() if key != "num_batches_tracked"]
            for weight, parameter in zip(layer.get_weights(), theirs, strict=True):
                weight = weight if name == "embedding" else turned[weight.ndim](weight)
                assert weight.shape == tuple(parameter.shape), name
                parameter.copy_(torch.from_numpy(weight.copy()))
        rng = np.random.default_rng(0)
        ids = rng.integers(0, bench.IDS, (5, bench.LENGTH))
        ids[0] = 0  # an empty text
        pixels = rng.integers(0, 256, (5, bench.SIDE, bench.SIDE, 3)).astype("float32")
        pictures = torch.from_numpy(pixels[:, ::-1, ::-1].copy()).permute(0, 3, 1, 2)
        twin.eval()
        said = torch.softmax(twin(torch.from_numpy(ids), pictures), 1).numpy()
    want = ours.predict({"text": ids.astype("int32"), "image": pixels}, verbose=0)
    np.testing.assert_allclose(said, want, atol=1e-5)


def test_runners_take_turns_and_warm_up_is_left_out(bench):
    calls = []
    runners = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    times = bench.race(runners, 3, 10)
    assert calls == ["a", "b"] * 5
    assert list(times) == ["a", "b"] and len(times) == 3 and (times > 0).all(axis=None)


def test_the_ratio_is_taken_turn_by_turn(bench):
    times = pd.DataFrame({"a": [1.0, 2.0, 9.0], "b": [2.0, 2.0, 2.0]})
    row = bench.summary("g", times, {"a": 1, "b": 2}, "b").set_index("variant").loc["a"]
    assert row[["ms_median", "ms_min", "ms_max"]].tolist() == [2, 1, 9]
    assert row[["ratio_median", "ratio_min", "ratio_max"]].tolist() == [1, 0.5, 4.5]


def test_a_trainer_starts_afresh_and_repeats_itself(bench, monkeypatch):
    monkeypatch.setattr(bench, "STEPS", 3)
    monkeypatch.setattr(bench, "DROPOUT", 0.0)  # its random stream goes on from fit to fit
    part = load_emoji(bench.SIDE).take(range(0, 4000, 40))
    trainer = bench.Trainer("small")
    weights = []
    for seed in (1, 2, 1):
        trainer.fit(part, seed)
        weights.append(trainer.model.get_weights()[0])
    np.testing.assert_array_equal(weights[0], weights[2])
    assert np.abs(weights[0] - weights[1]).max() > 1e-3


def test_the_stream_is_the_training_part_pass_by_pass(bench, monkeypatch):
    monkeypatch.setattr(bench, "STEPS", 2)
    part = load_emoji(bench.SIDE).take(range(0, 4000, 50))  # 80 pictures; 128 are wanted
    pictures, labels = bench.stream(part, 0)
    assert len(pictures) == len(labels) == 2 * bench.BATCH
    known = {image.tobytes(): y for image, y in zip(part.images, part.y, strict=True)}
    seen = []
    for picture, label in zip(pictures, labels, strict=True):
        as_drawn = picture if picture.tobytes() in known else picture[:, ::-1]
        assert known[as_drawn.tobytes()] == label
        seen.append(as_drawn.tobytes())
    assert len(set(seen[:80])) == 80 and set(seen) <= set(known)


def test_the_gain_is_that_of_the_runs_and_its_interval_that_of_the_families(bench):
    rng = np.random.default_rng(0)
    runs = pd.MultiIndex.from_product([["x", "y"], [1, 2], range(400)])
    table = runs.to_frame(index=False, name=["artist", "seed", "family"])
    table[bench.DEFAULT] = rng.random(len(table)) < 0.7
    table[bench.REFERENCE] = rng.random(len(table)) < 0.5
    table = table.astype({bench.DEFAULT: int, bench.REFERENCE: int})
    difference, low, high, runs = bench.gain(table, bench.REFERENCE)
    assert runs == 4
    apart = table[bench.DEFAULT] - table[bench.REFERENCE]
    assert difference == pytest.approx(apart.mean())
    error = apart.groupby(table["family"]).mean().std() / 20  # of 400 families
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_the_stored_times_are_complete(bench):
    table = pd.read_csv(FOLDER / "results" / "speed.csv")
    small, large, joint = list(table["group"].unique())
    wanted = {
        small: list(IMAGE_ENCODERS),
        large: [bench.DEFAULT, "article"],
        joint: ["train_on_batch", "fit", "PyTorch"],
    }
    for setting in (0, 1):
        half = table[table["onednn"] == setting]
        assert {g: half.loc[half["group"] == g, "variant"].tolist() for g in wanted} == wanted
    for what in ("ms", "ratio"):
        low, middle, high = (table[f"{what}_{name}"] for name in ("min", "median", "max"))
        assert ((low > 0) & (low <= middle) & (middle <= high)).all()
    own = table[table["variant"].isin([bench.REFERENCE, "article", "PyTorch"])]
    assert (own["ratio_median"] == 1).all()


def test_the_stored_answers_belong_to_the_test_pictures_of_today(bench):
    table = pd.read_csv(FOLDER / "results" / "image_encoders.csv")
    emoji = load_emoji(bench.SIDE)
    runs = table.groupby(["artist", "seed"])
    assert set(runs.groups) == {(a, s) for a in ARTISTS for s in bench.SEEDS}
    for (artist, seed), run in runs:
        test = emoji.split(artist, seed=seed)[2].table
        assert run["row"].tolist() == test.index.tolist()
        assert run["family"].tolist() == test["family"].tolist()
    assert table[list(bench.COMPARED)].isin([0, 1]).all(axis=None)


def test_the_stored_profile_has_the_step_and_its_operations(bench):
    table = pd.read_csv(FOLDER / "results" / "speed_profile.csv")
    for _, half in table.groupby("who"):
        assert half["operation"].iloc[0] == "(step)" and len(half) == 11
        assert half["ms"].gt(0).all() and half["ms"].iloc[1:].is_monotonic_decreasing
    assert set(table["who"]) == {"Keras", "PyTorch"}


@pytest.mark.parametrize("base", ["patch", "stack"])
def test_the_stored_table_says_that_the_default_is_the_most_accurate(bench, base):
    table = pd.read_csv(FOLDER / "results" / "image_encoders.csv")
    assert bench.gain(table, base)["low"] > 0
