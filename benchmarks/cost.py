"""What the fusions cost: weights, time per step, time to a set quality, peak memory.

    python benchmarks/cost.py

It writes benchmarks/results/fusion_cost.csv, which chapter 07 reads, in about 15 minutes on two
idle cores. All methods have the same learning rate, with which `benchmarks/fusion.py` compiles
them.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import heart as heart_bench
import numpy as np
import pandas as pd
from fusion import (
    BATCH,
    EPOCHS,
    MODALITIES,
    RESULTS,
    EmojiData,
    EmojiRun,
    HeartRun,
    emoji_model,
    heart_model,
    methods,
)
from sklearn.metrics import roc_auc_score

import mmkeras as mm
from mmkeras.datasets import load_heart
from mmkeras.training import Trainer

QUALITY = {"emoji": 0.60, "heart": 0.85}  # validation accuracy, validation AUC


def arena(data: str) -> dict[str, Any]:
    """Training inputs and labels, validation inputs and labels, batch, and the maker of a model."""
    if data == "emoji":
        run = EmojiRun(EmojiData(), "noto", 1)
        parts = list(zip(run.x, run.y, strict=True))[:2]
        return dict(zip("tv", parts, strict=True), batch=BATCH, make=emoji_model)
    run = HeartRun(load_heart(), 1, 0)
    parts = [(run.x, run.y[run.rows]), (run.tested, run.y[run.test])]
    return dict(zip("tv", parts, strict=True), batch=heart_bench.BATCH, make=heart_model)


def only(trainer: Trainer, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {tensor.name: x[tensor.name] for tensor in trainer.model.inputs}


def batches(place: dict[str, Any], data: str, seed: int) -> Iterator[tuple[dict, np.ndarray]]:
    """Up to EPOCHS passes on the emoji, the stream as it is on the heart signals."""
    x, y = place["t"]
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS if data == "emoji" else 1):
        order = rng.permutation(len(y)) if data == "emoji" else np.arange(len(y))
        for start in range(0, len(y) - place["batch"] + 1, place["batch"]):
            rows = order[start : start + place["batch"]]
            yield {k: v[rows] for k, v in x.items()}, y[rows]


def quality(trainer: Trainer, place: dict[str, Any], data: str) -> float:
    """Validation accuracy on the emoji, validation AUC on the heart signals."""
    x, y = place["v"]
    p = trainer.predict(x)
    return (p.argmax(axis=1) == y).mean() if data == "emoji" else roc_auc_score(y, p[:, 0])


def seconds_to(trainer: Trainer, place: dict[str, Any], data: str, seed: int) -> float:
    """Training time until the quality is reached; tests every 10 steps are not timed."""
    trainer.restart(seed)
    spent = 0.0
    for step, (x, y) in enumerate(batches(place, data, seed), start=1):
        x = only(trainer, x)
        started = time.perf_counter()
        trainer.model.train_on_batch(x, y)
        spent += time.perf_counter() - started
        if step % 10 == 0 and quality(trainer, place, data) >= QUALITY[data]:
            return spent
    return np.nan


def cost() -> Iterator[pd.DataFrame]:
    """Weights, milliseconds per step (alternating), seconds to a set quality, peak memory."""
    rows = []
    for data in MODALITIES:
        place = arena(data)
        trainers = {
            m: Trainer(lambda m=m, place=place: place["make"](m)) for m in methods(data)[:-1]
        }
        times: dict[str, list[float]] = {method: [] for method in trainers}
        x, y = next(batches(place, data, 0))
        for turn in range(33):
            for method, trainer in trainers.items():
                own = only(trainer, x)
                started = time.perf_counter()
                trainer.model.train_on_batch(own, y)
                if turn >= 3:  # the first steps compile
                    times[method].append(1000 * (time.perf_counter() - started))
        for method, trainer in trainers.items():
            reached = [seconds_to(trainer, place, data, seed) for seed in (1, 2, 3)]
            asked = [sys.executable, __file__, "memory", "--data", data, "--method", method]
            said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
            t = np.array(times[method])
            rows.append(
                {
                    "dataset": data,
                    "method": method,
                    "parameters": trainer.model.count_params(),
                    "ms_step": np.median(t).round(2),
                    "ms_step_min": t.min().round(2),
                    "ms_step_max": t.max().round(2),
                    # The median run; empty if at least half of the runs never reach the quality.
                    "seconds_to_quality": round(float(np.sort(reached)[len(reached) // 2]), 2),
                    "peak_mb": int(said.split()[-1]),
                }
            )
            print(rows[-1], flush=True)
            yield pd.DataFrame(rows)


def memory(data: str, method: str) -> None:
    """Print the peak memory of this process, in MB, at the end of 20 steps."""
    model = emoji_model(method) if data == "emoji" else heart_model(method)
    rng = np.random.default_rng(0)
    n = BATCH if data == "emoji" else heart_bench.BATCH
    x = {t.name: rng.integers(0, 2, (n, *t.shape[1:])).astype(t.dtype) for t in model.inputs}
    for _ in range(20):
        model.train_on_batch(x, rng.integers(0, 2, n))
    print(peak_kb() // 1024)


def peak_kb() -> int:
    """Peak memory of this process; ru_maxrss, the fallback, includes that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="?", choices=["all", "memory"], default="all")
    parser.add_argument("--data", choices=list(MODALITIES), help="for memory")
    parser.add_argument("--method", help="for memory")
    options = parser.parse_args()
    mm.start(seed=0)
    if options.what == "memory":
        return memory(options.data, options.method)
    RESULTS.mkdir(exist_ok=True)
    for rows in cost():  # written after each method, so that an interrupted run leaves some
        rows.to_csv(RESULTS / "fusion_cost.csv", index=False)


if __name__ == "__main__":
    main()
