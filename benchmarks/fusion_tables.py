"""Print the tables of docs/results.md about fusion, as Markdown, from the stored files.

    python benchmarks/fusion_tables.py

A difference from concatenation has a Bonferroni interval: 95% for all differences of its table at
once. The bootstrap draws families of concepts, or patients.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mmkeras.evaluate import METRICS, answers

RESULTS = Path(__file__).parent / "results"
REPLICATES = 4000
SINGLE = ("text", "image", "note", "ecg", "scan")
KEYS = ("hexcode", "family", "artist", "seed", "patient", "hospital", "disease", "fold")


def table() -> None:
    """Accuracy or AUC with intervals, and the difference from concatenation."""
    for data, unit, scores in (
        ("emoji", "family", accuracy),
        ("article", "family", accuracy),
        ("heart", "patient", mean_auc),
    ):
        rows = pd.read_csv(RESULTS / f"fusion_{data}.csv")
        if data == "heart":  # three models that were trained apart
            rows["average of singles"] = rows[["note", "ecg", "scan"]].mean(axis=1)
        member = pd.factorize(rows[unit])[0]
        count = member.max() + 1
        times = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), REPLICATES)
        weights = np.concatenate([np.ones((1, len(rows))), times[:, member]])
        names = [column for column in rows if column not in KEYS]
        values = {m: 100 * scores(rows, m, weights) for m in names}  # the first has every row once
        looked_at = len(set(names) - {"concatenate", "shuffled", *SINGLE})
        level = 1 - 0.05 / looked_at
        print(f"\n| {data} | value | 95% | minus concatenation | {level:.1%} |")
        print("|---|---|---|---|---|")
        for name, value in values.items():
            gap = value - values["concatenate"]
            print(f"| {name} | {value[0]:.1f} | {limits(value)} | {gap[0]:+.1f} | "
                  f"{limits(gap, level)} |")  # fmt: skip


def accuracy(rows: pd.DataFrame, method: str, weights: np.ndarray) -> np.ndarray:
    """Accuracy of all runs together, for each row of weights."""
    return weights @ rows[method].to_numpy() / weights.sum(axis=1)


def mean_auc(rows: pd.DataFrame, method: str, weights: np.ndarray) -> np.ndarray:
    """Mean over seeds and folds of the AUC, for each row of weights."""
    parts = []
    for _, places in rows.groupby(["seed", "fold"]).indices.items():
        part = rows.iloc[places]
        (model,) = answers(part["disease"], {method: part[method]}).values()
        parts.append(METRICS["roc_auc"].weighted(model, weights[:, places].astype(float)))
    return np.mean(parts, axis=0)


def limits(draws: np.ndarray, level: float = 0.95) -> str:
    low, high = np.quantile(draws[1:], [(1 - level) / 2, (1 + level) / 2])
    return f"{low:.1f} to {high:.1f}"


if __name__ == "__main__":
    table()
