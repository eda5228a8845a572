"""What a model gives away of its patients, what DP-SGD changes, and how a patient is forgotten.

    python benchmarks/privacy.py attack     # 32 networks for each of 10 settings: 10 minutes
    python benchmarks/privacy.py private    # DP-SGD at equal steps: 8 minutes
    python benchmarks/privacy.py forget     # SISA with 1, 8 and 16 shards: 6 minutes
    python benchmarks/privacy.py cost       # seconds to train one network again: 3 minutes
    python benchmarks/privacy.py show       # print the stored tables

The 918 patients, one recording each, are divided anew for each seed and network: those whom the
network was trained on, and those whom it never saw. Each table has a row per patient and a column
per measure: what the patient adds to an AUC, averaged over the networks and three seeds. The mean
over the patients is the AUC, and 2 * std / sqrt(918) its standard error (see `contributions`).
privacy_seeds.csv has the means for each seed. The decay, the epochs and the rates of DP-SGD were
chosen with seed 0; the tables use seeds 1 to 3, with other halves of the same patients.
"""

import argparse
import functools
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
from heart import RESULTS
from privacy_models import (
    INPUTS,
    confidence,
    contributions,
    features,
    halves,
    lira,
    logits,
    noise_for,
    train,
    train_privately,
)

import mmkeras as mm
from mmkeras.datasets.heart import Heart

SEEDS, NETWORKS = (1, 2, 3), 32
CARE = {"overfitted": 0.0, "careful": 0.01}  # L2 decay
DELTA, SHARE, STEPS = 1e-4, 0.14, 200
EPSILONS = ("plain", "clipped", "8", "3", "1")
RATES = (0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0)
SHARDS, SPLITS, KEPT_OUT, FORGOTTEN = (1, 8, 16), 32, 184, 60
TABLES = {name: RESULTS / f"privacy_{name}.csv" for name in ("attack", "private", "forget")}
BY_SEED = RESULTS / "privacy_seeds.csv"
COST = RESULTS / "privacy_cost.csv"

Columns = Iterator[tuple[str, np.ndarray]]


def patients() -> Heart:
    """One recording of each of the 918 patients."""
    heart = mm.datasets.load_heart()
    return heart.take(~heart.table["patient"].duplicated().to_numpy())


def disease(z: np.ndarray, y: np.ndarray, out: np.ndarray) -> np.ndarray:
    """What the patients outside the training add to the AUC of ill against healthy."""
    return contributions(z, out & (y == 1), out & (y == 0))


def mean_out(z: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The share of the networks not trained on a patient that call the patient ill."""
    return ((z > 0) & ~member).sum(axis=0) / (~member).sum(axis=0)


def attacks(z: np.ndarray, y: np.ndarray, member: np.ndarray, sex: np.ndarray) -> Columns:
    phi = confidence(z, y)
    score = lira(phi, member)
    yield "auc", disease(z, y, ~member)
    yield "loss", contributions(phi, member, ~member)
    yield "lira", contributions(score, member, ~member)
    yield "lira, same sex", contributions(score, member, ~member, sex)
    limit = [np.quantile(s[~own], 0.99) for s, own in zip(score, member, strict=True)]
    found = (score > np.array(limit)[:, None]) & member
    yield "caught", found.sum(axis=0) / member.sum(axis=0)


def attack(seed: int) -> Columns:
    heart = patients()
    x, again, sex = features(heart), features(heart.record(1)), heart.table["sex"].to_numpy()
    member = halves(NETWORKS, len(heart), seed)
    for name in INPUTS:
        for care, l2 in CARE.items():
            weights = train(x[name], heart.y, member, seed=seed, l2=l2)
            z = logits(weights, x[name])
            for what, column in attacks(z, heart.y, member, sex):
                yield f"{name}|{care}|{what}", column
            phi, other = (confidence(logits(weights, xs), heart.y) for xs in (x[name], again[name]))
            score = lira(other, member)
            yield f"{name}|{care}|other recording", contributions(score, member, ~member)
            shuffled = np.random.default_rng(seed).permuted(member, axis=1)
            yield f"{name}|{care}|control", contributions(lira(phi, member), shuffled, ~shuffled)


def private(seed: int) -> Columns:
    heart = patients()
    x, sex = features(heart)["all three"], heart.table["sex"].to_numpy()
    rates = chosen_rates()
    member = halves(NETWORKS, len(heart), seed)
    for name in EPSILONS:
        z = logits(train_privately(x, heart.y, member, seed=seed, **rates[name]), x)
        for what, column in attacks(z, heart.y, member, sex):
            yield f"{name}|{what}", column
        yield f"{name}|said", mean_out(z, member)


def settings(name: str) -> dict[str, float]:
    """The arguments of `train_privately` but the rate."""
    clip = np.inf if name == "plain" else 1.0
    noise = noise_for(float(name), SHARE, STEPS, DELTA) if name.isdigit() else 0.0
    return {"clip": clip, "noise": noise, "share": SHARE, "steps": STEPS}


@functools.cache
def chosen_rates() -> dict[str, dict[str, float]]:
    """For each kind of training the rate with the highest AUC on the halves of seed 0."""
    heart = patients()
    x, y = features(heart)["all three"], heart.y
    member, best = halves(NETWORKS // 2, len(y), 0), {}
    for name in EPSILONS:
        options = settings(name)
        aucs = {}
        for rate in RATES:
            weights = train_privately(x, y, member, seed=0, rate=rate, **options)
            aucs[rate] = np.mean(disease(logits(weights, x), y, ~member))
        best[name] = options | {"rate": max(aucs, key=aucs.get)}
        print(name, {rate: round(float(auc), 3) for rate, auc in aucs.items()}, flush=True)
    return best


def forget(seed: int) -> Columns:
    heart = patients()
    x, y, n = features(heart)["all three"], heart.y, len(heart)
    rng = np.random.default_rng([seed, 21])
    order = rng.permuted(np.tile(np.arange(n), (SPLITS, 1)), axis=1)
    out, gone = np.zeros((2, SPLITS, n), bool)
    np.put_along_axis(out, order[:, :KEPT_OUT], True, axis=1)
    np.put_along_axis(gone, order[:, KEPT_OUT : KEPT_OUT + FORGOTTEN], True, axis=1)
    stay = ~out & ~gone
    for shards in SHARDS:
        before = sisa(x, y, order[:, KEPT_OUT:], shards, seed)
        after = sisa(x, y, order[:, KEPT_OUT + FORGOTTEN :], shards, seed)
        for when, z in (("before", before), ("after", after)):
            phi = confidence(z, y)
            yield f"{shards}|{when}|auc", disease(z, y, out)
            yield f"{shards}|{when}|forgotten", contributions(phi, gone, out)
            yield f"{shards}|{when}|stayed", contributions(phi, stay, out)


def sisa(x: np.ndarray, y: np.ndarray, rows: np.ndarray, shards: int, seed: int) -> np.ndarray:
    """The mean logit of `shards` networks, each trained on its part of the rows, (splits, n).

    Patient i of a split always goes to shard i % shards; as `train` wants equal parts, the last
    ones are left out.
    """
    size = rows.shape[1] // shards
    member = np.zeros((len(rows) * shards, len(y)), bool)
    for split, own in enumerate(rows):
        for shard in range(shards):
            member[split * shards + shard, own[shard::shards][:size]] = True
    z = logits(train(x, y, member, seed=seed, batch=32), x)
    return z.reshape(len(rows), shards, -1).mean(axis=1)


def cost(rounds: int = 7) -> None:
    """Seconds to train again the one network that knew a patient, for one epoch and for all 40.

    The difference is that of the epochs; the rest is the start. All kinds take turns.
    """
    heart = patients()
    x, y, n = features(heart)["all three"], heart.y, len(heart) - KEPT_OUT
    lines = []
    for turn in range(-1, rounds):  # the first turn, in which TensorFlow gets ready, is left out
        for shards in SHARDS:
            member = np.zeros((1, len(y)), bool)
            member[0, np.arange(n)[::shards][: n // shards]] = True
            line: dict[str, float] = {"shards": shards, "patients": n // shards}
            for epochs in (1, 40):
                started = time.perf_counter()
                train(x, y, member, seed=1, batch=32, epochs=epochs)
                line[f"{epochs} epochs"] = round(time.perf_counter() - started, 3)
            lines += [line] * (turn >= 0)
    table = pd.DataFrame(lines)
    table.to_csv(COST, index=False)
    print(table.groupby(["shards", "patients"]).median().round(2).to_string())


def run(what: str) -> None:
    blocks, seeds = [], []
    for seed in SEEDS:
        started = time.perf_counter()
        block = pd.DataFrame(dict(globals()[what](seed)))
        blocks.append(block)
        means = block.mean()
        seeds += [{"table": what, "seed": seed, "column": c, "mean": m} for c, m in means.items()]
        print(f"seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)
    heart = patients()
    table = sum(blocks[1:], blocks[0]) / len(blocks)
    table.insert(0, "patient", heart.patient)
    table.insert(1, "disease", heart.y)
    table.round(3).to_csv(TABLES[what], index=False)
    old = pd.read_csv(BY_SEED) if BY_SEED.exists() else pd.DataFrame(columns=["table"])
    new = pd.concat([old[old["table"] != what], pd.DataFrame(seeds)])
    new.sort_values("table", kind="stable").round(4).to_csv(BY_SEED, index=False)


def show() -> None:
    for name, path in TABLES.items():
        if path.exists():
            means = pd.read_csv(path).drop(columns=["patient", "disease"]).mean()
            means.index = pd.MultiIndex.from_arrays(
                [[c.rpartition("|")[i] for c in means.index] for i in (0, 2)]
            )
            print(name, means.unstack(sort=False).round(3).to_string(), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*TABLES, "cost", "show"])
    if (chosen := parser.parse_args().what) != "show":
        mm.start(seed=0)
        cost() if chosen == "cost" else run(chosen)
    show()
