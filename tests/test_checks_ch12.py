"""The checks of chapter 12 pass right answers and name the usual mistakes."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy.signal import find_peaks

from mmkeras.checks import ch12


def said(capsys: pytest.CaptureFixture[str], check: Callable[..., None], answer: Any) -> str:
    check(answer)
    return capsys.readouterr().out


def rate_of(signal: np.ndarray, rate: int) -> float:
    spikes, _ = find_peaks(signal, height=0.5, distance=int(0.22 * rate))
    return 60 * rate / np.diff(spikes).mean()


def with_t_waves(signal: np.ndarray, rate: int) -> float:
    spikes, _ = find_peaks(signal, height=0.1)
    return 60 * rate / np.diff(spikes).mean()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (rate_of, "✓"),
        (lambda s, r: rate_of(s, r) / 60, "times 60"),
        (lambda s, r: 60 / rate_of(s, r), "time between beats"),
        (lambda s, r: np.diff(find_peaks(s, height=0.5)[0]).mean(), "time between beats"),
        (with_t_waves, "T waves are counted"),
        (lambda s, r: rate_of(s, r) * 125 / r, "not 125"),
        (lambda s, r: 10.0 * len(find_peaks(s, height=0.5)[0]), "expected 75"),
    ],
)
def test_heart_rate(capsys: pytest.CaptureFixture[str], answer: Any, message: str) -> None:
    assert message in said(capsys, ch12.heart_rate, answer)


def total(losses: np.ndarray, s: np.ndarray) -> float:
    return float((np.exp(-s) * losses + s / 2).sum())


@pytest.mark.parametrize(
    ("best", "message"),
    [
        (lambda x: np.log(2 * x), "✓"),
        (lambda x: np.log(x), "the term is s/2"),
        (lambda x: -np.log(2 * x), "sign"),
        (lambda x: 1 / (2 * x), "return s itself"),
        (lambda x: x, "expected"),
    ],
)
def test_balance(capsys: pytest.CaptureFixture[str], best: Any, message: str) -> None:
    assert message in said(capsys, ch12.balance, lambda x: (best(x), total(x, best(x))))


def test_balance_by_search_passes(capsys: pytest.CaptureFixture[str]) -> None:
    grid = np.linspace(-5, 5, 200_001)

    def search(losses: np.ndarray) -> tuple[np.ndarray, float]:
        s = np.array([grid[(np.exp(-grid) * loss + grid / 2).argmin()] for loss in losses])
        return s, total(losses, s)

    assert "✓" in said(capsys, ch12.balance, search)


def test_balance_needs_both_and_the_whole_total(capsys: pytest.CaptureFixture[str]) -> None:
    assert "two things" in said(capsys, ch12.balance, lambda x: np.log(2 * x))
    lacking = said(capsys, ch12.balance, lambda x: (np.log(2 * x), len(x) / 2))
    assert "lacks the terms s/2" in lacking


def known_only(target: np.ndarray, answer: np.ndarray) -> float:
    known = ~np.isnan(target)
    return float(((target - answer)[known] ** 2).mean()) if known.any() else 0.0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (known_only, "✓"),
        (lambda t, p: float(np.mean((t - p) ** 2)), "0 times NaN"),
        (lambda t, p: float(np.mean(~np.isnan(t) * (t - p) ** 2)), "0 times NaN"),
        (lambda t, p: float(np.nansum((t - p) ** 2) / len(t)), "not by all 5"),
        (lambda t, p: float(np.mean((np.nan_to_num(t) - p) ** 2)), "target of 0"),
        (
            lambda t, p: known_only(t, p) if (~np.isnan(t)).any() else float("nan"),
            "no known row",
        ),
    ],
)
def test_masked_error(capsys: pytest.CaptureFixture[str], answer: Any, message: str) -> None:
    assert message in said(capsys, ch12.masked_error, answer)


NAMES = ("note", "ecg", "scan")
ALL = frozenset(NAMES)


def orders(value: dict) -> dict:
    sums = dict.fromkeys(NAMES, 0.0)
    for order in permutations(NAMES):
        for k, name in enumerate(order):
            sums[name] += value[frozenset(order[: k + 1])] - value[frozenset(order[:k])]
    return {name: x / 6 for name, x in sums.items()}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (orders, "✓"),
        (lambda v: {n: v[ALL] - v[ALL - {n}] for n in NAMES}, "when one leaves"),
        (lambda v: {n: v[frozenset([n])] - v[frozenset()] for n in NAMES}, "when it is first"),
        (lambda v: {n: 6 * x for n, x in orders(v).items()}, "divide by 6"),
        (lambda v: {n: -x for n, x in orders(v).items()}, "turned round"),
        (lambda v: list(orders(v).values()), "return a dict"),
        (lambda v: dict.fromkeys(NAMES, 0.0), "expected"),
    ],
)
def test_contributions(capsys: pytest.CaptureFixture[str], answer: Any, message: str) -> None:
    assert message in said(capsys, ch12.contributions_of, answer)


def bayes(prior: np.ndarray, tables: list, seen: list, *, last: bool = False) -> np.ndarray:
    joint = prior
    for table, level in zip(tables, seen, strict=True):
        if level is not None or last:
            joint = joint * table[:, -1 if level is None else level]
    return joint


def ill(joint: np.ndarray) -> float:
    return float(joint[1:].sum() / joint.sum())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda p, t, s: ill(bayes(p, t, s)), "✓"),
        (lambda p, t, s: 1 - ill(bayes(p, t, s)), "P(grade = 0)"),
        (lambda p, t, s: float(bayes(p, t, s)[1:].sum()), "divide by the sum"),
        (lambda p, t, s: ill(bayes(np.ones(5), t, s)), "prior is missing"),
        (lambda p, t, s: ill(bayes(p, t, s, last=True)), "skip such a value"),
        (lambda p, t, s: ill(bayes(p, t[:1], s[:1])), "expected"),
    ],
)
def test_posterior(capsys: pytest.CaptureFixture[str], answer: Any, message: str) -> None:
    assert message in said(capsys, ch12.posterior, answer)
