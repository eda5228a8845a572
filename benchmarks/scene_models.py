"""What `scenes.py` trains: three ways to join a picture, a spoken question and a typed word.

All three read the same tokens and have the same heads. They differ in how the tokens meet.
"""

import re
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

import mmkeras as mm
from mmkeras.attention import AttentionBlock
from mmkeras.datasets.scenes import COLOURS, INTENTS, KINDS, REPLIES, Scenes

WIDTH, HEADS, WORDS, BATCH = 64, 4, 7, 64
VOCABULARY = 40  # rows of the embedding; the training texts have about 25 words
FRAMES, BANDS, BINS = 50, 40, 64
MODELS = ("concatenation", "self-attention", "cross-attention")
EVERY = 100  # batches between two looks at the attention
RATE = 3e-3  # the largest learning rate, unless one is chosen for the model (`scenes_fresh.py`)


def drawing_features(drawings: np.ndarray) -> np.ndarray:
    """Drawings (n, 96, 96, 3) → float32 (n, 496): 432 means of two maps, a histogram of 64 bins."""
    net = mm.pretrained.efficientnet_lite0((96, 96, 3))
    maps = [net.get_layer(name).output for name in ("block5c_add", "block7a_project_bn")]
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(each) for each in maps])
    features = mm.pretrained.cached_features(keras.Model(net.input, pooled), drawings)
    level = drawings.reshape(len(drawings), -1, 3) // 64
    bins = (level * np.array([16, 4, 1])).sum(axis=2)
    counts = np.stack([np.bincount(row, minlength=BINS) for row in bins])
    return np.concatenate([features, 3 * np.sqrt(counts / bins.shape[1])], axis=1, dtype="float32")


def sound_features(clips: np.ndarray, rate: int) -> np.ndarray:
    """Clips int16 (n, 2 s) → float32 (n, 50, 40), the log-mel in frames of 40 ms, standardised."""
    wave = tf.constant(clips / np.float32(32_768))
    power = tf.abs(tf.signal.stft(wave, rate // 20, rate // (FRAMES // 2))) ** 2
    weights = tf.signal.linear_to_mel_weight_matrix(BANDS, power.shape[-1], rate, 60, 7600)
    mel = np.log(tf.matmul(power, weights).numpy() + 1e-4)
    mel = np.pad(mel, ((0, 0), (0, FRAMES - mel.shape[1]), (0, 0)), constant_values=np.log(1e-4))
    return ((mel - mel.mean(axis=(1, 2), keepdims=True)) / 3).astype("float32")


class Vocabulary:
    """Words of the training texts → numbers from 2; 0 fills up, 1 stands for an unknown word."""

    def __init__(self, texts: Any) -> None:
        found = sorted({word for text in texts for word in re.findall(r"\w+", text)})
        self.number = {word: i for i, word in enumerate(found, 2)}

    def __call__(self, texts: Any) -> np.ndarray:
        ids = np.zeros((len(texts), WORDS), "int32")
        for row, text in enumerate(texts):
            known = [self.number.get(word, 1) for word in re.findall(r"\w+", text)][:WORDS]
            ids[row, : len(known)] = known
        return ids


class Data:
    """One split as arrays: `x` and `y` of "train", "valid" and "test", as the models take them."""

    def __init__(self, scenes: Scenes) -> None:
        self.drawings = drawing_features(scenes.drawings.images)
        self.sounds = sound_features(scenes.clips, scenes.rate)
        self.parts = dict(zip(("train", "valid", "test"), scenes.split(), strict=True))
        self.words = Vocabulary(self.parts["train"].text)
        seen = np.unique(self.parts["train"].cells)
        self.scale = self.drawings[seen].mean(axis=0), self.drawings[seen].std(axis=0) + 0.1
        self.drawings = (self.drawings - self.scale[0]) / self.scale[1]

    def x(self, part: str) -> dict[str, np.ndarray]:
        scenes = self.parts[part]
        return {
            "image": self.drawings[scenes.cells],
            "audio": self.sounds[scenes.clip],
            "text": self.words(scenes.text),
        }

    def y(self, part: str) -> dict[str, np.ndarray]:
        scenes = self.parts[part]
        names = {"reply": scenes.y, "intent": scenes.intent}
        return names | {"kind": scenes.kinds, "colour": scenes.colours}


class Learned(layers.Layer):
    """Add a learned vector to each place of (batch, n, d), n × d numbers with SD 1 at first."""

    def build(self, shape: Any) -> None:
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.vectors = self.add_weight(name="vectors", shape=tuple(shape[1:]), initializer=normal)

    def call(self, x: Any) -> Any:
        return x + self.vectors


class Mean(layers.Layer):
    """The mean of the tokens that the mask keeps: (batch, n, d) → (batch, d)."""

    def call(self, x: Any, keep: Any) -> Any:
        keep = ops.cast(keep, x.dtype)[..., None]
        return ops.sum(x * keep, axis=1) / ops.maximum(ops.sum(keep, axis=1), 1)


class Kept(layers.Layer):
    """Which words are there: ids (batch, n) → bool, between places that always are."""

    def __init__(self, before: int = 0, after: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.around = [[0, 0], [before, after]]

    def call(self, ids: Any) -> Any:
        return ops.cast(ops.pad(ops.cast(ids > 0, "int32"), self.around, constant_values=1), "bool")


def build(kind: str, words: int = VOCABULARY, auxiliary: bool = True) -> keras.Model:
    """One of `MODELS`, compiled. The auxiliary loss asks what is in each cell, and its colour."""
    image = keras.Input((4, 432 + BINS), name="image")
    audio = keras.Input((FRAMES, BANDS), name="audio")
    text = keras.Input((WORDS,), dtype="int32", name="text")
    cells = layers.Dense(WIDTH, name="image_dense")(layers.Dropout(0.2, name="drop")(image))
    cells = layers.LayerNormalization(name="image_norm")(cells)
    sound = audio
    for i in range(2):
        sound = layers.Conv1D(WIDTH, 3, 2, activation="relu", name=f"sound_{i}")(sound)
    frames = keras.Model(audio, sound, name="frames")(audio)
    heard = layers.LayerNormalization(name="sound_norm")(
        layers.GlobalMaxPooling1D(name="sound_max")(frames)
    )
    normal = keras.initializers.RandomNormal(stddev=1.0)
    typed = layers.Embedding(words, WIDTH, embeddings_initializer=normal, name="words")(text)
    if kind == "concatenation":
        read = Mean(name="read")(typed, Kept(name="kept")(text))
        x = layers.Concatenate(name="all")([layers.Flatten(name="flat")(cells), heard, read])
        for i, units in enumerate((256, 128)):
            x = layers.Dense(units, "relu", name=f"mlp_{i}")(x)
    else:
        # `Learned` gives every token a vector of its own, for its modality and its place at once
        asked = layers.Reshape((1, WIDTH), name="asked")(heard)
        told = Learned(name="told_places")(layers.Concatenate(axis=1, name="told")([asked, typed]))
        seen = Learned(name="seen_places")(cells)
        keep = Kept(1, 4 * (kind == "self-attention"), name="kept")(text)
        if kind == "cross-attention":
            told = AttentionBlock(HEADS, "gelu", name="self")(told, mask=keep)
            told = AttentionBlock(HEADS, "gelu", name="cross")(told[:, :1], seen)
        else:
            told = layers.Concatenate(axis=1, name="stream")([told, seen])
            told = AttentionBlock(HEADS, "gelu", name="self_0")(told, mask=keep)
            told = AttentionBlock(HEADS, "gelu", name="self_1")(told[:, :1], told, memory_mask=keep)
        x = layers.LayerNormalization(name="last_norm")(told[:, 0])
    outputs = {
        "reply": layers.Dense(len(REPLIES), name="reply")(x),
        "intent": layers.Dense(len(INTENTS), name="intent")(heard),
        "kind": layers.Dense(len(KINDS), name="kind")(cells),
        "colour": layers.Dense(len(COLOURS), name="colour")(cells),
    }
    model = keras.Model([image, audio, text], outputs, name=kind.replace("-", "_"))
    loss = {n: keras.losses.SparseCategoricalCrossentropy(from_logits=True) for n in outputs}
    side = 0.5 if auxiliary else 0.0
    weights = {"reply": 1.0, "intent": 0.3, "kind": side, "colour": side}
    optimizer = keras.optimizers.AdamW(3e-3, weight_decay=1e-3, global_clipnorm=1.0)
    model.compile(optimizer, loss, loss_weights=weights)
    return model


def attention_of(model: keras.Model) -> keras.Model:
    """Of cross-attention, where the spoken question looks: inputs → (batch, heads, 4)."""
    told, seen = model.get_layer("self").output, model.get_layer("seen_places").output
    block = model.get_layer("cross")
    _, weights = block.attention(
        block.norms[0](told[:, :1]), block.norms[1](seen), return_attention_scores=True
    )
    return keras.Model(model.inputs, weights[:, :, 0])


def rate_at(step: int, steps: int, most: float = RATE) -> float:
    """The learning rate: it rises over a tenth of the steps, and falls along half a cosine."""
    warm = steps // 10
    if step < warm:
        return most * (step + 1) / warm
    return most * 0.5 * (1 + np.cos(np.pi * (step - warm) / (steps - warm)))


def augment(x: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Hide and move what a test may lack or move; for training batches only.

    Of the sound, two stretches of at most 10 frames and one of at most 8 bands become 0, the mean
    (SpecAugment, Park et al. 2019). The text gets up to two unknown words in front, and one word in
    ten becomes unknown, so that the number 1 is trained.
    """
    n, audio, ids = len(x["text"]), x["audio"].copy(), x["text"]
    frame, band = np.arange(FRAMES), np.arange(BANDS)
    for _ in range(2):
        begin = rng.integers(FRAMES, size=(n, 1))
        audio[(frame >= begin) & (frame < begin + rng.integers(11, size=(n, 1)))] = 0
    begin = rng.integers(BANDS, size=(n, 1))
    hidden = (band >= begin) & (band < begin + rng.integers(9, size=(n, 1)))
    audio *= ~hidden[:, None]
    place = np.arange(WORDS) - rng.integers(3, size=(n, 1))
    moved = np.take_along_axis(ids, np.maximum(place, 0), axis=1)
    ids = np.where(place < 0, 1, moved)
    ids = np.where((ids > 1) & (rng.random(ids.shape) < 0.1), 1, ids)
    return x | {"audio": audio, "text": ids.astype("int32")}


def fit(
    model: keras.Model,
    x: dict[str, np.ndarray],
    y: dict[str, np.ndarray],
    steps: int,
    seed: int = 0,
    augmented: bool = True,
    look: Any = None,
    rate: float = RATE,
) -> float:
    """Train for so many batches; returns processor seconds, without those of `look`.

    `look(step)` is called before every `EVERY`-th step and at the end.
    """
    begun, spent = time.process_time(), 0.0
    rng, rows = np.random.default_rng(seed), np.zeros(0, int)
    for step in range(steps):
        if look and step % EVERY == 0:
            paused = time.process_time()
            look(step)
            spent += time.process_time() - paused
        if len(rows) < BATCH:
            rows = rng.permutation(len(y["reply"]))
        batch, rows = rows[:BATCH], rows[BATCH:]
        some = {name: values[batch] for name, values in x.items()}
        model.optimizer.learning_rate.assign(rate_at(step, steps, rate))
        model.train_on_batch(
            augment(some, rng) if augmented else some,
            {name: values[batch] for name, values in y.items()},
        )
    seconds = time.process_time() - begun - spent
    if look:
        look(steps)
    return seconds


class Trainer:
    """A model that is trained many times: its graph is built once, which takes seconds.

    `start` is what building it costs, the first batch included, in processor seconds.
    """

    def __init__(self, kind: str, auxiliary: bool = True) -> None:
        begun = time.process_time()
        self.kind, self.auxiliary = kind, auxiliary
        self.model = build(kind, auxiliary=auxiliary)
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)
        self.state = [variable.numpy() for variable in optimizer.variables]
        x = {"image": np.zeros((BATCH, 4, 432 + BINS)), "audio": np.zeros((BATCH, FRAMES, BANDS))}
        x["text"] = np.zeros((BATCH, WORDS), "int32")
        y = {name: np.zeros(BATCH, "int32") for name in ("reply", "intent")}
        y |= {name: np.zeros((BATCH, 4), "int32") for name in ("kind", "colour")}
        self.model.train_on_batch(x, y)
        self.start = time.process_time() - begun

    def fit(self, x: dict[str, np.ndarray], y: dict[str, np.ndarray], steps: int, seed: int,
            augmented: bool = True, look: Any = None, rate: float = RATE) -> float:  # fmt: skip
        """Train anew from the first weights of this seed; see `fit`."""
        keras.utils.set_random_seed(seed)
        fresh = build(self.kind, auxiliary=self.auxiliary)
        for old, new in zip(_state(self.model), _state(fresh), strict=True):
            old.assign(new)
        for variable, value in zip(self.model.optimizer.variables, self.state, strict=True):
            variable.assign(value)
        return fit(self.model, x, y, steps, seed, augmented, look, rate)


def _state(model: keras.Model) -> list[Any]:
    """The weights, and the state of dropout's random numbers."""
    return [*model.trainable_variables, *model.non_trainable_variables]
