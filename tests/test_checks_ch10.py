"""Chapter 10: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
from check_cases import accepted, refused
from sklearn.metrics import roc_auc_score

from mmkeras.checks import ch10


def rate(r: float, m: int) -> float:
    return r - r**m / m


def blank(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    there = present.reshape(-1, *[1] * (x.ndim - 1)) > 0
    return np.where(there, x, np.zeros_like(x))


def times(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    return x * present.reshape(-1, *[1] * (x.ndim - 1))


def in_place(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    x[present == 0] = 0
    return x


def retrieve(
    known: np.ndarray,
    there: np.ndarray,
    library: np.ndarray,
    k: int,
    everything: bool = False,
    keep: bool = True,
) -> np.ndarray:
    out = known.copy()
    for i, (row, mask) in enumerate(zip(known, there, strict=True)):
        has = mask > 0
        over = has | everything
        distance = ((library[:, over] - row[over]) ** 2).sum(axis=1)
        near = library[np.argsort(distance)[:k]].mean(axis=0)
        out[i] = np.where(has & keep, row, near)
    return out


def with_zeros(known: np.ndarray, there: np.ndarray, library: np.ndarray, k: int) -> np.ndarray:
    return retrieve(np.nan_to_num(known), there, library, k, everything=True)


def search(gaps: np.ndarray, y: np.ndarray, hospital: np.ndarray, **how: Any) -> Any:
    """With `mean`, of the hospitals' AUCs; `tie`: what a tie counts; `best`: which is taken."""
    won, count, each = 0.0, 0, []
    for h in np.unique(hospital):
        ill, healthy = gaps[(hospital == h) & (y == 1)], gaps[(hospital == h) & (y == 0)]
        d = (ill[:, None].astype(int) - healthy).reshape(-1, gaps.shape[1])
        points = (d > 0) + how.get("tie", 0.5) * (d == 0)
        won, count = won + points.sum(axis=0), count + len(d)
        each.append(points.mean(axis=0))
    aucs = np.mean(each, axis=0) if how.get("mean") else won / count
    return aucs, how.get("best", lambda a: np.argmax(np.abs(a - 0.5)))(aucs)


def pooled_search(gaps: np.ndarray, y: np.ndarray, hospital: np.ndarray) -> Any:
    return search(gaps, y, np.zeros(len(y)))


def left_out(gap: np.ndarray, y: np.ndarray, hospital: np.ndarray, **how: Any) -> np.ndarray:
    """With `own`, learned in the hospital itself; with `whole`, in all; `pooled`: all rows."""
    found = []
    for h in np.unique(hospital):
        here = hospital == h
        train = here if how.get("own") else here | True if how.get("whole") else ~here
        score = np.array([y[train & (gap == g)].mean() for g in (0, 1)])[gap]
        rows = here | how.get("pooled", False)
        found.append(roc_auc_score(y[rows], score[rows]))
    return np.array(found)


def without_ties(gap: np.ndarray, y: np.ndarray, hospital: np.ndarray) -> list[float]:
    found = []
    for h in np.unique(hospital):
        here = hospital == h
        score = np.array([y[~here & (gap == g)].mean() for g in (0, 1)])[gap]
        ill, healthy = score[here & (y == 1)], score[here & (y == 0)]
        found.append(float((ill[:, None] > healthy).mean()))
    return found


def judged(**changed: str) -> dict[str, str]:
    return {**ch10.VERDICTS, **changed}


RIGHT = {
    ch10.hidden_rate: [
        ("as derived", lambda: (rate,)),
        ("a NumPy float", lambda: (lambda r, m: np.float64(r) * (1 - r ** (m - 1) / m),)),
    ],
    ch10.blank: [("where", lambda: (blank,))],
    ch10.retrieve: [("row by row", lambda: (retrieve,))],
    ch10.which_gap: [
        ("pairs", lambda: (search,)),
        ("a list", lambda: (lambda *a: [search(*a)[0].tolist(), int(search(*a)[1])],)),
    ],
    ch10.travels: [
        ("with scikit-learn", lambda: (left_out, dict(ch10.VERDICTS))),
        ("a list", lambda: (lambda *a: left_out(*a).tolist(), judged())),
    ],
}
WRONG = {
    ch10.hidden_rate: [
        ("the rate", lambda: (lambda r, m: r,), "the rate itself"),
        ("all stay", lambda: (lambda r, m: r - r**m,), "one of the M stays, not all"),
        (
            "drawn again",
            lambda: (lambda r, m: (r - r**m) / (1 - r**m),),
            "redraws the mask",
        ),
        ("the rest", lambda: (lambda r, m: 1 - rate(r, m),), "the share that stays"),
        ("a constant", lambda: (lambda r, m: 0.1,), "the share for rate 0.5, 3 modalities"),
        (
            "a single one",
            lambda: (lambda r, m: rate(r, m) if m > 1 else r,),
            "0.3, 1 modality: this is",
        ),
    ],
    ch10.blank: [
        ("times", lambda: (times,), "0 · NaN is NaN"),
        ("in place", lambda: (in_place,), "x itself has changed"),
        ("columns", lambda: (lambda x, p: np.where(p > 0, x, 0),), "columns are blanked"),
        (
            "two axes only",
            lambda: (lambda x, p: np.where(p[:, None] > 0, x, 0),),
            "for x of shape (4,)",
        ),
        ("other type", lambda: (lambda x, p: blank(x.astype(float), p),), "back as float64"),
        (
            "every NaN",
            lambda: (lambda x, p: blank(np.nan_to_num(x), p),),
            "must stay visible",
        ),
        ("upside down", lambda: (lambda x, p: blank(x, 1 - p),), "in the mask 1 means present"),
    ],
    ch10.retrieve: [
        ("gaps as zeros", lambda: (with_zeros,), "counts the gaps as zeros"),
        ("one", lambda: (lambda x, t, lib, k: retrieve(x, t, lib, 1),), "nearest row alone"),
        ("all", lambda: (lambda x, t, lib, k: retrieve(x, t, lib, 40),), "the whole library"),
        (
            "overwritten",
            lambda: (lambda x, t, lib, k: retrieve(x, t, lib, k, keep=False),),
            "overwritten",
        ),
        ("zeros", lambda: (lambda x, t, lib, k: np.nan_to_num(x),), "the gaps hold zeros"),
        ("untouched", lambda: (lambda x, t, lib, k: x,), "there is NaN in the result"),
        (
            "k is 4",
            lambda: (lambda x, t, lib, k: retrieve(x, t, lib, 4),),
            "the filled array for k = 5",
        ),
        (
            "k is 5",
            lambda: (lambda x, t, lib, k: retrieve(x, t, lib, 5),),
            "the filled array for k = 2",
        ),
    ],
    ch10.which_gap: [
        ("pooled", lambda: (pooled_search,), "patients of different hospitals"),
        ("mean", lambda: (lambda *a: search(*a, mean=True),), "mean of the hospitals' AUCs"),
        ("no ties", lambda: (lambda *a: search(*a, tie=0),), "equal gaps counts one half"),
        ("turned", lambda: (lambda *a: (1 - search(*a)[0], 1),), "turned round"),
        ("largest", lambda: (lambda *a: search(*a, best=np.argmax),), "far below 0.5 informs"),
        ("smallest", lambda: (lambda *a: search(*a, best=np.argmin),), "far above 0.5 informs"),
        ("always column 1", lambda: (lambda *a: (search(*a)[0], 1),), "labels exchanged"),
        ("AUCs alone", lambda: (lambda *a: search(*a)[0],), "return two things"),
    ],
    ch10.travels: [
        (
            "trained in all",
            lambda: (lambda *a: left_out(*a, whole=True), judged()),
            "the hospital itself was in the training rows",
        ),
        (
            "trained at home",
            lambda: (lambda *a: left_out(*a, own=True), judged()),
            "learns and scores in the same hospital",
        ),
        (
            "scored on all",
            lambda: (lambda *a: left_out(*a, pooled=True), judged()),
            "the AUC is over all rows",
        ),
        (
            "turned round",
            lambda: (lambda *a: 1 - left_out(*a), judged()),
            "turned round",
        ),
        ("no ties", lambda: (without_ties, judged()), "a tie of ill and healthy"),
        ("a mean", lambda: (lambda *a: left_out(*a).mean(), judged()), "should have shape (3,)"),
        (
            "pooled is enough",
            lambda: (left_out, judged(A="travels")),
            "order the patients of the third",
        ),
        ("pooled is chance", lambda: (left_out, judged(D="nothing")), "within each hospital"),
        ("only the place", lambda: (left_out, judged(B="hospital")), "study B is not 'hospital'"),
        ("sees a gap", lambda: (left_out, judged(C="hospital")), "study C is not 'hospital'"),
        ("one is missing", lambda: (left_out, {"A": "hospital"}), "a verdict for each study"),
        ("another word", lambda: (left_out, judged(A="MAR")), "'MAR' is no verdict"),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
