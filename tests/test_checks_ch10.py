"""Chapter 10: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
import pytest

from mmkeras.checks import ch10


def said(capsys: pytest.CaptureFixture[str], check: Any, answer: Any) -> str:
    check(answer)
    return capsys.readouterr().out


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


def logit(a: Any) -> Any:
    return np.log(np.asarray(a) / (1 - np.asarray(a)))


def at_line(clean: np.ndarray, corrupted: np.ndarray, a: float) -> Any:
    return np.polyval(np.polyfit(logit(clean), logit(corrupted), 1), logit(a))


def above(clean: np.ndarray, corrupted: np.ndarray, a: float, b: float) -> float:
    return b - 1 / (1 + np.exp(-at_line(clean, corrupted, a)))


def shares(
    mask: np.ndarray, y: np.ndarray, test: np.ndarray, unseen: float | None = None
) -> np.ndarray:
    rows = [(mask == row).all(axis=1) for row in test]
    return np.array(
        [y[s].mean() if s.any() else y.mean() if unseen is None else unseen for s in rows]
    )


def by_number(mask: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    return shares(mask.sum(axis=1, keepdims=True), y, test.sum(axis=1, keepdims=True))


ANSWERS = [
    (ch10.hidden_rate, rate),
    (ch10.blank, blank),
    (ch10.retrieve, retrieve),
    (ch10.effective_robustness, above),
    (ch10.score_of_mask, shares),
]


@pytest.mark.parametrize(("check", "answer"), ANSWERS)
def test_right_answers_pass(capsys: pytest.CaptureFixture[str], check: Any, answer: Any) -> None:
    assert "✓" in said(capsys, check, answer)


@pytest.mark.parametrize("check", [check for check, _ in ANSWERS])
def test_stubs_get_the_hint(capsys: pytest.CaptureFixture[str], check: Any) -> None:
    line = said(capsys, check, lambda *answers: None)
    assert "returns nothing yet. Asked for: " in line
    assert not line.rstrip().endswith("…")


@pytest.mark.parametrize(
    ("check", "answer", "advice"),
    [
        (ch10.hidden_rate, lambda r, m: r, "the rate itself"),
        (ch10.hidden_rate, lambda r, m: r - r**m, "one of the M stays, not all"),
        (ch10.hidden_rate, lambda r, m: (r - r**m) / (1 - r**m), "draws all again"),
        (ch10.hidden_rate, lambda r, m: 1 - rate(r, m), "the share that stays"),
        (ch10.hidden_rate, lambda r, m: 0.1, "the share for rate 0.5, 3 modalities"),
        (ch10.hidden_rate, lambda r, m: rate(r, m) if m > 1 else r, "0.3, 1 modality: this is"),
        (ch10.blank, times, "0 · NaN is NaN"),
        (ch10.blank, in_place, "x itself has changed"),
        (ch10.blank, lambda x, p: np.where(p > 0, x, 0), "columns are blanked"),
        (ch10.blank, lambda x, p: np.where(p[:, None] > 0, x, 0), "for x of shape (4,)"),
        (ch10.blank, lambda x, p: blank(x.astype(float), p), "came back as float64"),
        (ch10.blank, lambda x, p: blank(np.nan_to_num(x), p), "must stay visible"),
        (ch10.blank, lambda x, p: blank(x, 1 - p), "1 in the mask means there"),
        (ch10.retrieve, with_zeros, "counts the gaps as zeros"),
        (ch10.retrieve, lambda x, t, lib, k: retrieve(x, t, lib, 1), "nearest row alone"),
        (ch10.retrieve, lambda x, t, lib, k: retrieve(x, t, lib, 40), "the whole library"),
        (ch10.retrieve, lambda x, t, lib, k: retrieve(x, t, lib, k, keep=False), "overwritten"),
        (ch10.retrieve, lambda x, t, lib, k: np.nan_to_num(x), "the gaps hold zeros"),
        (ch10.retrieve, lambda x, t, lib, k: x, "there is NaN in the result"),
        (ch10.retrieve, lambda x, t, lib, k: retrieve(x, t, lib, 4), "the filled array for k = 5"),
        (ch10.retrieve, lambda x, t, lib, k: retrieve(x, t, lib, 5), "for k = 2 it"),
        (
            ch10.effective_robustness,
            lambda c, d, a, b: b - np.polyval(np.polyfit(c, d, 1), a),
            "raw accuracies",
        ),
        (ch10.effective_robustness, lambda c, d, a, b: b - a, "the plain drop"),
        (ch10.effective_robustness, lambda c, d, a, b: a - b, "the plain drop"),
        (ch10.effective_robustness, lambda c, d, a, b: b - d.mean(), "not with their mean"),
        (
            ch10.effective_robustness,
            lambda c, d, a, b: logit(b) - at_line(c, d, a),
            "a difference of logits",
        ),
        (ch10.effective_robustness, lambda *args: -above(*args), "the sign is turned"),
        (ch10.effective_robustness, lambda *args: 0.5, "the effective robustness for a = 0.92"),
        (ch10.score_of_mask, lambda m, y, t: shares(m, y, t, np.nan), "gives NaN"),
        (ch10.score_of_mask, lambda m, y, t: shares(m, y, t, 0.5), "not 0.500"),
        (ch10.score_of_mask, lambda m, y, t: shares(m, y, t, 0.0), "not 0.000"),
        (ch10.score_of_mask, lambda m, y, t: np.full(len(t), y.mean()), "for everybody"),
        (ch10.score_of_mask, by_number, "not only how many"),
        (ch10.score_of_mask, lambda m, y, t: y[:3], "should have shape (6,)"),
    ],
)
def test_likely_slips(
    capsys: pytest.CaptureFixture[str], check: Any, answer: Any, advice: str
) -> None:
    assert advice in said(capsys, check, answer)
