"""Stored tables of chapter 18 belong to the splits of today, and hold what they say."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mmkeras as mm
from mmkeras.compression import multiply_adds
from mmkeras.datasets import load_emoji

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def stored(name):
    return pd.read_csv(FOLDER / "results" / f"compression_{name}.csv")


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("compression")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def emoji():
    return load_emoji(size=48)


def test_answers_of_students_are_those_of_todays_splits(bench, emoji):
    table = stored("students")
    assert set(table["seed"]) == set(bench.SEEDS) and len(bench.SEEDS) >= 3
    assert bench.DEVELOPMENT not in bench.SEEDS, "the settings are chosen on another seed"
    for (seed, artist, part), page in table.groupby(["seed", "held_out", "part"]):
        split = emoji.split(artist, seed=seed)[1 if part == "valid" else 2]
        assert page["hexcode"].tolist() == split.table["hexcode"].tolist()
        assert page["family"].tolist() == split.table["family"].tolist()
        assert page["truth"].tolist() == split.y.tolist()
    assert table[["teacher", *bench.STUDENTS]].isin(range(6)).all(axis=None)
    assert table["confidence"].between(1 / 6, 1).all()
    assert table.groupby(["seed", "held_out"]).ngroups == 12


def test_smaller_pictures_are_asked_about_the_same_rows(bench):
    sizes, table = stored("sizes"), stored("students").query("part == 'test'")
    keys = ["seed", "held_out", "hexcode", "truth"]
    assert sizes[keys].to_numpy().tolist() == table[keys].to_numpy().tolist()
    assert list(sizes.columns[-3:]) == [f"{side}px" for side in bench.SIDES]


def test_the_settings_are_the_best_on_validation_rows_of_the_development_seed(bench):
    table, settings = stored("tune"), bench.chosen()
    assert set(table["seed"]) == {bench.DEVELOPMENT} and set(table["student"]) == set(bench.TUNED)
    tried = table.groupby("student")[["setting", "share"]].apply(lambda t: len(t.drop_duplicates()))
    assert tried.nunique() == 1, "each way is tried with as many settings"
    for name, part in table.groupby("student"):
        means = part.groupby(["setting", "share"])["accuracy"].mean()
        setting = settings[name]
        key = setting if isinstance(setting, tuple) else (setting, 0.0)
        assert means[key] == means.max()


@pytest.mark.parametrize("name", ["formats", "prune", "whole", "article", "tuned"])
def test_other_answers_are_those_of_todays_splits(name, emoji):
    table = stored(name)
    assert table["seed"].nunique() >= 3
    for (seed, artist), page in table.groupby(["seed", "artist"]):
        split = emoji.split(artist, seed=seed)[2]
        assert page["hexcode"].tolist() == split.table["hexcode"].tolist()
        assert page["family"].tolist() == split.table["family"].tolist()


def test_the_rival_of_the_network_with_zeros_is_the_network_that_was_cut():
    keys = ["hexcode", "artist", "seed", "whole"]
    assert stored("whole")[keys].equals(stored("prune")[keys])


def test_the_branch_of_the_benchmark_is_that_of_the_package(bench):
    ours = mm.image_branch((48, 48, 3), units=64)
    theirs = bench.models.picture_branch()
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    theirs.set_weights(ours.get_weights())
    x = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype("float32")
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)
    assert multiply_adds(ours) == multiply_adds(theirs)


def test_a_narrow_model_keeps_what_its_channels_said(bench):
    """Of filters that are all zero nothing is lost when they are removed."""
    from compression_small import narrowed, picture_model

    model = picture_model((4, 6, 8))
    encoder = model.get_layer("image_encoder")
    for i, width in enumerate((4, 6, 8), start=1):
        kernel = encoder.get_layer(f"convolution{i}").get_weights()[0]
        kernel[..., width // 2 :] = 0  # BatchNorm's start keeps them at 0
        encoder.get_layer(f"convolution{i}").set_weights([kernel])
    thin = picture_model((2, 3, 4))
    thin.set_weights(narrowed(model, (2, 3, 4), None))
    rng = np.random.default_rng(0)
    x = {"image": rng.uniform(0, 255, (5, 48, 48, 3)).astype("float32")}
    np.testing.assert_allclose(thin(x), model(x), atol=1e-5)


def test_the_smallest_weights_of_all_matrices_become_zero_and_biases_stay(bench):
    from compression_small import with_zeros

    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(20, 30)), rng.normal(size=30) / 1e6, 0.1 * rng.normal(size=(9, 9))]
    cut = with_zeros(weights, 0.8)
    np.testing.assert_array_equal(cut[1], weights[1])
    kept = np.concatenate([np.abs(w[c != 0]) for w, c in zip(weights[::2], cut[::2], strict=True)])
    gone = np.concatenate([np.abs(w[c == 0]) for w, c in zip(weights[::2], cut[::2], strict=True)])
    assert kept.min() > gone.max() and abs(len(gone) / (len(gone) + len(kept)) - 0.8) < 0.01


def test_files_and_costs_are_plausible():
    prices = stored("formats_cost").groupby("format").mean(numeric_only=True)
    assert prices.loc["LiteRT int8", "bytes"] < 0.35 * prices.loc["LiteRT float32", "bytes"]
    assert prices.loc["LiteRT float32", "largest change"] < 1e-4
    cost = stored("cost").set_index("model")
    encoder = mm.pretrained.efficientnet_lite0((128, 128, 3), weights=None)
    count = sum(multiply_adds(encoder).values())
    assert cost.loc["EfficientNet-Lite0, 128 px", "multiply_adds"] == count
