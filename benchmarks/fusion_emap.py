"""How much of a fusion's answers on the heart signals is a sum over note, ECG and scan (EMAP).

    python benchmarks/fusion_emap.py

It writes benchmarks/results/fusion_emap.csv, which chapter 07 reads, in about 5 minutes on one
core. There is one row per tested patient (two divisions by patient, every third patient of the test
half), with the probability of each method and, in the column "<method>, additive", that of its best
additive approximation (Hessel & Lee 2020; `mmkeras.evaluate.emap`). The branches read each patient
once; only the layers after them are evaluated on recombined patients. The signals are rendered; not
for clinical use.
"""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import pandas as pd
from fusion import FOLDS, MODALITIES, RESULTS, HeartRun, chosen, trainers

import mmkeras as mm
from mmkeras.datasets import load_heart
from mmkeras.evaluate import emap

SEED = 1
METHODS = ("concatenate", "product", "gated", "attention", "tensor", "low_rank", "cross_attention")


def after_the_branches(model: keras.Model) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """Features of the modalities → probabilities (n, 1): fusion and head of the model."""
    fusion, head = model.get_layer("fusion"), model.get_layer("disease")
    shapes = {m: model.get_layer(f"{m}_encoder").output.shape[1:] for m in MODALITIES["heart"]}
    ports = {m: keras.Input(shape, name=f"{m}_features") for m, shape in shapes.items()}
    tail = keras.Model(list(ports.values()), head(fusion(list(ports.values()))))
    return lambda x: tail.predict_on_batch([x[m] for m in ports])


def additive(seed: int) -> Iterator[pd.DataFrame]:
    """Probabilities of the model and of its additive approximation, one block per fold."""
    cohort, settings = load_heart(), chosen("heart")
    fitted = {m: trainer for m, trainer in trainers("heart").items() if m in METHODS}
    blocks = []
    for fold in range(FOLDS):
        run = HeartRun(cohort, seed, fold)
        rows = run.test[::3]
        block = cohort.table.iloc[rows][["patient", "disease"]].assign(seed=seed, fold=fold)
        for method, trainer in fitted.items():
            p = run.fit(trainer, settings[method])[::3]
            asked = {m: values[::3] for m, values in run.tested.items()}
            features = {
                m: trainer.model.get_layer(f"{m}_encoder").predict(x, verbose=0)
                for m, x in asked.items()
            }
            tail = after_the_branches(trainer.model)
            if not np.allclose(tail(features)[:, 0], p, atol=1e-4):
                raise RuntimeError(f"{method}: what comes after the branches answers differently")
            block[method] = p.round(5)
            block[f"{method}, additive"] = emap(tail, features)[:, 0].round(5)
            print(fold, method, flush=True)
        blocks.append(block)
        yield pd.concat(blocks)


def main() -> None:
    mm.start(seed=0)
    for rows in additive(SEED):
        rows.to_csv(RESULTS / "fusion_emap.csv", index=False)


if __name__ == "__main__":
    main()
