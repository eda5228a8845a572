"""What `captions.py` trains, and on what: a captioner; words, and scenes of two drawings.

A scene is composed here of two real drawings, with a sentence in English or Chinese: "small yarn
above owl". Thirty concepts have 435 pairs. They are dealt out in 29 rounds of 15 pairs, in each of
which every concept occurs once, so that a training set of few pairs has every concept as often as
one of many.
"""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers
from PIL import Image, ImageOps

import mmkeras as mm
from mmkeras import generation
from mmkeras.datasets.emoji import ARTISTS
from mmkeras.training import Trainer

END, START, CHINESE = 0, 1, 2  # CHINESE starts a Chinese sentence, START an English one
SPLITS = {"noto": 21, "twemoji": 22, "openmoji": 23, "fluent": 24}  # held-out artist: seed
CONCEPTS, SIDE, BIG, SMALL = 30, 128, 60, 36  # SIDE of a scene in pixels; of a drawing: two sizes
PAIRS = {15: 1, 60: 4, 150: 10, 300: 20}  # pairs in the training set: rounds
TEST_ROUNDS, VALID_ROUNDS, COUNTS = slice(23, 29), slice(20, 23), {"train": 4000, "test": 200}
BATCH = 64
GROUPS = ["animals-nature", "food-drink", "travel-places", "activities", "objects"]


def words_of(name: str) -> list[str]:
    return re.findall(r"[\w’]+", name.lower())


class Words:
    """A vocabulary: words ↔ numbers. Unknown words are left out of it, and cannot be written."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        found = sorted({word for text in texts for word in text})
        self.words = ["", "<en>", "<zh>", *found]
        self.number = {word: i for i, word in enumerate(self.words)}

    def pairs(self, texts: list[Sequence[str]], start: np.ndarray, length: int) -> tuple:
        """What the decoder reads and what it has to write, int32 (n, length); -1: no target."""
        reads, writes = np.zeros((len(texts), length), "int32"), np.full((len(texts), length), -1)
        for row, text in enumerate(texts):
            ids = [self.number[word] for word in text]
            reads[row, : len(ids) + 1] = [start[row], *ids]
            writes[row, : len(ids) + 1] = [*ids, END]
        return reads, writes.astype("int32")

    def text(self, ids: Sequence[int], chinese: bool = False) -> str:
        """Tokens as one string; a model may have more tokens than there are words."""
        known = len(self.words)
        return ("" if chinese else " ").join(self.words[i] if i < known else "?" for i in ids)


def map_encoder(size: int) -> keras.Model:
    """Pictures → the last map of EfficientNet-Lite0 as tokens (batch, (size / 32)², 1280)."""
    full = mm.pretrained.efficientnet_lite0((size, size, 3))
    tokens = layers.Reshape((-1, 1280))(full.get_layer("top_relu6").output)
    return keras.Model(full.input, tokens, name="map_encoder")


def look(encoder: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """float16 (n, s, 1280), not kept on disk."""
    parts = range(0, len(pictures), 512)
    return np.concatenate(
        [
            encoder.predict(pictures[i : i + 512], batch_size=64, verbose=0).astype("float16")
            for i in parts
        ]
    )


def rounds(n: int) -> list[np.ndarray]:
    """All pairs of n things, n even, in n - 1 rounds (n / 2, 2); each has every thing once."""
    circle, found = list(range(1, n)), []
    for turn in range(n - 1):
        row = [0, *circle[turn:], *circle[:turn]]
        found.append(np.array([(row[i], row[n - 1 - i]) for i in range(n // 2)]))
    return found


def choose(emoji: mm.datasets.emoji.Emoji, seed: int) -> pd.DataFrame:
    """Thirty concepts with short names, of different families, one row per concept."""
    names = emoji.table.drop_duplicates("hexcode")
    short = names["label_en"].str.fullmatch(r"[a-z]+( [a-z]+)?") & names["group"].isin(GROUPS)
    short &= ~names["label_en"].str.contains("small|left|above") & (names["label_zh"].str.len() < 5)
    short &= ~names["label_zh"].str.contains("[小在左上]") & ~names["label_zh"].duplicated(False)
    names = names[short].drop_duplicates("family").drop_duplicates("label_en")
    return names.sample(CONCEPTS, random_state=seed).sort_index().reset_index(drop=True)


def resized(pictures: np.ndarray, size: int) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(p).resize((size, size))) for p in pictures])


def cut(pictures: np.ndarray, size: int) -> np.ndarray:
    """Drawings without their margins, in the middle of (size, size); the longer side fills it."""
    boxes = [Image.fromarray(255 - p).getbbox() for p in pictures]  # of what is not white
    drawn = [Image.fromarray(p).crop(box) for p, box in zip(pictures, boxes, strict=True)]
    return np.stack([np.asarray(ImageOps.pad(one, (size, size), color="white")) for one in drawn])


class Scenes:
    """Scenes of two drawings of one split, with their sentences.

    Each drawing is cut to what is drawn, so that "small" means the same with each artist; with
    `margins` it keeps the margin that its artist leaves, and the scenes are the same otherwise.

    `table` has one row per scene: the part ("15 pairs" to "300 pairs" are training sets); the two
    concepts as rows of `names`, their artists, and which are small; whether the first is above;
    the language in which the sentence is trained; and by how many pixels the drawings are moved.
    """

    def __init__(
        self, emoji: mm.datasets.emoji.Emoji, artist: str, seed: int, margins: bool = False
    ) -> None:
        self.names, rng = choose(emoji, seed), np.random.default_rng(seed)
        others = [a for a in ARTISTS if a != artist]
        dealt = np.array(rounds(CONCEPTS))[rng.permutation(CONCEPTS - 1)]
        new, check, many = dealt[TEST_ROUNDS], dealt[VALID_ROUNDS], dealt[: PAIRS[300]]
        sets = {f"{n} pairs": (dealt[:few], others) for n, few in PAIRS.items()}
        sets |= {"valid": (check, others), "new pairs": (new, others)}
        sets |= {"new artist": (many, [artist]), "both new": (new, [artist])}
        tables = [self.draw(part, *what, rng) for part, what in sets.items()]
        self.table = pd.concat(tables, ignore_index=True)
        at = {(row.hexcode, row.artist): i for i, row in enumerate(emoji.table.itertuples())}
        rows = [at[code, a] for a in ARTISTS for code in self.names["hexcode"]]
        fit = resized if margins else cut
        self.drawings = {size: fit(emoji.images[rows], size) for size in (BIG, SMALL)}
        self.words = [words_of(label) for label in self.names["label_en"]]
        self.chinese_names = self.names["label_zh"].tolist()
        said = [self.say(row) for row in self.table.itertuples()]
        self.english, self.chinese = [a for a, _ in said], [b for _, b in said]

    def draw(
        self, part: str, dealt: np.ndarray, artists: list[str], rng: np.random.Generator
    ) -> pd.DataFrame:
        n, pairs = (
            COUNTS["train" if "pairs" in part and part[0] != "n" else "test"],
            len(dealt) * 15,
        )
        pair = rng.permuted(dealt.reshape(pairs, 2)[rng.integers(pairs, size=n)], axis=1)
        table = pd.DataFrame({"part": part, "first": pair[:, 0], "second": pair[:, 1]})
        for name in ("first", "second"):
            table[f"{name}_artist"] = rng.choice(artists, n)
            table[f"{name}_small"] = rng.random(n) < 0.5
        table["above"], table["chinese"] = rng.random(n) < 0.5, rng.random(n) < 0.5
        return table.assign(shift=list(rng.integers(0, 5, (n, 4)) - 2))

    def say(self, scene: Any) -> tuple[list[str], list[str]]:
        """The English sentence in words, the Chinese one in characters."""
        english = ["small"] * scene.first_small + self.words[scene.first]
        english += ["above"] if scene.above else ["left", "of"]
        english += ["small"] * scene.second_small + self.words[scene.second]
        chinese = "小" * scene.first_small + self.chinese_names[scene.first] + "在"
        chinese += "小" * scene.second_small + self.chinese_names[scene.second] + "的"
        return english, list(chinese + ("上方" if scene.above else "左边"))

    def paint(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scenes, uint8 (n, 128, 128, 3), and their halves, (n, 2, 64, 64, 3), around each part."""
        scenes = np.full((len(rows), SIDE, SIDE, 3), 255, "uint8")
        halves = np.empty((len(rows), 2, SIDE // 2, SIDE // 2, 3), "uint8")
        for i, scene in enumerate(self.table.iloc[rows].itertuples()):
            for place, name in enumerate(("first", "second")):
                size = SMALL if getattr(scene, f"{name}_small") else BIG
                number = ARTISTS.index(getattr(scene, f"{name}_artist"))
                drawing = self.drawings[size][number * CONCEPTS + getattr(scene, name)]
                centre = np.array([32 + 64 * place, 64] if scene.above else [64, 32 + 64 * place])
                top, left = centre - size // 2 + scene.shift[2 * place : 2 * place + 2]
                scenes[i, top : top + size, left : left + size] = drawing
            for place in range(2):
                top, left = (64 * place, 32) if scene.above else (32, 64 * place)
                halves[i, place] = scenes[i, top : top + 64, left : left + 64]
        return scenes, halves


# ---- the captioner ---------------------------------------------------------------------------

# How the next token is chosen; from what `generation` offers.
RULES: dict[str, Callable[..., generation.Written]] = {
    "greedy": generation.greedy,
    "beam 5": lambda *a, **k: generation.beam(*a, width=5, **k),
    "beam 5, α 1": lambda *a, **k: generation.beam(*a, width=5, alpha=1.0, **k),
    "T 1": generation.sample,
    "top-k 5": lambda *a, **k: generation.sample(*a, top_k=5, **k),
    "top-p 0.9": lambda *a, **k: generation.sample(*a, top_p=0.9, **k),
}


def build(words: int, length: int, tokens: int, drop: float) -> keras.Model:
    """A captioner behind dropout on the features of the picture."""
    core = generation.captioner(words, length, (tokens, 1280))
    reads = keras.Input((length,), dtype="int32", name="tokens")
    memory = keras.Input((tokens, 1280), name="memory")
    seen = layers.Dropout(drop, name="feature_dropout")(memory)
    model = keras.Model([reads, memory], core([reads, seen]), name="train")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile(keras.optimizers.AdamW(weight_decay=1e-2), loss)
    return model


class Cosine(keras.callbacks.Callback):
    """The learning rate falls from its first value to 0 along half a cosine, after `warm` steps."""

    def __init__(self, rate: float, steps: int, warm: int = 20) -> None:
        super().__init__()
        self.rate, self.steps, self.warm, self.step = rate, steps, warm, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        part = min(self.step / self.steps, 1)
        rate = self.rate * min((self.step + 1) / self.warm, 0.5 * (1 + np.cos(np.pi * part)))
        self.model.optimizer.learning_rate.assign(rate)
        self.step += 1


class Captioner:
    """A model that is built once and trained for all splits; texts come out as strings."""

    def __init__(self, length: int, steps: int, rates: tuple[float, ...], **size: Any) -> None:
        self.trainer = Trainer(lambda: build(length=length, **size))
        self.step = generation.CachedStep(self.trainer.model.get_layer("captioner"))
        self.length, self.steps, self.rates = length, steps, rates

    def fit(self, memory: np.ndarray, pairs: tuple, rate: float) -> float:
        """Train from the start; returns the seconds of the processor."""
        start = time.process_time()
        epochs = round(self.steps * BATCH / len(memory))
        steps = epochs * -(-len(memory) // BATCH)
        x = {"tokens": pairs[0], "memory": memory}
        callbacks = [Cosine(rate, steps)]
        self.trainer.fit(x, pairs[1], seed=0, epochs=epochs, batch_size=BATCH, callbacks=callbacks)
        return time.process_time() - start

    def choose(
        self, memory: np.ndarray, pairs: tuple, exact: Callable[[], float]
    ) -> tuple[list[dict[str, float]], float]:
        """Train with each rate and keep the best by exact match: the rows of the fits, the rate."""
        rows, weights = [], []
        for rate in self.rates:
            seconds = self.fit(memory, pairs, rate)
            rows.append({"rate": rate, "valid": exact(), "seconds": seconds})
            weights.append(self.trainer.model.get_weights())
        best = int(np.argmax([row["valid"] for row in rows]))
        self.trainer.model.set_weights(weights[best])
        return rows, self.rates[best]

    def write(
        self, memory: np.ndarray, words: Words, rule: str = "greedy", start: int = START
    ) -> list[str]:
        """What the model writes about each picture, in batches of 256."""
        texts = []
        for i in range(0, len(memory), 256):
            part = memory[i : i + 256].astype("float32")
            begin = self.step.begin(part)
            starts = np.full(len(part), start)
            written = RULES[rule](self.step, starts, begin, end=END, most=self.length - 1)
            tokens = written.tokens[:, 0] if written.tokens.ndim == 3 else written.tokens
            texts += [words.text(ids, start == CHINESE) for ids in generation.cut(tokens, END)]
        return texts
