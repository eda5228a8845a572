"""The benchmark starts each fit afresh; its stored tables belong to the cohort of today."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkeras.datasets import load_heart
from mmkeras.datasets.heart_model import MODALITIES, subsets

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
NAMES = ["+".join(subset) for subset in subsets(MODALITIES)]


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
    trainer = bench.trainer_of(MODALITIES, 4)
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
