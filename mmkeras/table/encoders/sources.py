"""One modality as one encoder sees it: what it makes of all rows, computed once and kept."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import layers
from scipy import sparse

from ... import branches, pretrained
from ...branches.text import MaskedAverage
from ...pretrained.wordpiece import END, START, UNKNOWN
from ..store import Kept
from ..table import Table
from ..words import Pieces
from . import choice, language

Array = np.ndarray
ROWS = 512  # that are encoded at a time
INNER = "block5c_add"  # of EfficientNet-Lite0: 112 features
BLOCK = "block_4"  # of MiniLM-L6, of six
LAYER = 2  # of Whisper: what it hears there tells more than what its decoder reads
LONGEST = 128  # pieces that MiniLM has learned to read at a time
SAMPLE = 500  # texts by which a language is judged


class TooSlow(Exception):
    """The features of an encoder would take more time than is left."""


@dataclass(frozen=True)
class Source:
    """A modality and an encoder.

    Attributes:
        modality, name: such as "text" and "MiniLM-L6".
        key: tells it from another source of the same modality.
        table: whose rows come as the encoder takes them.
        encoder: the frozen model, or None where the head reads the input itself.
        features: of all rows of the table: float (rows, d), or ids (rows, length) for TF-IDF.
        there: bool (rows,), False where the modality is absent.
        blocks: float (rows, d), dense or sparse: what a linear head reads, zeros where absent; the
            mean square length of a training row is 1.
        mean, scale: of `branches.Standardise`; None for TF-IDF.
        idf: of `branches.TfIdfSum`, or None.
        note: what the leader board says about it.
    """

    modality: str
    name: str
    table: Table
    encoder: keras.Model | None
    features: Array
    there: Array
    blocks: Any
    mean: Array | None = None
    scale: Array | None = None
    idf: Array | None = None
    view: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        return f"{self.modality}_{self.view}" if self.view else self.modality


# ---- the encoders of each modality ------------------------------------------------------------


def tf_idf(table: Table) -> Source:
    """Single words and pairs, by how often they are in a text and how rare they are."""
    ids, there = encoded(table, "text", None)
    idf = branches.inverse_frequency(ids[train_rows(table) & there], len(table.vocabulary))
    return Source("text", "TF-IDF", table, None, ids, there, tf_idf_rows(ids, idf), idf=idf)


def counted(source: Source) -> Source:
    """TF-IDF of the very pieces that the encoder of a text reads: rare names, which it blurs."""
    table = source.table
    ids, there = encoded(table, "text", None)
    idf = branches.inverse_frequency(ids[train_rows(table) & there], len(table.vocabulary))
    idf[[table.vocabulary.index(piece) for piece in (UNKNOWN, START, END)]] = 0  # in every text
    blocks = tf_idf_rows(ids, idf)
    return Source("text", "TF-IDF", table, None, ids, there, blocks, idf=idf, view="counted")


def minilm(table: Table, *, seconds: float = np.inf) -> Source | str:
    """The means of the fourth and the last block of MiniLM-L6, or why not: the language.

    The fourth block knows of the single words what the last one has given up for the whole: on
    names of emoji both together are a point better than the last one alone.
    """
    tokenizer = pretrained.minilm_tokenizer()
    texts = [text for text in table.rows["text"][train_rows(table)] if text]
    texts = texts[:: max(1, len(texts) // SAMPLE)]
    reads, note = language.judged(tokenizer, texts)
    if not reads:
        return note
    some = [tokenizer.pieces(text) for text in texts]
    usual = int(np.quantile([len(pieces) for pieces in some], 0.95)) + 2
    length = int(np.clip(-(-usual // 8) * 8, 8, LONGEST))
    table = table.reading_text(Pieces(length), length, "wordpiece")
    encoder = two_blocks(length)
    sizes = (encoder.output.shape[-1] // 2,) * 2
    found = dense(table, "text", choice.NAMES["text"], encoder, sizes, seconds=seconds)
    return replace(found, note=note)


def two_blocks(length: int) -> keras.Model:
    """Ids (rows, length) → the means of `BLOCK` and of the last block, side by side (rows, 768)."""
    whole = pretrained.minilm_l6(length, name="text_encoder")
    inner = MaskedAverage(name="inner_average")(whole.get_layer(BLOCK).output)
    both = layers.Concatenate(name="inner_and_last")([inner, whole.output])
    return keras.Model(whole.input, both, name="text_encoder", trainable=False)


def efficientnet(table: Table, *, seconds: float = np.inf) -> Source:
    """The last features of EfficientNet-Lite0, and the mean of its fifth stage over the picture.

    The fifth stage knows of shapes and colours what the last one has given up for its 1,000 names.
    """
    height, width = table.settings["image_size"]
    whole = pretrained.efficientnet_lite0((height, width, 3), name="image_encoder")
    inner = layers.GlobalAveragePooling2D(name="inner_pool")(whole.get_layer(INNER).output)
    both = layers.Concatenate(name="inner_and_last")([inner, whole.output])
    encoder = keras.Model(whole.input, both, name="image_encoder", trainable=False)
    sizes = (inner.shape[-1], whole.output.shape[-1])
    return dense(table, "image", choice.NAMES["image"], encoder, sizes, seconds=seconds)


def whisper(table: Table, *, seconds: float = np.inf) -> Source | str:
    """The mean over time of the second block of Whisper tiny.en, or why not."""
    s = table.settings
    if s["audio_rate"] != 16_000 or not 0.025 <= s["audio_seconds"] <= 30:
        return "it takes 16,000 samples per second, and clips of up to 30 s"
    encoder = pretrained.whisper_tiny(s["audio_seconds"], LAYER, name="audio_encoder")
    return dense(table, "audio", choice.NAMES["audio"], encoder, seconds=seconds)


def mel_statistics(table: Table) -> Source:
    """Mean and spread over time of a log-mel spectrogram."""
    rate = table.settings["audio_rate"]
    samples = round(rate * table.settings["audio_seconds"])
    wave = keras.Input((samples,), name="audio")
    x = branches.LogMel(rate, name="log_mel")(wave)
    x = branches.MeanAndSpread(name="statistics")(x)
    encoder = keras.Model(wave, x, name="audio_encoder", trainable=False)
    return dense(table, "audio", "mel statistics", encoder)


def numbers(table: Table) -> Source:
    """Numbers and categories as they are."""
    return dense(table, "numbers", choice.AS_THEY_ARE, None)


# ---- features ---------------------------------------------------------------------------------


def dense(
    table: Table,
    modality: str,
    name: str,
    encoder: keras.Model | None,
    sizes: Sequence[int] = (),
    *,
    seconds: float = np.inf,
) -> Source:
    """A source whose features are standardised on the training rows that have the modality.

    Args:
        sizes: of the layers that the features come from, which all get the same weight.
    """
    features, there = encoded(table, modality, encoder, seconds=seconds)
    learned = features[train_rows(table) & there]
    mean = learned.mean(axis=0, dtype=np.float64)
    spread = learned.std(axis=0, dtype=np.float64)
    useful = spread > 1e-6 * np.maximum(1, np.abs(mean))
    scale = np.where(useful, 1 / np.where(useful, spread, 1), 0)
    parts = np.repeat(np.arange(len(sizes) or 1), sizes or len(scale))
    scale /= np.sqrt(np.maximum(np.bincount(parts, useful), 1))[parts] * np.sqrt(parts[-1] + 1)
    mean, scale = mean.astype(np.float32), scale.astype(np.float32)
    blocks = (features - mean) * scale * there[:, None]
    return Source(modality, name, table, encoder, features, there, blocks, mean, scale)


def encoded(
    table: Table,
    modality: str,
    encoder: keras.Model | None,
    *,
    seconds: float = np.inf,
) -> tuple[Array, Array]:
    """The features of all rows, zeros where the modality is absent, and where it is there.

    Args:
        encoder: or None for the inputs themselves.
        seconds: that it may take.

    Raises:
        TooSlow: after the first rows, if it would take longer.
    """
    began, found, present = time.monotonic(), [], []
    for inputs, there in _chunks(table, modality):
        known: dict[bytes, int] = {}  # equal inputs are encoded once
        places = [known.setdefault(row.tobytes(), len(known)) for row in inputs[there]]
        if encoder is None:
            features = inputs
        else:
            features = np.zeros((len(inputs), encoder.output_shape[-1]), np.float32)
            if places:
                first = np.unique(places, return_index=True)[1]
                features[there] = _features(encoder, inputs[there][first], table.kept)[places]
        found.append(features)
        present.append(there)
        done, passed = sum(map(len, present)), time.monotonic() - began
        if passed * len(table) / done > seconds:
            raise TooSlow(f"it would take about {passed * len(table) / done:.0f} s")
    return np.concatenate(found), np.concatenate(present)


def _features(encoder: keras.Model, inputs: Array, kept: Kept | None) -> Array:
    if not kept:
        return np.asarray(encoder.predict(inputs, batch_size=64, verbose=0))
    with contextlib.suppress(OSError):  # said by the next line
        kept.made()
    return pretrained.cached_features(encoder, inputs, cache=kept.folder / "features")


def _chunks(table: Table, modality: str) -> Iterator[tuple[Array, Array]]:
    """(input, is it there?) of some rows at a time, in the order of the table."""
    inputs, there = [], []
    for x, *_ in table.of(modality).dataset("all", 64, shuffle=False).as_numpy_iterator():
        inputs.append(x[modality])
        there.append(x["present"][:, 0] > 0)
        if 64 * len(there) >= ROWS:
            yield np.concatenate(inputs), np.concatenate(there)
            inputs, there = [], []
    if there:
        yield np.concatenate(inputs), np.concatenate(there)


def train_rows(table: Table) -> Array:
    """Bool (rows,)."""
    return (table.rows["part"] == "train").to_numpy()


def tf_idf_rows(ids: Array, idf: Array) -> Any:
    """The vectors that `branches.TfIdfSum` multiplies: sparse (rows, vocabulary), of length 1."""
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    shape = (len(ids), len(idf))
    counts = sparse.coo_matrix((np.ones(ids.size, np.float32), (rows, ids.reshape(-1))), shape)
    weighted = counts.tocsr().multiply(idf).tocsr()
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1))).reshape(-1)
    weighted = sparse.diags(1 / np.maximum(length, 1e-3)) @ weighted
    weighted.eliminate_zeros()
    return weighted.tocsr()
