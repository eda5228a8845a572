"""How many stand-ins does occlusion need? Bayes' rule itself is asked, and three networks.

    python benchmarks/explanations_stand_ins.py bayes      # three seeds; ten processor seconds
    python benchmarks/explanations_stand_ins.py networks   # three seeds; two processor minutes
    python benchmarks/explanations_stand_ins.py show       # print the stored table

The patients are those of `explanations.py`, with the same seeds. The values of a region are
replaced by those of K other patients, and what the log-odds lose is averaged over the K. Bayes'
rule reads all values and errs in nothing, so that what its occlusion misses is due to the stand-ins
alone. The K patients are drawn 40 times from a pool of 64; with K = 64 there is one draw.

Writes explanations_stand_ins.csv into benchmarks/results, a row per seed, reader, K and draw: the
correlation with the exact effects, the same without each region's mean, and the share of patients
whose region with the largest effect is named. Readers: "Bayes' rule"; "network"; and "network,
words padded", where padding stands in for the words, and the pool for ECG and scan.
"""

import argparse
from typing import Any

import explanations as base
import numpy as np
import pandas as pd

import mmkeras as mm
from mmkeras import explain
from mmkeras.datasets.heart import model as truth_of

POOL, COUNTS, DRAWS, TABLE = 64, (1, 4, 16, 64), 40, "explanations_stand_ins.csv"


def log_odds(table: pd.DataFrame) -> np.ndarray:
    """Exact, given all values; float (n,)."""
    p = truth_of.posterior(table, None)["note+ecg+scan"].to_numpy()
    return np.log(p) - np.log1p(-p)


def bayes(table: pd.DataFrame, pool: pd.DataFrame) -> np.ndarray:
    """What the exact log-odds lose by each stand-in; float (len(pool), n, 9)."""
    whole, found = log_odds(table), np.zeros((len(pool), len(table), len(base.REGIONS)))
    for j, (_, columns) in enumerate(truth_of.REGIONS.values()):
        for q, (_, other) in enumerate(pool.iterrows()):
            mixed = table.assign(**{column: other[column] for column in columns})
            found[q, :, j] = whole - log_odds(mixed)
    return found


def grades(seed: int, reader: str, lost: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """A row per K and draw, from float (POOL, n, 9) and the exact effects, (n, 9)."""
    rows = []
    for count in COUNTS:
        for draw in range(DRAWS if count < POOL else 1):
            picked = np.random.default_rng(draw).choice(POOL, count, replace=False)
            mean = lost[picked].mean(axis=0)
            top = (np.abs(mean).argmax(axis=1) == np.abs(truth).argmax(axis=1)).mean()
            centred = base.correlation(mean - mean.mean(axis=0), truth - truth.mean(axis=0))
            rows.append((seed, reader, count, draw, base.correlation(mean, truth), centred, top))
    return pd.DataFrame(rows, columns=["seed", "reader", "K", "draw", "r", "centred", "top"])


def networks(seed: int, learn: Any, ask: Any, picked: np.ndarray) -> dict[str, np.ndarray]:
    """What the log-odds of the network of `explanations.py` lose by each stand-in."""
    read = base.Reader(learn.note)
    x, learned, parts = read(ask), read(learn), base.regions_of(ask)
    model = base.trained(learned, learn.y, seed)
    lost = np.stack([explain.occlusion(model, x, parts, {k: v[[q]] for k, v in learned.items()})
                     for q in picked])  # fmt: skip
    zero = {k: np.zeros_like(v[:1]) for k, v in x.items()}
    words = [name for name, (modality, _) in truth_of.REGIONS.items() if modality == "note"]
    columns = [base.REGIONS.index(name) for name in words]
    padded = lost.copy()
    padded[:, :, columns] = explain.occlusion(model, x, parts, zero)[:, columns]
    return {"network": lost, "network, words padded": padded}


def keep(seed: int, found: pd.DataFrame) -> None:
    """Replace the rows of these readers; those of the others stay."""
    path = base.RESULTS / TABLE
    if path.exists():
        old = pd.read_csv(path)
        same = (old["seed"] == seed) & ~old["reader"].isin(found["reader"].unique())
        found = pd.concat([old[same], found])
    base.keep(TABLE, seed, found)


def run(what: str, seed: int) -> None:
    learn = mm.datasets.simulate_heart(base.LEARN, seed=100 + seed)
    ask = mm.datasets.simulate_heart(base.ASK, seed=200 + seed)
    picked = np.random.default_rng(seed).choice(base.LEARN, POOL, replace=False)
    if what == "bayes":
        lost = {"Bayes' rule": bayes(ask.table, learn.table.iloc[picked])}
    else:
        lost = networks(seed, learn, ask, picked)
    truth = ask.effects[list(base.REGIONS)].to_numpy()
    keep(seed, pd.concat([grades(seed, name, values, truth) for name, values in lost.items()]))
    print(seed, what, flush=True)


def show() -> None:
    table = pd.read_csv(base.RESULTS / TABLE)
    by = table.groupby(["reader", "K"], sort=False)[["r", "centred", "top"]]
    print(by.agg(["mean", "min", "max"]).round(2).to_string())
    print(table.groupby(["reader", "seed", "K"], sort=False)["r"].mean().unstack("K").round(2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("bayes", "networks", "show"))
    parser.add_argument("--seed", type=int, choices=base.SEEDS, help="only this one")
    options = parser.parse_args()
    if options.what == "show":
        show()
    else:
        mm.start(0)
        for seed in [options.seed] if options.seed else base.SEEDS:
            run(options.what, seed)
