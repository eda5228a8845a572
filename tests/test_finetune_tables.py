"""The stored tables on fine-tuning are complete, and paired with today's test rows."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
NAMES = sorted(
    path.stem.removeprefix("finetune_") for path in (FOLDER / "results").glob("finetune_*.csv")
)


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("benchmark_finetune", FOLDER / "finetune.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_each_method_has_the_same_seeds_and_todays_test_rows(bench, name):
    table = bench.read(FOLDER / "results" / f"finetune_{name}.csv")
    assert not table.duplicated(bench.KEYS).any()
    for (data, _), runs in table.query("part == 'test'").groupby(["data", "method"]):
        assert runs["seed"].tolist() == list(bench.SEEDS) and runs["rate"].nunique() == 1
        right = bench.bits(runs["right"])
        assert right.shape[1] == len(bench.units(data)) and set(right.ravel()) <= {0, 1}
        np.testing.assert_allclose(runs["accuracy"], right.mean(axis=1), atol=1e-4)
    for _, tried in table.query("part == 'valid'").groupby("method"):
        assert len(tried) == 3 and not set(tried["seed"]) & set(bench.SEEDS)


def test_the_rate_warms_up_and_falls_to_almost_nothing(bench):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    rate = bench.Rate(2.0, 20)
    rate.set_model(model)
    rate.on_train_begin()
    seen = []
    for step in range(20):
        rate.on_train_batch_begin(step)
        seen.append(float(model.optimizer.learning_rate))
    assert seen[:2] == [1, 2] and max(seen) == 2
    np.testing.assert_allclose(np.diff(seen[1:]), -2 / 19, atol=1e-6)
    assert 0 < seen[-1] < 0.2


def test_the_kernel_of_the_probe_answers_as_the_regression_on_standardised_features(bench):
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (80, 5)), rng.integers(0, 2, 80)
    rows = bench.Rows(x, y)
    task = bench.Task("t", 80, rows, rows, {"t": rows}, lambda x: x)
    kernel, bias, strength = bench.probe(task, rows)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    fit = bench.LogisticRegression(C=strength, max_iter=2000).fit(z, y)
    logits = x @ kernel + bias
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], fit.decision_function(z), atol=1e-6)
