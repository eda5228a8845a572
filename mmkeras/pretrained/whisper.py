"""The encoder of Whisper tiny.en: speech → 384 features for each 0.02 s.

The network is written out here, in about fifty lines. KerasHub has the architecture, but it cannot
load this file, and it adds 249 MB of packages. The weights are those of OpenAI in half precision,
as CTranslate2 stores them. tests/test_pretrained_whisper.py compares the answers with those of
CTranslate2, and the log-mel spectrogram with that of faster-whisper.

Sources: A. Radford, J. W. Kim, T. Xu, G. Brockman, C. McLeavey, I. Sutskever, "Robust Speech
Recognition via Large-Scale Weak Supervision", 2022, arXiv:2212.04356.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from .. import assets
from ..arguments import check_integer, check_name
from ..attention import AttentionBlock, PositionEmbedding
from ..branches.whisper_mel import FRAME, HOP, RATE, WhisperLogMel
from ..composite import Tensor
from .ctranslate2_file import Tensors, load_ctranslate2

ASSET = "whisper-tiny-en"
LONGEST = 30  # seconds
EPSILON = 1e-5  # of the layer normalisation


class Sizes(NamedTuple):
    """What tells one Whisper from another. `blocks` are in the encoder, and as many behind it."""

    units: int = 384
    heads: int = 6
    blocks: int = 4
    bands: int = 80
    frames: int = 1500
    words: int = 51_864
    length: int = 448


TINY = Sizes()


def whisper_tiny(
    seconds: float,
    layer: int = TINY.blocks,
    trainable: bool = False,
    *,
    after: int = 0,
    tokens: bool = False,
    weights: str | None = "tiny.en",
    name: str = "audio",
) -> keras.Model:
    """Build the encoder of Whisper tiny.en (Radford et al. 2022) for clips of one length.

    Input: float (batch, samples), a waveform in [-1, 1] with 16,000 samples per second. The log-mel
    spectrogram is inside, and looks at each clip alone. Silence is fine.
    Output: float (batch, 384), the mean over the frames; with tokens (batch, 50 · seconds, 384).

    It goes into `multimodal_model` as `audio_branch` does. Whisper itself fills every clip with
    silence to 30 s (1,500 frames). Here `seconds` is all that the network sees, which takes a
    fraction of the time, and its features are somewhat different, since no frame can attend to the
    silence (on a sentence of 3 s the median cosine is 0.98). To have those of the original, fill
    the clips with zeros and take 30 s. Weights: 536,064 in the convolutions, 384 for each frame,
    1,774,464 for each block, 8,209,920 in all at 30 s.

    Args:
        seconds: length of a clip, 0.025 (one window of the spectrogram) to 30. Fill shorter clips
            with zeros, cut longer ones.
        layer: the block whose output is given, 1 to 4, the fourth with the last normalisation, as
            the decoder reads it; 0 for the convolutions and the positions. Those above it are not
            built. Early layers tell more about how something is said, late ones about what.
        trainable: False freezes every weight; True trains all but the positions, which are sines
            and cosines. See `unfreeze` for the last few blocks.
        after: begin behind this block. The input is then float (batch, 50 · seconds, 384), what
            `whisper_tiny(seconds, layer=after, tokens=True)` gives: compute it once with
            `cached_features`, and train the blocks behind it.
        tokens: keep one vector for each 0.02 s, for a fusion that attends to them.
        weights: "tiny.en" (the asset "whisper-tiny-en", fetched if it is not in the cache) or None
            for a random start.
        name: name of the model and of its input.

    Raises:
        ValueError: an argument that cannot work.
        mmkeras.assets.AssetError: the weights are not in the cache and cannot be fetched.
    """
    samples = _samples(seconds)
    layer = check_integer("layer", layer, least=0, most=TINY.blocks)
    after = check_integer("after", after, least=0, most=layer)
    if weights not in ("tiny.en", None):
        raise ValueError(f'weights={weights!r}: expected "tiny.en" or None')
    check_name("name", name)
    model = encoder(samples, layer, TINY, after=after, tokens=tokens, name=name)
    if weights is not None:
        path = assets.fetch(ASSET) / "model.bin"
        assign_encoder(model, load_ctranslate2(path, "WhisperSpec"))
    model.trainable = trainable
    for part in model.layers:
        if isinstance(part, PositionEmbedding):
            part.trainable = False
    return model


def _samples(seconds: Any) -> int:
    try:
        samples = round(RATE * seconds)
    except (TypeError, ValueError, OverflowError):
        samples = 0
    if not FRAME <= samples <= RATE * LONGEST:
        raise ValueError(
            f"seconds={seconds!r}: expected {FRAME / RATE} (one window) to {LONGEST}. Fill a "
            f"shorter clip with zeros; cut a longer one into pieces of at most {LONGEST} s."
        )
    return samples


def encoder(
    samples: int,
    layer: int,
    sizes: Sizes,
    *,
    after: int = 0,
    tokens: bool = False,
    name: str = "audio",
) -> keras.Model:
    """The network with random weights; `whisper_tiny` explains the arguments."""
    if after:
        frames = -(-(samples // HOP) // 2)
        inputs = x = keras.Input((frames, sizes.units), name=name)
    else:
        inputs = keras.Input((samples,), dtype="float32", name=name)
        x = _heard(inputs, sizes)
    for i in range(after + 1, layer + 1):
        block = AttentionBlock(
            sizes.heads, "gelu", True, hidden=4 * sizes.units, epsilon=EPSILON, name=f"block_{i}"
        )
        x = block(x)
    if layer == sizes.blocks:
        x = layers.LayerNormalization(epsilon=EPSILON, name="norm")(x)
    if not tokens:
        x = layers.GlobalAveragePooling1D(name="average")(x)
    return keras.Model(inputs, x, name=name)


def _heard(waveform: Tensor, sizes: Sizes) -> Tensor:
    """What the first block reads: two convolutions over the spectrogram, and the places."""
    x = WhisperLogMel(sizes.bands, name="log_mel")(waveform)
    for i, stride in enumerate((1, 2), start=1):
        x = layers.ZeroPadding1D(1, name=f"pad{i}")(x)  # "same" would pad at the end alone
        conv = layers.Conv1D(sizes.units, 3, strides=stride, activation="gelu", name=f"conv{i}")
        x = conv(x)
    positions = PositionEmbedding(trainable=False, name="positions")
    x = positions(x)
    positions.set_weights([sinusoids(x.shape[1], sizes.units)])
    return x


def sinusoids(frames: int, units: int) -> np.ndarray:
    """The place t as sin(t / 10000^p) and cos(t / 10000^p), p from 0 to 1: (frames, units)."""
    rates = 10_000.0 ** -np.linspace(0, 1, units // 2)
    angles = np.outer(np.arange(frames), rates)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def assign_encoder(model: keras.Model, tensors: Tensors) -> None:
    """Give each layer of an encoder its part of the weight file."""
    for layer in model.layers:
        if isinstance(layer, layers.Conv1D):  # (out, in, width) → (width, in, out)
            kernel, bias = (tensors[f"encoder/{layer.name}/{p}"] for p in ("weight", "bias"))
            layer.set_weights([kernel.transpose(2, 1, 0), bias])
        elif isinstance(layer, PositionEmbedding):
            table = tensors["encoder/position_encodings/encodings"]
            layer.set_weights([table[: layer.positions.shape[0]]])
        elif isinstance(layer, AttentionBlock):
            number = int(layer.name.removeprefix("block_"))
            _assign_block(layer, tensors, f"encoder/layer_{number - 1}")
        elif isinstance(layer, layers.LayerNormalization):
            tensors.norm("encoder/layer_norm", layer)


def _assign_block(block: AttentionBlock, tensors: Tensors, name: str) -> None:
    """The file's key bias is 0: Whisper has none there, and it would not change the weights."""
    attention = block.attention
    for part, norm in zip(("self_attention", "ffn"), block.norms, strict=True):
        tensors.norm(f"{name}/{part}/layer_norm", norm)
    asked = (attention.query_dense, attention.key_dense, attention.value_dense)
    tensors.dense(f"{name}/self_attention/linear_0", *asked)
    tensors.dense(f"{name}/self_attention/linear_1", attention.output_dense)
    tensors.dense(f"{name}/ffn/linear_0", block.wide)
    tensors.dense(f"{name}/ffn/linear_1", block.narrow)
