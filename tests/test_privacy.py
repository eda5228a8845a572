"""Chapter 21: its formulas against independent ones, and its stored tables against today's data."""

import importlib
import itertools
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from prv_accountant import PoissonSubsampledGaussianMechanism, PRVAccountant
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("privacy")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
        for name in ("privacy", "privacy_models", "heart"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def models(bench):
    return sys.modules["privacy_models"]


@pytest.fixture(scope="module")
def chapter():
    """The functions of the chapter that need nothing but NumPy, SciPy and pandas."""
    names = ("anonymity", "mondrian", "rdp_epsilon", "gaussian_sigma", "agreement", "linked")
    space: dict = {"np": np, "pd": pd}
    exec("from scipy.special import gammaln, logsumexp", space)
    for cell in nbformat.read(ROOT / "notebooks" / "21_privacy.ipynb", 4).cells:
        if cell.cell_type == "code":
            for part in cell.source.split("\n\n\n"):
                if any(part.startswith(f"def {name}(") for name in names):
                    exec(part, space)
    return {name: space[name] for name in names}


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"a": rng.integers(0, 3, 90), "b": rng.choice(["x", "y"], 90), "s": rng.integers(0, 3, 90)}
    )


def test_anonymity_by_counting_pairs(chapter, table):
    rows = list(table.itertuples(index=False))
    classes = [[r for r in rows if (r.a, r.b) == key] for key in {(r.a, r.b) for r in rows}]
    overall = [sum(r.s == v for r in rows) / 90 for v in range(3)]
    away = [
        sum(abs(sum(r.s == v for r in c) / len(c) - overall[v]) for v in range(3)) / 2
        for c in classes
    ]
    k, ell, t, alone = chapter["anonymity"](table, ["a", "b"], "s")
    assert k == min(map(len, classes)) and ell == min(len({r.s for r in c}) for c in classes)
    assert t == pytest.approx(max(away)) and alone == 0
    assert chapter["anonymity"](table.assign(a=range(90)), ["a"], "s")[::3] == (1, 1.0)


@pytest.mark.parametrize("k", [2, 5, 11])
def test_mondrian_divides_all_rows_into_classes_of_at_least_k_that_do_not_overlap(chapter, k):
    codes = np.random.default_rng(1).integers(0, 9, (120, 3)).astype(float)
    classes = chapter["mondrian"](codes, k)
    assert sorted(np.concatenate(classes)) == list(range(120))
    assert k <= min(map(len, classes)) and len(classes) >= 120 / (6 * k)
    boxes = [(codes[c].min(axis=0), codes[c].max(axis=0)) for c in classes]
    for (low, high), (low2, high2) in itertools.combinations(boxes, 2):
        assert (high < low2).any() or (high2 < low).any()


@pytest.mark.parametrize(("share", "noise", "steps"), [(0.14, 1.52, 200), (0.05, 1.0, 500)])
def test_the_accountant_is_an_upper_limit_and_not_far_from_a_tight_one(
    chapter, models, share, noise, steps
):
    ours = chapter["rdp_epsilon"](share, noise, steps, 1e-4)
    assert ours == pytest.approx(models.rdp_epsilon(share, noise, steps, 1e-4))
    mechanism = PoissonSubsampledGaussianMechanism(
        noise_multiplier=noise, sampling_probability=share
    )
    tight = PRVAccountant(
        prvs=mechanism, max_self_compositions=steps, eps_error=0.05, delta_error=1e-8
    )
    low, _, high = tight.compute_epsilon(delta=1e-4, num_self_compositions=steps)
    assert low < ours and high < ours < 1.4 * high


def test_the_noise_of_a_setting_keeps_its_epsilon(models):
    for epsilon in (1.0, 8.0):
        noise = models.noise_for(epsilon, 0.1, 100, 1e-4)
        assert models.rdp_epsilon(0.1, noise, 100, 1e-4) <= epsilon
        assert models.rdp_epsilon(0.1, noise - 0.01, 100, 1e-4) > epsilon


def test_gaussian_noise_of_a_mean(chapter):
    sigma = chapter["gaussian_sigma"](20, 80, 60, 0.5, 1e-5)
    assert sigma == pytest.approx(2 * 4.8448, rel=1e-4)  # 1 / 0.5 * sqrt(2 ln 125000)


def test_linking_finds_equal_rows_and_shares_ties(chapter):
    kept = np.array([[1.0, 5.0], [2.0, 5.0], [2.0, 6.0], [2.0, np.nan]])
    score = chapter["agreement"](kept[:, :2], kept)
    assert score[0].argmax() == 0 and score[2].argmax() == 2
    assert score[3, 1] == pytest.approx(-np.log(0.75))  # a gap says nothing
    assert list(chapter["linked"](np.array([[1, 1, 0], [0, 2, 1], [3, 0, 0]]))) == [0.5, 1, 0]


def test_clipped_sums_are_those_of_gradients_taken_one_by_one(models):
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=s).astype("f") for s in ((2, 5, 4), (2, 4), (2, 4, 1), (2, 1))]
    x, y = rng.normal(size=(2, 6, 5)).astype("f"), rng.integers(0, 2, (2, 6))
    on = rng.random((2, 6)) < 0.7
    got = models.clipped_sums(weights, x, y, on, 0.5)
    for m in range(2):
        total = [np.zeros(w.shape[1:]) for w in weights]
        for i in np.flatnonzero(on[m]):
            own = [tf.Variable(w[m]) for w in weights]
            with tf.GradientTape() as tape:
                z = tf.nn.relu(x[m, i][None] @ own[0] + own[1]) @ own[2] + own[3]
                loss = tf.nn.softplus(z[0, 0]) - float(y[m, i]) * z[0, 0]
            each = [g.numpy() for g in tape.gradient(loss, own)]
            length = np.sqrt(sum((g**2).sum() for g in each))
            total = [t + g * min(1, 0.5 / length) for t, g in zip(total, each, strict=True)]
        for mine, right in zip(got, total, strict=True):
            np.testing.assert_allclose(mine[m], right, atol=1e-5)


def test_contributions_average_to_the_auc_and_their_spread_is_its_error(models):
    rng = np.random.default_rng(3)
    first = np.zeros((4, 200), bool)
    for row in first:
        row[rng.permutation(200)[:70]] = True
    score = rng.normal(size=(4, 200)) + 0.5 * first
    second = ~first & (rng.random((4, 200)) < 0.8)
    aucs = [roc_auc_score(a[a | b], s[a | b]) for s, a, b in zip(score, first, second, strict=True)]
    assert models.contributions(score, first, second).mean() == pytest.approx(np.mean(aucs))
    u = models.contributions(score[:1], first[:1], ~first[:1])
    draws = []
    for _ in range(800):
        rows = rng.integers(0, 200, 200)
        draws.append(roc_auc_score(first[0, rows], score[0, rows]))
    assert 2 * u.std() / 200**0.5 == pytest.approx(np.std(draws), rel=0.15)


def test_lira_finds_what_only_memory_can_know_and_nothing_where_there_is_none(models):
    rng = np.random.default_rng(4)
    member = models.halves(16, 300, 0)
    assert (member.sum(axis=0) == 8).all() and (member.sum(axis=1) == 150).all()
    easy, noise = 3 * rng.normal(size=300), rng.normal(size=(16, 300))
    for effect, low, high in ((0.0, 0.47, 0.53), (2.0, 0.85, 0.97)):
        score = models.lira(easy + noise + effect * member, member)
        assert low < models.contributions(score, member, ~member).mean() < high


@pytest.mark.parametrize("name", ["attack", "private", "forget"])
def test_stored_tables_are_of_the_patients_of_today(bench, name):
    table, heart = pd.read_csv(bench.TABLES[name]), bench.patients()
    assert table["patient"].tolist() == heart.patient.tolist()
    assert table["disease"].tolist() == heart.y.tolist()
    assert table.notna().all(axis=None)
    seeds = pd.read_csv(bench.BY_SEED)
    means = seeds[seeds["table"] == name].groupby("column")["mean"]
    assert set(means.groups) == set(table.columns[2:]) and (means.size() == 3).all()
    np.testing.assert_allclose(means.mean()[table.columns[2:]], table.iloc[:, 2:].mean(), atol=1e-3)
