"""The AUC over some pairs: against scikit-learn, and against counting by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mmkeras import evaluate as ev
from mmkeras.evaluate.tables import resampled

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 60)
P = np.stack([RNG.random(60), RNG.random(60).round(1)])  # two models; the second has ties
PLACE = RNG.integers(0, 3, 60)
INSIDE = PLACE[:, None] == PLACE


def test_over_all_pairs_it_is_the_auc_of_each_model_and_each_draw() -> None:
    patient = np.arange(60) // 2
    found = ev.pair_auc(Y, {"a": P[0], "b": P[1]}, groups=patient, replicates=30, seed=4)
    weights = np.concatenate([np.ones((1, 60)), *resampled(60, patient, 30, 4)])
    for name, p in zip("ab", P, strict=True):
        want = [roc_auc_score(Y, p, sample_weight=w) for w in weights]
        np.testing.assert_allclose(found[name], want)


def test_a_mask_counts_its_pairs_only_and_ties_count_half() -> None:
    pairs = [(i, j) for i in range(60) for j in range(60)
             if Y[i] == 1 and Y[j] == 0 and PLACE[i] == PLACE[j]]  # fmt: skip
    won = [(P[1, i] > P[1, j]) + (P[1, i] == P[1, j]) / 2 for i, j in pairs]
    assert ev.pair_auc(Y, P[1], INSIDE)["auc"].tolist() == [pytest.approx(np.mean(won))]


def test_the_shares_of_several_runs_are_averaged() -> None:
    both = ev.pair_auc(Y, P, INSIDE, replicates=5)["auc"]
    apart = [ev.pair_auc(Y, p, INSIDE, replicates=5)["auc"] for p in P]
    np.testing.assert_allclose(both, np.mean(apart, axis=0))


def test_each_run_may_have_its_own_pairs() -> None:
    masks = np.stack([INSIDE, RNG.random((60, 60)) < 0.3])
    won = total = 0.0
    for p, mask in zip(P, masks, strict=True):
        for i, j in zip(*np.nonzero(mask & (Y[:, None] == 1) & (Y == 0)), strict=True):
            won, total = won + (p[i] > p[j]) + (p[i] == p[j]) / 2, total + 1
    found = ev.pair_auc(Y, P, masks, replicates=20)["auc"]
    assert found[0] == pytest.approx(won / total)
    same = ev.pair_auc(Y, P, np.stack([INSIDE, INSIDE]), replicates=20)
    pd.testing.assert_frame_equal(same, ev.pair_auc(Y, P, INSIDE, replicates=20))


def test_a_draw_without_such_a_pair_is_nan() -> None:
    found = ev.pair_auc([1, 0, 0], [0.9, 0.2, 0.95], replicates=50)["auc"]
    assert found[0] == 0.5 and found.isna().any() and found[1:].max() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.ones(60, int)}, "no pair of a row with y = 1 and one with y = 0"),
        ({"among": np.zeros((60, 60), bool)}, "no pair"),
        ({"among": INSIDE.astype(int)}, r"\(runs, 60, 60\), got int64"),
        ({"among": INSIDE[:5]}, r"of shape \(5, 60\)"),
        ({"probabilities": P, "among": np.ones((3, 60, 60), bool)}, "as many runs as among has"),
        ({"probabilities": {"m": P[0][:9]}}, r"'m' must be \(60,\) or \(runs, 60\)"),
        ({"probabilities": 2 * P[0]}, "between 0 and 1"),
        ({"y": np.full(60, 2)}, "from 0 to 1"),
        ({"probabilities": {}}, "at least one model"),
    ],
)
def test_wrong_input_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ev.pair_auc(**({"y": Y, "probabilities": P[0]} | change))
