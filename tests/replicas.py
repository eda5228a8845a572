"""One training on one device, on two logical CPUs, or as one of two workers; what it learned.

    python replicas.py KIND CSV OUT [ADDRESSES INDEX]     (KIND: devices or worker)

OUT.npz holds the losses of each epoch and the weights of each run by name; OUT.json, what else was
found. Dropout is off, since every replica draws masks of its own rows.
"""

import json
import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import keras
import numpy as np
from keras.src.backend.tensorflow import trainer

import mmkeras as mm
from mmkeras.training import distributed

ROWS, BATCH, EPOCHS = 163, 32, 2  # the last batch has three rows: on two replicas, 2 and 1


def load(csv):
    return mm.load_table(csv, text="text", image="image", audio="audio", label="label", words=8,
                         image_size=(16, 16), audio_rate=4000, audio_seconds=0.25,
                         cache=False)  # fmt: skip


def build(table):
    keras.utils.set_random_seed(0)
    s = table.settings
    parts = [
        mm.text_branch(len(table.vocabulary), s["words"], units=8),
        mm.image_branch((*s["image_size"], 3), units=8),
        mm.audio_branch(round(s["audio_rate"] * s["audio_seconds"]), s["audio_rate"], units=8),
    ]
    return mm.multimodal_model(parts, {"answer": 3})


def batches(table, share=None):
    """Every row of the table, in an order of its own in each epoch."""
    return table.dataset("all", BATCH, True, present=False, share=share)


def run(table, strategy, synchronized=True):
    """The history, and the weights of the model."""
    model = build(table)
    if synchronized and strategy:
        distributed.synchronized(model)
    rate = keras.optimizers.SGD(0.02, momentum=0.9)
    model.compile(rate, "sparse_categorical_crossentropy", metrics=["accuracy"])
    data, valid = (
        distributed.fed(strategy, batches(table, distributed.share(strategy))) for _ in "12"
    )
    found = distributed.fit(model, data, validation_data=valid, epochs=EPOCHS, verbose=0)
    return {**{name: np.array(values) for name, values in found.history.items()},
            **{f"weight {i}": w for i, w in enumerate(model.get_weights())}}  # fmt: skip


def unmended(table):
    """What Keras says to a fit of several workers without the mend; "" if it works."""
    model = build(table)
    model.compile("sgd", "sparse_categorical_crossentropy")
    try:
        strategy = distributed.of(model)
        data = distributed.fed(strategy, batches(table, distributed.share(strategy)))
        distributed.fit(model, data, epochs=1, verbose=0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(kind, csv, out, addresses="", index="0"):
    theirs, told = trainer.reduce_per_replica, {}
    if kind == "worker":
        strategy = distributed.worker(addresses.split(","), int(index))
    else:
        distributed.split_cpu(2)
        strategy = distributed.devices("cpu:2")
    mm.start(0)
    table = load(csv)
    found = {}
    with strategy.scope():
        if kind == "worker":
            told["sent"] = distributed.from_chief(strategy, b"abc" * (int(index) + 1)).decode()
            told["differing"] = distributed.differing(strategy, {"data": int(index)})
        found["run"] = run(table, strategy)
        found["own norm"] = run(table, strategy, synchronized=False)
    np.savez(f"{out}.npz", **{f"{a}/{b}": v for a, of in found.items() for b, v in of.items()})
    if kind == "worker":
        trainer.reduce_per_replica = theirs
        with strategy.scope():
            told["unmended"] = unmended(table)  # the last thing: what waits for another may fail
    with open(f"{out}.json", "w", encoding="utf-8") as file:
        json.dump(told, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
