"""Pretrained encoders of a few weights, in the place of the large ones of the command."""

import keras
import numpy as np
from keras import layers

from mmkeras import branches, pretrained
from mmkeras.pretrained import WordPiece
from mmkeras.table.encoders import choice, language, networks, sources

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "rain", "sun", "snow", *LETTERS]
PIECES += [f"##{letter}" for letter in LETTERS] + ["##ny", "##ing", "the", "day", "cold", "warm"]


def pooled(shape, name, **pool):
    x = keras.Input(shape, name="pixels" if len(shape) == 3 else "wave")
    y = layers.Rescaling(1 / 255)(x) if len(shape) == 3 else layers.Reshape((-1, 80))(x)
    y = layers.GlobalAveragePooling2D()(y) if len(shape) == 3 else branches.MeanAndSpread()(y)
    if len(shape) == 3:  # where EfficientNet-Lite0 has a stage that is read as well
        inner = layers.Rescaling(0.5, name=sources.INNER)(layers.Rescaling(1 / 255)(x))
        y = layers.GlobalAveragePooling2D()(inner)
    return keras.Model(x, y, name=name, trainable=False)


def untrained(head, train, valid, weights, classes, end):
    """In the place of `networks.trained`, where a network need not win; to train it takes seconds.

    Of three classes and more.
    """
    return np.asarray(head.predict_on_batch(valid[0]), np.float64)


def install(monkeypatch):
    """Encoders of a few weights, as if they were in the cache."""
    monkeypatch.setattr(choice, "here", lambda modality: True)
    monkeypatch.setattr(language, "UNREAD", 0.0)  # the tiny vocabulary has few words
    monkeypatch.setattr(sources, "BLOCK", "block_1")
    monkeypatch.setattr(networks, "EPOCHS", 2)
    small = {"vocabulary_size": len(PIECES), "units": 8, "heads": 2, "blocks": 2}
    for name, make in {
        "minilm_tokenizer": lambda: WordPiece(PIECES),
        "minilm_l6": lambda n, name: pretrained.bert_encoder(n, name=name, **small),
        "efficientnet_lite0": lambda shape, name: pooled(shape, name),
        "whisper_tiny": lambda s, layer, name: pooled((round(16_000 * s),), name),
    }.items():
        monkeypatch.setattr(pretrained, name, make)
