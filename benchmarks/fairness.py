"""A mark in the corner of a scan: what a network learns from it, and what cures it (chapter 22).

    python benchmarks/fairness.py mark     # 45 small fits: about four processor minutes
    python benchmarks/fairness.py show     # print the stored table

The 444 patients with a scan are tested in five folds by patient, with three seeds. A white square
of 3 by 3 pixels stands in the corner of some scans, as a ward or a device may leave it. Three
networks differ in their training scans alone: "plain" never sees a mark, "linked" sees one that
agrees with the disease for 90% of the patients, and "mixed" sees one that is drawn by a coin. Each
answers the same test scans without a mark, with a mark that agrees with the disease for 90%
("linked"), that is drawn by a coin ("coin"), or that agrees for 10% ("reversed").

Writes fairness_mark.csv into benchmarks/results: a row per patient and seed, and a column for each
training and test, such as "linked/coin".
"""

import argparse

import keras
import numpy as np
import pandas as pd
from heart import RESULTS
from sklearn.metrics import roc_auc_score

import mmkeras as mm

TABLE = RESULTS / "fairness_mark.csv"
SEEDS, FOLDS, EPOCHS, BATCH = (1, 2, 3), 5, 12, 32
TRAININGS, TESTS = ("plain", "linked", "mixed"), ("none", "linked", "coin", "reversed")
AGREES = 0.9
CORNER = slice(2, 5)


def mark(scans: np.ndarray, on: np.ndarray) -> np.ndarray:
    """The scans with a white square in the corner of those rows where `on` is True."""
    marked = scans.copy()
    marked[on, CORNER, CORNER] = 255
    return marked


def marked(y: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Which rows carry the mark, bool (n,), by the name of the kind of mark."""
    agree, coin = np.random.default_rng([seed, 7]).random((2, len(y)))
    linked = np.where(agree < AGREES, y == 1, y == 0)
    return {"none": np.zeros(len(y), bool), "linked": linked, "coin": coin < 0.5,
            "reversed": ~linked}  # fmt: skip


def build() -> keras.Model:
    branch = mm.image_branch((64, 64, 1), encoder="small", units=32, name="scan")
    model = mm.multimodal_model([branch], {"disease": "binary"}, dropout=0.3)
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy")
    return model


def run() -> pd.DataFrame:
    heart = mm.datasets.load_heart()
    heart = heart.take(heart.table["has_scan"].to_numpy())
    again, y = heart.record([1, 2]), heart.y
    train_scans, test_scans = again.scan.astype("float32"), heart.scan.astype("float32")
    trainer, blocks = mm.training.Trainer(build), []
    for seed in SEEDS:
        of_train, of_test = marked(np.tile(y, 2), seed), marked(y, seed + 100)
        block = pd.DataFrame({"patient": heart.patient, "seed": seed, "disease": y})
        for train, test in heart.fold_rows(FOLDS, seed=seed):
            rows = np.concatenate([train, len(y) + train])
            for training, kind in zip(TRAININGS, ("none", "linked", "coin"), strict=True):
                scans = mark(train_scans[rows], of_train[kind][rows])
                trainer.fit({"scan": scans}, np.tile(y, 2)[rows], seed=seed, epochs=EPOCHS,
                            batch_size=BATCH, verbose=0)  # fmt: skip
                for way in TESTS:
                    p = trainer.predict({"scan": mark(test_scans[test], of_test[way][test])})
                    column = f"{training}/{way}"
                    block.loc[test, column] = np.asarray(p).reshape(-1)
            print(f"seed {seed}: {len(test)} patients tested", flush=True)
        blocks.append(block)
    return pd.concat(blocks).round(4)


def show(table: pd.DataFrame) -> None:
    """The AUC of each training (rows) on each kind of test (columns), mean of the seeds."""
    rows = {
        training: {
            way: np.mean([roc_auc_score(b["disease"], b[f"{training}/{way}"])
                          for _, b in table.groupby("seed")])
            for way in TESTS
        }
        for training in TRAININGS
    }  # fmt: skip
    print(pd.DataFrame(rows).T.round(3).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["mark", "show"])
    if parser.parse_args().what == "mark":
        mm.start(seed=0)
        run().to_csv(TABLE, index=False)
    show(pd.read_csv(TABLE))
