"""Chapter 8: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
import pytest

import mmkeras as mm
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


def coefficients(p: Any, q: Any, y: Any, alpha: float) -> tuple[float, float]:
    rows = np.arange(len(y))
    confidence = {"text": p[rows, y].mean(), "image": q[rows, y].mean()}
    found = mm.training.ogm_coefficients(confidence, alpha)
    return found["text"], found["image"]


def both_braked(p: Any, q: Any, y: Any, alpha: float) -> Any:
    s = np.array([u[np.arange(len(y)), y].mean() for u in (p, q)])
    return 1 - np.tanh(alpha * s / s[::-1])


def weaker_by_its_own_ratio(p: Any, q: Any, y: Any, alpha: float) -> Any:
    s = np.array([u[np.arange(len(y)), y].mean() for u in (p, q)])
    return np.where(s < s[::-1], both_braked(p, q, y, alpha), 1.0)


def without_one_minus(*args: Any) -> Any:
    right = np.array(coefficients(*args))
    return np.where(right < 1, 1 - right, 1.0)


def by_largest(p: Any, q: Any, y: Any, alpha: float) -> Any:
    found = mm.training.ogm_coefficients(
        {"text": p.max(axis=1).mean(), "image": q.max(axis=1).mean()}, alpha
    )
    return found["text"], found["image"]


def bill(seconds: float, cores: int, watts: float, price: float, grams: float) -> Any:
    kwh = cores * watts / 1000 * seconds / 3600
    return kwh, kwh * price, kwh * grams


def bill_times(factor: float) -> Any:
    return lambda *case: tuple(factor * value for value in bill(*case))


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        (ch08.adam_step, (adam,)),
        (ch08.warm_cosine, (cosine,)),
        (ch08.uncertainty, (total, np.log)),
        (ch08.uncertainty, (lambda losses, s: np.array(total(losses, s)), np.log)),
        (ch08.modulation, (coefficients,)),
        (ch08.energy, (bill,)),
    ]
    for check, answer in answers:
        assert "✓" in said(capsys, check, *answer), check


@pytest.mark.parametrize(
    "check",
    [ch08.adam_step, ch08.warm_cosine, ch08.uncertainty, ch08.modulation, ch08.energy],
)
def test_stubs_get_a_start(capsys: pytest.CaptureFixture[str], check: Any) -> None:
    def stub(*args: Any) -> Any: ...

    answers = (stub, stub) if check is ch08.uncertainty else (stub,)
    assert "✗ not yet: your function stub returns nothing yet. Try this:" in said(
        capsys, check, *answers
    )


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
        (ch08.modulation, lambda *a: coefficients(*a)[0], "return two numbers"),
        (ch08.modulation, both_braked, "who does not lead is braked, too"),
        (ch08.modulation, lambda *a: coefficients(*a)[::-1], "the weaker one is slowed down"),
        (ch08.modulation, weaker_by_its_own_ratio, "the weaker one is slowed down"),
        (ch08.modulation, without_one_minus, "this is tanh"),
        (ch08.modulation, by_largest, "the probability of the true class"),
        (ch08.modulation, lambda p, q, y, alpha: coefficients(p, q, y, 0.5), "the picture leads"),
        (ch08.energy, lambda *a: bill(*a)[0], "return three numbers"),
        (ch08.energy, bill_times(3.6e6), "these are watt-seconds"),
        (ch08.energy, bill_times(3600), "seconds are not hours"),
        (ch08.energy, bill_times(1000), "watts are not kilowatts"),
        (ch08.energy, bill_times(60), "these are minutes"),
        (ch08.energy, lambda s, cores, *a: bill(s, 1, *a), "watts are per core"),
        (ch08.energy, lambda *a: (*bill(*a)[:2], a[4]), "on 2 cores of 10.0 W, grams"),
    ],
)
def test_likely_slips(
    capsys: pytest.CaptureFixture[str], check: Any, answer: Any, advice: str
) -> None:
    assert advice in said(capsys, check, answer)


@pytest.mark.parametrize(
    ("whole", "best", "advice"),
    [
        (lambda L, s: np.sum(np.exp(-s) * L), np.log, "this forgets + s"),
        (lambda L, s: np.sum(s * L), np.log, "s itself is the weight here, and may"),
        (lambda L, s: np.sum(s * L + s), np.log, "the + s is right"),
        (lambda L, s: np.sum(np.exp(s) * L + s), np.log, "a small weight, exp(−s)"),
        (lambda L, s: np.sum(np.exp(-s) * L - s), np.log, "+ s, not − s"),
        (lambda L, s: np.mean(np.exp(-s) * L + s), np.log, "take the sum"),
        (lambda L, s: np.exp(-s) * L + s, np.log, "should have shape ()"),
        (total, lambda L: -np.log(L), "the wrong sign"),
        (total, lambda L: 1 / L, "not s but a weight"),
        (total, lambda L: np.log(L).sum(), "the best s for losses [2.0, 0.5] should have shape"),
        (total, lambda L: np.log(L) + 1, "the best s for losses [2.0, 0.5]: yours"),
    ],
)
def test_likely_slips_of_the_weights(
    capsys: pytest.CaptureFixture[str], whole: Any, best: Any, advice: str
) -> None:
    assert advice in said(capsys, ch08.uncertainty, whole, best)


def test_the_total_is_smallest_at_the_answer() -> None:
    losses = np.array([2.0, 0.5])
    best = total(losses, np.log(losses))
    assert all(total(losses, np.log(losses) + d) > best for d in (-0.1, 0.1))
