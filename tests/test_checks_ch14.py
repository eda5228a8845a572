"""Chapter 14: right answers pass, and a student with a likely slip is told which one."""

from collections import Counter
from typing import Any

import numpy as np
from check_cases import accepted, refused

from mmkeras.checks import ch14


def softmax(scores: Any) -> Any:
    weights = np.exp(scores)
    return weights / weights.sum()


def attend(query: Any, keys: Any, values: Any, keep: Any) -> Any:
    if not keep.any():
        return np.zeros(values.shape[1])
    scores = np.where(keep, keys @ query / len(query) ** 0.5, -np.inf)
    return softmax(scores) @ values


def unscaled(query: Any, keys: Any, values: Any, keep: Any) -> Any:
    return attend(query * len(query) ** 0.5, keys, values, keep)


def scaled(query: Any, keys: Any, values: Any, keep: Any, width: int) -> Any:
    return attend(query * (len(query) / width) ** 0.5, keys, values, keep)


def unmasked(query: Any, keys: Any, values: Any, keep: Any) -> Any:
    return attend(query, keys, values, keep | True)


def masked_late(query: Any, keys: Any, values: Any, keep: Any) -> Any:
    return (softmax(keys @ query / len(query) ** 0.5) * keep) @ values


def zeroed(query: Any, keys: Any, values: Any, keep: Any) -> Any:
    return softmax(keys @ query / len(query) ** 0.5 * keep) @ values


def empty(query: Any, keys: Any, values: Any, keep: Any) -> Any:
    return attend(query, keys, values, keep if keep.any() else ~keep)


def no_maximum(query: Any, keys: Any, values: Any, keep: Any) -> Any:
    scores = keys[keep] @ query / len(query) ** 0.5
    return softmax(scores - scores.max()) @ values[keep]


def best(shown: Any, reply: Any) -> float:
    rows = list(zip(shown.tolist(), reply.tolist(), strict=True))
    kept = [Counter(r for s, r in rows if s == name).most_common(1)[0][1] for name in set(shown)]
    return sum(kept) / len(rows)


def always_one(shown: Any, reply: Any) -> float:
    return Counter(reply.tolist()).most_common(1)[0][1] / len(reply)


def mean_of_values(shown: Any, reply: Any) -> float:
    return float(np.mean([best(shown[shown == s], reply[shown == s]) for s in set(shown)]))


def guessed(shown: Any, reply: Any) -> float:
    hits = (shown[:, None] == shown) & (reply[:, None] == reply)
    return float((hits.sum(1) / (shown[:, None] == shown).sum(1)).mean())


def doubles(clips: Any, same: Any = np.array_equal) -> Any:
    names = sorted(clips)
    return [(a, b) for a in names for b in names if a < b and same(clips[a], clips[b])]


def judged(**changed: Any) -> dict[str, Any]:
    return {**ch14.VERDICTS, **changed}


def both_orders(clips: Any) -> Any:
    return doubles(clips) + [pair[::-1] for pair in doubles(clips)]


RIGHT = {
    ch14.attend: [("infinity", lambda: (attend,)), ("list", lambda: (lambda *a: [*attend(*a)],))],
    ch14.ceiling: [
        ("counter", lambda: (best,)),
        ("NumPy", lambda: (lambda *a: np.array(best(*a)),)),
    ],
    ch14.doubles: [
        ("pairs", lambda: (doubles,)),
        ("a set, turned", lambda: (lambda c: {pair[::-1] for pair in doubles(c)},)),
    ],
    ch14.verdicts: [("as they are", lambda: (judged(),))],
    ch14.own_change: [
        ("a clear gain", lambda: ([4.1, 5.0, 4.4], "better")),
        ("an open one", lambda: (np.array([4.1, -3.0, 1.4, 0.2]), "not settled")),
        ("a loss", lambda: ((-3.0, -3.4, -2.9), "worse")),
    ],
}
WRONG = {
    ch14.attend: [
        ("no root", lambda: (unscaled,), "root of the width"),
        ("no mask", lambda: (unmasked,), "used, too"),
        ("late", lambda: (masked_late,), "no longer sum to 1"),
        ("zero scores", lambda: (zeroed,), "exp(0) = 1"),
        ("empty", lambda: (empty,), "should be zeros"),
        ("no maximum of nothing", lambda: (no_maximum,), "where keep is False throughout"),
        ("weights", lambda: (lambda q, k, v, m: k @ q,), "the shape"),
        ("places", lambda: (lambda q, k, v, m: scaled(q, k, v, m, len(k)),), "number of keys"),
        ("values", lambda: (lambda q, k, v, m: scaled(q, k, v, m, 2),), "width of a value"),
        ("turned", lambda: (lambda q, k, v, m: attend(q, k, v, ~m),), "turned round"),
        ("three", lambda: (lambda q, k, v, m: scaled(q, k, v, m, 3),), "the answer"),
    ],
    ch14.ceiling: [
        ("one reply", lambda: (always_one,), "whatever is shown"),
        ("unweighted", lambda: (mean_of_values,), "count more"),
        ("guesses", lambda: (guessed,), "most frequent"),
        ("percent", lambda: (lambda *a: 100 * best(*a),), "a percentage"),
        ("shown", lambda: (lambda s, r: len(set(s.tolist())) / len(r),), "counts what is shown"),
    ],
    ch14.doubles: [
        ("itself", lambda: (lambda c: [(n, n) for n in c],), "same as itself"),
        ("twice", lambda: (both_orders,), "each pair once"),
        (
            "the first clip",
            lambda: (lambda c: doubles(c, lambda a, b: np.array_equal(a[0], b[0])),),
            "one equal clip",
        ),
        (
            "means",
            lambda: (lambda c: doubles(c, lambda a, b: np.allclose(a.mean(1), b.mean(1))),),
            "sample by sample",
        ),
        ("none", lambda: (lambda c: [],), "no pair found"),
    ],
    ch14.verdicts: [
        ("seen", lambda: (judged(A="holds"),), "who speaks in the test"),
        ("zero inside", lambda: (judged(B="holds"),), "is 0 in the interval"),
        ("no ceiling", lambda: (judged(C="leak"),), "these two modalities"),
        ("too strict", lambda: (judged(D="not settled"),), "fresh splits"),
        ("open", lambda: (judged(B=...),), "claim B has no verdict"),
    ],
    ch14.own_change: [
        ("by the mean", lambda: ([4.1, -3.0, 1.4], "better"), "contains 0"),
        ("too careful", lambda: ([4.1, 5.0, 4.4], "not settled"), "lies above 0"),
        ("turned", lambda: ([-4.1, -5.0, -4.4], "better"), "lies below 0"),
        ("two", lambda: ([4.1, 5.0], "better"), "at least three"),
        ("one seed", lambda: ([4.1, 4.1, 4.1], "better"), "the same number"),
        ("a word", lambda: ([4.1, 5.0, 4.4], "wins"), "is no conclusion"),
        ("open", lambda: ([..., 5.0, 4.4], "better"), "fill in"),
        ("names", lambda: (["a", "b", "c"], "better"), "as numbers"),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
