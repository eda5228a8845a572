"""One training on one device, on two logical CPUs, or as one of two workers; what it learned.

    python replicas.py KIND CSV OUT [ADDRESSES INDEX]     (KIND: devices or worker)

OUT.npz holds the losses of each epoch and the weights of each run by name; OUT.json, what else was
found. Dropout is off, since every replica draws masks of its own rows. The model reads texts, whose
embeddings have sparse gradients, and pictures, whose branch normalises over the batch.
"""

import json
import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.tensorflow import trainer

import mmkeras as mm
from mmkeras.training import distributed

WRITTEN, ROWS = 166, 163  # three have neither a text nor a picture
BATCH, EPOCHS = 32, 2  # the last batch has three rows: on two replicas, 2 and 1


def load(csv):
    return mm.load_table(csv, text="text", image="image", label="label", words=8,
                         image_size=(16, 16), cache=False, on_error="skip")  # fmt: skip


def build(table):
    keras.utils.set_random_seed(0)
    s = table.settings
    parts = [
        mm.text_branch(len(table.vocabulary), s["words"], units=8),
        mm.image_branch((*s["image_size"], 3), units=8),
    ]
    return mm.multimodal_model(parts, {"answer": 3})


def batches(table, share=None):
    """Every row of the table, in an order of its own in each epoch."""
    return table.dataset("all", BATCH, True, present=False, share=share)


def run(table, strategy):
    """The history, and the weights of the model."""
    model = build(table)
    if strategy:
        distributed.synchronized(model)
    rate = keras.optimizers.SGD(0.02, momentum=0.9)
    model.compile(rate, "sparse_categorical_crossentropy", metrics=["accuracy"])
    data, valid = (
        distributed.fed(strategy, batches(table, distributed.share(strategy))) for _ in "12"
    )
    found = distributed.fit(model, data, validation_data=valid, epochs=EPOCHS, verbose=0)
    return {**{name: np.array(values) for name, values in found.history.items()},
            **{f"weight {i}": w for i, w in enumerate(model.get_weights())}}  # fmt: skip


def own_norm(table, strategy):
    """The loss of the first epoch where each replica normalises by its own rows."""
    model = build(table)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "sparse_categorical_crossentropy")
    data = distributed.fed(strategy, batches(table, distributed.share(strategy)))
    found = distributed.fit(model, data, epochs=1, verbose=0)
    return {"loss": np.array(found.history["loss"])}


def unmended():
    """What Keras says to a fit of several workers without the mend; "" if it works."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    strategy = distributed.of(model)
    rows = tf.data.Dataset.from_tensor_slices((np.ones((8, 3)), np.ones((8, 1)))).batch(4)
    try:
        data = distributed.fed(strategy, distributed.divided(rows, distributed.share(strategy)))
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
    # As in conftest.py: a quarter of the time of a first fit.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    table = load(csv)
    found = {}
    with strategy.scope():
        if kind == "worker":
            told["sent"] = distributed.from_chief(strategy, b"abc" * (int(index) + 1)).decode()
            told["differing"] = distributed.differing(strategy, {"data": int(index)})
        found["run"] = run(table, strategy)
        found["own norm"] = own_norm(table, strategy)
    np.savez(f"{out}.npz", **{f"{a}/{b}": v for a, of in found.items() for b, v in of.items()})
    if kind == "worker":
        trainer.reduce_per_replica = theirs
        with strategy.scope():
            told["unmended"] = unmended()  # the last thing: what waits for another may fail
    with open(f"{out}.json", "w", encoding="utf-8") as file:
        json.dump(told, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
