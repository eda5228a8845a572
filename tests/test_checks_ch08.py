"""Chapter 8: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
import pytest

from mmkeras.checks import ch08


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


def moments(g: Any, m: Any, q: Any, k: int, b1: float, b2: float) -> tuple[Any, ...]:
    m, q = b1 * m + (1 - b1) * g, b2 * q + (1 - b2) * g**2
    return m, q, m / (1 - b1**k), q / (1 - b2**k)


def adam(
    w: Any, g: Any, m: Any, q: Any, k: int, rate: float, b1: float, b2: float, e: float
) -> Any:
    m, q, m_hat, q_hat = moments(g, m, q, k, b1, b2)
    return w - rate * m_hat / (np.sqrt(q_hat) + e), m, q


def uphill(w: Any, *rest: Any) -> Any:
    new, m, q = adam(w, *rest)
    return 2 * w - new, m, q


def uncorrected(w: Any, g: Any, m: Any, q: Any, k: int, rate: float, *rest: float) -> Any:
    m, q, _, _ = moments(g, m, q, k, *rest[:2])
    return w - rate * m / (np.sqrt(q) + rest[2]), m, q


def inside(w: Any, g: Any, m: Any, q: Any, k: int, rate: float, *rest: float) -> Any:
    m, q, m_hat, q_hat = moments(g, m, q, k, *rest[:2])
    return w - rate * m_hat / np.sqrt(q_hat + rest[2]), m, q


def like_keras(w: Any, g: Any, m: Any, q: Any, k: int, rate: float, *rest: float) -> Any:
    m, q, _, _ = moments(g, m, q, k, *rest[:2])
    rate = rate * np.sqrt(1 - rest[1] ** k) / (1 - rest[0] ** k)
    return w - rate * m / (np.sqrt(q) + rest[2]), m, q


def corrected_kept(w: Any, g: Any, m: Any, q: Any, k: int, rate: float, *rest: float) -> Any:
    m, q, m_hat, q_hat = moments(g, m, q, k, *rest[:2])
    return w - rate * m_hat / (np.sqrt(q_hat) + rest[2]), m_hat, q_hat


def cosine(step: int, warm: int, total: int, peak: float) -> float:
    if step < warm:
        return peak * step / warm
    return peak * (1 + np.cos(np.pi * min((step - warm) / (total - warm), 1))) / 2


def unclipped(step: int, warm: int, total: int, peak: float) -> float:
    if step < warm:
        return peak * step / warm
    return peak * (1 + np.cos(np.pi * (step - warm) / (total - warm))) / 2


def jumping(step: int, warm: int, total: int, peak: float) -> float:
    if step < warm:
        return peak * step / warm
    return peak * (1 + np.cos(np.pi * min(step / total, 1))) / 2


def too_long(step: int, warm: int, total: int, peak: float) -> float:
    if step < warm:
        return peak * step / warm
    return peak * (1 + np.cos(np.pi * min((step - warm) / total, 1))) / 2


def anew(step: int, warm: int, total: int, peak: float) -> float:
    return cosine(step % total if step > total else step, warm, total, peak)


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


def limits(*case: Any) -> tuple[float, float]:
    euros, kg, seeds, seconds, devices, watts, pue, price, carbon = case
    kwh = seeds * seconds * devices * watts * pue / 3.6e6
    return euros / (kwh * price), kg / (kwh * carbon)


def settings(*case: Any) -> int:
    return int(min(limits(*case)))


def with_one(place: int) -> Any:
    """The right formula, with a 1 in place of one argument."""
    return lambda *case: settings(*case[:place], 1, *case[place + 1 :])


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        (ch08.adam_step, (adam,)),
        (ch08.warm_cosine, (cosine,)),
        (ch08.uncertainty, (total, best)),
        (ch08.uncertainty, (lambda losses, s: np.array(total(losses, s)), best)),
        (ch08.modulation, (coefficients,)),
        (ch08.affordable, (settings,)),
    ]
    for check, answer in answers:
        assert "✓" in said(capsys, check, *answer), check


@pytest.mark.parametrize(
    "check",
    [ch08.adam_step, ch08.warm_cosine, ch08.uncertainty, ch08.modulation, ch08.affordable],
)
def test_stubs_get_a_start(capsys: pytest.CaptureFixture[str], check: Any) -> None:
    def stub(*args: Any) -> Any: ...

    answers = (stub, stub) if check is ch08.uncertainty else (stub,)
    assert "✗ not yet: your function stub returns nothing yet. " in said(capsys, check, *answers)


@pytest.mark.parametrize(
    ("check", "answer", "advice"),
    [
        (ch08.adam_step, lambda *a: adam(*a)[0], "return three things"),
        (ch08.adam_step, uphill, "uphill: subtract"),
        (ch08.adam_step, uncorrected, "the bias correction is missing"),
        (ch08.adam_step, inside, "ε is inside the root"),
        (ch08.adam_step, like_keras, "as in Keras; here, correct q first"),
        (ch08.adam_step, corrected_kept, "without the correction"),
        (ch08.adam_step, lambda *a: (*adam(*a)[:2], a[3]), "q after step 1"),
        (ch08.adam_step, lambda *a: adam(*a[:4], 1, *a[5:]), "w after step 2"),
        (ch08.warm_cosine, lambda *a: "0.1", "should be numbers"),
        (ch08.warm_cosine, lambda k, warm, *a: cosine(k, 0, *a), "the rate begins at the peak"),
        (ch08.warm_cosine, lambda k, *a: cosine(k + 1, *a), "in the warm-up, the rate"),
        (ch08.warm_cosine, jumping, "the rate jumps from 0.18 to 0.1809 at the end of the warm-up"),
        (ch08.warm_cosine, too_long, "the rate is not 0 at step 50"),
        (ch08.warm_cosine, unclipped, "at step 51 the rate is up again"),
        (ch08.warm_cosine, anew, "at step 51 the rate is up again"),
        (ch08.warm_cosine, lambda k, *a: cosine(k, *a) - (k > a[1]), "at step 51, after the end"),
        (
            ch08.warm_cosine,
            lambda k, warm, *a: k / warm * a[1] if k <= warm else cosine(k, warm, *a),
            "ZeroDivisionError",
        ),
        (ch08.modulation, lambda *a: coefficients(*a)[0], "one coefficient a branch: 2 numbers"),
        (
            ch08.modulation,
            lambda p, y, a: 1 - np.tanh(a * ratios(p, y)),
            "who does not lead is braked, too",
        ),
        (ch08.modulation, lambda *a: coefficients(*a)[::-1], "the weaker one is slowed down"),
        (ch08.modulation, weaker_by_its_own_ratio, "the weaker one is slowed down"),
        (ch08.modulation, without_one_minus, "this is tanh"),
        (ch08.modulation, by_largest, "the probability of the true class"),
        (ch08.modulation, by_sum, "by the mean of the others, not by their sum"),
        (ch08.modulation, by_mean_of_all, "leave branch u itself out"),
        (ch08.modulation, lambda p, y, alpha: coefficients(p, y, 0.5), "the second of two leads"),
        (ch08.affordable, lambda *a: min(limits(*a)), "is no whole number of settings"),
        (ch08.affordable, lambda *a: settings(*a) + 1, "round down"),
        (ch08.affordable, with_one(2), "that counts single runs"),
        (ch08.affordable, with_one(6), "(pue) is missing"),
        (ch08.affordable, with_one(4), "watts are for one device"),
        (ch08.affordable, lambda *a: int(max(limits(*a))), "the tighter of the two limits"),
        (ch08.affordable, lambda *a: int(sum(limits(*a))), "both limits hold at once"),
        (ch08.affordable, lambda *a: int(min(limits(*a)) / 1000), "is too few"),
        (ch08.affordable, lambda *a: int(min(limits(*a)) * 3600), "is too many"),
        (ch08.affordable, lambda *a: int(limits(*a)[0]), "the tighter of the two limits"),
        (ch08.affordable, lambda *a: int(limits(*a)[1]), "the tighter of the two limits"),
        (ch08.affordable, lambda *a: settings(*a) - 3, "the number of settings: yours is"),
        (ch08.affordable, lambda *a: [1, 2], "should have shape ()"),
    ],
)
def test_likely_slips(
    capsys: pytest.CaptureFixture[str], check: Any, answer: Any, advice: str
) -> None:
    assert advice in said(capsys, check, answer)


@pytest.mark.parametrize(
    ("whole", "optimum", "advice"),
    [
        (lambda L, s: np.sum(np.exp(-s) * L), best, "this forgets + s"),
        (lambda L, s: np.sum(s * L), best, "s itself is the weight here, and may"),
        (lambda L, s: np.sum(s * L + s), best, "the + s is right"),
        (lambda L, s: np.sum(np.exp(s) * L + s), best, "a small weight, exp(−s)"),
        (lambda L, s: np.sum(np.exp(-s) * L - s), best, "+ s, not − s"),
        (lambda L, s: np.mean(np.exp(-s) * L + s), best, "take the sum"),
        (lambda L, s: np.exp(-s) * L + s, best, "should have shape ()"),
        (total, lambda L, h: -np.log(L), "the wrong sign"),
        (total, lambda L, h: 1 / L, "not s but a weight"),
        (total, lambda L, h: np.log(L).sum(), "the best s for losses [2.0, 0.5], all but"),
        (total, lambda L, h: np.log(L), "s is not bounded"),
        (total, lambda L, h: np.log(L).clip(max=np.log(h)), "s is not bounded"),
        (total, lambda L, h: np.log(L).clip(-h), "the bound is on the weight"),
        (total, lambda L, h: np.log(L + 1 / h), "and weights up to 50, the best s"),
    ],
)
def test_likely_slips_of_the_weights(
    capsys: pytest.CaptureFixture[str], whole: Any, optimum: Any, advice: str
) -> None:
    assert advice in said(capsys, ch08.uncertainty, whole, optimum)


def test_a_bound_on_the_wrong_side(capsys: pytest.CaptureFixture[str]) -> None:
    def upside_down(losses: Any, heaviest: float) -> Any:
        free = np.log(losses)
        return free if heaviest > 1e6 else np.maximum(free, np.log(heaviest))

    assert "on the wrong side" in said(capsys, ch08.uncertainty, total, upside_down)


def test_the_total_is_smallest_at_the_answer() -> None:
    losses = np.array([2.0, 0.5])
    s = best(losses, 1e9)
    assert all(total(losses, s + d) > total(losses, s) for d in (-0.1, 0.1))
    assert best(np.zeros(1), 50.0) == pytest.approx(-np.log(50.0))
