"""Checks of chapter 10, missing modalities."""

from collections.abc import Callable

import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "10.1",
    "what the rate really hides",
    hint="a modality is drawn for hiding with probability r; with probability r^M all of them "
    "are, and then one of the M, each equally likely, stays after all",
)
def hidden_rate(rate: Callable) -> str | None:
    """A function of rate and modalities: the probability that a given modality is hidden."""
    for r, m in ((0.5, 3), (0.3, 3), (0.9, 2), (0.3, 1)):
        got = rate(r, m)
        case = f"rate {r}, {m} modalit{'y' if m == 1 else 'ies'}"
        if np.isscalar(got):
            if np.isclose(got, r):
                raise NotYet(f"{case}: this is the rate itself; if all would go, one stays")
            if m > 1 and np.isclose(got, r - r**m):
                raise NotYet(
                    f"{case}: r^M is the probability that all would go; then one of the M stays, "
                    "not all of them"
                )
            if m > 1 and np.isclose(got, (r - r**m) / (1 - r**m)):
                raise NotYet(f"{case}: this draws all again; here one of the M gets to stay")
            if np.isclose(got, 1 - r + r**m / m):
                raise NotYet(f"{case}: this is the share that stays; asked is what is hidden")
        expect_close(got, r - r**m / m, f"the share for {case}")
    return "a little less than the rate, and nothing at all for a single modality"


@exercise(
    "10.2",
    "blank, do not multiply",
    hint="give the mask as many axes as x, present.reshape(-1, 1, 1, …), and choose with np.where",
)
def blank(function: Callable) -> str | None:
    """A function of x (n, …) and present (n,): x, with zeros in the rows that are absent."""
    rng = np.random.default_rng(0)
    for shape in ((3, 3), (5, 4), (4,), (3, 2, 2, 1)):
        x = rng.normal(size=shape).astype("float32")
        present = np.ones(shape[0], "float32")
        present[1] = 0
        x[1] = np.nan
        want = x.copy()
        want[1] = 0
        given = x.copy()
        got = function(given, present.copy())
        if not np.array_equal(given, x, equal_nan=True):
            raise NotYet("x itself has changed: return a new array and leave the caller's as it is")
        if np.shape(got) == shape:
            if shape == (3, 3) and np.array_equal(got, np.where(present > 0, x, 0), equal_nan=True):
                raise NotYet("columns are blanked, not rows: reshape present to (n, 1) first")
            if not np.asarray(got, float)[0].any():
                raise NotYet("what is there is gone: 1 in the mask means there, 0 absent")
            if np.isnan(np.asarray(got, float)[1]).any():
                raise NotYet("0 · NaN is NaN: choose with np.where instead of multiplying")
        expect_close(got, want, f"for x of shape {shape} the blanked array")
    ids = np.array([[3, 7], [5, 1]], "int32")
    got = function(ids.copy(), np.array([1.0, 0.0], "float32"))
    expect_close(got, [[3, 7], [0, 0]], "the blanked word ids")
    if np.asarray(got).dtype != ids.dtype:
        raise NotYet(f"word ids of type int32 came back as {np.asarray(got).dtype}; keep the type")
    fault = np.array([[np.nan, 1.0], [np.nan, np.nan]])
    if not np.isnan(np.asarray(function(fault.copy(), np.array([1.0, 0.0])))[0, 0]):
        raise NotYet(
            "a NaN in a row that is there is a fault, and must stay visible: blank by mask"
        )
    return "what is absent cannot do harm, whatever stands there"


@exercise(
    "10.3",
    "retrieval by hand",
    hint="for each row: has = there[i] > 0; squared differences library[:, has] − known[i, has], "
    "summed; np.argsort(…)[:k]; the mean of these library rows goes where has is False",
)
def retrieve(function: Callable) -> str | None:
    """A function of known, there (n, d), library (N, d), k: known, its gaps filled from k rows."""
    rng = np.random.default_rng(0)
    library = rng.normal(3, 1, size=(40, 6))
    there = (rng.random((12, 6)) < 0.6).astype(float)
    there[:, 0] = 1
    there[:2] = [[1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1]]
    known = np.where(there > 0, rng.normal(3, 1, size=(12, 6)), np.nan)

    def filled(k: int, zeros: bool = False, everywhere: bool = False) -> np.ndarray:
        x = np.nan_to_num(known)
        count = np.ones_like(there) if zeros else there
        gap = (x[:, None] - library) * count[:, None]
        near = np.argsort((gap**2).sum(axis=2), axis=1)[:, :k]
        donors = library[near].mean(axis=1)
        return donors if everywhere else np.where(there > 0, x, donors)

    k = 5
    got = function(known.copy(), there.copy(), library.copy(), k)
    if np.shape(got) == known.shape:
        got = np.asarray(got, float)
        if np.isnan(got).any():
            raise NotYet(
                "there is NaN in the result: what is absent is NaN, keep it out of the sum"
            )
        if np.allclose(got, filled(k, zeros=True)):
            raise NotYet("the distance counts the gaps as zeros: sum only over what is there")
        if np.allclose(got, filled(1)):
            raise NotYet(f"this copies the nearest row alone: take the mean of the k = {k} nearest")
        if np.allclose(got, filled(len(library))):
            raise NotYet("this is the mean of the whole library: take the k nearest rows only")
        if np.allclose(got, filled(k, everywhere=True)):
            raise NotYet("known features were overwritten: fill only where there is 0")
        if np.allclose(got, np.where(there > 0, got, 0)):
            raise NotYet("the gaps hold zeros: put the mean of the k nearest rows there")
    expect_close(got, filled(k), f"the filled array for k = {k}")
    expect_close(function(known.copy(), there.copy(), library.copy(), 2), filled(2), "for k = 2 it")
    return "a guess by patients who are alike in what is known"


def _logit(a: np.ndarray) -> np.ndarray:
    return np.log(a / (1 - a))


@exercise(
    "10.4",
    "above the line",
    hint="with logit(a) = log(a / (1 − a)), np.polyfit(logit(clean), logit(corrupted), 1) is the "
    "line; its value at logit(a) goes back through 1 / (1 + exp(−value)); subtract that from b",
)
def effective_robustness(function: Callable) -> str | None:
    """A function of clean, corrupted (K,) of baselines, and a, b of a model: a difference.

    Taori et al. (2020), Measuring Robustness to Natural Distribution Shifts, arXiv:2007.00644.
    """
    rng = np.random.default_rng(0)
    clean = np.array([0.55, 0.62, 0.7, 0.78, 0.85, 0.9, 0.95, 0.97])
    corrupted = 1 / (1 + np.exp(-(0.8 * _logit(clean) - 0.7 + rng.normal(0, 0.1, clean.size))))
    line = np.polyfit(_logit(clean), _logit(corrupted), 1)
    straight = np.polyfit(clean, corrupted, 1)
    for a, b in ((0.92, 0.86), (0.6, 0.4)):
        got = function(clean.copy(), corrupted.copy(), a, b)
        at = np.polyval(line, _logit(np.array(a)))
        want = float(b - 1 / (1 + np.exp(-at)))
        if np.size(got) == 1 and np.asarray(got).dtype.kind == "f":
            if np.isclose(got, b - np.polyval(straight, a)):
                raise NotYet("the line was fitted in raw accuracies: take the logit of both first")
            if np.isclose(got, b - a) or np.isclose(got, a - b):
                raise NotYet("this is the plain drop; compare b with what the line expects at a")
            if np.isclose(got, b - corrupted.mean()):
                raise NotYet(
                    "compare with baselines of the same clean accuracy, not with their mean"
                )
            if np.isclose(got, _logit(np.array(b)) - at):
                raise NotYet(
                    "this is a difference of logits: turn the line's value into an accuracy"
                )
            if np.isclose(got, -want):
                raise NotYet("the sign is turned: above the line is positive")
        expect_close(got, want, f"the effective robustness for a = {a}, b = {b}")
    return "better on corrupted data than its clean accuracy explains, or not"


@exercise(
    "10.5",
    "what the gap gives away",
    hint="for each test row: same = (train_mask == row).all(axis=1); the score is "
    "train_y[same].mean() if same.any(), else train_y.mean()",
)
def score_of_mask(function: Callable) -> str | None:
    """A function of train_mask (n, M), train_y (n,), test_mask (k, M): scores (k,) from gaps."""
    rng = np.random.default_rng(0)
    seen = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0]], "float32")
    pattern = np.arange(200) % 4
    train_mask = seen[pattern]
    train_y = (rng.random(200) < np.array([0.2, 0.5, 0.7, 0.9])[pattern]).astype("float32")
    test_mask = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 0]], "f4")
    shares = np.array([train_y[pattern == p].mean() for p in range(4)], float)
    overall = float(train_y.mean())
    want = np.array([shares[3], overall, shares[0], shares[2], shares[1], overall])
    got = function(train_mask.copy(), train_y.copy(), test_mask.copy())
    if np.shape(got) == want.shape:
        got = np.asarray(got, float)
        if np.isnan(got[[1, 5]]).any():
            raise NotYet(
                "a pattern that no training row has gives NaN: say the overall share there"
            )
        if np.allclose(got, overall):
            raise NotYet(
                "this is the overall share for everybody: look at rows of the same pattern"
            )
        if np.allclose(got[[0, 2, 3, 4]], want[[0, 2, 3, 4]]) and not np.allclose(got, want):
            raise NotYet(
                f"for a pattern that no training row has, say the overall share, {overall:.3f}, "
                f"not {got[1]:.3f}"
            )
        two = train_y[np.isin(pattern, [1, 2])].mean()
        if np.allclose(got[[3, 4]], two):
            raise NotYet("which modality is absent matters, not only how many: compare whole rows")
    expect_close(got, want, "the scores")
    return "a score without a single look at a patient"
