"""Rows per second that are read and decoded, in random order, from four kinds of storage.

    python benchmarks/scaling_reading.py [--turns 5] [--rows 1024]

The rows are pictures (PNG) and sounds (WAV) of `mmkeras sample weather`, decoded into batches of 32
with tf.data or, for Grain, with Pillow and soundfile. The same rows lie as single files in a
folder, in one and in eight TFRecord files, and in an ArrayRecord file, which Grain reads by number.
The tf.data service has a dispatcher and two workers, which are processes of this machine and read
the folder. "dear" rows also get a spectrogram and a larger picture, so that there is work to move.
All runs of a turn follow each other, after one turn to warm up; files then come from memory.

Per run: the median rows per second until the last row has come, with the smallest and the largest,
the seconds from then until the epoch is known to be over (`end`), processor seconds per 1,000 rows
of all its processes, and the largest number of cores that other programs used meanwhile. `once`
says whether every row came exactly once, and `sum` is the sum of all pixels and samples, which must
be equal.
`moved` is the mean way of a row between its place in the storage and when it was read, as a share
of all rows (1/3 for a random order), `earlier` the farthest that one came before its place, in
rows, and `order` the rank correlation of place and time among rows of the same eighth (0 if
random). Writes benchmarks/results/scaling_reading.csv, in about 2 minutes. Linux; Grain (1 MB, with
array_record) is in the extra `bench`. All is in a network of its own (`mmkeras.training.loopback`),
as the service listens on every address and has no password.
"""

import argparse
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "scaling_reading.csv"
BATCH, PARTS, BUFFER, SIDE, SAMPLES = 32, 8, 32, 80, 8000
HEAD = struct.Struct("<qq")  # number of the row, bytes of its picture
RUNS = {  # name → storage, threads of tf.data (0: Python), whether the rows are dear
    "files in a folder": ("folder", 1, False),
    "one TFRecord file, buffer of 32": ("one", 1, False),
    "eight TFRecord files, woven, buffer of 32": ("eight", 1, False),
    "files in a folder, Python": ("folder", 0, False),
    "ArrayRecord with Grain, Python": ("grain", 0, False),
    "files in a folder, service of two workers": ("service", 1, False),
    "dear: files in a folder": ("folder", 1, True),
    "dear: files in a folder, two threads": ("folder", 2, True),
    "dear: files in a folder, service of two workers": ("service", 1, True),
}


def serve(address):
    """The dispatcher (without an address) or a worker of the tf.data service; does not return."""
    import tensorflow as tf

    service = tf.data.experimental.service
    if address:
        server = service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
    else:
        server = service.DispatchServer(service.DispatcherConfig(port=0))
        print(server.target.split("://")[1].replace("localhost", "127.0.0.1"), flush=True)
    server.join()


# ------------------------------------------------------------------------------ the storage


def write(folder, rows):
    """The rows in each kind of storage."""
    import tensorflow as tf
    from array_record.python.array_record_module import ArrayRecordWriter

    from mmkeras.table import weather

    made = weather.write(folder / "set", rows=3 * rows).parent
    pictures = {path.stem: path for path in (made / "pictures").glob("*.png")}
    sounds = {path.stem: path for path in (made / "sounds").glob("*.wav")}
    both = sorted(set(pictures) & set(sounds), key=int)[:rows]
    if len(both) < rows:
        sys.exit(f"only {len(both)} of {3 * rows} rendered rows have a PNG and a WAV")
    (folder / "files").mkdir()
    records = []
    for number, name in enumerate(both):
        picture, sound = pictures[name].read_bytes(), sounds[name].read_bytes()
        (folder / f"files/{number:05}.png").write_bytes(picture)
        (folder / f"files/{number:05}.wav").write_bytes(sound)
        records.append(HEAD.pack(number, len(picture)) + picture + sound)
    for name, count in (("one", 1), ("eight", PARTS)):
        for part, numbers in enumerate(np.array_split(np.arange(rows), count)):
            with tf.io.TFRecordWriter(str(folder / f"{name}-{part}.tfrecord")) as file:
                for number in numbers:
                    file.write(records[number])
    file = ArrayRecordWriter(str(folder / "all.arrayrecord"), "group_size:1")
    for record in records:
        file.write(record)
    file.close()


# ------------------------------------------------------------------------------ decoding


def decoded(number, picture, sound, dear):
    """The row in TensorFlow: number, pixels (80, 80, 3), samples (8000,), and more if dear."""
    import tensorflow as tf

    pixels = tf.image.resize_with_crop_or_pad(tf.io.decode_png(picture, 3), SIDE, SIDE)
    samples = tf.audio.decode_wav(sound, 1, SAMPLES)[0][:, 0]
    if not dear:
        return number, pixels, samples
    heard = tf.signal.stft(samples, 512, 16)
    return number, pixels, samples, tf.abs(heard)[:32], tf.image.resize(pixels, (224, 224))


def decoded_in_python(number, picture, sound):
    """The same row, by Pillow and soundfile."""
    import io

    import soundfile
    from PIL import Image

    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    found = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    pixels[: found.shape[0], : found.shape[1]] = found
    return number, pixels, soundfile.read(io.BytesIO(sound), dtype="float32")[0]


# ------------------------------------------------------------------------------ reading


def opened(folder, name, rows, address):
    """Seed → an epoch: tuples of number, pixels and samples of up to 32 rows, in NumPy."""
    storage, threads, dear = RUNS[name]
    if not threads:
        return lambda seed: in_python(folder, storage, seed, rows)
    import tensorflow as tf

    def from_folder(number):
        path = tf.strings.join(
            [f"{folder}/files/", tf.strings.as_string(number, fill="0", width=5)]
        )
        return decoded(number, tf.io.read_file(path + ".png"), tf.io.read_file(path + ".wav"), dear)

    def from_record(record):
        number, size = (tf.io.decode_raw(tf.strings.substr(record, at, 8), tf.int64)[0]
                        for at in (0, 8))  # fmt: skip
        size, start = tf.cast(size, tf.int32), HEAD.size
        sound = tf.strings.substr(record, start + size, -1)
        return decoded(number, tf.strings.substr(record, start, size), sound, dear)

    if storage in ("folder", "service"):
        found = tf.data.Dataset.range(rows).shuffle(rows, seed=0)
        found = found.map(from_folder, num_parallel_calls=threads)
    else:
        names = sorted(str(path) for path in folder.glob(f"{storage}-*.tfrecord"))
        files = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names), seed=0)
        found = files.interleave(tf.data.TFRecordDataset, cycle_length=len(names))
        found = found.shuffle(BUFFER, seed=0).map(from_record, num_parallel_calls=threads)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    found = found.batch(BATCH).with_options(options)
    if storage == "service":
        service = tf.data.experimental.service
        found = found.apply(service.distribute(service.ShardingPolicy.DYNAMIC, f"grpc://{address}"))
    return lambda seed: found.as_numpy_iterator()  # shuffled anew in each epoch


def in_python(folder, storage, seed, rows):
    """An epoch without TensorFlow."""
    if storage == "grain":
        import grain
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        def row(record):
            number, size = HEAD.unpack_from(record)
            cut = HEAD.size + size
            return decoded_in_python(number, record[HEAD.size : cut], record[cut:])

        source = ArrayRecordDataSource([str(folder / "all.arrayrecord")])
        found = grain.MapDataset.source(source).shuffle(seed).map(row).batch(BATCH)
        return iter(found.to_iter_dataset(grain.ReadOptions(num_threads=0)))

    def row(number):
        path = folder / f"files/{number:05}"
        files = (path.with_suffix(end).read_bytes() for end in (".png", ".wav"))
        return decoded_in_python(number, *files)

    order = np.random.default_rng(seed).permutation(rows)
    return (tuple(map(np.stack, zip(*map(row, some), strict=True)))
            for some in np.array_split(order, range(BATCH, rows, BATCH)))  # fmt: skip


# ------------------------------------------------------------------------------ measuring


def used(processes):
    """Processor seconds of this process and of the others, and of all on the machine."""
    ours = 0.0
    for pid in ("self", *(process.pid for process in processes)):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ours += int(fields[11]) + int(fields[12])
    fields = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    return ours / tick, (sum(fields) - fields[3] - fields[4]) / tick


def measured(batches, rows, processes):
    """One epoch: rates, and the order in which the rows came."""
    began, (ours, everyone) = time.perf_counter(), used(processes)
    numbers, total, last = [], 0, began
    for number, pixels, samples, *_ in batches:
        numbers.append(number)
        total += int(pixels.sum(dtype=np.int64)) + int((samples * 32768).astype(np.int64).sum())
        last = time.perf_counter()
    seconds, end = last - began, time.perf_counter() - last
    mine, all_of_them = (b - a for a, b in zip((ours, everyone), used(processes), strict=True))
    order = np.concatenate(numbers)
    return {"rate": rows / seconds, "processor": 1000 * mine / rows, "sum": total,
            "others": max(0.0, all_of_them - mine) / (seconds + end), "end": end,
            **shuffled(order, rows)}  # fmt: skip


def shuffled(order, rows):
    """How far the rows have moved; `order` has the places in the storage, as they were read."""
    if sorted(order.tolist()) != list(range(rows)):
        return {"once": False, "moved": np.nan, "earlier": np.nan, "order": np.nan}
    when = np.argsort(order)  # place → time
    parts = np.array_split(when, PARTS)
    ranks = [np.corrcoef(np.arange(len(part)), part.argsort().argsort())[0, 1] for part in parts]
    return {"once": True, "moved": np.abs(when - np.arange(rows)).mean() / rows,
            "earlier": int((np.arange(rows) - when).max()), "order": np.mean(ranks)}  # fmt: skip


def main():
    from mmkeras.training import loopback

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1024)
    options = parser.parse_args()
    loopback.alone()  # before TensorFlow has threads; the processes that are started inherit it
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    command = [sys.executable, __file__, "--serve"]
    processes = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)]
    try:
        address = processes[0].stdout.readline().strip()
        processes += [subprocess.Popen([*command, address], env=env) for _ in range(2)]
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), options.rows)
            found = {run: [] for run in RUNS}
            epoch = {run: opened(Path(name), run, options.rows, address) for run in RUNS}
            for turn in range(options.turns + 1):
                for run in RUNS:
                    one = measured(epoch[run](turn), options.rows, processes)
                    found[run] += [one] * bool(turn)  # turn 0 warms up
    finally:
        for process in processes:
            process.kill()
            process.wait()
    keep(found, options.rows)


def keep(found, rows):
    import pandas as pd

    table = []
    for name, turns in found.items():
        turns = pd.DataFrame(turns)
        middle = turns.median(numeric_only=True)
        table.append({
            "run": name, "rows": rows, "turns": len(turns), "rate": round(middle["rate"]),
            "lowest": round(turns["rate"].min()), "highest": round(turns["rate"].max()),
            "processor": round(middle["processor"], 2), "end": round(middle["end"], 2),
            "others": round(turns["others"].max(), 2),
            "once": bool(turns["once"].all()), "sum": turns["sum"].unique().item(),
            "moved": round(middle["moved"], 3), "earlier": int(turns["earlier"].max()),
            "order": round(middle["order"], 3),
        })  # fmt: skip
    table = pd.DataFrame(table)
    print(table.to_string(index=False))
    table.to_csv(RESULTS, index=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2] if len(sys.argv) > 2 else "")
    else:
        main()
