"""Stored tables of the benchmarks belong to the data of today, and what they say of themselves."""

import importlib.util
import sys
from pathlib import Path

import keras
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


def test_the_stream_holds_every_training_patient_once_per_pass_in_a_recording_of_training(bench):
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


def test_the_stored_ablation_is_of_this_cohort_and_of_its_folds():
    table, heart = pd.read_csv(FOLDER / "results" / "heart_recipe.csv"), load_heart()
    for seed, block in table.groupby("seed"):
        assert block["patient"].tolist() == heart.patient.tolist()
        assert block["disease"].tolist() == heart.y.tolist()
        for number, (_, test) in enumerate(heart.fold_rows(5, seed=seed)):
            assert np.flatnonzero(block["fold"] == number).tolist() == sorted(test)
    answers = table[table.columns[5:]]
    assert list(answers) == ["ours", "LSTM", "Flatten", "hidden layer", "article"]
    assert answers.notna().all(axis=None) and answers.corr().to_numpy().min() > 0.8


def test_the_stored_runs_of_the_voices_are_complete_and_keep_syllables_apart():
    table = pd.read_csv(FOLDER / "results" / "voices.csv")
    kinds = table.groupby(["network", "trained_on"])["run"].unique()
    assert len(kinds) == 3 and all(runs.tolist() == [1, 2, 3, 4, 5] for runs in kinds)
    own, other = table[table["own"] == 1], table[table["own"] == 0]
    assert set(own["as_it_is"]) == {0, 1} == set(other["at_pitch"]) and (own["moved"] == -1).all()
    assert not (own["cut"] & own["usual"]).any() and (other["one_length"] == -1).all()
    for _, run in table.groupby("run"):  # the three networks were asked for the same syllables
        asked = run.groupby(["network", "trained_on"])["syllable"].agg(frozenset)
        assert asked.nunique() == 1
    assert other.groupby("network")["as_it_is"].mean().between(0.2, 0.6).all()


def test_the_stored_tasks_are_of_this_cohort_and_of_its_folds():
    table, heart = pd.read_csv(FOLDER / "results" / "heart_tasks.csv"), load_heart()
    rate = heart.table["thalch"].to_numpy()
    assert table["seed"].unique().tolist() == [0, 1, 2]
    for _, block in table.groupby("seed"):
        assert block["patient"].tolist() == heart.patient.tolist()
        for number, (_, test) in enumerate(heart.fold_rows(5, seed=1)):
            assert np.flatnonzero(block["fold"] == number).tolist() == sorted(test)
        assert block.drop(columns=["patient", "seed", "fold"]).notna().all(axis=None)
        assert np.nanmean(np.abs(block["rate alone: rate"] - rate)) < 6  # of 21 by guessing
        assert roc_auc_score(heart.y, block["disease alone: disease"]) > 0.7
    weights = pd.read_csv(FOLDER / "results" / "heart_tasks_weights.csv")
    assert len(weights) == 15 and weights.notna().all(axis=None)


def test_the_stored_simulation_is_complete(bench):
    table = pd.read_csv(FOLDER / "results" / "heart_simulated.csv")
    assert table["seed"].nunique() >= 3
    names = ["+".join(subset) for subset in bench.SIMULATED]
    for _, part in table.groupby("seed"):
        assert sorted(zip(part["subset"], part["n"], strict=True)) == sorted(
            (name, n) for name in names for n in bench.SIZES
        )
    gain = (table["auc"] - 0.5) / (table["oracle"] - 0.5)
    np.testing.assert_allclose(gain, table["share_of_gain"], atol=1e-3)
    assert (table["auc"] < table["oracle"]).all()
    assert table["share_of_gain"].between(table["low"], table["high"]).all()
    assert table["best_step"].between(1, bench.STEPS).all()


def test_every_number_of_simulated_patients_gets_the_same_steps(bench, monkeypatch):
    monkeypatch.setattr(bench, "STEPS", 6)
    monkeypatch.setattr(bench, "CHECKS", 2)

    def build():
        port = keras.Input((1,), name="note")
        model = keras.Model([port], keras.layers.Dense(1, "sigmoid", name="disease")(port))
        model.compile("sgd", "binary_crossentropy")
        return model

    trainer = bench.Trainer(build)
    rng = np.random.default_rng(0)
    for n in (5, 40, 1000):
        x, y = {"note": rng.normal(size=(n, 1)).astype("float32")}, np.arange(n) % 2
        watch = bench.Best(x, y)
        bench.fit_steps(trainer, x, y, 1, watch)
        assert int(trainer.model.optimizer.iterations) == 6
        assert watch.step in (3, 6)


# ------------------------------------------------------------------------------ fusion


def beside(name):
    """A script of the folder, which imports the ones beside it, as it does when run."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def fusions():
    return beside("fusion")


def test_every_method_was_tuned_with_every_setting_on_a_seed_of_its_own(fusions):
    table = pd.read_csv(FOLDER / "results" / "fusion_tuning.csv")
    for data, part in table.groupby("data"):
        assert not set(part["seed"]) & set(fusions.SEEDS[data]), "the reported seeds are others"
        units = part["unit"].unique()
        for method in fusions.methods(data)[:-1]:
            tried = part[part["method"] == method]
            got = sorted(zip(tried["rate"], tried["warm_up"], tried["unit"], strict=True))
            assert got == sorted((*s, u) for s in fusions.SETTINGS for u in units)
    assert set(table["data"]) == set(fusions.MODALITIES)


@pytest.mark.parametrize("data", ["emoji", "heart"])
def test_the_best_setting_on_validation_data_is_chosen(fusions, data):
    table = pd.read_csv(FOLDER / "results" / "fusion_tuning.csv").query("data == @data")
    settings = fusions.chosen(data)
    assert list(settings["shuffled"]) == list(settings["concatenate"])
    for method, part in table.groupby("method"):
        mean = part.groupby(["rate", "warm_up"])["score"].mean()
        assert mean[tuple(settings[method])] == mean.max()


def test_the_rate_grows_in_the_warm_up_and_then_falls_along_a_cosine(fusions):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1.0), "mse")
    for steps in (None, 20):
        watch, rates = fusions.Rate(fusions.Setting(0.01, 4), steps), []
        watch.set_model(model)
        for step in range(20):
            watch.on_train_batch_begin(step)
            rates.append(float(model.optimizer.learning_rate))
        np.testing.assert_allclose(rates[:5], 0.01 * np.arange(1, 6) / 5, rtol=1e-5)
        if steps:
            assert (np.diff(rates[4:]) < 0).all() and rates[-1] < 1e-4
        else:
            np.testing.assert_allclose(rates[4:], 0.01, rtol=1e-5)


def test_stored_fusion_answers_on_emoji_are_those_of_todays_splits(fusions):
    table = pd.read_csv(FOLDER / "results" / "fusion_emoji.csv")
    assert set(table["seed"]) == set(fusions.SEEDS["emoji"])
    assert list(table.columns[4:]) == fusions.methods("emoji")
    emoji = load_emoji(size=48)
    for (seed, artist), run in table.groupby(["seed", "artist"]):
        test = emoji.split(artist, seed=seed)[2]
        assert run["hexcode"].tolist() == test.table["hexcode"].tolist()
        assert run["family"].tolist() == test.table["family"].tolist()
    assert table[fusions.methods("emoji")].isin([0, 1]).all(axis=None)


def test_stored_answers_of_the_baselines_are_those_of_todays_splits(fusions):
    table = pd.read_csv(FOLDER / "results" / "fusion_article.csv")
    names = ["concatenate", "torch", "article"]
    assert table["seed"].nunique() >= 5 and list(table.columns[4:]) == names
    emoji = load_emoji(size=48)
    artists = emoji.table["artist"].unique()
    for seed, run in table.groupby("seed"):
        artist = artists[seed % len(artists)]
        assert set(run["artist"]) == {artist}
        test = emoji.split(artist, seed=seed)[2]
        assert run["hexcode"].tolist() == test.table["hexcode"].tolist()
    right = table.groupby("seed")[names].mean()
    assert (right["concatenate"] > right["article"] + 0.2).all(), "in every run"
    assert abs(right["concatenate"] - right["torch"]).max() < 0.05, "twins"


def test_stored_fusion_answers_on_the_heart_are_those_of_todays_folds(fusions):
    table = pd.read_csv(FOLDER / "results" / "fusion_heart.csv")
    assert set(table["seed"]) == set(fusions.SEEDS["heart"])
    assert list(table.columns[5:]) == fusions.methods("heart")
    heart = load_heart()
    for seed, block in table.groupby("seed"):
        assert block["patient"].tolist() == heart.patient.tolist()
        assert block["disease"].tolist() == heart.y.tolist()
        for number, (_, test) in enumerate(heart.fold_rows(fusions.FOLDS, seed=seed)):
            assert np.flatnonzero(block["fold"] == number).tolist() == sorted(test)
    assert table[fusions.methods("heart")].notna().all(axis=None)


def test_weighted_scores_of_the_table_equal_scikit_learn():
    rows = pd.read_csv(FOLDER / "results" / "fusion_heart.csv").query("seed == 1")
    weights = np.random.default_rng(0).integers(0, 3, (2, len(rows)))
    got = beside("fusion_tables").mean_auc(rows, "gated", weights)
    for line, value in zip(weights, got, strict=True):
        folds = rows.assign(w=line).groupby("fold")
        want = [roc_auc_score(f["disease"], f["gated"], sample_weight=f["w"]) for _, f in folds]
        assert value == pytest.approx(np.mean(want))


def test_the_torch_twin_is_the_keras_model_before_training(fusions, monkeypatch):
    pytest.importorskip("torch", reason="the extra `bench` is not installed")
    article = beside("article")
    monkeypatch.setattr(article, "SHORT", 0)
    model = fusions.emoji_model("concatenate")
    rng = np.random.default_rng(0)
    x = {"text": rng.integers(0, 50, (20, 8)), "image": rng.random((20, 1280), "float32")}
    said = article.torch_twin(model, x, np.zeros(20), x, 0)
    assert said.tolist() == model.predict(x, verbose=0).argmax(axis=1).tolist()


def test_the_stored_additive_answers_belong_to_todays_folds(fusions):
    table = pd.read_csv(FOLDER / "results" / "fusion_emap.csv")
    heart = load_heart()
    for (seed, fold), block in table.groupby(["seed", "fold"]):
        test = heart.fold_rows(fusions.FOLDS, seed=seed)[fold][1]
        assert block["patient"].tolist() == heart.patient[test][::3].tolist()
        assert block["disease"].tolist() == heart.y[test][::3].tolist()
    names = [c for c in table if f"{c}, additive" in table]
    assert set(names) == set(beside("fusion_emap").METHODS)
    gap = (table["concatenate"] - table["concatenate, additive"]).abs().max()
    assert gap < 1e-3, "a sum of logits is its own best sum"


def test_the_tones_by_depth_are_complete_and_say_what_the_docstring_of_whisper_tiny_says():
    table = pd.read_csv(FOLDER / "results" / "whisper_tones.csv")
    assert len(table) == 5 * 3 * 3
    mean = table.pivot_table("accuracy", "layer", "held_out_voice")
    assert mean["none"].idxmax() == 2 and mean.loc[2, "none"] > mean.loc[4, "none"] + 0.03
    assert mean.loc[2, "high"] > mean.loc[0, "high"] + 0.1
