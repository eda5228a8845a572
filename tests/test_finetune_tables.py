"""The stored tables on fine-tuning are complete, and paired with today's test rows."""

import importlib
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from optional import needs

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
FILES = (FOLDER / "results").glob("finetune_*.csv")
NAMES = sorted({path.stem.removeprefix("finetune_") for path in FILES} - {"forgetting"})


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
    for (data, _), tests in table.query("part == 'test'").groupby(["data", "method"]):
        assert tests["seed"].tolist() == list(runs.SEEDS) and tests["rate"].nunique() == 1
        right = bench.bits(tests["right"])
        assert right.shape[1] == len(bench.units(data)) and set(right.ravel()) <= {0, 1}
        np.testing.assert_allclose(tests["accuracy"], right.mean(axis=1), atol=1e-4)
    for _, tried in table.query("part == 'valid'").groupby("method"):
        assert len(tried) == 3 and not set(tried["seed"]) & set(runs.SEEDS)


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
