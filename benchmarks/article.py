"""The recipe of many tutorials, and a PyTorch twin of our concatenation, on the emoji.

    python benchmarks/article.py

It writes benchmarks/results/fusion_article.csv, which chapter 07 reads: one row per test picture,
with 1 where a model was right. It takes about 25 minutes on two cores and needs the extra `bench`.
"""

import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd
from fusion import BATCH, CLASSES, IDS, LENGTH, RESULTS, SEEDS, EmojiData, emoji_model
from keras import layers

import mmkeras as mm
from mmkeras.training import Trainer

SHORT = 12  # epochs
NAMES = ("concatenate", "torch", "article")


def article_model() -> keras.Model:
    """The literal recipe of many tutorials: LSTM over 500 words, Flatten of a 128×128 picture."""
    ids = keras.Input((500,), dtype="int32", name="text")
    x = layers.LSTM(64)(layers.Embedding(IDS, 128)(ids))
    pixels = keras.Input((128, 128, 3), name="image")
    y = layers.Conv2D(32, 3, activation="relu")(layers.Rescaling(1 / 255)(pixels))
    y = layers.Flatten()(layers.MaxPooling2D(2)(y))
    y = layers.Dense(64, activation="relu")(y)
    joint = layers.Dense(64, activation="relu")(layers.Concatenate()([x, y]))
    model = keras.Model([ids, pixels], layers.Dense(CLASSES, activation="softmax")(joint))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def torch_twin(
    first: keras.Model, x: dict[str, Any], y: np.ndarray, test: dict[str, Any], seed: int
) -> np.ndarray:
    """Class numbers of the test rows, by the concatenation model in PyTorch.

    It starts from the weights of the Keras model and has the same sizes, optimiser and batches.
    """
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]  # crashes beside TensorFlow
    import torch

    torch.manual_seed(seed)
    weights = [torch.nn.Parameter(torch.tensor(w)) for w in first.get_weights()]
    words, *dense = weights
    optimiser = torch.optim.Adam(weights, lr=2e-3, eps=1e-7)

    def logits(ids: Any, vectors: Any, training: bool) -> Any:
        there = (ids != 0).float()[..., None]
        mean = (words[ids] * there).sum(1) / there.sum(1).clamp(min=1)
        text = torch.relu(mean @ dense[0] + dense[1])
        image = torch.relu(vectors @ dense[2] + dense[3])
        joint = torch.cat([text, image], 1)
        joint = torch.nn.functional.dropout(joint, 0.5, training=training)
        return joint @ dense[4] + dense[5]

    ids, vectors = torch.tensor(x["text"]).long(), torch.tensor(x["image"])
    truth = torch.tensor(y).long()
    for _ in range(SHORT):
        for rows in torch.randperm(len(y)).split(BATCH):
            optimiser.zero_grad()
            out = logits(ids[rows], vectors[rows], True)
            torch.nn.functional.cross_entropy(out, truth[rows]).backward()
            optimiser.step()
    with torch.no_grad():
        out = logits(torch.tensor(test["text"]).long(), torch.tensor(test["image"]), False)
    return out.argmax(1).numpy()


def article(seeds: range) -> Iterator[pd.DataFrame]:
    """1 where the article's model, the concatenation or its twin is right; one artist per seed.

    All three are trained for SHORT epochs on training and validation part, as in chapter 06.
    """
    data, blocks = EmojiData(), []
    artists = data.artists
    ours = Trainer(lambda: emoji_model("concatenate"))
    for seed in seeds:
        train, valid, test = data.rows(artists[seed % len(artists)], seed)
        known, y = np.concatenate([train, valid]), data.emoji.y
        x = data.inputs(known)
        raw = {"text": np.pad(x["text"], ((0, 0), (0, 500 - LENGTH))), "image": data.emoji.images}
        seen, unseen = ({k: v[rows] for k, v in x.items()} for rows in (known, test))
        ours.fit(seen, y[known], seed=seed, epochs=SHORT, batch_size=BATCH)
        said = {"concatenate": ours.predict(unseen).argmax(axis=1)}
        ours.restart(seed)
        said["torch"] = torch_twin(ours.model, seen, y[known], unseen, seed)
        keras.utils.set_random_seed(seed)
        theirs = article_model()
        theirs.fit({k: v[known] for k, v in raw.items()}, y[known], epochs=SHORT, verbose=0)
        p = theirs.predict({k: v[test] for k, v in raw.items()}, verbose=0)
        said["article"] = p.argmax(axis=1)
        block = data.emoji.table.loc[test, ["hexcode", "family", "artist"]].assign(seed=seed)
        blocks.append(block.assign(**{k: (v == y[test]).astype(int) for k, v in said.items()}))
        print(blocks[-1][list(said)].mean().round(3).to_dict(), flush=True)
        yield pd.concat(blocks)


def main() -> None:
    mm.start(seed=0)
    RESULTS.mkdir(exist_ok=True)
    for rows in article(SEEDS["emoji"]):  # written after each seed, in case the run is stopped
        rows.to_csv(RESULTS / "fusion_article.csv", index=False)


if __name__ == "__main__":
    main()
