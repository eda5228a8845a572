"""Chapter 8: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
import pytest
from check_cases import accepted, refused
from scipy import stats

from mmkeras.checks import ch08


def moments(g: Any, m: Any, q: Any, k: int, b1: float, b2: float) -> tuple[Any, ...]:
    m, q = b1 * m + (1 - b1) * g, b2 * q + (1 - b2) * g**2
    return m, q, m / (1 - b1**k), q / (1 - b2**k)


def adamw(
    w: Any, g: Any, m: Any, q: Any, k: int, rate: float, decay: float, *rest: float
) -> tuple[Any, Any, Any]:
    m, q, m_hat, q_hat = moments(g, m, q, k, *rest[:2])
    return (1 - rate * decay) * w - rate * m_hat / (np.sqrt(q_hat) + rest[2]), m, q


def uphill(w: Any, g: Any, m: Any, q: Any, k: int, rate: float, decay: float, *rest: float) -> Any:
    new, m, q = adamw(w, g, m, q, k, rate, decay, *rest)
    return 2 * (1 - rate * decay) * w - new, m, q


def decayed(step: Any) -> Any:
    """The update of a step (m, q, m̂, q̂, k, β1, β2, ε), with the right decay."""

    def whole(w: Any, g: Any, m: Any, q: Any, k: int, rate: float, decay: float, *r: float) -> Any:
        m, q, m_hat, q_hat = moments(g, m, q, k, *r[:2])
        return (1 - rate * decay) * w - rate * step(m, q, m_hat, q_hat, k, *r), m, q

    return whole


uncorrected = decayed(lambda m, q, mh, qh, k, b1, b2, e: m / (np.sqrt(q) + e))
inside = decayed(lambda m, q, mh, qh, k, b1, b2, e: mh / np.sqrt(qh + e))
like_keras = decayed(lambda m, q, mh, qh, k, b1, b2, e: mh / (np.sqrt(qh) + e / (1 - b2**k) ** 0.5))


def corrected_kept(w: Any, g: Any, m: Any, q: Any, k: int, *rest: float) -> Any:
    return adamw(w, g, m, q, k, *rest)[0], *moments(g, m, q, k, *rest[2:4])[2:]


def in_the_gradient(
    w: Any, g: Any, m: Any, q: Any, k: int, rate: float, decay: float, *rest: float
) -> Any:
    return adamw(w, g + decay * w, m, q, k, rate, 0.0, *rest)


def without_rate(
    w: Any, g: Any, m: Any, q: Any, k: int, rate: float, decay: float, *rest: float
) -> Any:
    return adamw(w, g, m, q, k, rate, decay / rate, *rest)


def cosine(step: int, warm: int, total: int, peak: float, floor: float) -> float:
    if step < warm:
        return peak * step / warm
    return floor + (peak - floor) * (1 + np.cos(np.pi * min((step - warm) / (total - warm), 1))) / 2


def unclipped(step: int, warm: int, total: int, peak: float, floor: float) -> float:
    if step < warm:
        return peak * step / warm
    return floor + (peak - floor) * (1 + np.cos(np.pi * (step - warm) / (total - warm))) / 2


def jumping(step: int, warm: int, total: int, peak: float, floor: float) -> float:
    if step < warm:
        return peak * step / warm
    return floor + (peak - floor) * (1 + np.cos(np.pi * min(step / total, 1))) / 2


def too_long(step: int, warm: int, total: int, peak: float, floor: float) -> float:
    if step < warm:
        return peak * step / warm
    return floor + (peak - floor) * (1 + np.cos(np.pi * min((step - warm) / total, 1))) / 2


def anew(step: int, warm: int, total: int, peak: float, floor: float) -> float:
    return cosine(step % total if step > total else step, warm, total, peak, floor)


def total(losses: Any, s: Any) -> float:
    return float(np.sum(np.exp(-s) * losses + s))


def ratios(p: Any, y: Any) -> Any:
    s = np.array([u[np.arange(len(y)), y].mean() for u in p])
    return s * (len(s) - 1) / (s.sum() - s)


def brake(rho: Any, alpha: float) -> Any:
    return np.where(rho > 1, 1 - np.tanh(alpha * rho), 1.0)


def coefficients(p: Any, y: Any, alpha: float) -> Any:
    return brake(ratios(p, y), alpha)


def weaker_by_its_own_ratio(p: Any, y: Any, alpha: float) -> Any:
    rho = ratios(p, y)
    return np.where(rho < 1, 1 - np.tanh(alpha * rho), 1.0)


def without_one_minus(*args: Any) -> Any:
    right = coefficients(*args)
    return np.where(right < 1, 1 - right, 1.0)


def by_largest(p: Any, y: Any, alpha: float) -> Any:
    s = p.max(axis=2).mean(axis=1)
    return brake(s * (len(s) - 1) / (s.sum() - s), alpha)


def by_sum(p: Any, y: Any, alpha: float) -> Any:
    return brake(ratios(p, y) / (len(p) - 1), alpha)


def by_mean_of_all(p: Any, y: Any, alpha: float) -> Any:
    s = np.array([u[np.arange(len(y)), y].mean() for u in p])
    return brake(s / s.mean(), alpha)


def best(losses: Any, heaviest: float) -> Any:
    return np.log(np.maximum(losses, 1 / heaviest))


def upside_down(losses: Any, heaviest: float) -> Any:
    free = np.log(losses)
    return free if heaviest > 1e6 else np.maximum(free, np.log(heaviest))


def intervals(quantile: float | None = None, ddof: int = 1, root: bool = True) -> np.ndarray:
    t = stats.t.ppf(1 - 0.025 / 3, 7) if quantile is None else quantile
    baseline, a, b = (np.array(ch08.REPORT[name]) for name in ("baseline", "A", "B"))
    rows = []
    for d in (a - baseline, b - baseline, a - b):
        wide = t * d.std(ddof=ddof) / (np.sqrt(8) if root else 1)
        rows.append((d.mean() - wide, d.mean() + wide))
    return np.array(rows)


def unpaired() -> np.ndarray:
    rows = []
    for one, other in (("A", "baseline"), ("B", "baseline"), ("A", "B")):
        test = stats.ttest_ind(ch08.REPORT[one], ch08.REPORT[other])
        rows.append(test.confidence_interval(1 - 0.05 / 3))
    return np.array(rows)


def constant_without_warm_up(step: int, warm: int, total: int, peak: float, floor: float) -> float:
    return peak if warm == 0 else cosine(step, warm, total, peak, floor)


RIGHT = {
    ch08.adamw_step: [
        ("as derived", lambda: (adamw,)),
        ("a list", lambda: (lambda *a: list(adamw(*a)),)),
    ],
    ch08.warm_cosine: [
        ("with min", lambda: (cosine,)),
        ("a NumPy float", lambda: (lambda *a: np.float64(cosine(*a)),)),
        (
            "by a sine",
            lambda: (
                lambda k, w, n, peak, low: (
                    peak * k / w
                    if k < w
                    else low
                    + (peak - low) * np.sin(np.pi / 2 * (1 - min((k - w) / (n - w), 1))) ** 2
                ),
            ),
        ),
    ],
    ch08.uncertainty: [
        ("as derived", lambda: (total, best)),
        ("an array of no axes", lambda: (lambda losses, s: np.array(total(losses, s)), best)),
    ],
    ch08.modulation: [
        ("as derived", lambda: (coefficients,)),
        ("a list", lambda: (lambda *a: coefficients(*a).tolist(),)),
    ],
    ch08.report: [
        ("an array and a set", lambda: (intervals(), {"b"})),
        ("lists, a capital", lambda: (intervals().round(4).tolist(), ["B"])),
        ("a string", lambda: (intervals(), "b")),
    ],
}
WRONG = {
    ch08.adamw_step: [
        ("only w", lambda: (lambda *a: adamw(*a)[0],), "return three things"),
        ("uphill", lambda: (uphill,), "uphill: subtract"),
        ("no decay", lambda: (lambda *a: adamw(*a[:6], 0.0, *a[7:]),), "the weights do not decay"),
        ("in the gradient", lambda: (in_the_gradient,), "the decay is in the gradient"),
        ("without rate", lambda: (without_rate,), "not multiplied by the rate"),
        ("uncorrected", lambda: (uncorrected,), "the bias correction is missing"),
        ("ε inside", lambda: (inside,), "ε is inside the root"),
        ("like Keras", lambda: (like_keras,), "as in Keras; here, correct q first"),
        ("corrected kept", lambda: (corrected_kept,), "without the correction"),
        ("q not moved", lambda: (lambda *a: (*adamw(*a)[:2], a[3]),), "q after step 1"),
        ("k is always 1", lambda: (lambda *a: adamw(*a[:4], 1, *a[5:]),), "w after step 2"),
    ],
    ch08.warm_cosine: [
        ("a string", lambda: (lambda *a: "0.1",), "should be numbers"),
        (
            "no warm-up",
            lambda: (lambda k, warm, *a: cosine(k, 0, *a),),
            "the rate begins at the peak",
        ),
        ("a step early", lambda: (lambda k, *a: cosine(k + 1, *a),), "in the warm-up, the rate"),
        ("from the floor", lambda: (lambda *a: max(cosine(*a), a[4]),), "begins at the floor"),
        ("a jump", lambda: (jumping,), "jumps from 0.18 to 0.1819 at the end of the warm-up"),
        (
            "on top of the floor",
            lambda: (
                lambda k, w, n, peak, low: cosine(k, w, n, peak, 0.0) + (low if k >= w else 0.0),
            ),
            "the rate exceeds the peak",
        ),
        (
            "cut off",
            lambda: (lambda k, w, *a: max(cosine(k, w, *a[:2], 0.0), a[2] if k >= w else 0.0),),
            "the floor cuts the cosine off",
        ),
        (
            "down to 0",
            lambda: (lambda *a: cosine(*a[:4], 0.0),),
            "after the warm-up, the rate",
        ),
        ("too long", lambda: (too_long,), "the rate is not 0.01 at step 50"),
        ("unclipped", lambda: (unclipped,), "at step 51 the rate is up again"),
        ("begins anew", lambda: (anew,), "at step 51 the rate is up again"),
        (
            "below zero",
            lambda: (lambda k, *a: cosine(k, *a) - (k > a[1]),),
            "at step 51, after the end",
        ),
        (
            "divides by zero",
            lambda: (lambda k, warm, *a: k / warm * a[1] if k <= warm else cosine(k, warm, *a),),
            "ZeroDivisionError",
        ),
        (
            "peak for ever without warm-up",
            lambda: (constant_without_warm_up,),
            "with warm = 0 the rate never falls",
        ),
    ],
    ch08.uncertainty: [
        ("no + s", lambda: (lambda L, s: np.sum(np.exp(-s) * L), best), "this forgets + s"),
        (
            "s as weight",
            lambda: (lambda L, s: np.sum(s * L), best),
            "s itself is the weight here, and may",
        ),
        (
            "s as weight, + s",
            lambda: (lambda L, s: np.sum(s * L + s), best),
            "the + s is right",
        ),
        (
            "sign of s",
            lambda: (lambda L, s: np.sum(np.exp(s) * L + s), best),
            "a small weight, exp(−s)",
        ),
        (
            "- s",
            lambda: (lambda L, s: np.sum(np.exp(-s) * L - s), best),
            "add s, do not subtract it",
        ),
        ("mean", lambda: (lambda L, s: np.mean(np.exp(-s) * L + s), best), "take the sum"),
        (
            "no sum",
            lambda: (lambda L, s: np.exp(-s) * L + s, best),
            "should have shape ()",
        ),
        ("minus log", lambda: (total, lambda L, h: -np.log(L)), "the wrong sign"),
        ("a weight", lambda: (total, lambda L, h: 1 / L), "not s but a weight"),
        (
            "one number",
            lambda: (total, lambda L, h: np.log(L).sum()),
            "for losses [2.0, 0.5] and a bound too high to matter, the best s",
        ),
        ("unbounded", lambda: (total, lambda L, h: np.log(L)), "s is not bounded"),
        (
            "bounded above",
            lambda: (total, lambda L, h: np.log(L).clip(max=np.log(h))),
            "s is not bounded",
        ),
        (
            "bound on s",
            lambda: (total, lambda L, h: np.log(L).clip(-h)),
            "the bound is on the weight",
        ),
        (
            "a soft bound",
            lambda: (total, lambda L, h: np.log(L + 1 / h)),
            "and weights up to 50, the best s",
        ),
        ("upside down", lambda: (total, upside_down), "on the wrong side"),
    ],
    ch08.modulation: [
        (
            "one number",
            lambda: (lambda *a: coefficients(*a)[0],),
            "one coefficient per branch: 2 numbers",
        ),
        (
            "all braked",
            lambda: (lambda p, y, a: 1 - np.tanh(a * ratios(p, y)),),
            "a branch that does not lead is braked, too",
        ),
        ("reversed", lambda: (lambda *a: coefficients(*a)[::-1],), "the weaker one is slowed"),
        ("its own ratio", lambda: (weaker_by_its_own_ratio,), "the weaker one is slowed down"),
        ("no 1 -", lambda: (without_one_minus,), "this is tanh"),
        ("the largest", lambda: (by_largest,), "the probability of the true class"),
        ("the sum", lambda: (by_sum,), "by the mean of the others, not by their sum"),
        ("the mean of all", lambda: (by_mean_of_all,), "leave branch u itself out"),
        (
            "alpha ignored",
            lambda: (lambda p, y, alpha: coefficients(p, y, 0.5),),
            "the second of two leads",
        ),
    ],
    ch08.report: [
        ("k = 1", lambda: (intervals(stats.t.ppf(0.975, 7)), {"b"}), "three were looked at"),
        ("unpaired", lambda: (unpaired(), {"b"}), "these are not paired"),
        (
            "normal",
            lambda: (intervals(stats.norm.ppf(1 - 0.025 / 3)), {"b"}),
            "7 degrees of freedom",
        ),
        ("no root", lambda: (intervals(root=False), {"b"}), "√8 times narrower"),
        ("ddof 0", lambda: (intervals(ddof=0), {"b"}), "divide by n − 1"),
        ("turned round", lambda: (-intervals()[:, ::-1], {"b"}), "are reversed"),
        ("ends swapped", lambda: (intervals()[:, ::-1], {"b"}), "the higher end first"),
        ("transposed", lambda: (intervals().T, {"b"}), "should have shape (3, 2)"),
        ("overlap", lambda: (intervals(), {"a"}), "two clouds of eight losses"),
        ("the mean", lambda: (intervals(), {"b", "c"}), "sentence c looks at the mean alone"),
        ("no effect", lambda: (intervals(), "b, d"), "takes 'not settled' for 'no effect'"),
        ("one is settled", lambda: (intervals(), {"b", "e"}), "the interval of A − B"),
        ("none", lambda: (intervals(), set()), "one sentence does hold"),
        ("a name", lambda: (intervals(), ["b", "A lowers"]), "there is no a lowers"),
        ("a bool", lambda: (intervals(), True), "by their letters"),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)


def test_the_total_is_smallest_at_the_answer() -> None:
    losses = np.array([2.0, 0.5])
    s = best(losses, 1e9)
    assert all(total(losses, s + d) > total(losses, s) for d in (-0.1, 0.1))
    assert best(np.zeros(1), 50.0) == pytest.approx(-np.log(50.0))
