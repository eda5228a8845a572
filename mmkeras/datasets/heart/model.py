"""Simulated heart patients with an exact posterior; nobody was measured; not for clinical use.

The model has four levels:

    site                     as often as in the real cohort
    sex, age | site          Bernoulli; a normal distribution on whole years from 28 to 77
    grade | sex, age, site   0 with 1 - sigmoid(b + 0.5 (age - 54)/10 + 1.4 male + s), else 1 to 4
    values | grade (, age)   independent of each other; `thalch` falls with age as well

So note, ECG and scan are independent of each other given grade and age. Every value is discrete, so
that Bayes' rule is a finite sum and the posterior of the disease (grade > 0) is exact. The few
parameters are rounded from the real cohort. Chapter 12 computes one posterior by hand.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from ...evaluate import subsets

MODALITIES = ("note", "ecg", "scan")
SITES = ("Cleveland", "Hungary", "Switzerland", "VA Long Beach")
SEXES = ("female", "male")

_SITE = np.array([0.33, 0.32, 0.13, 0.22])
_MALE = np.array([0.68, 0.72, 0.92, 0.97])  # by site
_AGE_MEAN = np.array([54.0, 48.0, 55.0, 59.0])  # by site, years
_AGE_SD = 8.5
_AGES = np.arange(28, 78)
_LOGIT_SITE = np.array([-0.9, -1.0, 1.8, -0.2])
_LOGIT_BASE, _LOGIT_AGE, _LOGIT_MALE = -0.3, 0.5, 1.4  # woman of 54 years; per decade; man
_GRADE_IF_ILL = np.array([0.52, 0.21, 0.21, 0.06])  # grades 1 to 4

# Shares by grade 0 to 4 (rows) of the levels of each categorical value.
_LEVELS = {
    "cp": ("asymptomatic", "atypical angina", "non-anginal", "typical angina"),
    "fbs": (0.0, 1.0),
    "exang": (0.0, 1.0),
    "restecg": ("normal", "st-t abnormality", "lv hypertrophy"),
    "slope": ("upsloping", "flat", "downsloping"),
    "thal": ("normal", "reversible defect", "fixed defect"),
    "ca": (0.0, 1.0, 2.0, 3.0),
}
_SHARES = {
    "cp": ((26, 36, 32, 6), (74, 7, 14, 5), (80, 3, 13, 4), (77, 3, 16, 4), (80, 2, 14, 4)),
    "fbs": ((89, 11), (83, 17), (75, 25), (72, 28), (72, 28)),
    "exang": ((86, 14), (43, 57), (42, 58), (34, 66), (34, 66)),
    "restecg": ((65, 15, 20), (64, 18, 18), (51, 29, 20), (47, 29, 24), (32, 26, 42)),
    "slope": ((58, 36, 6), (21, 71, 8), (21, 64, 15), (21, 63, 16), (13, 60, 27)),
    "thal": ((74, 20, 6), (30, 58, 12), (23, 60, 17), (19, 67, 14), (14, 67, 19)),
    "ca": ((81, 13, 4, 2), (48, 34, 12, 6), (26, 38, 24, 12), (22, 26, 38, 14), (20, 24, 20, 36)),
}
# Normal distributions on a grid: values, mean for each grade, standard deviation.
_GRIDS = {
    "trestbps": (np.arange(90.0, 201.0, 2.0), (130, 132, 134, 137, 139), 18.0),
    "chol": (np.arange(110.0, 451.0), (240, 255, 252, 249, 247), 56.0),
}
_RATES = np.arange(70.0, 201.0)  # thalch, beats per minute
_RATE_MEAN, _RATE_AGE, _RATE_SD = (149.0, 131.0, 128.0, 121.0, 121.0), -0.75, 22.0
_DEPRESSIONS = np.arange(0, 61) / 10  # oldpeak, mm: often 0, otherwise a gamma-like tail
_NO_DEPRESSION, _DEPRESSION_MEAN = (0.64, 0.34, 0.29, 0.21, 0.12), (1.1, 1.5, 1.9, 2.0, 2.4)

OF = {
    "note": ("cp", "trestbps", "chol", "fbs", "exang"),  # and age and sex
    "ecg": ("restecg", "thalch", "oldpeak", "slope"),
    "scan": ("thal", "ca"),
}
# What an explanation can point at: parts of the note, the ECG, the two halves of the scan.
REGIONS = {
    "opening": ("note", ("age", "sex")),
    **{name: ("note", (name,)) for name in OF["note"]},
    "ecg": ("ecg", OF["ecg"]),
    **{name: ("scan", (name,)) for name in OF["scan"]},
}
_ABSENT_BY_GRADE = np.array(
    [1.4, 1.0, 0.7, 0.5, 0.4]
)  # for missing="severity", since the ill are examined more


def sample(n: int, seed: int, prevalence: float | None) -> pd.DataFrame:
    """n patients with site, sex, age, grade, disease and every value, determined by the seed.

    Each value of a patient is drawn with its own uniform number, so that another `prevalence`
    changes the patients no more than necessary.
    """
    u = np.random.default_rng(seed).random((n, 16))
    site = _pick(_SITE[None], u[:, 0])
    male = (u[:, 1] < _MALE[site]).astype(int)
    age = _pick(_age_shares()[site], u[:, 2])
    ill = _ill(prevalence)[age, male, site]
    grade = np.where(u[:, 3] < ill, 1 + _pick(_GRADE_IF_ILL[None], u[:, 4]), 0)
    table = pd.DataFrame(
        {
            "hospital": np.array(SITES, object)[site],
            "age": _AGES[age],
            "sex": np.array(SEXES, object)[male],
            "grade": grade,
        }
    )
    for column, (name, shares) in enumerate(_value_shares().items(), start=5):
        levels = _levels(name)
        rows = shares[grade] if shares.ndim == 2 else shares[grade, age]
        table[name] = levels[_pick(rows, u[:, column])]
    return table


def posterior(
    table: pd.DataFrame, prevalence: float | None, absent: np.ndarray | None = None
) -> pd.DataFrame:
    """P(disease | values) by Bayes' rule, for each of the 7 subsets of modalities; float (n,).

    The columns have names such as "note+scan". No modality states the site, which is summed out,
    and so are age and sex unless the note, which states them, is in the subset. The column
    "observed" conditions on the modalities that each patient has, and also on which modalities are
    absent, which is informative if absence depends on the grade.

    Args:
        table: as `sample` returns it, with the columns has_note, has_ecg and has_scan.
        prevalence: as passed to `sample`.
        absent: P(modality absent | grade), float (5, 3); None if no modality is ever absent.
    """
    prior = _prior(prevalence)  # (grade, age, sex)
    age = table["age"].to_numpy() - _AGES[0]
    male = (table["sex"] == "male").to_numpy().astype(int)
    like = {m: _likelihood(table, OF[m]) for m in MODALITIES}  # (n, grade, 1 or ages)
    present = table[[f"has_{m}" for m in MODALITIES]].to_numpy(bool)

    def given(subset: tuple[str, ...], weight: np.ndarray) -> np.ndarray:
        known = prior[:, age, male].T[:, :, None] if "note" in subset else prior.sum(2)[None]
        joint = known * weight
        for modality in subset:
            factor = like[modality]
            if "note" in subset and factor.shape[2] > 1:
                factor = factor[np.arange(len(factor)), :, age][:, :, None]
            joint = joint * factor
        by_grade = joint.sum(2)
        return by_grade[:, 1:].sum(1) / by_grade.sum(1)

    nothing = np.ones((1, 5, 1))
    out = pd.DataFrame(
        {"+".join(s): given(s, nothing) for s in subsets(MODALITIES)[1:]}, index=table.index
    )
    weight = nothing
    if absent is not None:
        weight = np.where(present[:, None], 1 - absent, absent).prod(2)[:, :, None]
    out["observed"] = 0.0
    for subset in subsets(MODALITIES):
        rows = (present == [m in subset for m in MODALITIES]).all(1)
        if rows.any():
            out.loc[rows, "observed"] = np.broadcast_to(given(subset, weight), len(rows))[rows]
    return out


def effects(
    table: pd.DataFrame, prevalence: float | None, absent: np.ndarray | None = None
) -> pd.DataFrame:
    """What each of the nine `REGIONS` adds to the exact log-odds of the disease; float (n, 9).

    The effect is the log-odds given all that is recorded, minus the log-odds given all but the
    values of this region (Robnik-Sikonja & Kononenko 2008 call it the weight of evidence). Effects
    need not sum to the log-odds, because what a value adds depends on the other values. The effect
    of what is absent is 0.

    Args: as for `posterior`.
    """
    there = {m: table[f"has_{m}"].to_numpy(bool) for m in MODALITIES}
    age = np.eye(len(_AGES))[table["age"].to_numpy() - _AGES[0]]  # one-hot
    male = np.eye(2)[(table["sex"] == "male").to_numpy().astype(int)]
    weight = np.ones((1, 5))
    if absent is not None:
        weight = np.stack([np.where(there[m][:, None], 1 - absent[:, i], absent[:, i])
                           for i, m in enumerate(MODALITIES)]).prod(0)  # fmt: skip
    factor = {name: np.where(there[m][:, None, None], _likelihood(table, names), 1.0)
              for name, (m, names) in REGIONS.items() if name != "opening"}  # fmt: skip

    def log_odds(without: str | None) -> np.ndarray:
        told = there["note"] & (without != "opening")
        known = np.where(told[:, None, None], age[:, :, None] * male[:, None, :], 1.0)
        joint = np.einsum("gas,nas->nga", _prior(prevalence), known) * weight[:, :, None]
        for name, likelihood in factor.items():
            if name != without:
                joint = joint * likelihood
        by_grade = joint.sum(2)
        return np.log(by_grade[:, 1:].sum(1)) - np.log(by_grade[:, 0])

    whole = log_odds(None)
    return pd.DataFrame({name: whole - log_odds(name) for name in REGIONS}, index=table.index)


def absence(missing: dict[str, float], mechanism: str) -> np.ndarray:
    """P(modality absent | grade), float (5, 3): equal for all grades, or falling with the grade."""
    rates = np.array([missing.get(m, 0.0) for m in MODALITIES])
    by_grade = np.ones(5) if mechanism == "random" else _ABSENT_BY_GRADE
    return np.minimum(by_grade[:, None] * rates, 1.0)


# ------------------------------------------------------------------------------ distributions


def _pick(shares: np.ndarray, u: np.ndarray) -> np.ndarray:
    """One index per row by the inverse of the cumulative shares; `shares` is (1 or n, levels)."""
    edges = np.cumsum(shares / shares.sum(1, keepdims=True), axis=1)[:, :-1]
    return (u[:, None] >= edges).sum(1)


def _normal(grid: np.ndarray, mean: np.ndarray, sd: float) -> np.ndarray:
    """A normal distribution on the points of a grid, summing to 1 over the last axis."""
    weight = np.exp(-0.5 * ((grid - np.asarray(mean)[..., None]) / sd) ** 2)
    return weight / weight.sum(-1, keepdims=True)


def _age_shares() -> np.ndarray:
    return _normal(_AGES.astype(float), _AGE_MEAN, _AGE_SD)  # (site, age)


def _levels(name: str) -> np.ndarray:
    if name in _LEVELS:
        return np.array(_LEVELS[name], float if name in ("fbs", "exang", "ca") else object)
    return (
        {"thalch": _RATES, "oldpeak": _DEPRESSIONS}[name] if name not in _GRIDS else _GRIDS[name][0]
    )


def _value_shares() -> dict[str, np.ndarray]:
    """Name → P(level | grade), (5, levels); for thalch P(level | grade, age), (5, ages, levels)."""
    shares = {name: np.array(rows, float) / 100 for name, rows in _SHARES.items()}
    for name, (grid, mean, sd) in _GRIDS.items():
        shares[name] = _normal(grid, np.array(mean, float), sd)
    mean_rate = np.array(_RATE_MEAN)[:, None] + _RATE_AGE * (_AGES - 54)
    shares["thalch"] = _normal(_RATES, mean_rate, _RATE_SD)
    depth, none = np.array(_DEPRESSION_MEAN)[:, None], np.array(_NO_DEPRESSION)[:, None]
    tail = _DEPRESSIONS * np.exp(-2 * _DEPRESSIONS / depth)  # a gamma density of shape 2; 0 at 0
    shares["oldpeak"] = (1 - none) * tail / tail.sum(1, keepdims=True)
    shares["oldpeak"][:, 0] = none[:, 0]
    return shares


def _ill(prevalence: float | None) -> np.ndarray:
    """P(grade > 0 | age, sex, site), (ages, 2, sites); the intercept is set by the prevalence."""
    decades, male = (_AGES - 54)[:, None, None] / 10, np.arange(2)[None, :, None]
    logit = _LOGIT_AGE * decades + _LOGIT_MALE * male + _LOGIT_SITE

    def ill(intercept: float) -> np.ndarray:
        return 1 / (1 + np.exp(-logit - intercept))

    if prevalence is None:
        return ill(_LOGIT_BASE)
    people = _people()
    return ill(brentq(lambda base: (people * ill(base)).sum() - prevalence, -40, 40))


def _people() -> np.ndarray:
    """P(age, sex, site), (ages, 2, sites)."""
    sex = np.stack([1 - _MALE, _MALE])
    return _age_shares().T[:, None, :] * sex[None] * (_SITE / _SITE.sum())


def _prior(prevalence: float | None) -> np.ndarray:
    """P(grade, age, sex), (5, ages, 2), with the site summed out."""
    people, ill = _people(), _ill(prevalence)
    grades = _GRADE_IF_ILL / _GRADE_IF_ILL.sum()
    sick = (people * ill).sum(2)[None] * grades[:, None, None]
    return np.concatenate([(people * (1 - ill)).sum(2)[None], sick])


def _likelihood(table: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """P(these values | grade, age), (n, 5, 1 or ages)."""
    out = np.ones((len(table), 5, 1))
    shares = _value_shares()
    for name in names:
        levels = {level: i for i, level in enumerate(_levels(name))}
        index = table[name].map(levels).to_numpy(int)
        out = out * np.moveaxis(shares[name], -1, 0)[index].reshape(len(table), 5, -1)
    return out
