"""Chapter 13: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
from check_cases import accepted, refused
from scipy.special import log_softmax, logsumexp

from mmkeras.checks import ch13


def nce(S: np.ndarray, tau: float, axes: tuple[int, ...] = (0, 1)) -> float:
    return float(-np.mean([np.diag(log_softmax(S / tau, axis=axis)) for axis in axes]))


def underflowing(S: np.ndarray, tau: float) -> Any:
    return overflowing(S - S.max(), tau)


def overflowing(S: np.ndarray, tau: float) -> Any:
    with np.errstate(all="ignore"):
        p = np.exp(S / tau)
        rows, columns = (np.diag(p / p.sum(axis=a, keepdims=True)) for a in (0, 1))
        return -(np.log(rows) + np.log(columns)).mean() / 2


def only_wrong(S: np.ndarray, tau: float) -> float:
    logits = S / tau
    off = np.where(np.eye(len(S)) > 0, -np.inf, logits)
    own = np.diag(logits)
    return float((logsumexp(off, axis=0) + logsumexp(off, axis=1)).mean() / 2 - own.mean())


def floors(own: float, other: float, n: int, tau: float, loss: float, **how: Any) -> Any:
    """With `count`: of the wrong pairs; `gap`: of the cosines; `one`: what is in the logarithm."""
    count, gap = how.get("count", n - 1), how.get("gap", own - other)
    low = np.log(how.get("one", 1) + count * np.exp(-gap / tau))
    return low, (own - other) / np.log((n - 1) / np.expm1(loss))


def share(scores: np.ndarray, right: np.ndarray, k: int) -> float:
    found = []
    for row, own in zip(scores, right, strict=True):
        above, tied = (row > row[own]).sum(), (row == row[own]).sum()
        found.append(min(max(k - above, 0), tied) / tied)
    return float(np.mean(found))


def counted(rule: Any) -> Any:
    """An answer made of the candidates above the right one, and those tied with it."""

    def recall(scores: np.ndarray, right: np.ndarray, k: int) -> float:
        mine = scores[np.arange(len(right)), right][:, None]
        return float(np.mean(rule((scores > mine).sum(axis=1), (scores == mine).sum(axis=1), k)))

    return recall


def reported(
    gain: float, verdict: str = "better", *, looked: int = 1, noise: float = 1, **changed: Any
) -> dict[str, Any]:
    """200 families of four queries; `gain` of the base's misses become hits, whole families."""
    rng = np.random.default_rng(0)
    families = np.repeat(np.arange(200), 4)
    base = (rng.random(200) < 0.3).astype(float)
    flipped = rng.random(200)
    better = np.where((base == 0) & (flipped < gain), 1, base)
    better = np.where((base == 1) & (flipped > 1 - 0.1 * noise), 0, better)
    hits = {"base": base[families], "changed": better[families], "families": families}
    return {**hits, "looked": looked, "verdict": verdict, **changed}


def judged(**changed: Any) -> dict[str, Any]:
    return {**ch13.VERDICTS, **changed}


RIGHT = {
    ch13.info_nce_loss: [
        ("log_softmax", lambda: (nce,)),
        (
            "logaddexp",
            lambda: (
                lambda S, t: np.float64(
                    (np.logaddexp.reduce(S / t, 0) + np.logaddexp.reduce(S / t, 1)).mean() / 2
                    - np.trace(S / t) / len(S)
                ),
            ),
        ),
    ],
    ch13.floor: [
        ("as derived", lambda: (floors,)),
        ("a list", lambda: (lambda *a: [float(v) for v in floors(*a)],)),
    ],
    ch13.recall: [
        ("a loop", lambda: (share,)),
        ("clipped", lambda: (counted(lambda a, t, k: np.clip((k - a) / t, 0, 1)),)),
    ],
    ch13.verdicts: [("as they are", lambda: (judged(),))],
    ch13.own_question: [
        ("better", lambda: (reported(0.3),)),
        ("worse", lambda: (reported(0, "worse", noise=5),)),
        (
            "lists",
            lambda: (
                {
                    key: value.tolist() if isinstance(value, np.ndarray) else value
                    for key, value in reported(0.05, "not settled").items()
                },
            ),
        ),
    ],
}
WRONG = {
    ch13.info_nce_loss: [
        ("rows alone", lambda: (lambda S, t: nce(S, t, (1,)),), "the rows alone"),
        ("columns alone", lambda: (lambda S, t: nce(S, t, (0,)),), "the columns alone"),
        ("times", lambda: (lambda S, t: nce(S, 1 / t),), "do not multiply"),
        ("sum of both", lambda: (lambda S, t: 2 * nce(S, t),), "take their mean"),
        ("sum of rows", lambda: (lambda S, t: 5 * nce(S, t),), "rows of the batch"),
        ("sign", lambda: (lambda S, t: -nce(S, t),), "sign is turned"),
        ("only wrong pairs", lambda: (only_wrong,), "in the sum of the denominator"),
        ("overflow", lambda: (overflowing,), "overflows"),
        ("one maximum for all", lambda: (underflowing,), "the maximum of each row"),
        ("no mean", lambda: (lambda S, t: np.zeros(5),), "should have shape ()"),
    ],
    ch13.floor: [
        ("N wrong pairs", lambda: (lambda *a: floors(*a, count=a[2]),), "N - 1 wrong pairs"),
        ("other is 0", lambda: (lambda *a: floors(*a, gap=a[0]),), "not 0"),
        ("knows nothing", lambda: (lambda *a: (np.log(a[2]), 1.0),), "log N"),
        ("no 1", lambda: (lambda *a: floors(*a, one=0),), "log(1 + "),
        (
            "sign",
            lambda: (lambda *a: floors(*a, gap=a[1] - a[0]),),
            "which is negative",
        ),
        ("scale", lambda: (lambda *a: (floors(*a)[0], 1 / floors(*a)[1]),), "turn it round"),
        (
            "exp",
            lambda: (
                lambda *a: (floors(*a)[0], (a[0] - a[1]) / np.log((a[2] - 1) / np.exp(a[4]))),
            ),
            "exp(loss) - 1",
        ),
        ("one number", lambda: (lambda *a: floors(*a)[0],), "return two numbers"),
    ],
    ch13.recall: [
        ("in favour", lambda: (counted(lambda a, t, k: a < k),), "in favour of the model"),
        ("against", lambda: (counted(lambda a, t, k: a + t <= k),), "against the model"),
        (
            "middle",
            lambda: (counted(lambda a, t, k: 1 + a + (t - 1) / 2 <= k),),
            "all or nothing",
        ),
        ("from 0", lambda: (counted(lambda a, t, k: a < k - 1),), "k counted from 1"),
        ("turned", lambda: (lambda s, r, k: share(-s, r, k),), "taken for a better one"),
        ("not cut", lambda: (counted(lambda a, t, k: (k - a) / t),), "must count as 1"),
        ("per query", lambda: (lambda s, r, k: np.ones(len(s)),), "should have shape ()"),
    ],
    ch13.verdicts: [
        ("zero inside", lambda: (judged(A="holds"),), "exclude 0"),
        ("taught", lambda: (judged(B="holds"),), "before it met a picture"),
        ("seen", lambda: (judged(C="no control"),), "other three drawings"),
        ("too strict", lambda: (judged(D="not settled"),), "on one side of 0"),
        ("better", lambda: (judged(E="holds"),), "equal scores"),
        ("open", lambda: (judged(C=...),), "claim C has no verdict"),
        ("a word", lambda: (judged(C="wrong"),), "'wrong' is no verdict"),
        ("one missing", lambda: ({"A": "holds"},), "a verdict for each claim"),
    ],
    ch13.own_question: [
        ("zero inside", lambda: (reported(0.05, "worse"),), "does not follow"),
        ("too modest", lambda: (reported(0.3, "not settled"),), "does not follow"),
        ("turned", lambda: (reported(0.3, "worse"),), "other way round"),
        ("not corrected", lambda: (reported(0.1, looked=10_000),), "correct for all"),
        ("no families", lambda: (reported(0.08),), "keep families"),
        ("means", lambda: (reported(0.3, base=0.3),), "one number per query"),
        ("ranks", lambda: (reported(0.3, base=np.arange(800)),), "neither ranks"),
        ("other queries", lambda: (reported(0.3, base=np.zeros(799)),), "the same queries"),
        ("one family", lambda: (reported(0.3, families=np.zeros(800)),), "fewer than 30"),
        ("nothing changed", lambda: (reported(0, noise=0),), "anything been changed"),
        ("no count", lambda: (reported(0.3, looked=0),), "from 1"),
        ("a word", lambda: (reported(0.3, "helps"),), "no verdict"),
        ("open", lambda: (reported(0.3, verdict=...),), "still open"),
        ("one missing", lambda: ({"base": 1},), "with the keys"),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
