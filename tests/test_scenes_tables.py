"""The stored tables of the scenes belong to the data of today, and agree with each other."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkeras.datasets import load_scenes

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(FOLDER))  # its files import each other, as when it is run
    try:
        return importlib.import_module("scenes")
    finally:
        sys.path.remove(str(FOLDER))


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "results" / f"scenes_{name}.csv")


def test_the_stored_replies_are_those_of_todays_test_scenes(bench):
    table = read("replies")
    assert set(table["artist"]) == set(bench.SPLITS)
    for artist, block in table.groupby("artist"):
        test = load_scenes(held_out_artist=artist, seed=bench.SPLITS[artist]).split()[2]
        assert block["row"].tolist() == test.table.index.tolist()
        assert block["y"].tolist() == test.y.tolist()
        assert block["clip"].tolist() == test.clip.tolist()


def test_each_fit_has_its_replies_and_its_accuracy_is_theirs(bench):
    fits, replies = read("fits"), read("replies")
    for row in fits.itertuples():
        block = replies[replies["artist"] == row.artist]
        given = block[bench.name_of(row.model, row.auxiliary, row.steps, row.seen)]
        assert 100 * (given == block["y"]).mean() == pytest.approx(row.reply, abs=0.01)


def test_no_subset_is_above_its_ceiling_and_the_whole_is_above_each():
    fits = read("fits")
    pairs = fits[fits["seen"] != "all"]
    assert (pairs["reply"] < pairs["ceiling"] + 3).all()
    cross = fits[(fits["seen"] == "all") & (fits["model"] == "cross-attention") & fits["auxiliary"]]
    assert (cross["reply"] > 50).all() and len(cross) == 3


def test_the_rate_rises_and_falls_and_unknown_words_are_told_from_padding(bench):
    models = sys.modules["scene_models"]
    rates = [models.rate_at(step, 100) for step in range(100)]
    assert int(np.argmax(rates)) in (9, 10) and rates[0] > 0 and rates[-1] < 1e-5
    words = models.Vocabulary(["the red one", "that animal"])
    ids = words(["the green animal", "red"])
    assert ids[0, 1] == 1 and (ids[0, 3:] == 0).all() and ids[1, 0] > 1


@pytest.mark.parametrize("kind", ["concatenation", "self-attention", "cross-attention"])
def test_padding_changes_no_reply(bench, kind):
    models, rng = sys.modules["scene_models"], np.random.default_rng(0)
    model = models.build(kind, 9)
    x = {"image": rng.normal(size=(2, 4, 496)), "audio": rng.normal(size=(2, 50, 40))}
    x["text"] = np.array([[2, 3, 0, 0, 0, 0, 0]] * 2)
    before = model.predict_on_batch(x)["reply"]
    padding = model.get_layer("words").embeddings
    padding.assign(np.concatenate([[np.full(64, 9.0)], padding.numpy()[1:]]))
    np.testing.assert_allclose(model.predict_on_batch(x)["reply"], before, atol=1e-5)
    x["text"][:, 1] = 4
    assert np.abs(model.predict_on_batch(x)["reply"] - before).max() > 1e-3
