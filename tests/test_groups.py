"""Groups of people: against counting, fairlearn, scikit-learn and a simulation of the intervals."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from scipy.stats import binomtest
from sklearn.metrics import precision_score, roc_auc_score

import mmkeras as mm
from mmkeras.evaluate import by_group, group_gap
from mmkeras.evaluate.groups import MEASURES


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    members = np.array(["a"] * 150 + ["b"] * 90)
    y = (rng.random(240) < np.where(members == "a", 0.6, 0.3)).astype(int)
    p = np.clip(0.5 * y + 0.6 * rng.random(240), 0, 1)
    return y, p, members


def test_agrees_with_fairlearn_and_scikit_learn(data):
    y, p, members = data
    table = by_group(y, p, members, threshold=0.6)["value"].unstack()
    said = p >= 0.6
    counted = MetricFrame(
        metrics={"selection_rate": selection_rate, "recall": true_positive_rate,
                 "false_positive_rate": false_positive_rate, "precision": precision_score},
        y_true=y, y_pred=said, sensitive_features=members,
    ).by_group  # fmt: skip
    np.testing.assert_allclose(table[counted.columns], counted)
    for name in "ab":
        here = members == name
        assert table.loc[name, "roc_auc"] == pytest.approx(roc_auc_score(y[here], p[here]))
        gap = p[here].mean() - y[here].mean()
        assert table.loc[name, "overestimate"] == pytest.approx(gap)


def test_shares_have_wilsons_interval_and_their_denominator(data):
    y, p, members = data
    row = by_group(y, p, members, confidence=0.99).loc[("a", "recall")]
    ill = (members == "a") & (y == 1)
    want = binomtest(int((p[ill] >= 0.5).sum()), int(ill.sum())).proportion_ci(0.99, "wilson")
    assert row["of"] == ill.sum()
    assert (row["low"], row["high"]) == pytest.approx((want.low, want.high))


def test_perfect_shares_are_not_feigned_to_be_certain():
    y = np.tile([0, 1], 20)
    table = by_group(y, y.astype(float), np.repeat(["x", "y"], 20))
    assert table.loc[("x", "recall"), "value"] == 1
    assert table.loc[("x", "recall"), "low"] == pytest.approx(0.72, abs=0.01)


def test_few_people_are_not_shown_and_make_no_gap(data):
    y, p, members = data
    few = members.copy()
    few[:4] = "c"
    table = by_group(y, p, few, least=10)
    assert table.loc["c"][["value", "low", "high"]].isna().all().all()
    assert table.loc[("c", "selection_rate"), "of"] == 4
    assert group_gap(table, "a", "c").isna().all().all()
    assert by_group(y, p, few, least=2).loc[("c", "selection_rate"), "value"] >= 0


def test_rows_of_a_patient_count_once(data):
    y, p, members = data
    once = by_group(y, p, members)
    stacked = by_group(*(np.tile(x, 3) for x in data), groups=np.tile(np.arange(240), 3))
    np.testing.assert_allclose(once["value"], stacked["value"])
    assert (once["of"] == stacked["of"]).all()
    width, wide = (t.loc[("a", "recall"), "high"] - t.loc[("a", "recall"), "low"]
                   for t in (once, stacked))  # fmt: skip
    assert wide == pytest.approx(width, rel=0.25)  # not √3 times narrower


def test_gap_is_that_of_newcombe_and_changes_sign(data):
    y, p, members = data
    table = by_group(y, p, members)
    gap, back = group_gap(table, "a", "b"), group_gap(table, "b", "a")
    one, other = table.loc[("a", "recall")], table.loc[("b", "recall")]
    down = np.sqrt((one["value"] - one["low"]) ** 2 + (other["high"] - other["value"]) ** 2)
    assert gap.loc["recall", "low"] == pytest.approx(one["value"] - other["value"] - down)
    np.testing.assert_allclose(gap["low"], -back["high"])
    assert list(gap.index) == list(MEASURES)


def test_gap_covers_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(1), 0
    members, y = np.repeat(["a", "b"], 60), np.ones(120, int)
    for _ in range(200):
        p = (rng.random(120) < np.where(members == "a", 0.9, 0.7)).astype(float)
        gap = group_gap(by_group(y, p, members, draws=2), "a", "b").loc["recall"]
        held += gap["low"] <= 0.2 <= gap["high"]
    assert 180 <= held <= 199


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": [0, 2, 1]}, "from 0 to 1"),
        ({"probabilities": [0.1, 1.7, 0.2]}, "1.7"),
        ({"probabilities": np.full((3, 3), 1 / 3)}, "class 1"),
        ({"members": ["a", None, "b"]}, "no label in row 1"),
        ({"members": ["a", "b"]}, "one label per row"),
        ({"least": 0}, "least must be"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"threshold": 2}, "threshold must be"),
    ],
)
def test_says_what_is_wrong(change, words):
    good = {"y": [0, 1, 1], "probabilities": [0.1, 0.7, 0.2], "members": ["a", "a", "b"]}
    with pytest.raises(ValueError, match=words):
        by_group(**(good | change))


def test_an_unknown_group_is_named(data):
    with pytest.raises(KeyError, match="no group 'z'.*'a', 'b'"):
        group_gap(by_group(*data), "a", "z")


@pytest.fixture(scope="module")
def fairness():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "benchmarks"))
        import fairness

        yield fairness
    for name in ("fairness", "heart"):
        sys.modules.pop(name, None)


def test_stored_answers_of_the_mark_belong_to_the_patients_of_today(fairness):
    table = pd.read_csv(fairness.TABLE)
    heart = mm.datasets.load_heart()
    heart = heart.take(heart.table["has_scan"].to_numpy())
    assert list(table["patient"]) == list(np.tile(heart.patient, len(fairness.SEEDS)))
    assert list(table["disease"]) == list(np.tile(heart.y, len(fairness.SEEDS)))
    columns = [f"{a}/{b}" for a in fairness.TRAININGS for b in fairness.TESTS]
    assert list(table.columns) == ["patient", "seed", "disease", *columns]
    assert table[columns].notna().all().all()


def test_marks_agree_as_often_as_they_say(fairness):
    y = np.random.default_rng(0).integers(0, 2, 4000)
    on = fairness.marked(y, 1)
    assert np.mean(on["linked"] == y) == pytest.approx(0.9, abs=0.02)
    assert np.mean(on["coin"][y == 1]) == pytest.approx(0.5, abs=0.03)
    assert (on["reversed"] == ~on["linked"]).all() and not on["none"].any()
    scans = fairness.mark(np.zeros((2, 64, 64, 1)), np.array([True, False]))
    assert (scans[0] == 255).sum() == 9 and scans[1].max() == 0
