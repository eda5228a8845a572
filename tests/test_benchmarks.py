"""The benchmark starts each fit afresh; its stored tables belong to the cohort of today."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mmkeras.datasets import load_emoji, load_heart
from mmkeras.datasets.heart.model import MODALITIES
from mmkeras.evaluate import subsets

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
NAMES = ["+".join(subset) for subset in subsets(MODALITIES)[1:]]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("benchmark_heart", FOLDER / "heart.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_trainer_starts_afresh_and_repeats_itself(bench, monkeypatch):
    monkeypatch.setattr(bench, "DROPOUT", 0.0)  # its random stream goes on from fit to fit
    heart = load_heart().take(range(0, 920, 23))
    x = bench.arrays(heart, bench.vocabulary(heart.note))
    trainer = bench.trainer_of(MODALITIES[::2], 4)  # note and scan
    answers = []
    for seed in (1, 2, 1):
        trainer.fit(x, heart.y, 2, seed)
        answers.append(trainer.predict(x))
    np.testing.assert_array_equal(answers[0], answers[2])
    assert np.abs(answers[0] - answers[1]).max() > 1e-4


def test_the_stream_holds_every_training_patient_once_a_pass_in_a_recording_of_training(bench):
    heart = load_heart().take(range(12))
    inputs = [
        {"note": np.full((12, 1), r), "ecg": heart.patient[:, None] + 100 * r, "scan": heart.scan}
        for r in range(1 + len(bench.RECORDINGS))
    ]
    train = np.array([1, 4, 5, 9])
    x, y = bench.stream(inputs, heart.y, train, np.random.default_rng(0))
    assert len(y) == bench.EPOCHS * 4 and (x["note"] > 0).all()  # recording 0 is for the test
    for start in range(0, len(y), 4):
        rows = x["ecg"][start : start + 4, 0] % 100
        assert sorted(rows) == sorted(heart.patient[train])
        assert (y[start : start + 4] == heart.y[rows]).all()


@pytest.mark.parametrize("by", ["fold", "hospital"])
def test_stored_predictions_are_those_of_this_cohort_and_of_its_folds(by):
    table = pd.read_csv(FOLDER / "results" / f"heart_{by}s.csv")
    heart = load_heart()
    for seed, block in table.groupby("seed"):
        assert block["patient"].tolist() == heart.patient.tolist()
        assert block["disease"].tolist() == heart.y.tolist()
        assert block["hospital"].tolist() == heart.table["hospital"].tolist()
        folds = heart.fold_rows(5, by="patient" if by == "fold" else by, seed=seed)
        for number, (_, test) in enumerate(folds):
            assert np.flatnonzero(block["fold"] == number).tolist() == sorted(test)
        assert list(block.columns[-7:]) == NAMES and block[NAMES].notna().all(axis=None)


def test_the_stored_simulation_is_complete(bench):
    table = pd.read_csv(FOLDER / "results" / "heart_simulated.csv")
    for _, part in table.groupby("seed"):
        assert sorted(zip(part["subset"], part["n"], strict=True)) == sorted(
            (name, n) for name in NAMES for n in bench.SIZES
        )
    gain = (table["auc"] - 0.5) / (table["oracle"] - 0.5)
    np.testing.assert_allclose(gain, table["share_of_gain"], atol=1e-3)
    assert (table["auc"] < table["oracle"]).all()


# ------------------------------------------------------------------------------ fusion


@pytest.fixture(scope="module")
def fusions():
    sys.path.insert(0, str(FOLDER))  # it imports heart.py beside it, as it does when run
    try:
        yield importlib.import_module("fusion")
    finally:
        sys.path.remove(str(FOLDER))


def test_stored_fusion_answers_on_emoji_are_those_of_todays_splits(fusions):
    table = pd.read_csv(FOLDER / "results" / "fusion_emoji.csv")
    assert table["seed"].nunique() >= 5 and list(table.columns[4:]) == fusions.methods("emoji")
    emoji = load_emoji(size=48)
    for (seed, artist), run in table.groupby(["seed", "artist"]):
        test = emoji.split(artist, seed=seed)[2]
        assert run["hexcode"].tolist() == test.table["hexcode"].tolist()
        assert run["family"].tolist() == test.table["family"].tolist()
    assert table[fusions.methods("emoji")].isin([0, 1]).all(axis=None)


def test_stored_answers_of_the_baselines_are_those_of_todays_splits(fusions):
    table = pd.read_csv(FOLDER / "results" / "fusion_article.csv")
    assert table["seed"].nunique() >= 5 and list(table.columns[4:]) == fusions.columns("article")
    emoji = load_emoji(size=48)
    artists = emoji.table["artist"].unique()
    for seed, run in table.groupby("seed"):
        artist = artists[seed % len(artists)]
        assert set(run["artist"]) == {artist}
        test = emoji.split(artist, seed=seed)[2]
        assert run["hexcode"].tolist() == test.table["hexcode"].tolist()
    right = table.groupby("seed")[fusions.columns("article")].mean()
    assert (right["concatenate"] > right["article"] + 0.2).all(), "in every run"
    assert abs(right["concatenate"] - right["torch"]).max() < 0.05, "twins"


def test_stored_fusion_answers_on_the_heart_are_those_of_todays_folds(fusions):
    table = pd.read_csv(FOLDER / "results" / "fusion_heart.csv")
    assert table["seed"].nunique() >= 5 and list(table.columns[5:]) == fusions.methods("heart")
    heart = load_heart()
    for seed, block in table.groupby("seed"):
        assert block["patient"].tolist() == heart.patient.tolist()
        assert block["disease"].tolist() == heart.y.tolist()
        for number, (_, test) in enumerate(heart.fold_rows(fusions.FOLDS, seed=seed)):
            assert np.flatnonzero(block["fold"] == number).tolist() == sorted(test)
    assert table[fusions.methods("heart")].notna().all(axis=None)


def test_weighted_scores_of_the_table_equal_scikit_learn(fusions):
    rows = pd.read_csv(FOLDER / "results" / "fusion_heart.csv").query("seed == 1")
    weights = np.random.default_rng(0).integers(0, 3, (2, len(rows)))
    got = fusions.mean_auc(rows, "gated", weights)
    for line, value in zip(weights, got, strict=True):
        folds = rows.assign(w=line).groupby("fold")
        want = [roc_auc_score(f["disease"], f["gated"], sample_weight=f["w"]) for _, f in folds]
        assert value == pytest.approx(np.mean(want))


def test_the_torch_twin_is_the_keras_model_before_training(fusions, monkeypatch):
    pytest.importorskip("torch", reason="the extra `bench` is not installed")
    monkeypatch.setattr(fusions, "SHORT", 0)
    model = fusions.emoji_model("concatenate")
    rng = np.random.default_rng(0)
    x = {"text": rng.integers(0, 50, (20, 8)), "image": rng.random((20, 1280), "float32")}
    said = fusions.torch_twin(model, x, np.zeros(20), x, 0)
    assert said.tolist() == model.predict(x, verbose=0).argmax(axis=1).tolist()
