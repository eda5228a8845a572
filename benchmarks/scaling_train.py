"""The same training on one device, on two logical CPUs, and by two workers on one machine.

    python benchmarks/scaling_train.py [RUN …]

Text, picture and sound of 256 rendered rows (`mmkeras sample weather`), batches of 64, Adam, four
epochs. Five runs have the rows of each batch in other orders, which changes nothing but the order
of sums: what differs as little is alike. Pictures have 32 x 32 pixels, or 96 x 96, which is more
work for the same number of weights. "Descent" is gradient descent with momentum in place of Adam,
which divides by small numbers and so enlarges rounding. `equal` says whether both workers ended
with the same bits in every weight. The table has the losses of the first two epochs, the median
seconds of a step over the last two, and the share of a step that is no computation: 1 - (seconds of
a step of 32 rows on one device) / (seconds of a step of 2 x 32 rows). Each device has one thread.
The two workers are in a network of their own (`mmkeras.training.loopback`), which needs Linux. With
`jax` (380 MB), a model of the same layers, from other first weights, is trained on one and on two
CPU devices of JAX. Writes benchmarks/results/scaling_train.csv, in about 5 minutes on two cores;
the times need idle ones. Named runs replace their rows. `others` is the number of cores that other
programs used meanwhile; where it is above 0.1, the run is made again, up to three times; the most
undisturbed one counts, and has no seconds if it was disturbed, too.
"""

import hashlib
import json
import os
import resource
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
IDLE, TRIES = 0.1, 3  # cores that others may use, and how often a disturbed run is made again
PORTS = "127.0.0.1:2222", "127.0.0.1:2223"
RUNS = {  # name → devices, rows of a batch, whether batch normalisation sees the whole batch
    "one process": (1, BATCH, True),
    "one process, other order": (1, BATCH, True),  # of the rows within each batch: rounding alone
    "one process, other order 2": (1, BATCH, True),
    "one process, other order 3": (1, BATCH, True),
    "one process, other order 4": (1, BATCH, True),
    "one process, other order 5": (1, BATCH, True),
    "one process, half batches": (1, BATCH // 2, True),
    "two logical CPUs": (2, BATCH, True),
    "two workers": (2, BATCH, True),
    "two workers, own normalisation": (2, BATCH, False),
    "one process, 96 pixels": (1, BATCH, True),
    "one process, 96 pixels, half batches": (1, BATCH // 2, True),
    "two workers, 96 pixels": (2, BATCH, True),
    "one process, descent": (1, BATCH, True),
    "two workers, descent": (2, BATCH, True),
    "JAX, one device": (1, BATCH, True),
    "JAX, two devices": (2, BATCH, True),
}


def build(x):
    """The model, before it is compiled."""
    import keras

    import mmkeras as mm

    keras.utils.set_random_seed(0)
    parts = [
        mm.text_branch(int(x["text"].max()) + 1, x["text"].shape[1]),
        mm.image_branch(x["image"].shape[1:]),
        mm.audio_branch(x["audio"].shape[1], 8000),
    ]
    model = mm.multimodal_model(parts, {"weather": 3})
    return model


def steps(name):
    """How the weights are moved."""
    import keras

    if name.endswith("descent"):
        return keras.optimizers.SGD(0.02, momentum=0.9)
    return keras.optimizers.Adam(1e-3)


def learn(name, file, out, index):
    """In a process of its own: train, and write losses and seconds per step."""
    import keras
    import numpy as np

    devices, size, synchronized = RUNS[name]
    arrays = dict(np.load(file))
    order = np.arange(ROWS).reshape(-1, BATCH)
    if "other order" in name:
        seed = int(name.split("order")[1] or 1) - 1
        order = np.random.default_rng(seed).permuted(order, axis=1)
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
        model = build(x)
        model.compile(steps(name), "sparse_categorical_crossentropy")
        history = model.fit(x, y, batch_size=size, **ours).history
    else:
        model, history = _on_tensorflow(name, x, y, size, synchronized, index, ours)
    last = clock.seconds[-(ROWS // size) * 2 :]
    bits = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights()))
    told = {"losses": history["loss"], "seconds": float(np.median(last)), "bits": bits.hexdigest()}
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
        model = build(x)
        if several and synchronized:
            distributed.synchronized(model)
        model.compile(steps(name), "sparse_categorical_crossentropy")
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(size)
    pieces = distributed.divided(batches, distributed.share(several))
    history = distributed.fit(model, distributed.fed(several, pieces), **ours).history
    if name.startswith("two workers"):
        distributed.leave(strategy)
    return model, history


def busy():
    """Seconds that all cores together have worked, and those of the ended children of this one."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = sum(fields) - fields[3] - fields[4]  # not idle, and not waiting
    return ticks / os.sysconf("SC_CLK_TCK"), used.ru_utime + used.ru_stime


def undisturbed(name, file, folder):
    """`measured`, again if other programs were busy."""
    found = []
    while not found or (found[-1]["others"] > IDLE and len(found) < TRIES):
        began, (all_before, ours_before) = time.perf_counter(), busy()
        told = measured(name, file, folder)
        seconds, (all_after, ours_after) = time.perf_counter() - began, busy()
        others = (all_after - all_before - ours_after + ours_before) / seconds
        found.append({**told, "others": round(max(0.0, others), 2)})
    return min(found, key=lambda told: told["others"])


def measured(name, file, folder):
    """What `learn` wrote, in one process or in two; of two, the first, and whether they agree."""
    from mmkeras.training import loopback

    flags = "--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"
    jax = {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags} if name.startswith("JAX") else {}
    env = {**os.environ, "OMP_NUM_THREADS": "1", **jax}
    running = []
    for index in range(2 if name.startswith("two workers") else 1):
        into = loopback.beside(running[0].pid) if running else None
        if name.startswith("two workers") and not running:
            into = loopback.alone
        command = [
            sys.executable,
            __file__,
            "--learn",
            name,
            file,
            f"{folder}/{index}.json",
            str(index),
        ]
        running.append(subprocess.Popen(command, env=env, preexec_fn=into))
    try:
        ended = [process.wait(LIMIT) for process in running]
    finally:
        for process in running:
            process.kill()
    if any(ended):
        raise SystemExit(f"{name}: a process ended with status {max(map(abs, ended))}")
    told = [json.loads(Path(f"{folder}/{i}.json").read_text("utf-8")) for i in range(len(running))]
    return {**told[0], "equal": told[0]["bits"] == told[-1]["bits"] if len(told) > 1 else None}


def main(names):
    import importlib.util

    import numpy as np
    import pandas as pd

    import mmkeras as mm
    from mmkeras.table import weather

    mm.start(0)
    with tempfile.TemporaryDirectory() as folder:
        csv = weather.write(Path(folder) / "set", rows=ROWS)
        for pixels in (32, 96):
            table = mm.load_table(csv, text="text", image="image", audio="audio", label="label",
                                  words=12, image_size=(pixels, pixels), audio_seconds=0.5,
                                  audio_rate=8000, cache=False)  # fmt: skip
            np.savez(f"{folder}/{pixels}.npz", **table.inputs(np.arange(ROWS)), y=table.y)
        for name in names or RUNS:
            devices, size, _ = RUNS[name]
            if name.startswith("JAX") and importlib.util.find_spec("jax") is None:
                print(f"{name}: jax is not installed")
                continue
            pixels = 96 if "96 pixels" in name else 32
            told = undisturbed(name, f"{folder}/{pixels}.npz", folder)
            first, second = told["losses"][:2]
            row = {"run": name, "devices": devices, "batch": size, "loss_1": round(first, 6),
                   "loss_2": round(second, 6), "seconds": round(told["seconds"], 4),
                   "others": told["others"], "equal": told["equal"]}  # fmt: skip
            print(row, flush=True)
            keep(pd.DataFrame([row]))


def keep(found):
    """Store the rows beside those of the other runs, without seconds if others were busy."""
    import pandas as pd

    path = RESULTS / "scaling_train.csv"
    if path.exists():
        before = pd.read_csv(path)
        found = pd.concat([before[~before["run"].isin(found["run"])], found])
    found = found.sort_values("run", key=lambda names: names.map(list(RUNS).index))
    found["seconds"] = found["seconds"].where(found["others"] <= IDLE)
    seconds = found.set_index("run")["seconds"]
    halves = {name: "one process, half batches" for name in RUNS if name.startswith("two ")}
    halves["two workers, 96 pixels"] = "one process, 96 pixels, half batches"
    half = found["run"].map(halves).map(seconds)
    found["not_computing"] = (1 - half / found["seconds"]).round(3)
    found.to_csv(path, index=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--learn"]:
        learn(*sys.argv[2:5], int(sys.argv[5]))
    else:
        main(sys.argv[1:])
