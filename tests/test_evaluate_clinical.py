"""Calibration line, recalibration, net benefit, corrections: against scikit-learn and by hand."""

from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from sklearn.linear_model import LogisticRegression

from mmkeras import evaluate as ev


def rows(n: int, a: float = 0.0, b: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities p of which logit P(y = 1) = a + b logit p is true."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1.5, n)
    return (rng.random(n) < special.expit(a + b * x)).astype(int), special.expit(x)


# ------------------------------------------------------------------------------ calibration line


def test_the_slope_is_that_of_a_logistic_regression() -> None:
    y, p = rows(300, 0.5, 0.6)
    fit = LogisticRegression(C=np.inf, tol=1e-10).fit(special.logit(p)[:, None], y)
    line = ev.calibration_line(y, p, replicates=10)
    assert line["value"]["slope"] == pytest.approx(fit.coef_[0, 0], abs=1e-5)
    assert list(line.index) == ["intercept", "slope"]


def test_the_intercept_makes_the_mean_probability_right() -> None:
    y, p = rows(300, 0.7, 1.0)
    a = ev.calibration_line(y, p, replicates=10)["value"]["intercept"]
    assert special.expit(special.logit(p) + a).mean() == pytest.approx(y.mean(), abs=1e-9)


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.8, 1.0), (0.0, 0.5)])
def test_the_line_is_found_and_its_interval_covers_it(a: float, b: float) -> None:
    y, p = rows(3000, a, b, seed=3)
    line = ev.calibration_line(y, p[:, None], replicates=300)
    assert line["low"]["slope"] < b < line["high"]["slope"]
    assert line["value"]["slope"] == pytest.approx(b, abs=0.12)
    if b == 1:
        assert line["low"]["intercept"] < a < line["high"]["intercept"]


def test_rows_of_a_patient_are_drawn_together() -> None:
    y, p = rows(200)
    once = ev.calibration_line(y, p, replicates=400)
    patient = np.repeat(np.arange(200), 4)
    many = ev.calibration_line(np.repeat(y, 4), np.repeat(p, 4), groups=patient, replicates=400)
    alone = ev.calibration_line(np.repeat(y, 4), np.repeat(p, 4), replicates=400)
    width = {k: v["high"]["slope"] - v["low"]["slope"] for k, v in
             {"once": once, "many": many, "alone": alone}.items()}  # fmt: skip
    assert width["many"] == pytest.approx(width["once"], rel=1e-6)
    assert width["alone"] < 0.7 * width["once"]


def test_an_interval_without_draws_is_nan_and_separated_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap between the classes"):
        ev.calibration_line([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8])
    with pytest.raises(ValueError, match="not be all the same"):
        ev.calibration_line([0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3])
    line = ev.calibration_line([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.8], replicates=200)
    assert np.isfinite(line["value"]).all() and np.isnan(line["low"]["slope"])


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([1, 1, 1], [0.2, 0.4, 0.6], "both classes, but all 3 rows are of class 1"),
        ([0, 1], [[0.5, 0.5], [0.4, 0.6]], r"of class 1, got shape \(2, 2\)"),
        ([0, 1], [0.5, 1.5], "between 0 and 1"),
    ],
)
def test_what_has_no_line_is_refused(y: Any, p: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ev.calibration_line(y, p)
    with pytest.raises(ValueError, match=message):
        ev.recalibrate(y, p, [0.5])


def test_recalibration_undoes_what_is_wrong_and_keeps_the_order() -> None:
    y, p = rows(4000, 0.9, 0.6)
    new = ev.recalibrate(y[:2000], p[:2000], p[2000:, None])
    assert new.shape == (2000, 1)
    line = ev.calibration_line(y[2000:], new, replicates=10)["value"]
    assert abs(line["intercept"]) < 0.15 and abs(line["slope"] - 1) < 0.15
    assert stats.spearmanr(new[:, 0], p[2000:]).statistic == pytest.approx(1)


def test_recalibration_of_the_intercept_alone_shifts_the_logits() -> None:
    y, p = rows(500, 0.9, 0.6)
    new = ev.recalibrate(y, p, p, slope=False)
    shift = special.logit(new) - special.logit(p)
    assert np.ptp(shift) < 1e-9 and new.mean() == pytest.approx(y.mean(), abs=1e-9)
    few = ev.recalibrate([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], [0.5], slope=False)
    assert 0 < few[0] < 1, "an intercept exists where the classes are separated"
    with pytest.raises(ValueError, match="use more rows, or slope=False"):
        ev.recalibrate([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], [0.5])


def test_certain_probabilities_have_a_finite_line() -> None:
    y, p = rows(300)
    p[:3], y[:3] = [0, 1, 1], [1, 1, 0]
    assert np.isfinite(ev.calibration_line(y, p, replicates=10)["value"]).all()


# ------------------------------------------------------------------------------ net benefit


def test_net_benefit_by_hand() -> None:
    y, p = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0]), np.array([9, 8, 2, 7, 3, 3, 1, 1, 1, 1]) / 10
    value = ev.net_benefit(y, p, [0.0, 0.25, 0.5])["value"]
    assert value["model", 0.0] == pytest.approx(0.3), "a threshold of 0 treats everybody for free"
    assert value["model", 0.25] == pytest.approx(2 / 10 - 3 / 10 / 3)
    assert value["model", 0.5] == pytest.approx(2 / 10 - 1 / 10)
    assert value["all", 0.25] == pytest.approx(3 / 10 - 7 / 10 / 3)
    assert (value["none"] == 0).all()


def test_the_best_of_net_benefit_is_the_cheapest_by_cost() -> None:
    """Net benefit is the prevalence less the cost per row, a miss costing 1."""
    y, p = rows(200)
    for t in (0.1, 0.3, 0.6):
        cost = ev.expected_cost(y, p, t, false_positive=t / (1 - t), false_negative=1)
        value = ev.net_benefit(y, p, [t], replicates=5)["value"]
        assert value["model", t] == pytest.approx(y.mean() - cost)


def test_differences_of_net_benefit_are_paired() -> None:
    y, p = rows(300)
    other = np.clip(p + 0.01, 0, 1)
    t = [0.2, 0.4]
    table = ev.net_benefit(y, {"a": p, "b": other}, t, replicates=300)
    gap = ev.net_benefit(y, {"a": p, "b": other}, t, baseline="a", replicates=300)
    assert list(gap.index.get_level_values("model").unique()) == ["b", "all", "none"]
    want = table["value"]["b"] - table["value"]["a"]
    np.testing.assert_allclose(gap["value"]["b"], want, atol=1e-12)
    width = (gap["high"] - gap["low"])["b"], (table["high"] - table["low"])["a"]
    assert (width[0] < width[1] / 3).all()
    less = ev.net_benefit(y, p, t, baseline="all")["value"]["model"]
    np.testing.assert_allclose(less, table["value"]["a"] - table["value"]["all"], atol=1e-12)


def test_net_benefit_draws_patients() -> None:
    y, p = rows(100)
    patient = np.repeat(np.arange(100), 3)
    once = ev.net_benefit(y, p, [0.3], replicates=200)
    many = ev.net_benefit(np.repeat(y, 3), np.repeat(p, 3), [0.3], groups=patient, replicates=200)
    np.testing.assert_allclose(many, once)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": [0.5, 1.0]}, "from 0 up and below 1"),
        ({"thresholds": []}, "from 0 up and below 1"),
        ({"thresholds": [0.5], "baseline": "b"}, "'b' must be 'all', 'none' or one of"),
        ({"thresholds": [0.5], "replicates": 0}, "replicates"),
        ({"thresholds": [0.5], "confidence": 95}, "confidence must lie between 0 and 1"),
    ],
)
def test_bad_options_of_net_benefit_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ev.net_benefit([0, 1], [0.2, 0.7], **options)


# ------------------------------------------------------------------------------ many comparisons


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(ev.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(ev.holm([0.4, 0.9]), [0.8, 0.9])
    np.testing.assert_allclose(ev.holm([0.6, 0.9]), [1.0, 1.0])
    for wrong in ([], [[0.1]], [0.1, 1.1], [np.nan]):
        with pytest.raises(ValueError, match="numbers from 0 to 1"):
            ev.holm(wrong)


def test_of_many_chance_differences_holm_finds_one_in_20_times() -> None:
    p = np.random.default_rng(0).random((4000, 7))
    found = [(ev.holm(line) < 0.05).any() for line in p]
    assert 0.035 < np.mean(found) < 0.065


def test_a_difference_that_was_one_of_many_has_a_wider_interval() -> None:
    y, p = rows(200)
    models = {"a": p, "b": np.clip(p + np.random.default_rng(1).normal(0, 0.1, 200), 0, 1)}
    options = {"metrics": ["roc_auc"], "replicates": 2000}
    one = ev.compare(y, models, "a", **options).iloc[0]
    wide = ev.compare(y, models, "a", comparisons=5, **options).iloc[0]
    by_hand = ev.compare(y, models, "a", confidence=0.99, **options).iloc[0]
    assert wide["low"] == pytest.approx(by_hand["low"]) and wide["low"] < one["low"]
    assert wide["high"] == pytest.approx(by_hand["high"])
    assert wide["p"] == pytest.approx(min(1, 5 * one["p"]))
    with pytest.raises(ValueError, match="comparisons"):
        ev.compare(y, models, "a", comparisons=0)
