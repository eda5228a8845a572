"""The speed and the memory of `load_table` with 1,000, 10,000 and 100,000 rows.

    python benchmarks/table.py rows     load a table twice and read it; memory; about a minute
    python benchmarks/table.py files    effect of threads, cache and tf.data; about 2 minutes
    python benchmarks/table.py show     print the stored tables

In `rows`, many rows share few files, so that only the growth with the rows is measured: each table
has 200 pictures (JPEG, 640×480) and 200 recordings (WAV, 22,050 samples per second, 2 s), and every
row has its own text. Every size runs in a separate process, after a small table has loaded all
libraries; the growth is that of the peak resident memory from there on. `files` has as many files
as rows, and alternates the variants in one process. Both write benchmarks/results/table.csv (one
row per measurement, in the group "rows" or "files"). The timings are those of two idle cores of one
machine; rows per second of processor time depend less on the machine.
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

from mmkeras.table import Table, load_table, store
from mmkeras.table.decode import decode_image
from mmkeras.table.recordings import decode_audio

RESULTS = Path(__file__).parent / "results" / "table.csv"
ROWS, DISTINCT = (1_000, 10_000, 100_000), 200
FILES, ROUNDS = 1_000, 3
COLUMNS: dict[str, Any] = {"text": "text", "image": "image", "audio": "audio"}
BATCH = 32


def make(folder: Path, rows: int, distinct: int) -> Path:
    """Write a table whose rows use the files in turn."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (distinct, 12, 16, 3), dtype=np.uint8)
    for i in range(distinct):
        picture = Image.fromarray(small[i]).resize((640, 480), Image.Resampling.BICUBIC)
        picture.save(folder / f"{i}.jpg", quality=90)
        soundfile.write(folder / f"{i}.wav", rng.uniform(-0.5, 0.5, 44_100), 22_050)
    with (folder / f"{rows}.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, "label"])
        for i in range(rows):
            words = " ".join(f"word{n}" for n in rng.integers(0, 3000, 8))
            writer.writerow([words, f"{i % distinct}.jpg", f"{i % distinct}.wav", "abc"[i % 3]])
    return folder / f"{rows}.csv"


def read(table: Table) -> int:
    """One shuffled pass over all rows."""
    return sum(len(y) for _, y in table.dataset("all", BATCH, shuffle=True))


def timed(work: Callable[[], Any]) -> tuple[np.ndarray, Any]:
    """(elapsed seconds, seconds of processor time over all threads), and the result."""
    start = np.array([time.perf_counter(), time.process_time()])
    result = work()
    return np.array([time.perf_counter(), time.process_time()]) - start, result


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (2**20 if sys.platform == "darwin" else 2**10)


def child(small: Path, large: Path, cache: Path) -> dict[str, float]:
    """Load and read a table in a separate process, and return what that took."""
    read(load_table(small, **COLUMNS, cache=cache))
    start = peak()
    first, table = timed(lambda: load_table(large, **COLUMNS, cache=cache))
    loaded = peak()
    one_pass, count = timed(lambda: read(table))
    end = peak()
    again, _ = timed(lambda: load_table(large, **COLUMNS, cache=cache))
    assert count == len(table)
    return {
        "rows": count,
        "files": 2 * DISTINCT,
        "seconds": first[0],
        "seconds_again": again[0],
        **speed(count, one_pass),
        "grown_mb_loading": loaded - start,
        "grown_mb": end - start,
    }


def rows() -> list[dict[str, Any]]:
    results = []
    for number in ROWS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            small, large = make(folder, 200, DISTINCT), make(folder, number, DISTINCT)
            command = [sys.executable, __file__, "child", small, large, folder / "cache"]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results.append({"group": "rows", "variant": "cache", **json.loads(output.splitlines()[-1])})
        print(results[-1], flush=True)
    return results


def with_tf_data(table: Table, folder: Path) -> int:
    """The usual way: tf.data calls Python for every row, with a parallelism that it chooses."""
    import tensorflow as tf

    def one(image: bytes, audio: bytes) -> tuple[np.ndarray, np.ndarray]:
        return (
            decode_image(str(folder / image.decode()), (64, 64), 10**8),
            decode_audio(str(folder / audio.decode()), 8000, 2.0, 3600.0),
        )

    rows = table.rows.sample(frac=1, random_state=0)
    data = tf.data.Dataset.from_tensor_slices((rows["image"].tolist(), rows["audio"].tolist()))
    data = data.map(
        lambda image, audio: tf.numpy_function(one, (image, audio), (tf.uint8, tf.float32)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return sum(len(image) for image, _ in data.batch(BATCH).prefetch(2))


def speed(count: int, seconds: np.ndarray) -> dict[str, float]:
    return {"rows_per_second": count / seconds[0], "rows_per_cpu_second": count / seconds[1]}


def files() -> list[dict[str, Any]]:
    """The seconds for a first load, and for a pass over all rows, with each way to read."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = make(folder, FILES, FILES)
        threads = store.WORKERS
        for turn in range(ROUNDS):
            for workers in (1, threads):
                store.WORKERS = workers
                cache = folder / f"cache-{turn}-{workers}"
                first, cached = timed(lambda cache=cache: load_table(path, **COLUMNS, cache=cache))
                again, _ = timed(lambda cache=cache: load_table(path, **COLUMNS, cache=cache))
                _, bare = timed(lambda: load_table(path, **COLUMNS, cache=False))
                for variant, table in (("cache", cached), ("no cache", bare)):
                    seconds, count = timed(lambda table=table: read(table))
                    variant = f"{variant}, {workers} thread{'s' * (workers > 1)}"
                    row = {"group": "files", "variant": variant, "rows": count, "files": 2 * FILES}
                    results.append(row | speed(count, seconds))
                    if table is cached:
                        results[-1] |= {"seconds": first[0], "seconds_again": again[0]}
            seconds, count = timed(lambda bare=bare: with_tf_data(bare, folder))
            row = {"group": "files", "variant": "tf.data map, no cache", "rows": count}
            results.append({**row, "files": 2 * FILES, **speed(count, seconds)})
    keys = ["group", "variant", "rows", "files"]
    return pd.DataFrame(results).groupby(keys, as_index=False).median().to_dict("records")


def save(results: list[dict[str, Any]]) -> None:
    new = pd.DataFrame(results)
    if RESULTS.exists():
        old = pd.read_csv(RESULTS)
        new = pd.concat([old[~old["group"].isin(new["group"])], new])
    new.round(2).sort_values(["group", "rows"], kind="stable").to_csv(RESULTS, index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["rows", "files", "show", "child"])
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "child":
        print(json.dumps(child(*options.paths)))
        return
    if options.what != "show":
        save(rows() if options.what == "rows" else files())
    print(pd.read_csv(RESULTS).to_string(index=False, na_rep=""))


if __name__ == "__main__":
    main()
