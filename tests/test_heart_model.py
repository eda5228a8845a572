"""The simulated cohort: its distributions, its posterior against brute force, its arguments."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mmkeras.datasets import load_heart, simulate_heart
from mmkeras.datasets.heart import model as hm
from mmkeras.evaluate import subsets

SUBSETS = subsets(hm.MODALITIES)[1:]
BIG = simulate_heart(20_000, seed=3)


def brute_force(row, subset, prevalence=None, without=()):
    """P(disease | values) by walking through every grade, age, sex and site, in plain Python."""
    shares, people, ill = hm._value_shares(), hm._people(), hm._ill(prevalence)
    total, sick = 0.0, 0.0
    for grade, age, sex, site in itertools.product(range(5), range(50), range(2), range(4)):
        someone_else = (hm._AGES[age], hm.SEXES[sex]) != (row.age, row.sex)
        if "note" in subset and "age" not in without and someone_else:
            continue
        p = people[age, sex, site] * ill[age, sex, site]
        if grade == 0:
            p = people[age, sex, site] - p
        else:
            p *= hm._GRADE_IF_ILL[grade - 1]
        for modality in subset:
            for name in set(hm.OF[modality]) - set(without):
                table = shares[name][grade] if name != "thalch" else shares[name][grade, age]
                p *= table[list(hm._levels(name)).index(row[name])]
        total, sick = total + p, sick + p * (grade > 0)
    return sick / total


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_the_posterior_is_bayes_rule(subset):
    few = BIG.take(range(6))
    want = [brute_force(row, subset) for _, row in few.table.iterrows()]
    np.testing.assert_allclose(few.posterior["+".join(subset)], want, rtol=1e-9)


def log_odds(p):
    return np.log(p) - np.log1p(-p)


@pytest.mark.parametrize("region", hm.REGIONS)
def test_an_effect_is_what_leaving_a_value_out_of_bayes_rule_changes(region):
    few = BIG.take(range(4))
    for number, (_, row) in enumerate(few.table.iterrows()):
        p, q = (brute_force(row, hm.MODALITIES, None, out) for out in ((), hm.REGIONS[region][1]))
        effect = few.effects[region].iloc[number]
        assert effect == pytest.approx(log_odds(p) - log_odds(q), rel=1e-9)


def test_what_is_absent_has_no_effect_and_the_rest_is_that_of_the_observed():
    """Also where absence itself is a sign, and for parts and new recordings."""
    heart = simulate_heart(300, seed=5, missing=0.4, mechanism="severity").take(range(100, 200))
    table = heart.table
    for region, (modality, _) in hm.REGIONS.items():
        assert ((heart.effects[region] == 0) == ~table[f"has_{modality}"]).all(), region
    alone = (heart.present == [0, 0, 1]).all(1)  # of the scan, both halves are all there is
    one = heart.take(alone)
    left = one.posterior["observed"].map(log_odds) - one.effects["ca"]
    shares = hm._value_shares()["thal"][:, one.table["thal"].map(hm._LEVELS["thal"].index)].T
    absent = hm.absence(dict.fromkeys(hm.MODALITIES, 0.4), "severity")
    weight = absent[:, 0] * absent[:, 1] * (1 - absent[:, 2]) * hm._prior(None).sum((1, 2))
    joint = shares * weight
    want = np.log(joint[:, 1:].sum(1) / joint[:, 0])
    assert alone.any()
    np.testing.assert_allclose(left, want, rtol=1e-9)
    again = heart.record([1, 2]).effects
    np.testing.assert_array_equal(again.to_numpy()[100:], heart.effects.to_numpy())


def test_nobody_knows_the_effects_of_the_real_cohort():
    assert load_heart().effects is None


def test_every_distribution_sums_to_one():
    for name, shares in hm._value_shares().items():
        np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-9, err_msg=name)
        assert shares.shape[-1] == len(hm._levels(name)), name
    assert hm._people().sum() == pytest.approx(1)
    assert hm._prior(None).sum() == pytest.approx(1)
    assert hm._GRADE_IF_ILL.sum() == pytest.approx(1)


def test_the_oracle_is_calibrated_and_more_modalities_tell_more():
    y = BIG.y
    for name, p in BIG.posterior.items():
        band = np.digitize(p, np.linspace(0, 1, 11)[1:-1])
        for b in np.unique(band):
            here = band == b
            if here.sum() > 200:
                error = 4.5 * np.sqrt(p[here].mean() * (1 - p[here].mean()) / here.sum())
                assert abs(y[here].mean() - p[here].mean()) < error, (name, b)
    loss = {name: log_loss(y, p) for name, p in BIG.posterior.items()}
    for small, large in itertools.product(SUBSETS, SUBSETS):
        if set(small) < set(large):
            assert loss["+".join(large)] < loss["+".join(small)]


def test_no_table_model_beats_the_oracle():
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns = pd.get_dummies(BIG.table[["cp", "age", "sex", "exang", "thalch", "oldpeak", "ca"]])
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    model.fit(columns[:10_000], BIG.y[:10_000])
    auc = roc_auc_score(BIG.y[10_000:], model.predict_proba(columns[10_000:])[:, 1])
    assert 0.9 < auc < roc_auc_score(BIG.y[10_000:], BIG.posterior["note+ecg+scan"][10_000:])


def test_the_sampled_values_follow_the_written_out_shares():
    table, shares = BIG.table, hm._value_shares()
    for name in ("cp", "exang", "restecg", "slope", "thal", "ca"):
        for grade in range(5):
            rows = table[table["grade"] == grade]
            seen = rows[name].value_counts(normalize=True).reindex(hm._levels(name)).fillna(0)
            tolerance = 4.5 * np.sqrt(0.25 / len(rows))
            np.testing.assert_allclose(seen, shares[name][grade], atol=tolerance, err_msg=name)
    ill, well = table[table["grade"] > 0], table[table["grade"] == 0]
    assert well["thalch"].mean() - ill["thalch"].mean() > 15
    assert ill["oldpeak"].mean() > 3 * well["oldpeak"].mean() * 0.5
    assert np.corrcoef(well["age"], well["thalch"])[0, 1] < -0.2


@pytest.mark.parametrize("prevalence", [0.05, 0.5, 0.9])
def test_prevalence_is_met_and_the_posterior_follows(prevalence):
    heart = simulate_heart(8000, seed=1, prevalence=prevalence)
    tolerance = 4.5 * np.sqrt(prevalence * (1 - prevalence) / 8000)
    assert heart.y.mean() == pytest.approx(prevalence, abs=tolerance)
    assert heart.posterior["note+scan"].mean() == pytest.approx(prevalence, abs=tolerance)
    row = heart.table.iloc[0]
    want = brute_force(row, ("note", "scan"), prevalence)
    assert heart.posterior["note+scan"].iloc[0] == pytest.approx(want, rel=1e-9)


def test_absence_at_random():
    heart = simulate_heart(6000, seed=2, missing={"scan": 0.5, "note": 0.1})
    assert heart.present.mean(0) == pytest.approx([0.9, 1.0, 0.5], abs=0.03)
    assert not heart.table["cp"].isna().any()  # the truth stays in the table
    rows = np.flatnonzero((heart.present == [1, 1, 0]).all(1))
    np.testing.assert_allclose(
        heart.posterior["observed"].iloc[rows], heart.posterior["note+ecg"].iloc[rows], rtol=1e-9
    )
    alone = heart.take((heart.present == [0, 1, 0]).all(1)).posterior
    np.testing.assert_allclose(alone["observed"], alone["ecg"], rtol=1e-9)


def test_absence_by_severity_is_itself_a_sign():
    heart = simulate_heart(20_000, seed=2, missing=0.4, mechanism="severity")
    rate = 1 - heart.table.groupby("grade")["has_scan"].mean()
    assert rate[0] == pytest.approx(0.56, abs=0.03) and rate[4] == pytest.approx(0.16, abs=0.06)
    nothing = (heart.present == 0).all(1)
    assert nothing.sum() > 500
    told = heart.posterior["observed"][nothing]
    assert told.nunique() == 1  # nothing is known but that nothing is there ...
    assert told.iloc[0] == pytest.approx(heart.y[nothing].mean(), abs=0.05)
    assert told.iloc[0] < heart.y.mean() - 0.1  # ... and that speaks for health
    assert log_loss(heart.y, heart.posterior["observed"]) < log_loss(heart.y, blind(heart))


def blind(heart):
    """The posterior of what is present, deaf to what the absence says."""
    out = np.full(len(heart), heart.y.mean())
    for subset in SUBSETS:
        rows = (heart.present == [m in subset for m in hm.MODALITIES]).all(1)
        out[rows] = heart.posterior["+".join(subset)][rows]
    return out


def test_seeds():
    a, b = simulate_heart(50, seed=4), simulate_heart(80, seed=4)
    pd.testing.assert_frame_equal(a.table, b.table.iloc[:50])
    pd.testing.assert_frame_equal(a.posterior, b.posterior.iloc[:50])
    other = simulate_heart(50, seed=5)
    assert (a.table["thalch"] != other.table["thalch"]).mean() > 0.9
    assert not set(a.patient) & set(other.patient)
    again = simulate_heart(50, seed=4, recording=1)
    assert (again.table["thalch"] == a.table["thalch"]).all() and (again.ecg != a.ecg).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "n must be a positive integer, got 0"),
        ({"n": 2.5}, "n must be a positive integer, got 2.5"),
        ({"n": -1}, "n must be a positive integer, got -1"),
        ({"n": 5, "seed": -1}, "seed must be an integer from 0, got -1"),
        ({"n": 5, "seed": "a"}, "seed must be an integer from 0, got 'a'"),
        ({"n": 5, "recording": True}, "recording must be an integer from 0, got True"),
        ({"n": 5, "prevalence": 1.0}, "prevalence=1.0"),
        ({"n": 5, "prevalence": float("nan")}, "prevalence=nan"),
        ({"n": 5, "missing": 1.2}, "1.2 is not a probability"),
        ({"n": 5, "missing": {"mri": 0.1}}, "'mri' is not one of note, ecg, scan"),
        ({"n": 5, "missing": float("nan")}, "nan is not a probability"),
        ({"n": 5, "mechanism": "MNAR"}, "mechanism='MNAR'"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        simulate_heart(**arguments)
