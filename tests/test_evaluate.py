"""Metrics against scikit-learn, tests and Shapley values against brute force, and bad input."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from mmkeras import evaluate as ev

RNG = np.random.default_rng(0)
N = 120
Y = RNG.integers(0, 2, N)
P = np.round(np.clip(0.5 + 0.2 * (Y - 0.5) + 0.25 * RNG.standard_normal(N), 0, 1), 1)  # many ties
Q = np.round(np.clip(0.5 + 0.5 * (Y - 0.5) + 0.25 * RNG.standard_normal(N), 0, 1), 2)
Y3 = RNG.integers(0, 3, N)
P3 = RNG.multinomial(8, [0.2, 0.3, 0.5], N) / 8 * 0.7 + 0.3 * np.eye(3)[Y3]
PATIENTS = RNG.integers(0, 40, N).astype(str)
BINARY, SEVERAL = ev.answers(Y, P)[""], ev.answers(Y3, P3)[""]


def simulated(n: int, temperature: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are right at temperature 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, n)
    return (rng.random(n) < special.expit(logits)).astype(int), special.expit(logits * temperature)


# ------------------------------------------------------------------------------ metrics


def ece_by_hand(said, happened, weight):
    place = np.minimum(np.ceil(said * 10 - 1e-9), 10)  # an edge belongs to the bin on its left
    place[said == 0] = 1
    total = 0.0
    for b in range(1, 11):
        w = weight * (place == b)
        total += abs(np.sum(w * said) - np.sum(w * happened))
    return total / weight.sum()


def sklearn_binary(y, p, w):
    c = (p >= 0.5).astype(int)
    return {
        "accuracy": sk.accuracy_score(y, c, sample_weight=w),
        "precision": sk.precision_score(y, c, sample_weight=w),
        "recall": sk.recall_score(y, c, sample_weight=w),
        "specificity": sk.recall_score(y, c, pos_label=0, sample_weight=w),
        "f1": sk.f1_score(y, c, sample_weight=w),
        "roc_auc": sk.roc_auc_score(y, p, sample_weight=w),
        "average_precision": sk.average_precision_score(y, p, sample_weight=w),
        "brier": sk.brier_score_loss(y, p, sample_weight=w),
        "ece": ece_by_hand(p, y, w),
    }


def sklearn_several(y, p, w):
    c, one_hot = p.argmax(axis=1), np.eye(3)[y]
    macro = {"average": "macro", "sample_weight": w}
    negatives = [sk.recall_score(y != k, c != k, sample_weight=w) for k in range(3)]
    return {
        "accuracy": sk.accuracy_score(y, c, sample_weight=w),
        "precision": sk.precision_score(y, c, **macro),
        "recall": sk.recall_score(y, c, **macro),
        "specificity": np.mean(negatives),
        "f1": sk.f1_score(y, c, **macro),
        "roc_auc": np.mean([sk.roc_auc_score(y == k, p[:, k], sample_weight=w) for k in range(3)]),
        "average_precision": sk.average_precision_score(one_hot, p, **macro),
        "brier": 3 * sk.mean_squared_error(one_hot, p, sample_weight=w),
        "ece": ece_by_hand(p.max(axis=1), c == y, w),
    }


@pytest.mark.parametrize("kind", ["binary", "several"])
@pytest.mark.parametrize("weights", ["ones", "counts", "fractions"])
@pytest.mark.parametrize("metric", list(ev.METRICS))
def test_weighted_metric_equals_scikit_learn(metric, weights, kind):
    rng = np.random.default_rng(1)
    w = {
        "ones": np.ones((1, N)),
        "counts": rng.multinomial(N, np.full(N, 1 / N), size=5).astype(float),  # with zeros
        "fractions": rng.random((5, N)),
    }[weights]
    y, p, a, oracle = (
        (Y, P, BINARY, sklearn_binary) if kind == "binary" else (Y3, P3, SEVERAL, sklearn_several)
    )
    want = [oracle(y, p, row)[metric] for row in w]
    np.testing.assert_allclose(ev.METRICS[metric].weighted(a, w), want, rtol=1e-9, atol=1e-12)
    if weights == "ones":
        assert ev.METRICS[metric].value(a) == pytest.approx(want[0], abs=1e-12)


def test_several_classes_match_the_one_against_rest_auc_of_scikit_learn():
    want = sk.roc_auc_score(Y3, P3, multi_class="ovr", average="macro")
    assert ev.report(Y3, P3, replicates=2).loc["roc_auc", "value"] == pytest.approx(want)


# ------------------------------------------------------------------------------ report


def test_report_has_models_and_metrics_in_order():
    table = ev.report(Y, {"b": P, "a": Q[:, None]}, replicates=20)
    order = "accuracy precision recall specificity f1 roc_auc average_precision brier ece".split()
    assert list(table.index) == [(m, name) for m in "ba" for name in order]
    assert table.index.names == ["model", "metric"] and list(table) == ["value", "low", "high"]
    for metric, want in sklearn_binary(Y, Q, np.ones(N)).items():
        assert table.loc[("a", metric), "value"] == pytest.approx(want)
    alone = ev.report(Y.tolist(), Q.tolist(), metrics=["ece", "f1"], replicates=20)
    assert list(alone.index) == ["ece", "f1"]
    pd.testing.assert_frame_equal(alone, table.loc["a"].loc[["ece", "f1"]])


def test_report_equals_a_bootstrap_of_patients_by_hand(monkeypatch):
    names, codes = np.unique(PATIENTS, return_inverse=True)
    times = np.random.default_rng(7).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=30
    )
    drawn = []
    for row in times:
        rows = np.concatenate([np.tile(np.flatnonzero(codes == g), k) for g, k in enumerate(row)])
        drawn.append(sklearn_binary(Y[rows], P[rows], np.ones(len(rows))))
    want = pd.DataFrame(drawn).quantile([0.05, 0.95]).T.to_numpy()
    options = {"groups": PATIENTS, "replicates": 30, "confidence": 0.9, "seed": 7}
    table = ev.report(Y, P, **options)
    np.testing.assert_allclose(table[["low", "high"]], want, atol=1e-12)
    monkeypatch.setattr(
        "mmkeras.evaluate.tables.BLOCK", 4 * N
    )  # four draws at a time: the same draws
    pd.testing.assert_frame_equal(ev.report(Y, P, **options), table)


def test_copies_of_rows_within_a_patient_add_no_certainty():
    once = ev.report(Y, P, replicates=50)
    four = ev.report(
        np.repeat(Y, 4), np.repeat(P, 4), groups=np.repeat(np.arange(N), 4), replicates=50
    )
    np.testing.assert_allclose(once, four)
    naive = ev.report(np.repeat(Y, 4), np.repeat(P, 4), replicates=200, metrics=["accuracy"])
    width = (once["high"] - once["low"])["accuracy"]
    assert naive.eval("high - low").iloc[0] < 0.7 * width


def test_interval_covers_the_truth_about_as_often_as_it_says():
    covered, rng = 0, np.random.default_rng(3)
    for i in range(200):
        y = np.ones(150, int)
        p = (rng.random(150) < 0.8).astype(float)  # right with probability 0.8
        row = ev.report(y, p, metrics=["accuracy"], replicates=300, seed=i).loc["accuracy"]
        covered += row["low"] <= 0.8 <= row["high"]
    assert 0.89 <= covered / 200 <= 0.99


def test_threshold_may_differ_by_model():
    table = ev.report(Y, {"a": P, "b": P}, threshold={"a": 0.3, "b": np.inf}, replicates=5)
    assert table.loc[("a", "recall"), "value"] == sk.recall_score(Y, P >= 0.3)
    assert table.loc[("b", "recall"), "value"] == 0
    assert table.loc[("b", "specificity"), "value"] == 1
    assert np.isnan(table.loc[("b", "precision"), "value"])  # nothing predicted positive


@pytest.mark.filterwarnings("error")
def test_undefined_is_nan_and_left_out_of_intervals():
    single = ev.report(np.ones(9, int), np.linspace(0, 1, 9), replicates=20)
    assert single.loc["roc_auc"].isna().all() and single.loc["specificity"].isna().all()
    assert single.loc["accuracy"].notna().all()
    one = ev.report(np.eye(10, dtype=int)[0], np.full(10, 0.9), metrics=["recall"])
    assert tuple(one.loc["recall"]) == (1, 1, 1)  # a third of the draws lack the positive
    three = ev.report([0, 1, 2], np.eye(3) * 0.7 + 0.1, metrics=["roc_auc"])  # most draws lack one
    assert three.loc["roc_auc", "value"] == 1 and three.loc["roc_auc", ["low", "high"]].isna().all()


# ------------------------------------------------------------------------------ compare


def test_compare_is_the_paired_difference():
    models = {"first": P, "base": Q, "twin": Q}
    table = ev.compare(Y, models, "base", groups=PATIENTS, replicates=100, seed=4)
    report = ev.report(Y, models, groups=PATIENTS, replicates=100, seed=4)
    assert list(table.index.unique("model")) == ["first", "twin"]
    assert list(table) == ["difference", "low", "high", "p"]
    want = report.loc["first", "value"] - report.loc["base", "value"]
    np.testing.assert_allclose(table.loc["first", "difference"], want)
    assert (table.loc["twin", ["difference", "low", "high"]] == 0).all(axis=None)
    assert (table.loc["twin", "p"] == 1).all()
    assert table.loc[("first", "roc_auc"), "high"] < 0  # Q is far better


def test_p_is_never_0_and_about_uniform_without_a_difference():
    table = ev.compare(Y, {"a": Y * 1.0, "b": 1.0 - Y}, "b", metrics=["accuracy"], replicates=99)
    assert table["p"].item() == pytest.approx(2 / 100)
    ps = []
    for i in range(200):
        rng = np.random.default_rng(i)
        y, right = np.ones(150, int), (rng.random((2, 150)) < 0.7) * 1.0
        models = dict(zip("ab", right, strict=True))
        ps.append(ev.compare(y, models, "a", metrics=["accuracy"], replicates=200)["p"].item())
    assert 0.01 <= np.mean(np.array(ps) < 0.05) <= 0.11
    assert 0.4 <= np.mean(np.array(ps) < 0.5) <= 0.62


def test_paired_difference_by_hand():
    first, second = [1, 1, 0, 1, 1, 0], [0, 1, 0, 0, 1, 1]  # d = 1, 0, 0, 1, 0, -1; mean 1/6
    got = ev.paired_difference(first, second, [*"aabbcc"])  # sums of d - 1/6: 4/6, 4/6, -8/6
    error = math.sqrt(3 / 2 * (16 + 16 + 64) / 36) / 6
    assert got.difference == pytest.approx(1 / 6)
    assert got.high - got.low == pytest.approx(2 * 1.959964 * error, rel=1e-6)
    assert got.high + got.low == pytest.approx(2 / 6)


def test_paired_difference_of_single_rows_is_the_paired_t_with_z():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 80))
    got = ev.paired_difference(first, second, comparisons=7)
    d = first - second
    assert got.high - got.difference == pytest.approx(2.690110 * d.std(ddof=1) / 80**0.5, rel=1e-6)
    back = ev.paired_difference(second, first, comparisons=7)
    assert (back.difference, back.low, back.high) == pytest.approx((-got[0], -got[2], -got[1]))


def test_paired_difference_agrees_with_the_bootstrap_by_groups():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(120), rng.integers(1, 6, 120))
    luck = rng.normal(0, 1, 120)[groups]
    right = [(rng.normal(0, 1, groups.size) + luck + by > 0) * 1.0 for by in (0.5, 0.0)]
    got = ev.paired_difference(*right, groups)
    y = np.ones(groups.size, int)
    models = {"first": right[0], "second": right[1]}
    row = ev.compare(y, models, "second", groups=groups, metrics=["accuracy"]).iloc[0]
    assert got.difference == pytest.approx(row["difference"])
    assert got.high - got.low == pytest.approx(row["high"] - row["low"], rel=0.12)


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (([1, 0], [1, 0, 1]), {}, "finite numbers"),
        (([1, np.nan], [1, 0]), {}, "finite numbers"),
        (([1, 0], [0, 0], ["a", "a"]), {}, "at least two"),
        (([1, 0], [0, 0], ["a"]), {}, "one label per row"),
        (([1, 0], [0, 0]), {"comparisons": 0}, "positive integer"),
        (([1, 0], [0, 0]), {"confidence": 95}, "between 0 and 1"),
    ],
)
def test_paired_difference_names_what_is_wrong(arguments, options, says):
    with pytest.raises(ValueError, match=says):
        ev.paired_difference(*arguments, **options)


def test_mcnemar_is_the_exact_binomial():
    y = np.ones(20, int)
    first, second = y.copy(), y.copy()
    first[:2], second[2:12] = 0, 0
    want = 2 * sum(math.comb(12, i) for i in range(3)) / 2**12
    assert ev.mcnemar(y, first, second) == (10, 2, pytest.approx(want))
    assert ev.mcnemar(y, second, first) == (2, 10, pytest.approx(want))
    assert ev.mcnemar(y, first, first) == (0, 0, 1.0)


def test_delong_equals_all_pairs():
    def placements(p):
        a, b = p[Y == 1][:, None], p[Y == 0][None]
        return (a > b) + (a == b) / 2

    pairs = [placements(P), placements(Q)]
    m, n = pairs[0].shape
    by_positive = [x.mean(axis=1) for x in pairs]
    by_negative = [x.mean(axis=0) for x in pairs]
    covariance = np.cov(by_positive) / m + np.cov(by_negative) / n
    got = ev.delong(Y, P, Q[:, None])
    assert got.first == pytest.approx(sk.roc_auc_score(Y, P))
    assert got.second == pytest.approx(sk.roc_auc_score(Y, Q))
    assert got.difference == pytest.approx(got.first - got.second)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert got.se == pytest.approx(np.sqrt(variance))
    assert got.high - got.low == pytest.approx(2 * 1.959964 * got.se, rel=1e-5)
    assert got.p == pytest.approx(math.erfc(abs(got.difference) / got.se / math.sqrt(2)))


def test_delong_agrees_with_the_bootstrap_and_with_itself_turned_round():
    y, p = simulated(800)
    q = special.expit(special.logit(p) + np.random.default_rng(5).normal(0, 1.5, 800))
    got, back = ev.delong(y, p, q), ev.delong(y, q, p)
    row = ev.compare(y, {"p": p, "q": q}, "q", metrics=["roc_auc"]).iloc[0]
    assert got.difference == pytest.approx(row["difference"])
    assert got.high - got.low == pytest.approx(row["high"] - row["low"], rel=0.12)
    assert (back.difference, back.low, back.p) == pytest.approx((-got.difference, -got.high, got.p))
    same = ev.delong(y, p, p)
    assert same.se == 0 and same.p == 1
    assert np.isnan(ev.delong(Y, Y * 1.0, np.full(N, 0.5)).p)  # perfect against constant


# ------------------------------------------------------------------------------ calibration


def test_calibration_error_by_hand():
    assert ev.expected_calibration_error([0, 1, 1, 1], [0.15, 0.12, 0.95, 0.91]) == pytest.approx(
        0.5 * (0.5 - 0.135) + 0.5 * 0.07
    )
    assert ev.expected_calibration_error([0, 1], [0.0, 1.0]) == 0
    assert ev.expected_calibration_error([1, 0], [0.0, 1.0]) == 1
    two = np.array([[0.8, 0.2], [0.3, 0.7]])  # one right, one wrong, in different bins
    assert ev.expected_calibration_error([0, 0], two) == pytest.approx((0.2 + 0.7) / 2)


@pytest.mark.parametrize("bins", [1, 7, 10, 20])
def test_calibration_error_agrees_with_the_curve_of_scikit_learn(bins):
    y, p = simulated(500, temperature=3)
    happened, said = calibration_curve(y, p, n_bins=bins)
    counts = np.histogram(p, bins, (0, 1))[0]
    want = np.abs(happened - said) @ counts[counts > 0] / 500
    assert ev.expected_calibration_error(y, p, bins) == pytest.approx(want)


def log_loss(y, p):
    return sk.log_loss(y, p, labels=np.arange(2 if p.ndim == 1 else p.shape[1]))


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_temperature_is_found_again(true):
    y, p = simulated(20_000, temperature=true)
    assert ev.fit_temperature(y, p) == pytest.approx(true, rel=0.06)
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (5000, 4))
    y4 = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # softmax, sampled
    p4 = special.softmax(true * logits, axis=1)
    t = ev.fit_temperature(y4, p4)
    assert t == pytest.approx(true, rel=0.06)
    best = log_loss(y4, ev.apply_temperature(p4, t))
    for other in (0.95 * t, 1.05 * t):
        assert best < log_loss(y4, ev.apply_temperature(p4, other))


def test_temperature_keeps_order_answers_and_shape():
    y, p = simulated(500, temperature=4)
    cooled = ev.apply_temperature(p, 4)
    assert sk.roc_auc_score(y, cooled) == sk.roc_auc_score(y, p)
    assert ((cooled >= 0.5) == (p >= 0.5)).all()
    np.testing.assert_allclose(special.logit(cooled), special.logit(p) / 4)
    assert ev.expected_calibration_error(y, cooled) < ev.expected_calibration_error(y, p)
    np.testing.assert_array_equal(ev.apply_temperature(p[:, None], 4), cooled[:, None])
    both = np.stack([1 - p, p], axis=1)
    np.testing.assert_allclose(ev.apply_temperature(both, 4)[:, 1], cooled, atol=1e-12)
    assert ev.fit_temperature(y, both) == pytest.approx(ev.fit_temperature(y, p))
    several = ev.apply_temperature(P3, 0.5)
    np.testing.assert_allclose(several, P3**2 / (P3**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ev.apply_temperature(P3, 1), P3, atol=1e-12)


def test_certain_answers_stay_certain_and_finite():
    np.testing.assert_array_equal(ev.apply_temperature([0.0, 0.5, 1.0], 3), [0, 0.5, 1])
    np.testing.assert_array_equal(ev.apply_temperature([[0.0, 1.0]], 3), [[0, 1]])
    wrong_once = ev.fit_temperature([1, 1, 1, 0], [1.0, 1.0, 1.0, 1.0])
    logit = np.log((1 - 1e-7) / 1e-7)  # best is where the probability is 3/4
    assert wrong_once == pytest.approx(logit / np.log(3), rel=1e-3)


# ------------------------------------------------------------------------------ costs


def test_cost_threshold_is_the_break_even_probability():
    assert ev.cost_threshold(1, 1) == 0.5
    assert ev.cost_threshold(1, 9) == 0.1
    t = ev.cost_threshold(3, 7)
    assert t * 7 == pytest.approx((1 - t) * 3)


@pytest.mark.parametrize("seed", range(8))
def test_best_threshold_is_as_cheap_as_any(seed):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, 2, 30), rng.integers(0, 11, 30) / 10
    costs = rng.integers(0, 4, 2) + [1, 0]
    t = ev.best_threshold(y, p, *costs)
    tried = [*np.linspace(0, 1, 201), np.inf]
    cheapest = min(ev.expected_cost(y, p, c, *costs) for c in tried)
    assert ev.expected_cost(y, p, t, *costs) == pytest.approx(cheapest)
    predicted = p >= t
    by_hand = (costs[0] * (predicted & (y == 0)) + costs[1] * (~predicted & (y == 1))).mean()
    assert ev.expected_cost(y, p, t, *costs) == pytest.approx(by_hand)


def test_best_threshold_at_the_ends_and_between_neighbours():
    assert ev.best_threshold([1, 1], [0.2, 0.4]) == 0
    assert ev.best_threshold([0, 0], [0.2, 1.0]) == np.inf
    near = [0.5, np.nextafter(0.5, 1)]
    assert ev.expected_cost([0, 1], near, ev.best_threshold([0, 1], near)) == 0
    assert ev.best_threshold([0, 1], [0.2, 0.8]) == 0.5
    tied = ([1, 0, 1, 0], [0.1, 0.3, 0.7, 0.9])  # 0, 0.5 and inf cost the same
    assert ev.best_threshold(*tied) == 0.5


def test_best_threshold_is_near_the_theory_when_calibrated():
    y, p = simulated(50_000)
    assert ev.best_threshold(y, p, 1, 4) == pytest.approx(0.2, abs=0.05)


# ------------------------------------------------------------------------------ folds


def test_folds_test_every_row_once_a_repeat_and_keep_the_mix():
    y = np.repeat([0, 1, 2], [60, 30, 10])
    splits = ev.folds(y, k=5, repeats=2)
    assert len(splits) == 10
    for repeat in (splits[:5], splits[5:]):
        assert sorted(np.concatenate([test for _, test in repeat])) == list(range(100))
    for train, test in splits:
        assert sorted([*train, *test]) == list(range(100))
        assert np.bincount(y[test]).tolist() == [12, 6, 2]
    assert not np.array_equal(splits[0][1], splits[5][1])
    again = ev.folds(y, k=5, repeats=2)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(splits, again, strict=True))
    other = ev.folds(y, k=5, repeats=2, seed=1)
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(splits, other, strict=True))
    named = ev.folds(np.array(["no", "so", "yes"])[y], k=5, repeats=2)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(splits, named, strict=True))


def test_grouped_folds_never_split_a_patient():
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 100, 400)
    y = (rng.random(100) < 0.4)[patients].astype(int)
    splits = ev.folds(y, k=4, groups=patients.astype(str), repeats=3)
    for train, test in splits:
        assert not set(patients[train]) & set(patients[test])
        assert abs(y[test].mean() - y.mean()) < 0.1
    assert sorted(np.concatenate([test for _, test in splits[4:8]])) == list(range(400))


def test_leaving_a_hospital_out():
    site = np.array(["b", "a", "c", "a", "b"])
    splits = ev.folds([0, 1, 0, 1, 0], leave_out=site)
    assert [set(site[test]) for _, test in splits] == [{"a"}, {"b"}, {"c"}]
    assert all(sorted([*train, *test]) == list(range(5)) for train, test in splits)
    moved = ev.folds([0, 1, 0, 1, 0], leave_out=site, groups=[1, 2, 1, 3, 4])  # 1: in b and c
    assert [train.tolist() for train, _ in moved] == [[0, 2, 4], [1, 3], [1, 3, 4]]


# ------------------------------------------------------------------------------ modalities

THREE = ("text", "image", "audio")
SCORES = (0.5, 0.7, 0.6, 0.5, 0.9, 0.7, 0.65, 0.92)
GAME = dict(zip(ev.subsets(THREE), SCORES, strict=True))


def over_all_orders(value, names):
    """The definition: the mean gain over all orders of arrival."""
    gains = dict.fromkeys(names, 0.0)
    for order in itertools.permutations(names):
        for i, name in enumerate(order):
            before = value[tuple(n for n in names if n in order[:i])]
            gains[name] += value[tuple(n for n in names if n in order[: i + 1])] - before
    return {name: gain / math.factorial(len(names)) for name, gain in gains.items()}


def test_subsets_come_small_first_in_the_order_given():
    pairs = [("text", "image"), ("text", "audio"), ("image", "audio")]
    assert ev.subsets(THREE) == [(), ("text",), ("image",), ("audio",), *pairs, THREE]


def test_shapley_equals_the_mean_over_all_orders():
    got = ev.shapley(GAME, THREE)
    assert got.to_dict() == pytest.approx(over_all_orders(GAME, THREE))
    assert list(got.index) == list(THREE)
    names = tuple("abcde")
    numbers = np.random.default_rng(0).random(32)
    game = dict(zip(ev.subsets(names), numbers, strict=True))
    assert ev.shapley(game, names).to_dict() == pytest.approx(over_all_orders(game, names))


def test_shapley_is_efficient_symmetric_linear_and_ignores_a_dummy():
    assert ev.shapley(GAME, THREE).sum() == pytest.approx(GAME[THREE] - GAME[()])
    alike = ev.shapley(lambda s: len(set(s) & {"text", "image"}) ** 2 + 3 * ("audio" in s), THREE)
    assert alike["text"] == pytest.approx(alike["image"]) and alike["audio"] == pytest.approx(3)
    idle = ev.shapley(lambda s: GAME[tuple(m for m in s if m != "audio")], THREE)
    assert idle["audio"] == 0
    other = {s: float(len(s) ** 3) for s in GAME}
    mixed = ev.shapley({s: 2 * GAME[s] + 5 * other[s] for s in GAME}, THREE)
    pd.testing.assert_series_equal(
        mixed, 2 * ev.shapley(GAME, THREE) + 5 * ev.shapley(other, THREE)
    )


def test_shapley_asks_once_for_each_subset_and_takes_any_key():
    asked = []
    ev.shapley(lambda s: asked.append(s) or float(len(s)), THREE)
    assert asked == ev.subsets(THREE)
    want = ev.shapley(GAME, THREE)
    for turned in (
        {frozenset(s): v for s, v in GAME.items()},
        {s[::-1]: v for s, v in GAME.items()},
    ):
        pd.testing.assert_series_equal(ev.shapley(turned, THREE), want)


def test_ablation_takes_one_away():
    got = ev.ablation({s: v for s, v in GAME.items() if len(s) > 1}, THREE)
    assert got.to_dict() == pytest.approx({"text": 0.27, "image": 0.22, "audio": 0.02})
    pd.testing.assert_series_equal(ev.ablation(GAME.__getitem__, THREE), got)


def linear(inputs):
    return special.expit(inputs["text"].sum(axis=1) + 3 * inputs["image"])


def test_permutation_importance_ranks_what_the_model_uses():
    rng = np.random.default_rng(0)
    inputs = {
        "text": rng.normal(size=(400, 2)),
        "image": rng.normal(size=400),
        "audio": np.ones(400),
    }
    y = (linear(inputs) > 0.5).astype(int)
    got = ev.permutation_importance(linear, inputs, y, sk.roc_auc_score, repeats=5)
    assert list(got.index) == ["text", "image", "audio"]
    assert got.loc["image", "mean"] > 2 * got.loc["text", "mean"] > 0.02
    assert tuple(got.loc["audio"]) == (0, 0) and got.loc["text", "sd"] > 0
    values = iter([0.0, 1.0, 2.0, 4.0])
    spread = ev.permutation_importance(
        lambda x: Y, {"a": P}, Y, lambda y, p: next(values), repeats=3
    )
    assert tuple(spread.loc["a"]) == pytest.approx((-7 / 3, np.std([1, 2, 4], ddof=1)))
    again = ev.permutation_importance(linear, inputs, y, sk.roc_auc_score, repeats=5)
    pd.testing.assert_frame_equal(got, again)


@pytest.mark.parametrize("grouped", [False, True])
def test_permutation_moves_one_modality_as_whole_rows_and_keeps_the_rest(grouped):
    n = 60
    rows = np.arange(n)
    patients = np.random.default_rng(1).integers(0, 9, n)
    inputs = {"a": np.stack([rows, rows], axis=1), "b": rows, "site": rows}
    seen = []
    ev.permutation_importance(
        lambda x: seen.append(x) or x["b"],
        inputs,
        rows,
        lambda y, p: 0.0,
        repeats=3,
        groups=patients if grouped else None,
        keep=["site"],
    )
    assert len(seen) == 1 + 3 * 2
    moved = [[name for name in x if not np.array_equal(x[name], inputs[name])] for x in seen]
    assert moved == [[], *[["a"], ["b"]] * 3]
    own = []
    for x, (name,) in zip(seen[1:], moved[1:], strict=True):
        assert (x["a"][:, 0] == x["a"][:, 1]).all() and sorted(x[name].T.ravel()) == sorted(
            inputs[name].ravel()
        )
        taken = x["a"][:, 0] if name == "a" else x["b"]
        own.append((patients[taken] == patients).mean())
    assert (max(own) == 0) if grouped else (min(own) > 0)
    assert not np.array_equal(seen[1]["a"], seen[3]["a"])


def test_a_group_of_exactly_half_the_rows_can_be_dealt_out():
    taken = []
    ev.permutation_importance(
        lambda x: taken.append(x["a"]), {"a": np.arange(6)}, np.arange(6), lambda y, p: 0.0,
        groups=list("aaabbc"), repeats=4,
    )  # fmt: skip
    groups = np.array(list("aaabbc"))
    assert all((groups[t] != groups).all() for t in taken[1:])


def gaps(n=4000, seed=0):
    """Two modalities that half of the rows have; the truth depends on both where they are there."""
    rng = np.random.default_rng(seed)
    present = (rng.random((n, 2)) < 0.5).astype("float32")
    x = rng.normal(size=(n, 2)) * present
    y = (rng.random(n) < special.expit(3 * x.sum(axis=1))).astype(int)
    return {"text": x[:, 0], "image": x[:, 1], "present": present}, y


def of_gaps(inputs):
    """The right probabilities of `gaps`: what a row is said to lack counts for nothing."""
    x = np.stack([inputs["text"], inputs["image"]], axis=1) * inputs["present"]
    return special.expit(3 * x.sum(axis=1))


def negative_log_loss(y, p):
    return -sk.log_loss(y, p, labels=[0, 1])


def test_permutation_importance_deals_a_modality_among_the_rows_that_have_it():
    inputs, y = gaps()
    seen = []
    got = ev.permutation_importance(
        lambda x: seen.append(x) or of_gaps(x), inputs, y, negative_log_loss, repeats=5
    )
    there = inputs["present"] > 0
    for x in seen:
        for m, name in enumerate(("text", "image")):
            assert (x[name][~there[:, m]] == 0).all()  # nobody is given what he has not
            np.testing.assert_array_equal(np.sort(x[name]), np.sort(inputs[name]))
    # The oracle: other rows that have it, by pairs (i, j) of those that do, each as often
    rows = np.flatnonzero(there[:, 0])[:400]
    i, j = np.repeat(rows, 400), np.tile(rows, 400)
    changed = special.expit(3 * (inputs["text"][j] + inputs["image"][i]))
    drop = negative_log_loss(y[rows], of_gaps(inputs)[rows]) - negative_log_loss(y[i], changed)
    assert got.loc["text", "mean"] == pytest.approx(drop * there[:, 0].mean(), rel=0.12)


def test_permutation_importance_with_gaps_equals_that_of_the_rows_that_have_it():
    """The drop over all rows is that over the rows with the modality, times their share."""
    inputs, y = gaps(600)
    has = inputs["present"][:, 0] > 0
    some = {name: values[has] for name, values in inputs.items()}
    score = lambda y, p: -float(((p - y) ** 2).mean())  # noqa: E731
    options = {"repeats": 60, "modalities": ["text", "image"]}
    got = ev.permutation_importance(of_gaps, inputs, y, score, **options)
    want = ev.permutation_importance(of_gaps, some, y[has], score, **options)
    assert got.loc["text", "mean"] == pytest.approx(want.loc["text", "mean"] * has.mean(), rel=0.03)


def test_columns_of_the_mask_follow_the_modalities_that_are_named():
    inputs, y = gaps(200)
    turned = {"image": inputs["image"], "text": inputs["text"], "present": inputs["present"]}
    want = ev.permutation_importance(of_gaps, inputs, y, sk.roc_auc_score, repeats=3)
    got = ev.permutation_importance(
        of_gaps, turned, y, sk.roc_auc_score, repeats=3, modalities=["text", "image"]
    )
    pd.testing.assert_frame_equal(got, want)
    nobody = {**inputs, "present": inputs["present"] * [1, 0]}
    alone = ev.permutation_importance(of_gaps, nobody, y, sk.roc_auc_score, repeats=3)
    assert tuple(alone.loc["image"]) == (0, 0)


# ------------------------------------------------------------------------------ input


@pytest.mark.slow
def test_tensorflow_is_not_loaded():
    code = "import sys, mmkeras.evaluate; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_labels_may_be_floats_bools_or_a_column():
    want = ev.report(Y, P, replicates=3)
    for y in (Y.astype("float32"), Y.astype(bool), Y[:, None], pd.Series(Y, index=Y + 5)):
        pd.testing.assert_frame_equal(ev.report(y, P, replicates=3), want)


def test_rounding_of_float32_is_let_through():
    p = np.array([[1.0000001, 0.0], [0.3333333, 0.6666668]], "float32")
    assert ev.report([0, 1], p, replicates=2).loc["accuracy", "value"] == 1


BAD = [
    (lambda: ev.report(Y, np.where(np.arange(N) == 4, np.nan, P)), "got nan in row 4"),
    (lambda: ev.report(Y, P + 1), "must lie between 0 and 1, got 1"),
    (lambda: ev.report(Y, -P - 0.1), "must lie between 0 and 1, got -"),
    (lambda: ev.report(Y, {"m": P[:5]}), "y has 120 rows, but there are 5"),
    (lambda: ev.report(Y, P3 / 2), "each row of probabilities must sum to 1, but row 0"),
    (lambda: ev.report([0, 1], [[0.6, 0.4], [0.5, 0.45]]), "but row 1 sums to 0.95"),
    (lambda: ev.report(Y + 1, P), "y must be from 0 to 1, got 2 in row"),
    (lambda: ev.report(Y3 - 1, P3), "y must be from 0 to 2, got -1 in row"),
    (lambda: ev.report(Y + 0.5, P), "whole numbers"),
    (lambda: ev.report(np.where(Y, np.inf, 0), P), "whole numbers"),
    (lambda: ev.report(Y.astype(str), P), "whole numbers"),
    (lambda: ev.report([], []), "not empty"),
    (lambda: ev.report(Y, {}), "empty dict"),
    (lambda: ev.report(Y, np.zeros((N, 2, 2))), r"got shape (120, 2, 2)"),
    (lambda: ev.report(Y, P, metrics=["auc"]), "metrics=['auc'] must be some of accuracy,"),
    (lambda: ev.report(Y, P, metrics=[]), "metrics=[]"),
    (lambda: ev.report(Y, P, threshold=50), "threshold must be from 0 to 1"),
    (lambda: ev.report(Y, {"a": P}, threshold={"b": 0.5}), "threshold has ['b']"),
    (lambda: ev.report(Y, P, groups=PATIENTS[:3]), "groups must be of shape (120,)"),
    (lambda: ev.report(Y, P, groups=np.zeros(N)), "at least two different"),
    (lambda: ev.report(Y, P, groups=[None] * N), "groups has no label in row 0"),
    (lambda: ev.report(Y, P, replicates=0), "replicates must be a positive integer, got 0"),
    (lambda: ev.report(Y, P, confidence=95), "confidence must lie between 0 and 1"),
    (lambda: ev.report(Y, {"a": P, "b": np.stack([1 - P, P], 1)}), "{'a': 1, 'b': 2}"),
    (lambda: ev.compare(Y, {"a": P, "b": P}, "c"), "baseline 'c' must be a key"),
    (lambda: ev.compare(Y, {"a": P}, "a"), "no model to compare"),
    (lambda: ev.compare(Y, P, "a"), "a single array"),
    (lambda: ev.mcnemar(Y, Y, Y[:3]), "second has 3 rows, but there are 120"),
    (lambda: ev.delong([0, 1, 1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]), "2 of class 1 and 1"),
    (lambda: ev.delong(Y3, P3, P3), "in 3 column(s)"),
    (lambda: ev.delong(Y, P, P, confidence=1), "confidence must lie"),
    (lambda: ev.expected_calibration_error(Y, P, 0), "bins must be a positive integer, got 0"),
    (lambda: ev.apply_temperature(P, 0), "temperature must be a positive number, got 0"),
    (lambda: ev.fit_temperature(Y3, P), "y must be from 0 to 1, got 2 in row"),
    (lambda: ev.cost_threshold(0, 0), "not both 0, got (0, 0)"),
    (lambda: ev.best_threshold(Y, P, -1, 1), "costs must be numbers from 0 up"),
    (lambda: ev.best_threshold(Y3, P3), "got shape (120, 3)"),
    (lambda: ev.expected_cost(Y, P, np.nan), "threshold must be from 0 to 1"),
    (lambda: ev.folds([0, 0, 0, 1, 1], k=3), "at most 2, the number of rows of class 1; got 3"),
    (
        lambda: ev.folds([0, 0, 1, 1, 1], k=2, groups=[1, 2, 3, 3, 3]),
        "at most 1, the number of groups of class 1; got 2",
    ),
    (lambda: ev.folds(Y, k=1), "k must be at least 2"),
    (lambda: ev.folds([]), "not empty"),
    (lambda: ev.folds(Y, leave_out=np.zeros(N)), "at least two different"),
    (lambda: ev.folds(Y, leave_out=PATIENTS, repeats=2), "repeats=2 must be 1"),
    (lambda: ev.folds([0, 1], leave_out=[0, 1], groups=[5, 5]), "no row to train on"),
    (lambda: ev.folds(Y, groups=PATIENTS[:4]), "groups must be of shape (120,)"),
    (lambda: ev.subsets("text"), "got 'text'"),
    (lambda: ev.subsets(["a", "a"]), "different names"),
    (lambda: ev.shapley({(): 0.0, ("a",): 1.0}, ["a", "b"]), "no value for ('b',), ('a', 'b')"),
    (lambda: ev.shapley({"a": 1.0}, ["a"]), "'a' must be a tuple or a frozenset"),
    (lambda: ev.shapley({("c",): 1.0}, ["a"]), "of 'a'"),
    (lambda: ev.shapley(lambda s: np.nan, ["a"]), "the value of () is nan"),
    (
        lambda: ev.permutation_importance(linear, {"a": P[:3]}, Y, sk.roc_auc_score),
        "got {'a': 3} for 120 labels",
    ),
    (
        lambda: ev.permutation_importance(linear, {"present": P}, Y, sk.roc_auc_score),
        "besides keep",
    ),
    (
        lambda: ev.permutation_importance(
            lambda x: x["a"], {"a": P}, Y, sk.roc_auc_score, groups=np.arange(N) > 50
        ),
        "a group of 69 holds over half of the 120 rows with a",
    ),
    (
        lambda: ev.permutation_importance(
            linear, {"a": P, "b": P, "present": np.ones((N, 3))}, Y, sk.roc_auc_score
        ),
        "must be of shape (120, 2), a column each for a, b; got (120, 3)",
    ),
    (
        lambda: ev.permutation_importance(
            linear, {"a": P}, Y, sk.roc_auc_score, modalities=["a", "b"]
        ),
        "inputs must hold a, b",
    ),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value)
