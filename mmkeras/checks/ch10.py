"""Checks of chapter 10, missing modalities."""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "10.1",
    "what the rate really hides",
    hint="a modality is drawn for hiding with probability r; with probability r^M all of them "
    "are, and then one of the M, each equally likely, stays after all",
)
def hidden_rate(rate: Callable) -> str | None:
    """Return the probability that a given modality is hidden, a number."""
    for r, m in ((0.5, 3), (0.3, 3), (0.9, 2), (0.3, 1)):
        got = rate(r, m)
        case = f"rate {r}, {m} modalit{'y' if m == 1 else 'ies'}"
        if np.isscalar(got):
            if np.isclose(got, r):
                raise NotYet(
                    f"{case}: this is the rate itself; but if all are drawn, one stays after all"
                )
            if m > 1 and np.isclose(got, r - r**m):
                raise NotYet(
                    f"{case}: r^M is the probability that all are drawn; then one of the M stays, "
                    "not all of them"
                )
            if m > 1 and np.isclose(got, (r - r**m) / (1 - r**m)):
                raise NotYet(
                    f"{case}: this redraws the mask when all are hidden; here one of the M stays"
                )
            if np.isclose(got, 1 - r + r**m / m):
                raise NotYet(
                    f"{case}: this is the share that stays; the question is what share is hidden"
                )
        expect_close(got, r - r**m / m, f"the share for {case}")
    return "a little less than the rate, and nothing at all for a single modality"


@exercise(
    "10.2",
    "blank, do not multiply",
    hint="give the mask as many axes as x, present.reshape(-1, 1, 1, …), and choose with np.where",
)
def blank(function: Callable) -> str | None:
    """Return x, (n, …), with zeros in the rows that are absent."""
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
                raise NotYet(
                    "the rows that are present have become 0: in the mask 1 means present, 0 absent"
                )
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
    """Return known, (n, d), with its gaps filled."""
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
    expect_close(
        function(known.copy(), there.copy(), library.copy(), 2),
        filled(2),
        "the filled array for k = 2",
    )
    return "a guess by patients who are alike in what is known"


@exercise(
    "10.4",
    "which gap informs?",
    hint="for gap g and hospital h: d = gap[ill][:, None] - gap[healthy], both within h; a pair "
    "counts 1 where d is 1 and one half where d is 0. Add the pairs of all hospitals, then divide. "
    "The gap that says most is np.argmax(np.abs(aucs - 0.5))",
)
def which_gap(function: Callable) -> str | None:
    """Return two things: the AUC of each gap within hospitals, (G,), and the best column."""
    rng, sizes = np.random.default_rng(0), (60, 100, 40)
    hospital = np.repeat(["north", "south", "west"], sizes)
    y = (rng.random(200) < np.repeat((0.15, 0.5, 0.9), sizes)).astype(int)
    chance = np.repeat((0.97, 0.5, 0.03), sizes), np.where(y, 0.25, 0.6), np.where(y, 0.6, 0.45)
    gaps = np.stack([rng.random(200) < p for p in chance], axis=1).astype(int)
    wins, ties, pairs, by_place = np.zeros(3), np.zeros(3), 0, []
    for h in np.unique(hospital):
        ill, healthy = (gaps[(hospital == h) & (y == label)] for label in (1, 0))
        d = (ill[:, None] - healthy).reshape(-1, 3)
        wins, ties, pairs = wins + (d > 0).sum(axis=0), ties + (d == 0).sum(axis=0), pairs + len(d)
        by_place.append(((d > 0) + 0.5 * (d == 0)).mean(axis=0))
    want = (wins + ties / 2) / pairs
    order = rng.permutation(200)  # rows of a hospital do not stand together
    got = function(gaps[order], y[order], hospital[order])
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise NotYet("return two things: the AUCs, (G,), and the index of a column")
    slips = {
        "these AUCs compare patients of different hospitals: form pairs within one hospital": (
            np.array([_auc(y, gaps[:, g]) for g in range(3)])
        ),
        "this is the mean of the hospitals' AUCs: add up their pairs first, then divide": np.mean(
            by_place, axis=0
        ),
        "a pair with equal gaps counts one half": wins / pairs,
        "the sign is turned round: a pair counts 1 where the ill patient has the gap": 1 - want,
    }
    for advice, wrong in slips.items():
        if np.shape(got[0]) == (3,) and np.allclose(got[0], wrong):
            raise NotYet(advice)
    expect_close(got[0], want, "the array of AUCs within hospitals", atol=1e-6)
    if got[1] == np.argmax(want):
        raise NotYet("an AUC far below 0.5 informs as well: take the one farthest from 0.5")
    best = int(np.argmax(np.abs(want - 0.5)))
    expect_close(got[1], best, "the index of the column")
    # ill and healthy exchanged, and the columns moved on: now the best AUC is the largest
    got = function(np.roll(gaps[order], 1, axis=1), 1 - y[order], hospital[order])
    if got[1] == np.argmin(np.roll(1 - want, 1)):
        raise NotYet("an AUC far above 0.5 informs as well: take the one farthest from 0.5")
    expect_close(got[1], (best + 1) % 3, "the index of the column, labels exchanged")
    return "a gap that only tells the hospitals apart has an AUC of one half within them"


VERDICTS = {"A": "hospital", "B": "travels", "C": "nothing", "D": "reverses"}


def _study(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A simulated study: gap (n,), 1 where the scan is missing; labels (n,); hospitals (n,)."""
    prevalence, absent = {  # by hospital; P(gap) of the healthy and of the ill
        "A": ((0.2, 0.5, 0.8), ((0.8, 0.8), (0.5, 0.5), (0.2, 0.2))),
        "B": ((0.4, 0.5, 0.6), ((0.7, 0.3), (0.6, 0.25), (0.75, 0.35))),
        "C": ((0.3, 0.5, 0.7), ((0.5, 0.5), (0.5, 0.5), (0.5, 0.5))),
        "D": ((0.5, 0.5, 0.5), ((0.75, 0.25), (0.5, 0.5), (0.25, 0.75))),
    }[name]
    gap, y, hospital = [], [], []
    for place, share, rates in zip(("north", "south", "west"), prevalence, absent, strict=True):
        ill = round(200 * share)
        for label, count, rate in zip((0, 1), (200 - ill, ill), rates, strict=True):
            missing = round(rate * count)
            gap += [1] * missing + [0] * (count - missing)
            y += [label] * count
            hospital += [place] * count
    order = np.random.default_rng(0).permutation(len(y))
    return np.array(gap)[order], np.array(y)[order], np.array(hospital)[order]


STUDIES = {name: _study(name) for name in VERDICTS}


def _auc(y: np.ndarray, score: np.ndarray) -> float:
    gaps = score[y == 1][:, None] - score[y == 0]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def _learned(gap: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """For every row, the share of ill among the training rows with the same gap."""
    return np.array([y[train & (gap == g)].mean() for g in (0, 1)])[gap]


@exercise(
    "10.5",
    "will it travel?",
    hint="for each hospital h, with there = hospital != h: the share of ill among y[there & "
    "(gap == g)] is the score of gap g; the AUC takes the rows with hospital == h only. For a "
    "verdict compare with the AUC over all rows, and with one that is learned within the hospital",
)
def travels(function: Callable, verdicts: dict) -> str | None:
    """Return three AUCs, (3,), from the function, and give a dict from study to verdict."""
    for name in VERDICTS:
        gap, y, hospital = STUDIES[name]
        places = np.unique(hospital)
        scores = {h: _learned(gap, y, hospital != h) for h in places}
        want = [_auc(y[hospital == h], scores[h][hospital == h]) for h in places]
        own = [
            _auc(y[hospital == h], _learned(gap, y, hospital == h)[hospital == h]) for h in places
        ]
        whole = _learned(gap, y, hospital != "")
        everywhere = [_auc(y[hospital == h], whole[hospital == h]) for h in places]
        got = function(gap.copy(), y.copy(), hospital.copy())
        slips = {
            "the hospital itself was in the training rows: learn from the other two": everywhere,
            "this learns and scores in the same hospital: learn from the other two": own,
            "the AUC is over all rows: take those of the hospital left out": [
                _auc(y, scores[h]) for h in places
            ],
            "the order of the patients is turned round": [1 - auc for auc in want],
            "a tie of ill and healthy counts one half": [
                float(
                    (
                        scores[h][(hospital == h) & (y == 1)][:, None]
                        > scores[h][(hospital == h) & (y == 0)]
                    ).mean()
                )
                for h in places
            ],
        }
        for advice, wrong in slips.items():
            if np.shape(got) == (3,) and np.allclose(got, wrong) and not np.allclose(got, want):
                raise NotYet(f"study {name}: {advice}")
        expect_close(got, want, f"study {name}: the array of AUCs", atol=1e-4)
    _judged(verdicts)
    return "pooled, within, and left out: three questions, three answers"


def _judged(verdicts: Any) -> None:
    """Refuse wrong verdicts, with the question that was not asked."""
    names = ("nothing", "hospital", "travels", "reverses")
    if not isinstance(verdicts, dict) or set(verdicts) != set(VERDICTS):
        raise NotYet('give a verdict for each study, such as {"A": "hospital", "B": …}')
    for name, verdict in verdicts.items():
        if verdict not in names:
            raise NotYet(f"study {name}: {verdict!r} is no verdict; they are {', '.join(names)}")
    look = {
        "hospital": "does the gap order the patients within any hospital?",
        "travels": "does a rule that was learned in two hospitals order the patients of the third?",
        "nothing": "is the AUC 0.5 over all rows and also within each hospital?",
        "reverses": "is the AUC of any hospital left out below 0.5?",
    }
    for name, right in VERDICTS.items():
        if (verdict := verdicts[name]) != right:
            if verdict == "hospital" and right == "nothing":
                raise NotYet(f"study {name} is not 'hospital': do its gap rates differ by place?")
            raise NotYet(f"study {name} is not {verdict!r}: {look[verdict]}")
