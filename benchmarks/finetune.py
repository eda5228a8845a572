"""When does fine-tuning beat a frozen probe? The tables behind chapter 16.

    python benchmarks/finetune.py scans        rendered heart scans: probe, LP-FT and rivals
    python benchmarks/finetune.py voices       tones: the voice of the training set, and another
    python benchmarks/finetune.py reviews      film reviews: the top two blocks, LoRA and others
    python benchmarks/finetune.py one_rate     LoRA of five ranks and an adapter at the rate 3e-3
    python benchmarks/finetune.py forgetting   emoji names judged by those models (after reviews)
    python benchmarks/finetune.py fewshot      10 to 1,000 reviews: words, probe, LoRA (likewise)
    python benchmarks/finetune.py chinese      Chinese emoji names, read by an English encoder
    python benchmarks/finetune.py show         the stored tables, with intervals

Each writes benchmarks/results/finetune_*.csv. A row is a run (in `forgetting` an emoji). Rows are
added run by run, so that a stopped benchmark goes on; `right` has a 1 for each test row that was
answered rightly, so that the intervals can be computed from the file. All methods are trained and
tested on the same rows; a seed draws the training rows and their order. AdamW, 10% warm-up, linear
decay, global clip 1. Embeddings, and BatchNormalization where nothing else is said, are frozen. The
first head is the probe: a logistic regression on standardised features, with one of three strengths
chosen by the validation rows.

The rates: in `scans` the rate 3e-4 comes from earlier runs of LP-FT on other patients; where a line
says so, and for the random head, one of four was chosen by the validation rows, in two runs with
seeds that are not tested (part "valid"). `voices` has one rate, chosen on no data of this file. In
`reviews` each tuned method has three rates to choose from, with one run each. `forgetting` and
`fewshot` take those rates.

Run it with OMP_NUM_THREADS=1, TF_NUM_INTRAOP_THREADS=1 and TF_NUM_INTEROP_THREADS=1: with more
threads sums are rounded in another order, and a run of `scans` may end some points away.
"""

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from finetune_films import fewshot, films, forgetting, one_rate, reviews
from finetune_language import chinese, understood
from finetune_runs import RESULTS, SPLIT, Rows, Table, Task, Tuned, bits, read, run_probe, run_tuned

from mmkeras.datasets import load_syllables
from mmkeras.datasets.heart import simulate_heart
from mmkeras.evaluate import paired_difference
from mmkeras.pretrained import cached_features, efficientnet_lite0, unfreeze, whisper_tiny


def scans() -> None:
    """How many arteries are narrowed (0 to 3), as drawn in a scan of 64 pixels."""
    heart = simulate_heart(1300, seed=SPLIT)
    pixels = np.repeat(heart.scan, 3, axis=3)
    every = Rows(pixels, heart.table["ca"].to_numpy().astype(int))
    frozen = efficientnet_lite0((64, 64, 3))
    task = Task(
        "scans", 300, every.take(np.arange(500, 1300)), every.take(np.arange(300, 500)),
        {"scans": every.take(np.arange(300))}, lambda x: cached_features(frozen, x),
    )  # fmt: skip
    table = Table("scans")
    run_probe(table, task)
    encoder = efficientnet_lite0((64, 64, 3), trainable=True)
    unfreeze(encoder)
    tuned = Tuned(encoder, 4, 5)
    rates, own = (3e-5, 1e-4, 3e-4, 1e-3), {"development": (98, 99)}
    run_tuned(table, task, "LP-FT", tuned, (3e-4,))
    run_tuned(table, task, "random head", tuned, rates, random_head=True, **own)  # chooses 3e-4
    run_tuned(table, task, "LP-FT, floor 0.3", tuned, (3e-4,), floor=0.3)
    run_tuned(table, task, "LP-FT, rate chosen", tuned, rates, **own)
    run_tuned(table, task, "floor 0.3, rate chosen", tuned, rates, floor=0.3, **own)
    run_tuned(table, task, "LP-FT, probe / 32", tuned, (3e-4,), shrink=32)  # a control
    moving = Tuned(efficientnet_lite0((64, 64, 3), trainable=True), 4, 5)
    run_tuned(table, task, "BatchNorm trained", moving, (3e-4,))


@functools.cache
def syllables() -> Any:
    """The clips with one of the four tones, without the three that are all but silent."""
    table = (spoken := load_syllables(16_000)).table
    return spoken.take((table["tone"].to_numpy() < 5) & (table["peak"].to_numpy() > 0.02))


def voices() -> None:
    """The four tones: trained on one voice, tested on new syllables of that voice and the other."""
    table, spoken = Table("voices"), syllables()
    encoder = whisper_tiny(0.64, 2, trainable=True)
    tuned = Tuned(encoder, 4, 6)
    depths = {layer: whisper_tiny(0.64, layer) for layer in (0, 2, 4)}

    def rows(part: Any) -> Rows:
        return Rows(part.waves, part.y)

    for voice, other in (("low", "high"), ("high", "low")):
        pool, valid, away = map(rows, spoken.split(other, seed=SPLIT))
        same = rows(spoken.split(voice, seed=SPLIT)[2])
        tests = {f"{voice} to {voice}": same, f"{voice} to {other}": away}
        for layer, frozen in depths.items():
            task = Task(
                voice, 100, pool, valid, tests, lambda x, frozen=frozen: cached_features(frozen, x)
            )
            renamed = task._replace(tests={f"{k}, layer {layer}": v for k, v in tests.items()})
            run_probe(table, renamed)
            if layer == 2:
                run_tuned(table, renamed, "LP-FT", tuned, (1e-4,))


def units(data: str) -> np.ndarray:
    """What was sampled, for each test row: a patient, a syllable, or a document with its copies."""
    if data == "scans":
        return np.arange(300)
    if data.startswith("films"):
        return films()[2].table["group"].to_numpy()
    to = data.partition(",")[0].rpartition(" ")[2]
    return syllables().split(to, seed=SPLIT)[2].table["syllable"].to_numpy()


def summary(path: Path) -> pd.DataFrame:
    """Mean accuracy, and the difference to the probe, paired by seed and test row.

    The interval is over the `units` of the test rows, with the answers of all seeds; Bonferroni for
    the lines of the table. It does not cover the draw of three training sets: `lowest` and
    `highest` are the differences of the single seeds.
    """
    table = read(path).query("part == 'test'")
    lines = []
    groups = table.groupby(["data", "method"], sort=False)
    count = table.loc[table["method"] != "probe", ["data", "method"]].drop_duplicates().shape[0]
    for (data, method), runs in groups:
        line = {"data": data, "method": method, "seeds": len(runs), "n": runs["n"].iloc[0]}
        line |= {"trained": runs["trained"].iloc[0], "cpu_seconds": runs["cpu_seconds"].mean()}
        line["accuracy"] = runs["accuracy"].mean()
        if method != "probe":
            base = table[(table["data"] == data) & (table["method"] == "probe")]
            both = runs.merge(base, on="seed", suffixes=("", "_probe"))
            first, second = bits(both["right"]), bits(both["right_probe"])
            unit = np.tile(units(data), len(first))
            gap = paired_difference(first.ravel(), second.ravel(), unit, comparisons=count)
            each = (first - second).mean(axis=1)
            line |= {"difference": gap[0], "low": gap[1], "high": gap[2]}
            line |= {"lowest": each.min(), "highest": each.max()}
        lines.append(line)
    return pd.DataFrame(lines)


def forgotten(path: Path, replicates: int = 2000) -> pd.DataFrame:
    """The correlation of each model's logits with the scores that people gave, mean of the seeds.

    The intervals resample the emoji; Bonferroni for the differences to the probe.
    """
    table = pd.read_csv(path)
    answers = table.drop(columns=["hexcode", "label_en", "score"])
    methods = answers.columns.str.partition(", ").get_level_values(0)
    names = list(dict.fromkeys(methods))
    level = 0.05 / (len(names) - 1)
    rng = np.random.default_rng(0)

    def each(rows: np.ndarray) -> pd.Series:
        return answers.iloc[rows].corrwith(table["score"].iloc[rows])

    def mean(rows: np.ndarray) -> pd.Series:
        return each(rows).groupby(methods).mean()

    every = np.arange(len(table))
    drawn = pd.DataFrame([mean(rng.choice(every, len(every))) for _ in range(replicates)])
    lines = []
    for name in names:
        seeds = each(every)[methods == name].to_numpy()
        line = {"method": name, "r": seeds.mean(), "lowest": seeds.min(), "highest": seeds.max()}
        if name != "probe":
            line["difference"] = line["r"] - mean(every)["probe"]
            gaps = drawn[name] - drawn["probe"]
            line["low"], line["high"] = gaps.quantile([level / 2, 1 - level / 2])
        lines.append(line)
    return pd.DataFrame(lines)


def show(names: list[str]) -> None:
    for name in names:
        if (path := RESULTS / f"finetune_{name}.csv").exists():
            table = {"forgetting": forgotten, "chinese": understood}.get(name, summary)(path)
            print(f"\n{name}\n{table.round(3).to_string(index=False, na_rep='')}")


COMMANDS = {
    "scans": scans,
    "voices": voices,
    "reviews": reviews,
    "one_rate": one_rate,
    "forgetting": forgetting,
    "fewshot": fewshot,
    "chinese": chinese,
}

if __name__ == "__main__":
    what = sys.argv[1]
    if what != "show":
        COMMANDS[what]()
    show(list(COMMANDS) if what == "show" else [what])
