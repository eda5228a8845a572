"""Stored explanations belong to the patients and scenes of today; and what the benchmarks add."""

import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import mmkeras as mm
from mmkeras import explain

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import explanations
        import explanations_attention

        yield explanations, explanations_attention
    for name in (
        "explanations", "explanations_attention", "explanations_stand_ins", "scenes", "scene_models"
    ):  # fmt: skip
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["effects", "attention"])
def test_stored_effects_are_those_of_the_patients_of_today(bench, name):
    table = pd.read_csv(FOLDER / "results" / f"explanations_{name}.csv")
    regions = list(bench[0].REGIONS)
    assert sorted(table["seed"].unique()) == list(bench[0].SEEDS)
    assert table[regions].notna().all(axis=None)
    for seed, block in table.groupby("seed"):
        assert (block.groupby("method").size() == bench[0].ASK).all()
        truth = block[block["method"] == "truth"].sort_values("patient")
        asked = mm.datasets.simulate_heart(bench[0].ASK, seed=200 + seed)
        np.testing.assert_allclose(truth[regions], asked.effects[regions], atol=1e-3)


@pytest.mark.slow
def test_stand_ins_of_bayes_rule_are_those_of_today(bench):
    import explanations_stand_ins as stand_ins

    table = pd.read_csv(FOLDER / "results" / "explanations_stand_ins.csv")
    rows = table.groupby(["reader", "seed", "K"]).size().unstack("K")
    assert rows.index.size == 9 and (rows == [40, 40, 40, 1]).all(axis=None)
    learn = mm.datasets.simulate_heart(bench[0].LEARN, seed=101)
    asked = mm.datasets.simulate_heart(bench[0].ASK, seed=201)
    picked = np.random.default_rng(1).choice(bench[0].LEARN, stand_ins.POOL, replace=False)
    lost = stand_ins.bayes(asked.table, learn.table.iloc[picked])
    truth = asked.effects[list(bench[0].REGIONS)].to_numpy()
    got = stand_ins.grades(1, "Bayes' rule", lost, truth)
    want = table[(table["seed"] == 1) & (table["reader"] == "Bayes' rule")]
    numbers = ["K", "draw", "r", "centred", "top"]
    np.testing.assert_allclose(got[numbers], want[numbers], atol=1e-3)
    # Its own values in place of a region change nothing; those of another patient do.
    first = stand_ins.bayes(asked.table.iloc[:2], asked.table.iloc[:1])
    np.testing.assert_allclose(first[0, 0], 0, atol=1e-12)
    assert np.abs(first[0, 1]).max() > 0.1


@pytest.mark.slow
def test_stored_scenes_are_those_of_today(bench):
    table = pd.read_csv(FOLDER / "results" / "explanations_scenes.csv")
    splits = {"twemoji": 31, "openmoji": 32, "noto": 33}
    assert dict(table.groupby("artist")["seed"].first()) == splits
    for artist, seed in splits.items():
        block = table[table["artist"] == artist].sort_values("scene")
        test = mm.datasets.load_scenes(held_out_artist=artist, seed=seed).split()[2]
        assert block["meant"].tolist() == test.meant.tolist()
        assert block["y"].tolist() == test.y.tolist()
        weights = block[[f"attention_{cell}" for cell in range(4)]].to_numpy()
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-3)


def test_insertion_begins_where_deletion_ends():
    table = pd.read_csv(FOLDER / "results" / "explanations_curves.csv")
    ways = table.set_index(["kind", "seed", "method"])[[str(i) for i in range(10)]]
    gone, there = ways.loc["deletion"], ways.loc["insertion"]
    np.testing.assert_allclose(gone["0"], there.loc[gone.index, "9"], atol=2e-4)
    np.testing.assert_allclose(gone["9"], there.loc[gone.index, "0"], atol=2e-4)


def test_rollout_of_blocks_that_look_at_themselves_stays_and_of_two_is_a_product(bench):
    rng = np.random.default_rng(0)
    stay = np.eye(4)[None, None, None].repeat(2, axis=1)
    np.testing.assert_allclose(bench[1].rollout(stay), np.eye(4)[:1])
    weights = rng.dirichlet(np.ones(4), (3, 2, 5, 4))  # (batch, blocks, heads, to, from)
    for one, got in zip(weights, bench[1].rollout(weights), strict=True):
        lower, upper = (0.5 * (block.mean(axis=0) + np.eye(4)) for block in one)
        want = [sum(upper[0, m] * lower[m, i] for m in range(4)) for i in range(4)]
        np.testing.assert_allclose(got, want)
        assert got.sum() == pytest.approx(1)


def test_signed_grad_cam_behind_an_average_is_slope_times_activation(bench):
    """Behind an average over places the slope is the same at each place (Selvaraju 2017)."""
    tables, _ = bench
    keras.utils.set_random_seed(0)
    model, asked = tables.network(), mm.datasets.simulate_heart(4, seed=5)
    x = tables.Reader(asked.note)(asked)
    signed, usual = (tables.grad_cam(model, x, signed=one) for one in (True, False))
    assert {name: found.shape for name, found in signed.items()} == {
        "note": (4, 52), "ecg": (4, 1250), "scan": (4, 64, 64, 1)
    }  # fmt: skip
    for name in signed:
        assert (usual[name] >= 0).all() and (signed[name] <= usual[name] + 1e-7).all()
    branch = model.get_layer("scan_encoder")
    maps = keras.Model(branch.input, branch.get_layer("relu3").output)(x["scan"])
    pooled = np.asarray(maps).mean(axis=(1, 2))
    dense, kernel = branch.get_layer("features"), model.get_layer("disease").kernel.numpy()[64:]
    on = pooled @ dense.kernel.numpy() + dense.bias.numpy() > 0
    slope = (on * kernel[:, 0]) @ dense.kernel.numpy().T  # of the log-odds, by the pooled channels
    want = (slope * pooled).sum(axis=1)
    np.testing.assert_allclose(signed["scan"].sum(axis=(1, 2, 3)), want, atol=1e-5)
    halves = explain.regions(x, {"scan": (2, 1)})
    assert halves.sums(signed).shape == (4, 2)
