"""The same training on one device, on two logical CPUs, and by two workers on one machine.

    python benchmarks/scaling_train.py

Text, picture and sound of 256 rendered rows (`mmkeras sample weather`), batches of 64, Adam, four
epochs. One run has the rows of each batch in another order, which changes nothing but the order of
sums: what differs as little is alike. The table has the losses of the first two epochs, the median
seconds of a step over the last two, and the share of a step that is no computation: 1 - (seconds of
a step of 32 rows on one device) / (seconds of a step of 2 x 32 rows). Each device has one thread.
The two workers are in a network of their own (`mmkeras.training.loopback`), which needs Linux. With
`jax` (380 MB), a model of the same layers, from other first weights, is trained on one and on two
CPU devices of JAX. Writes benchmarks/results/scaling_train.csv, in about 4 minutes on two cores;
the times need idle ones.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# JAX imports a module `compression`, if there is one: it is not the benchmark of this name.
sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]

RESULTS = Path(__file__).parent / "results"
ROWS, BATCH, EPOCHS = 256, 64, 4
LIMIT = 1800  # seconds
PORTS = "127.0.0.1:2222", "127.0.0.1:2223"
RUNS = {  # name → devices, rows of a batch, whether batch normalisation sees the whole batch
    "one process": (1, BATCH, True),
    "one process, other order": (1, BATCH, True),  # of the rows within each batch: rounding alone
    "one process, half batches": (1, BATCH // 2, True),
    "two logical CPUs": (2, BATCH, True),
    "two workers": (2, BATCH, True),
    "two workers, own normalisation": (2, BATCH, False),
    "JAX, one device": (1, BATCH, True),
    "JAX, two devices": (2, BATCH, True),
}


def build(x):
    import keras

    import mmkeras as mm

    keras.utils.set_random_seed(0)
    parts = [
        mm.text_branch(int(x["text"].max()) + 1, x["text"].shape[1]),
        mm.image_branch(x["image"].shape[1:]),
        mm.audio_branch(x["audio"].shape[1], 8000),
    ]
    model = mm.multimodal_model(parts, {"weather": 3})
    return model, keras.optimizers.Adam(1e-3)


def learn(name, file, out, index):
    """In a process of its own: train, and write losses and seconds per step."""
    import keras
    import numpy as np

    devices, size, synchronized = RUNS[name]
    arrays = dict(np.load(file))
    order = np.arange(ROWS).reshape(-1, BATCH)
    if name.endswith("other order"):
        order = np.random.default_rng(0).permuted(order, axis=1)
    arrays = {m: of[order.ravel()] for m, of in arrays.items()}
    x, y = {m: arrays[m] for m in ("text", "image", "audio")}, arrays["y"]

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds = []

        def on_train_batch_begin(self, batch, logs=None):
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.seconds.append(time.perf_counter() - self.began)

    clock = Clock()
    ours = {"epochs": EPOCHS, "verbose": 0, "shuffle": False, "callbacks": [clock]}
    if name.startswith("JAX"):
        cpus = [f"cpu:{i}" for i in range(devices)]
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=cpus))
        model, optimizer = build(x)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        history = model.fit(x, y, batch_size=size, **ours).history
    else:
        history = _on_tensorflow(name, x, y, size, synchronized, index, ours)
    last = clock.seconds[-(ROWS // size) * 2 :]
    told = {"losses": history["loss"], "seconds": float(np.median(last))}
    Path(out).write_text(json.dumps(told), "utf-8")


def _on_tensorflow(name, x, y, size, synchronized, index, ours):
    import tensorflow as tf

    from mmkeras.training import distributed

    tf.config.threading.set_intra_op_parallelism_threads(1)
    strategy = tf.distribute.get_strategy()
    if name == "two logical CPUs":
        distributed.split_cpu(2)
        strategy = distributed.devices("cpu:2")
    elif name.startswith("two workers"):
        strategy = distributed.worker(PORTS, index)
    several = None if name.startswith("one") else strategy
    with strategy.scope():
        model, optimizer = build(x)
        if several and synchronized:
            distributed.synchronized(model)
        model.compile(optimizer, "sparse_categorical_crossentropy")
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(size)
    pieces = distributed.divided(batches, distributed.share(several))
    history = distributed.fit(model, distributed.fed(several, pieces), **ours).history
    if name.startswith("two workers"):
        distributed.leave(strategy)
    return history


def measured(name, file, folder):
    """What `learn` wrote, in one process or in two; None where JAX is not installed."""
    from mmkeras.training import loopback

    flags = "--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"
    jax = {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags} if name.startswith("JAX") else {}
    env = {**os.environ, "OMP_NUM_THREADS": "1", **jax}
    running = []
    for index in range(2 if name.startswith("two workers") else 1):
        into = loopback.beside(running[0].pid) if running else None
        if name.startswith("two workers") and not running:
            into = loopback.alone
        command = [sys.executable, __file__, name, file, f"{folder}/{index}.json", str(index)]
        running.append(subprocess.Popen(command, env=env, preexec_fn=into))
    try:
        ended = [process.wait(LIMIT) for process in running]
    finally:
        for process in running:
            process.kill()
    if any(ended):
        raise SystemExit(f"{name}: a process ended with status {max(map(abs, ended))}")
    return json.loads(Path(f"{folder}/0.json").read_text("utf-8"))


def main():
    import importlib.util

    import numpy as np
    import pandas as pd

    import mmkeras as mm
    from mmkeras.table import weather

    mm.start(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        csv = weather.write(Path(folder) / "set", rows=ROWS)
        table = mm.load_table(csv, text="text", image="image", audio="audio", label="label",
                              words=12, image_size=(32, 32), audio_seconds=0.5,
                              audio_rate=8000, cache=False)  # fmt: skip
        file = f"{folder}/data.npz"
        np.savez(file, **table.inputs(np.arange(ROWS)), y=table.y)
        for name, (devices, size, _) in RUNS.items():
            if name.startswith("JAX") and importlib.util.find_spec("jax") is None:
                print(f"{name}: jax is not installed")
                continue
            told = measured(name, file, folder)
            first, second = told["losses"][:2]
            row = {"run": name, "devices": devices, "batch": size, "loss_1": round(first, 6),
                   "loss_2": round(second, 6), "seconds": round(told["seconds"], 4)}  # fmt: skip
            rows.append(row)
            print(row, flush=True)
    found = pd.DataFrame(rows)
    half = float(found.loc[found["run"] == "one process, half batches", "seconds"].iloc[0])
    parted = found["devices"].eq(2) & ~found["run"].str.startswith("JAX")
    found["not_computing"] = (1 - half / found["seconds"]).where(parted).round(3)
    print(found.to_string(index=False))
    found.to_csv(RESULTS / "scaling_train.csv", index=False)


if __name__ == "__main__":
    if len(sys.argv) == 5:
        learn(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
