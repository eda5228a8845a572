"""Chapter 9: right answers pass, and a student with a likely slip is told which one."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmkeras.checks import ch09
from mmkeras.evaluate import shapley


def said(capsys: pytest.CaptureFixture[str], check: Any, *answers: Any) -> str:
    check(*answers)
    return capsys.readouterr().out


def pairs(y: np.ndarray, s: np.ndarray, place: np.ndarray, tie: float = 0.5) -> float:
    a, b = s[y == 1][:, None], s[y == 0][None]
    together = place[y == 1][:, None] == place[y == 0][None]
    return ((a > b) + tie * (a == b))[together].mean()


def mean_of_places(y: np.ndarray, s: np.ndarray, place: np.ndarray) -> float:
    return np.mean([roc_auc_score(y[place == p], s[place == p]) for p in np.unique(place)])


def draws_of(
    right: np.ndarray,
    patient: np.ndarray,
    draws: int,
    rng: np.random.Generator,
    *,
    replace: bool = True,
    mean_of_means: bool = False,
) -> np.ndarray:
    rows = [np.flatnonzero(patient == one) for one in np.unique(patient)]
    results = []
    for _ in range(draws):
        drawn = rng.choice(len(rows), len(rows), replace=replace)
        parts = [right[rows[i]] for i in drawn]
        whole = np.mean([part.mean() for part in parts]) if mean_of_means else None
        results.append(np.concatenate(parts).mean() if whole is None else whole)
    return np.array(results)


def sentence(model: str, auc: float, low: float, high: float, patients: int) -> str:
    return (
        f"{model}: AUC {auc:.3f} (95% interval {low:.3f} to {high:.3f}, bootstrap by patient, "
        f"{patients} patients; rendered signals)"
    )


SCORES = {
    (): 0.5,
    ("text",): 0.7,
    ("image",): 0.8,
    ("audio",): 0.6,
    ("text", "image"): 0.85,
    ("text", "audio"): 0.7,
    ("image", "audio"): 0.8,
    ("text", "image", "audio"): 0.85,
}


def test_right_answers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    by_package = shapley(SCORES, ["text", "image", "audio"])
    answers = [
        (ch09.of_the_healthy, lambda TP, FP, FN, TN: (TN / (TN + FP), TN / (TN + FN))),
        (ch09.auc_within, pairs),
        (ch09.accuracy_draws, draws_of),
        (ch09.shapley_by_hand, by_package.to_dict()),
        (ch09.shapley_by_hand, by_package.round(3).to_dict()),
        (ch09.report_line, sentence),
    ]
    for check, answer in answers:
        assert "✓" in said(capsys, check, answer), check


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda TP, FP, FN, TN: TN / (TN + FP), "return two numbers"),
        (lambda TP, FP, FN, TN: (TN / (TN + FN), TN / (TN + FP)), "in the other order"),
        (lambda TP, FP, FN, TN: (TN / (TN + FP), TN / (TN + FP)), "the same number"),
        (lambda TP, FP, FN, TN: (TN / (TN + FP), TP / (TP + FP)), "is the precision"),
        (lambda TP, FP, FN, TN: (TP / (TP + FN), TN / (TN + FN)), "the specificity for TP=40"),
    ],
)
def test_the_healthy(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch09.of_the_healthy, answer)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda y, s, h: pairs(y, s, h, 0.0), "yours count nothing"),
        (lambda y, s, h: pairs(y, s, h, 1.0), "yours count in full"),
        (lambda y, s, h: 1 - pairs(y, s, h), "the wrong way round"),
        (lambda y, s, h: roc_auc_score(y, s), "these are all pairs"),
        (mean_of_places, "the mean of the hospitals' AUCs"),
        (lambda y, s, h: s[y == 1][:, None] > s[y == 0], "should have shape ()"),
        (lambda y, s, h: ((s > 0.5) == y).mean(), "the AUC within hospitals: yours is"),
    ],
)
def test_the_pairs(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch09.auc_within, answer)


def by_rows(
    right: np.ndarray, patient: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    return rng.choice(right, (draws, len(right))).mean(axis=1)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (by_rows, "were rows drawn in place of patients?"),
        (lambda r, p, d, rng: draws_of(r, p, d, rng, replace=False), "with replacement"),
        (lambda r, p, d, rng: draws_of(r, p, d, rng, mean_of_means=True), "ten rows weighs more"),
        (lambda r, p, d, rng: draws_of(r, p, d, rng).mean(), "shape (600,)"),
        (lambda r, p, d, rng: 100 * draws_of(r, p, d, rng), "between 0 and 1"),
    ],
)
def test_the_bootstrap(capsys: pytest.CaptureFixture[str], answer: Any, advice: str) -> None:
    assert advice in said(capsys, ch09.accuracy_draws, answer)


@pytest.mark.parametrize("seed", range(5))
def test_the_bootstrap_does_not_depend_on_how_the_draws_are_made(
    capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    def other(right: Any, patient: Any, draws: int, rng: np.random.Generator) -> np.ndarray:
        return draws_of(right, patient, draws, np.random.default_rng(seed))

    assert "✓" in said(capsys, ch09.accuracy_draws, other)


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ([0.1, 0.2, 0.03], "a dict with the keys"),
        ({"text": 0.1, "image": 0.2}, "a dict with the keys"),
        ({"text": 0.1, "image": 0.2, "audio": ...}, "still missing"),
        ({"text": 0.05, "image": 0.15, "audio": 0.0}, "this is the ablation"),
        ({"text": 0.2, "image": 0.3, "audio": 0.1}, "when it comes first"),
        ({"text": 0.275, "image": 0.375, "audio": 0.2}, "above the coin"),
        ({"text": 0.108, "image": 0.2, "audio": 0.033}, "the value of the image"),
    ],
)
def test_shapley(capsys: pytest.CaptureFixture[str], values: Any, advice: str) -> None:
    assert advice in said(capsys, ch09.shapley_by_hand, values)


@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        ("AUC", "accuracy", "say which metric"),
        ("95%", "an", "a 95% interval"),
        ("bootstrap", "drawn", "by bootstrap"),
        ("rendered", "real", "signals are rendered"),
        ("918", "many", "how many patients?"),
        ("note+scan", "our model", "not named"),
        ("0.882", "0.9", "the upper end 0.88249"),
        ("0.861", "0.86149", "three digits are enough"),
    ],
)
def test_the_sentence(capsys: pytest.CaptureFixture[str], old: str, new: str, advice: str) -> None:
    def wrong(*args: Any) -> str:
        return sentence(*args).replace(old, new)

    assert advice in said(capsys, ch09.report_line, wrong)
