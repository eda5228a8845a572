"""`mmkeras train` beside what a practitioner would do instead, on four tables of one's own.

    python benchmarks/own_data.py run reviews emoji heart sentiment   # some, or all; 3 seeds each
    python benchmarks/own_data.py run reviews --seeds 5 --rows 600    # smaller, or more seeds
    python benchmarks/own_data.py show                                # print the stored tables

The tables: **reviews**, 2,000 rated sentences, good or bad (without those rated near 0); **emoji**,
1,500 drawings and their names, six groups, no concept on two sides; **heart**, 918 patients with a
rendered note, scan and ECG as files, and real age and sex; **sentiment**, 600 posts of
`datasets.load_sentiment`: a tweet, an emoji, a rendered voice. A seed draws the rows and the parts
(60, 15 and 25%). Four ways see the same parts:

- scikit-learn: TF-IDF of words and pairs; pixels at 16×16 and a histogram of gradients; mean and
  spread of a log spectrogram; numbers; logistic regression over all, its penalty chosen on the
  validation rows, then learned from training and validation rows.
- frozen + linear, by hand: MiniLM-L6, EfficientNet-Lite0 at 96 pixels, the second block of
  Whisper; standardised; logistic regression as above.
- mmkeras train --encoders scratch, and --encoders auto.

Each runs in a process of its own with an empty cache of features. NumPy has one thread, since two
of them wait for each other at full speed where a machine is busy, which would be counted. Writes
one row per test prediction set into benchmarks/results/own_data.csv: accuracy with Wilson's
interval, seconds of processor time (user and system), largest resident memory in MB; the last two
include Python and its libraries. `show` prints means over the seeds, and auto minus each other way,
paired by rows.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "own_data.csv"
SETS, WAYS = ("reviews", "emoji", "heart", "sentiment"), ("sklearn", "frozen", "scratch", "auto")
SHARES = (0.6, 0.15, 0.25)
STRENGTHS = (0.01, 0.1, 0.3, 1, 3, 10, 30, 100)


# ---- the tables -------------------------------------------------------------------------------


def parts(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part for each row; no group is divided."""
    names, codes = np.unique(groups, return_inverse=True)
    cuts = (np.cumsum(SHARES)[:-1] * len(names)).astype(int)
    of_group = np.empty(len(names), object)
    for name, some in zip(
        ("train", "valid", "test"), np.split(rng.permutation(len(names)), cuts), strict=True
    ):
        of_group[some] = name
    return of_group[codes]


def reviews(folder: Path, rng: np.random.Generator, rows: int) -> dict[str, Any]:
    from mmkeras.datasets import load_reviews

    data = load_reviews().clear(0.5)
    data = data.take(np.sort(rng.permutation(len(data))[:rows]))
    label = np.array(["bad", "good"])[data.y]
    return {"text": data.text, "label": label, "group": data.table["group"].to_numpy()}


def emoji(folder: Path, rng: np.random.Generator, rows: int) -> dict[str, Any]:
    from PIL import Image

    from mmkeras.datasets import load_emoji

    data = load_emoji(96)
    data = data.take(np.sort(rng.permutation(len(data))[:rows]))
    names = [f"{i}.png" for i in range(len(data))]
    for name, pixels in zip(names, data.images, strict=True):
        Image.fromarray(pixels).save(folder / name)
    return {
        "text": data.table["label_en"].to_numpy(),
        "image": names,
        "label": np.array(data.groups)[data.y],
        "group": data.table["hexcode"].to_numpy(),
    }


def heart(folder: Path, rng: np.random.Generator, rows: int) -> dict[str, Any]:
    import soundfile
    from PIL import Image

    from mmkeras.datasets import load_heart

    data = load_heart()
    data = data.take(np.sort(rng.permutation(len(data))[:rows]))
    has = data.present > 0
    images = [f"{i}.png" if there else "" for i, there in enumerate(has[:, 2])]
    sounds = [f"{i}.wav" if there else "" for i, there in enumerate(has[:, 1])]
    for name, scan in zip(images, data.scan, strict=True):
        if name:
            Image.fromarray(scan[..., 0]).save(folder / name)
    for name, ecg in zip(sounds, data.ecg, strict=True):
        if name:  # 125 samples a second, played eight times as fast: 1,000 are the least
            soundfile.write(folder / name, np.clip(ecg / 4, -1, 1), 1000)
    return {
        "text": data.note,
        "image": images,
        "audio": sounds,
        "age": data.table["age"].to_numpy(),
        "sex": data.table["sex"].to_numpy(),
        "label": np.array(["healthy", "ill"])[data.y],
        "group": data.patient,
    }


def sentiment(folder: Path, seed: int, rows: int) -> Path:
    """As `mmkeras sample --set sentiment` writes it; the columns are called as in the others."""
    from mmkeras.table import posts

    table = pd.read_csv(posts.write(folder, rows=rows, seed=seed), keep_default_na=False)
    names = {"picture": "image", "voice": "audio", "split": "part"}
    table.rename(columns=names).to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def make(name: str, seed: int, rows: int | None, folder: Path) -> Path:
    """Write a table with its files."""
    if name == "sentiment":
        return sentiment(folder, seed, rows or 600)
    rng = np.random.default_rng(seed)
    most = {"reviews": 2000, "emoji": 1500, "heart": 918}[name]
    columns = globals()[name](folder, rng, min(rows or most, most))
    columns["part"] = parts(np.asarray(columns.pop("group")), rng)
    pd.DataFrame(columns).to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


# ---- the ways ---------------------------------------------------------------------------------


def regression(blocks: list[Any], table: pd.DataFrame) -> np.ndarray:
    """Answers to the test rows of a logistic regression over blocks of features."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    x = sparse.hstack([sparse.csr_matrix(block) for block in blocks]).tocsr()
    part, y = table["part"].to_numpy(), table["label"].to_numpy()
    best, found = -1.0, STRENGTHS[0]
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=300)
        model.fit(x[part == "train"], y[part == "train"])
        score = model.score(x[part == "valid"], y[part == "valid"])
        if score > best:
            best, found = score, strength
    model = LogisticRegression(C=found, max_iter=300)
    return model.fit(x[part != "test"], y[part != "test"]).predict(x[part == "test"])


def scaled(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Standardised on the training rows; a row has a mean square length of 1."""
    mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
    return (x - mean) / np.where(spread > 1e-6, spread, np.inf) / np.sqrt(x.shape[1])


def pictures(folder: Path, names: list[str], size: int) -> np.ndarray:
    from PIL import Image

    found = np.zeros((len(names), size, size, 3), np.uint8)
    for i, name in enumerate(names):
        if name:
            found[i] = Image.open(folder / name).convert("RGB").resize((size, size))
    return found


def sounds(folder: Path, names: list[str]) -> tuple[np.ndarray, int]:
    import soundfile

    waves = [soundfile.read(folder / name)[0] if name else np.zeros(1) for name in names]
    rate = soundfile.info(folder / next(filter(None, names))).samplerate
    found = np.zeros((len(waves), max(map(len, waves))), np.float32)
    for row, wave in zip(found, waves, strict=True):
        row[: len(wave)] = wave
    return found, rate


def gradients(pixels: np.ndarray) -> np.ndarray:
    """Histograms of nine directions in 4×4 cells: (n, 144)."""
    grey = pixels.mean(axis=3)
    dy, dx = np.gradient(grey, axis=(1, 2))
    angle = ((np.arctan2(dy, dx) % np.pi) / np.pi * 9).astype(int) % 9
    cells = np.eye(9, dtype=np.float32)[angle] * np.hypot(dx, dy)[..., None]
    n, side = len(grey), grey.shape[1] // 4
    histogram = cells.reshape(n, 4, side, 4, side, 9).sum(axis=(2, 4)).reshape(n, -1)
    return histogram / np.maximum(np.linalg.norm(histogram, axis=1, keepdims=True), 1e-6)


def sklearn(folder: Path) -> np.ndarray:
    from scipy.signal import spectrogram
    from sklearn.feature_extraction.text import TfidfVectorizer

    table = pd.read_csv(folder / "data.csv", keep_default_na=False)
    train, blocks = (table["part"] == "train").to_numpy(), []
    if "text" in table:
        vectorizer = TfidfVectorizer(ngram_range=(1, 2)).fit(table["text"][train])
        blocks.append(vectorizer.transform(table["text"]))
    if "image" in table:
        small = pictures(folder, table["image"].tolist(), 16).reshape(len(table), -1) / 255
        blocks += [scaled(small, train)]
        blocks += [scaled(gradients(pictures(folder, table["image"].tolist(), 64)), train)]
    if "audio" in table:
        waves, rate = sounds(folder, table["audio"].tolist())
        power = np.log(spectrogram(waves, rate, nperseg=256)[2] + 1e-9)
        statistics = np.concatenate([power.mean(axis=2), power.std(axis=2)], axis=1)
        blocks.append(scaled(statistics, train))
    return regression([*blocks, *numbers(table, train)], table)


def numbers(table: pd.DataFrame, train: np.ndarray) -> list[np.ndarray]:
    if "age" not in table:
        return []
    age = pd.to_numeric(table["age"], errors="coerce")
    columns = [age.fillna(age[train].mean()), *(table["sex"] == s for s in table["sex"].unique())]
    return [scaled(np.stack(columns, axis=1).astype(float), train)]


def frozen(folder: Path) -> np.ndarray:
    from mmkeras import pretrained

    table = pd.read_csv(folder / "data.csv", keep_default_na=False)
    train, blocks = (table["part"] == "train").to_numpy(), []
    if "text" in table:
        ids = pretrained.minilm_tokenizer()(table["text"].tolist(), 128)
        ids = ids[:, : int(np.quantile((ids > 0).sum(axis=1), 0.95))]
        blocks.append(encoded(pretrained.minilm_l6(ids.shape[1]), ids))
    if "image" in table:
        pixels = pictures(folder, table["image"].tolist(), 96)
        blocks.append(encoded(pretrained.efficientnet_lite0((96, 96, 3)), pixels))
    if "audio" in table:
        from scipy.signal import resample_poly

        waves, rate = sounds(folder, table["audio"].tolist())
        waves = resample_poly(waves, 16_000, rate, axis=1).astype(np.float32)
        encoder = pretrained.whisper_tiny(waves.shape[1] / 16_000, 2)
        blocks.append(encoded(encoder, waves))
    return regression([*(scaled(x, train) for x in blocks), *numbers(table, train)], table)


def encoded(model: Any, inputs: np.ndarray) -> np.ndarray:
    return model.predict(inputs, batch_size=64, verbose=0)


def command(folder: Path, encoders: str) -> np.ndarray:
    """What the command answers; it has `part` as the split, and takes the columns it finds."""
    from mmkeras.__main__ import main

    out = folder / f"run-{encoders}"
    status = main(["train", str(folder / "data.csv"), "--split", "part",
                   "--encoders", encoders, "--out", str(out), "--seed", folder.name])  # fmt: skip
    if status:
        raise SystemExit(status)
    return pd.read_csv(out / "test_predictions.csv", keep_default_na=False)["prediction"].to_numpy()


def child(way: str, folder: Path) -> None:
    """In a process of its own: the answers, and what they took."""
    said = globals()[way](folder) if way in ("sklearn", "frozen") else command(folder, way)
    used = resource.getrusage(resource.RUSAGE_SELF)
    scale = 2**20 if sys.platform == "darwin" else 2**10
    print(json.dumps({
        "said": [str(name) for name in said],
        "seconds": used.ru_utime + used.ru_stime,
        "memory_mb": used.ru_maxrss / scale,
    }))  # fmt: skip


def run(names: list[str], seeds: Iterable[int], rows: int | None, ways: list[str]) -> None:
    from mmkeras.assets import cache_dir
    from mmkeras.evaluate.intervals import wilson

    for seed in seeds:
        for name in names:
            with tempfile.TemporaryDirectory() as temp:
                folder = Path(temp) / str(seed)
                folder.mkdir()
                table = pd.read_csv(make(name, seed, rows, folder), keep_default_na=False)
                cache = Path(temp) / "cache"  # of its own: no features, but the same assets
                cache.mkdir()
                for asset in cache_dir().iterdir():
                    if asset.is_dir() and asset.name not in ("features", "tables"):
                        (cache / asset.name).symlink_to(asset)
                truth = table.loc[table["part"] == "test", "label"].to_numpy(str)
                for way in ways:
                    shutil.rmtree(cache / "features", ignore_errors=True)
                    shutil.rmtree(cache / "tables", ignore_errors=True)
                    ran = subprocess.run(
                        [sys.executable, __file__, "child", way, str(folder)], check=True,
                        stdout=subprocess.PIPE, text=True,
                        env={**os.environ, "MMKERAS_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
                    )  # fmt: skip
                    of = json.loads(ran.stdout.splitlines()[-1])
                    right = np.array(of.pop("said")) == truth
                    low, high = wilson(int(right.sum()), len(right))
                    keep({
                        "set": name, "seed": seed, "rows": len(table), "way": way,
                        "test_rows": len(truth), "accuracy": right.mean(), "low": low, "high": high,
                        **of, "right": "".join(map(str, right.astype(int))),
                    })  # fmt: skip


def keep(line: dict[str, Any]) -> None:
    """Replace a line of the stored table, or add one."""
    old = pd.read_csv(RESULTS, dtype={"right": str}) if RESULTS.exists() else pd.DataFrame()
    if len(old):
        same = (old["set"] == line["set"]) & (old["seed"] == line["seed"])
        old = old[~(same & (old["way"] == line["way"]) & (old["rows"] == line["rows"]))]
    table = pd.concat([old, pd.DataFrame([line])]).sort_values(["set", "rows", "seed", "way"])
    table.round(4).to_csv(RESULTS, index=False, quoting=csv.QUOTE_NONNUMERIC)
    print({key: value for key, value in line.items() if key != "right"}, flush=True)


def show() -> None:
    """Means over the seeds; and what auto has more than each other way, paired by rows."""
    table = pd.read_csv(RESULTS, dtype={"right": str})
    for (name, rows), block in table.groupby(["set", "rows"]):
        print(f"\n{name}, {rows} rows, {block['seed'].nunique()} seeds")
        print("way: accuracy (of each seed), processor seconds, memory; auto has more by (95%)")
        right = {
            way: np.concatenate([np.array(list(r), int) for r in some.sort_values("seed")["right"]])
            for way, some in block.groupby("way")
        }
        for way in (way for way in WAYS if way in right):
            some = block[block["way"] == way].sort_values("seed")
            each = ", ".join(f"{value:.3f}" for value in some["accuracy"])
            gain = ""
            if way != "auto" and "auto" in right and len(right["auto"]) == len(right[way]):
                difference = right["auto"] - right[way]
                error = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
                mean = difference.mean()
                gain = f"{mean:+.3f} ({mean - error:+.3f} to {mean + error:+.3f})"
            used = f"{some['seconds'].mean():.0f} s, {some['memory_mb'].mean():.0f} MB"
            print(f"{way:8} {some['accuracy'].mean():.3f} ({each}), {used}; {gain}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("names", nargs="*", metavar="SET")
    runs.add_argument("--seeds", type=int, default=3)
    runs.add_argument("--first", type=int, default=0, help="the first seed")
    runs.add_argument("--rows", type=int)
    runs.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    commands.add_parser("show")
    one = commands.add_parser("child")
    one.add_argument("way", choices=WAYS)
    one.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.command == "child":
        child(options.way, options.folder)
    elif options.command == "run":
        names = options.names or list(SETS)
        seeds = range(options.first, options.first + options.seeds)
        run(names, seeds, options.rows, options.ways)
        show()
    else:
        show()


if __name__ == "__main__":
    main()
