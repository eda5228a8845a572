"""Chapter 22: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
from check_cases import accepted, refused
from sklearn.metrics import confusion_matrix

from mmkeras.checks import ch22


def mean(rows: np.ndarray, empty: float = np.nan) -> float:
    return float(rows.mean()) if len(rows) else empty


def rates(first: Any = None, second: Any = None, empty: float = np.nan) -> Any:
    """Counts by group, with a slip in one of the two rates."""

    def function(y: np.ndarray, said: np.ndarray, members: np.ndarray) -> dict:
        found = {}
        for name in np.unique(members):
            t, s = y[members == name], said[members == name]
            one = first(t, s) if first else mean(s[t == 1], empty)
            found[name] = (one, second(t, s) if second else mean(s[t == 0], empty))
        return found

    return function


def by_matrix(y: np.ndarray, said: np.ndarray, members: np.ndarray) -> dict:
    found = {}
    for name in set(members):
        rows = members == name
        (tn, fp), (fn, tp) = confusion_matrix(y[rows], said[rows], labels=[0, 1])
        with np.errstate(invalid="ignore"):
            found[name] = np.array([np.float64(tp) / (tp + fn), np.float64(fp) / (fp + tn)])
    return found


def search(largest: Any = None, plus: int = 1, compare: Any = np.greater_equal) -> Any:
    def function(mine: np.ndarray, chance: np.ndarray) -> np.ndarray:
        top = largest(chance) if largest else chance.max(axis=1, keepdims=True)
        return (plus + compare(top, mine).sum(axis=0)) / (plus + len(top))

    return function


def one_by_one(mine: np.ndarray, chance: np.ndarray) -> list[float]:
    best = sorted(max(row) for row in chance)
    return [(1 + sum(top >= score for top in best)) / (len(best) + 1) for score in mine]


RIGHT_SENTENCES = {"a": False, "b": True, "c": False, "d": False, "e": False, "f": True, "g": True,
                   "h": False}  # fmt: skip
PLAN = {
    "group": "women over 60",
    "measure": "recall",
    "miss_costs": 5,
    "threshold": 1 / 6,
    "people": 323,
    "labels": "random",
    "stops": ("low", 0.55),
    "why": "an ill woman who waits is harmed more than a healthy one who comes",
}

WRONG = {
    ch22.rates: [
        ("precision", lambda: (rates(first=lambda t, s: mean(t[s == 1])),), "precision"),
        ("specificity", lambda: (rates(second=lambda t, s: 1 - mean(s[t == 0])),), "specificity"),
        ("of all people", lambda: (
            rates(lambda t, s: (s * t).mean(), lambda t, s: (s * (1 - t)).mean()),), "not by all"),
        ("misses", lambda: (rates(first=lambda t, s: 1 - mean(s[t == 1])),), "miss rate"),
        ("0 for nobody", lambda: (rates(empty=0.0),), "is NaN, not 0"),
        ("turned round", lambda: (
            rates(lambda t, s: mean(s[t == 0]), lambda t, s: mean(s[t == 1])),), "wrong order"),
        ("everybody", lambda: (
            lambda y, said, m: {g: (said[y == 1].mean(), said[y == 0].mean()) for g in set(m)},),
         "within the group"),
        ("a list", lambda: (lambda y, said, m: [(0.5, 0.5)] * 3,), "return a dict"),
        ("one number", lambda: (lambda y, said, m: dict.fromkeys(m, 0.5),), "should be 2 numbers"),
    ],
    ch22.forced_fpr: [
        ("odds turned", lambda: (lambda pi, ppv, tpr: (1 - pi) / pi * (1 - ppv) / ppv * tpr,),
         "not the inverse"),
        ("ratio turned", lambda: (lambda pi, ppv, tpr: pi / (1 - pi) * ppv / (1 - ppv) * tpr,),
         "turn this ratio round"),
        ("no odds", lambda: (lambda pi, ppv, tpr: pi * (1 - ppv) / ppv * tpr,), "divide by"),
        ("no recall", lambda: (lambda pi, ppv, tpr: pi / (1 - pi) * (1 - ppv) / ppv,), "recall is"),
        ("1 - PPV", lambda: (lambda pi, ppv, tpr: 1 - ppv,), "among those selected"),
        ("no PPV below", lambda: (lambda pi, ppv, tpr: pi / (1 - pi) * (1 - ppv) * tpr,),
         "for each found"),
    ],
    ch22.corrected: [
        ("alone", lambda: (search(largest=lambda chance: chance),), "largest of all groups"),
        ("no one added", lambda: (search(plus=0),), "never 0"),
        ("below", lambda: (search(compare=np.less),), "stay below"),
        ("no ties", lambda: (search(compare=np.greater),), ">="),
        ("Bonferroni", lambda: (
            lambda mine, chance: np.minimum(1, len(mine) * search(lambda c: c)(mine, chance)),),
         "Bonferroni"),
        ("wrong axis", lambda: (search(lambda c: c.max(axis=0)[:, None]),), "each shuffle"),
    ],
    ch22.sentences: [
        ("fair by AUC", lambda: (RIGHT_SENTENCES | {"a": True},), "section 1"),
        ("too low", lambda: (RIGHT_SENTENCES | {"c": True},), "mean probability"),
        ("three women", lambda: (RIGHT_SENTENCES | {"d": True},), "section 2"),
        ("use is unfair", lambda: (RIGHT_SENTENCES | {"e": True},), "section 5"),
        ("calibrated", lambda: (RIGHT_SENTENCES | {"f": False},), "section 4"),
        ("from the harm on", lambda: (RIGHT_SENTENCES | {"g": False},), "from which moment"),
        ("trained over", lambda: (RIGHT_SENTENCES | {"h": True},), "may not be altered"),
        ("open", lambda: (RIGHT_SENTENCES | {"b": None},), "no verdict"),
        ("a word", lambda: (RIGHT_SENTENCES | {"b": "yes"},), "neither True nor False"),
        ("one missing", lambda: ({"a": False},), "each of a, b"),
    ],
    ch22.review: [
        ("AUC", lambda: (PLAN | {"measure": "roc_auc"},), "knows no threshold"),
        ("who is selected", lambda: (PLAN | {"measure": "selection_rate"},), "ill or not"),
        ("harm of the healthy", lambda: (PLAN | {"measure": "false_positive_rate"},), "healthy"),
        ("of the selected", lambda: (PLAN | {"measure": "precision"},), "who are selected"),
        ("calibrated", lambda: (PLAN | {"measure": "overestimate"},), "perfect reader"),
        ("accuracy", lambda: (PLAN | {"measure": "accuracy of women"},), "measure is one of"),
        ("everybody", lambda: (PLAN | {"group": "All patients"},), "average over everybody"),
        ("as usual", lambda: (PLAN | {"threshold": 0.5},), "cost the same"),
        ("one in five", lambda: (PLAN | {"threshold": 0.2},), "not from p"),
        ("turned round", lambda: (PLAN | {"threshold": 5 / 6},), "the lower the threshold"),
        ("no costs", lambda: (PLAN | {"miss_costs": 0},), "above 0"),
        ("the record", lambda: (PLAN | {"labels": "record"},), "hold the bias"),
        ("only the selected", lambda: (PLAN | {"labels": "selected"},), "never looked at"),
        ("judge of itself", lambda: (PLAN | {"labels": "model"},), "judge itself"),
        ("in words", lambda: (PLAN | {"labels": "our archive"},), "labels is one of"),
        ("if it is bad", lambda: (PLAN | {"stops": "if it is bad"},), "(end, limit)"),
        ("the value", lambda: (PLAN | {"stops": ("value", 0.6)},), "by chance"),
        ("never stops", lambda: (PLAN | {"stops": ("high", 0.5)},), "probability of only"),
        ("always stops", lambda: (PLAN | {"stops": ("low", 0.7)},), "no need to try"),
        ("percent", lambda: (PLAN | {"stops": ("low", 55)},), "between 0 and 1"),
        ("no such end", lambda: (PLAN | {"stops": ("middle", 0.5)},), "low, value or high"),
        ("no reason", lambda: (PLAN | {"why": "it is fair"},), "in a sentence"),
        ("only the ill", lambda: (PLAN | {"people": 81},), "one in four"),
        ("whole width", lambda: (PLAN | {"people": 1291},), "half width"),
        ("a share of 0.5", lambda: (PLAN | {"people": 384},), "assumed recall"),
        ("empty", lambda: (dict.fromkeys(PLAN, "") | {"people": 0},), "in a few words"),
        ("a word as number", lambda: (PLAN | {"people": "many"},), "people"),
        ("one missing", lambda: ({"group": "women"},), "exactly group"),
    ],
}  # fmt: skip
RIGHT = {
    ch22.rates: [("a loop", lambda: (rates(),)), ("confusion_matrix", lambda: (by_matrix,))],
    ch22.forced_fpr: [
        ("the identity", lambda: (lambda pi, ppv, tpr: pi / (1 - pi) * (1 - ppv) / ppv * tpr,)),
        ("by counting", lambda: (
            lambda pi, ppv, tpr: (1000 * pi * tpr / ppv - 1000 * pi * tpr) / (1000 * (1 - pi)),)),
    ],
    ch22.corrected: [("NumPy", lambda: (search(),)), ("a loop", lambda: (one_by_one,))],
    ch22.sentences: [
        ("bools", lambda: (RIGHT_SENTENCES,)),
        ("NumPy", lambda: ({k: np.bool_(v) for k, v in RIGHT_SENTENCES.items()},)),
    ],
    ch22.review: [
        ("a plan", lambda: (PLAN,)),
        ("equal costs", lambda: (PLAN | {"miss_costs": 1, "threshold": 0.5},)),
        ("rounded", lambda: (PLAN | {"threshold": 0.17, "miss_costs": 5.0},)),
        ("proof of harm", lambda: (PLAN | {"stops": ["high", 0.65]},)),
        ("by Wilson", lambda: (PLAN | {"people": 312},)),
    ],
}  # fmt: skip
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
