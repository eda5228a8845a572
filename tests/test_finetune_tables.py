"""The stored tables on fine-tuning are complete, and paired with today's test rows."""

import importlib
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from optional import needs

from mmkeras.pretrained import bert_encoder

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
FILES = (FOLDER / "results").glob("finetune_*.csv")
NAMES = sorted({path.stem.removeprefix("finetune_") for path in FILES} - {"forgetting", "chinese"})


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(FOLDER))  # its files import each other, as when it is run
    try:
        return importlib.import_module("finetune")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def runs(bench):
    return sys.modules["finetune_runs"]


@pytest.mark.parametrize("name", NAMES)
def test_each_method_has_the_same_seeds_and_todays_test_rows(bench, runs, name):
    table = runs.read(FOLDER / "results" / f"finetune_{name}.csv")
    assert not table.duplicated(runs.KEYS).any()
    more = list(sys.modules["finetune_films"].MORE_SEEDS)
    for (data, method), tests in table.query("part == 'test'").groupby(["data", "method"]):
        six = name == "fewshot" and method != "all blocks"
        assert sorted(tests["seed"]) == (more if six else list(runs.SEEDS))
        assert tests["rate"].nunique() == 1
        right = bench.bits(tests["right"])
        assert right.shape[1] == len(bench.units(data)) and set(right.ravel()) <= {0, 1}
        np.testing.assert_allclose(tests["accuracy"], right.mean(axis=1), atol=1e-4)
    for method, tried in table.query("part == 'valid'").groupby("method"):
        assert len(tried) == (8 if name == "scans" else 3)
        assert not set(tried["seed"]) & set(runs.SEEDS)
        tests = table.loc[(table["part"] == "test") & (table["method"] == method)]
        assert tests["rate"].iloc[0] == tried.groupby("rate")["accuracy"].mean().idxmax()


def test_the_table_of_chinese_names_has_todays_emoji_and_answers_all_of_them(bench):
    table = pd.read_csv(FOLDER / "results" / "finetune_chinese.csv")
    language = sys.modules["finetune_language"]
    for way in language.WAYS:
        assert set(table.filter(regex=f"^{way}, ").to_numpy().ravel()) == {0, 1}
    assert (table["unknown"] <= table["pieces"]).all() and table["rank_chinese"].min() == 1
    lines = bench.understood(FOLDER / "results" / "finetune_chinese.csv").set_index("what")
    assert (lines["low"] < lines["share"]).all() and (lines["share"] < lines["high"]).all()
    share = table.filter(regex="^English name, MiniLM, ").to_numpy().mean()
    assert lines.loc["group right, English name, MiniLM", "share"] == pytest.approx(share)


def test_keywords_and_ranks(bench):
    language = sys.modules["finetune_language"]
    assert language.keywords("Red apple", "apple fruit red") == "fruit"
    asks, names = np.array([[1.0, 0], [0.6, 0.8]]), np.array([[1.0, 0], [0.8, 0.6]])
    assert language.rank(asks, names).tolist() == [1, 1]
    assert language.rank(asks[::-1], names).tolist() == [2, 2]


def test_a_weight_moves_by_its_own_share_of_the_rate(runs):
    layers = [keras.layers.Dense(1, use_bias=False, kernel_initializer="ones") for _ in range(3)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    factors = {id(layers[0].kernel): 0.0, id(layers[1].kernel): 0.5}
    optimizer = runs.ByDepth(factors)
    optimizer.learning_rate, optimizer.weight_decay = 0.1, 0.0
    model.compile(optimizer, "mse")
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), verbose=0)
    moved = [1 - float(layer.kernel[0, 0]) for layer in layers]
    np.testing.assert_allclose(moved, [0, 0.05, 0.1], atol=1e-5)


def test_gradual_unfreezing_sets_free_from_the_top(runs, monkeypatch):
    encoder = bert_encoder(4, vocabulary_size=9, units=4, heads=2, blocks=6)
    tuned = runs.Gradual(encoder, 2, 3)
    seen = []
    monkeypatch.setattr(
        tuned.model, "fit", lambda *a, **k: seen.append(len(tuned.model.trainable_weights))
    )
    rows = runs.Rows(np.ones((2, 4), "int32"), np.array([0, 1]))
    tuned.fit(rows, None, 1e-3, 0)
    of_block = len(encoder.get_layer("block_1").weights)
    assert seen == [2 * of_block + 2, 4 * of_block + 2, 6 * of_block + 2]


def test_the_rate_warms_up_and_falls_to_almost_nothing(runs):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    rate = runs.Rate(2.0, 20)
    rate.set_model(model)
    rate.on_train_begin()
    seen = []
    for step in range(20):
        rate.on_train_batch_begin(step)
        seen.append(float(model.optimizer.learning_rate))
    assert seen[:2] == [1, 2] and max(seen) == 2
    np.testing.assert_allclose(np.diff(seen[1:]), -2 / 19, atol=1e-6)
    assert 0 < seen[-1] < 0.2


def test_the_kernel_of_the_probe_answers_as_the_regression_on_standardised_features(runs):
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (80, 5)), rng.integers(0, 2, 80)
    rows = runs.Rows(x, y)
    task = runs.Task("t", 80, rows, rows, {"t": rows}, lambda x: x)
    kernel, bias, strength = runs.probe(task, rows)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    fit = runs.LogisticRegression(C=strength, max_iter=2000).fit(z, y)
    logits = x @ kernel + bias
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], fit.decision_function(z), atol=1e-6)


@pytest.mark.slow
@needs("minilm-l6")
@pytest.mark.parametrize(
    ("method", "trained"),
    [("LoRA 4", 2 * 2 * 4 * (384 + 384)), ("BitFit", 2 * 11 * 384), ("adapter", 2 * 2 * 16 * 384)],
)
def test_each_method_begins_as_the_frozen_blocks_and_trains_its_own_weights(bench, method, trained):
    module = sys.modules["finetune_films"]
    x = np.random.default_rng(0).normal(size=(2, module.LENGTH, 384)).astype("float32")
    x[:, 20:] = 0  # padding
    encoder, frozen = module.tunable(method), module.minilm_l6(module.LENGTH, after=module.BEGIN)
    np.testing.assert_allclose(encoder(x), frozen(x), atol=1e-6)
    assert sum(np.prod(weight.shape) for weight in encoder.trainable_weights) == trained
