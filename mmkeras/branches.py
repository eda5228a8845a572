"""Branches: one small encoder a modality, each a plain functional `keras.Model`.

A branch takes one raw modality and gives `units` features. All scaling is inside, so what goes in
is what a file holds: word ids, pixels from 0 to 255, a waveform from -1 to 1. Every branch is
finite on empty text, black pictures and silence, and one sample's features never depend on the
other samples of its batch at inference.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

Tensor = Any  # a symbolic keras.KerasTensor, or a tensor of the backend
register = keras.saving.register_keras_serializable("mmkeras")

FRAME_SECONDS = 0.032  # the least length of one analysis window; the FFT is the next power of two
HOP_SECONDS = 0.010
MEL_BANDS = 40


# ------------------------------------------------------------------------------ layers


@register
class PaddingMask(layers.Layer):
    """Int ids (batch, time) → float (batch, time, 1): 1 where a word stands, 0 for padding."""

    def call(self, ids: Tensor) -> Tensor:
        return ops.cast(ops.not_equal(ids, 0), self.compute_dtype)[..., None]


@register
class MaskedAverage(layers.Layer):
    """Mean over time of the words that are there: (batch, time, d) with a Keras mask → (batch, d).

    An empty text gives zeros, where `GlobalAveragePooling1D` divides zero by zero.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = ops.ones_like(x[..., :1]) if mask is None else ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * (mask / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1)), axis=1)

    def compute_mask(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Time is gone, and the mask with it."""


@register
class PositionEmbedding(layers.Layer):
    """Add a learned vector for each place: (batch, time, d) → the same; time × d weights."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.positions = self.add_weight(
            name="positions", shape=tuple(shape[1:]), initializer="uniform"
        )

    def call(self, x: Tensor) -> Tensor:
        return x + ops.cast(self.positions, x.dtype)


@register
class LogMel(layers.Layer):
    """Waveform (batch, samples) in [-1, 1] → log-mel spectrogram (batch, frames, bands).

    Each clip is standardised by its own mean and spread alone: it does not change with the
    recording level, nor with its neighbours in the batch. Silence gives zeros. Works in float32
    whatever the policy, since the power of a loud clip does not fit into float16. The mel scale is
    that of Stevens, Volkmann & Newman (1937) in the form of HTK.

    Args:
        rate: samples per second.
        bands: number of mel bands.
    """

    def __init__(self, rate: int, bands: int = MEL_BANDS, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.rate, self.bands = rate, bands
        self.mel = layers.MelSpectrogram(
            num_mel_bins=bands,
            sampling_rate=rate,
            fft_length=frame_length(rate),
            sequence_stride=round(HOP_SECONDS * rate),
            mag_exp=2.0,
            power_to_db=False,  # its dB step looks at the maximum of the whole batch
            dtype="float32",
        )

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.mel.build(shape)

    def call(self, waveform: Tensor) -> Tensor:
        log_power = ops.log1p(1e6 * ops.swapaxes(self.mel(waveform), 1, 2))  # 0 in silence
        centred = log_power - ops.mean(log_power, axis=(1, 2), keepdims=True)
        spread = ops.sqrt(ops.mean(ops.square(centred), axis=(1, 2), keepdims=True))
        return centred / ops.maximum(spread, 1e-3)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "bands": self.bands}


def frame_length(rate: int) -> int:
    """Samples in a frame of at least 32 ms at `rate` samples per second; a power of two."""
    return 2 ** (round(FRAME_SECONDS * rate) - 1).bit_length()


def transformer_block(x: Tensor, *, heads: int, name: str) -> Tensor:
    """Attention, then a two-layer network, each added to x (batch, time, d): same shape.

    The pre-norm encoder block (Vaswani 2017; Xiong 2020). A mask that x carries is respected.
    """
    d = x.shape[-1]
    h = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(x)
    h = layers.MultiHeadAttention(heads, max(d // heads, 1), name=f"{name}_attention")(h, h)
    x = layers.Add(name=f"{name}_attention_add")([x, h])
    h = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_mlp_norm")(x)
    h = layers.Dense(2 * d, activation="gelu", name=f"{name}_mlp_wide")(h)
    h = layers.Dense(d, name=f"{name}_mlp_narrow")(h)
    return layers.Add(name=f"{name}_mlp_add")([x, h])


# ------------------------------------------------------------------------------ text


def _features(
    x: Tensor, pool: layers.Layer, units: int, tokens: bool, mask: Tensor | None = None
) -> Tensor:
    """The last layer: of the pooled sequence, or of each token, with zeros where the mask is 0."""
    x = x if tokens else pool(x)
    x = layers.Dense(units, activation="relu", name="features")(x)
    return layers.Multiply(name="there")([x, mask]) if tokens and mask is not None else x


def _text_average(ids: Tensor, vocab_size: int, units: int, tokens: bool) -> Tensor:
    mask = PaddingMask(name="padding_mask")(ids) if tokens else None
    x = layers.Embedding(vocab_size, units, mask_zero=True, name="embedding")(ids)
    return _features(x, MaskedAverage(name="average"), units, tokens, mask)


def _text_lstm(ids: Tensor, vocab_size: int, units: int, tokens: bool) -> Tensor:
    x = layers.Embedding(vocab_size, units, mask_zero=True, name="embedding")(ids)
    x = layers.LSTM(units, return_sequences=tokens, name="features")(x)
    if not tokens:
        return x
    return layers.Multiply(name="there")([x, PaddingMask(name="padding_mask")(ids)])


def _text_conv(ids: Tensor, vocab_size: int, units: int, tokens: bool) -> Tensor:
    mask = PaddingMask(name="padding_mask")(ids)
    x = layers.Embedding(vocab_size, units, name="embedding")(ids)
    x = layers.Multiply(name="words_only")([x, mask])
    x = layers.Conv1D(units, 3, padding="same", activation="relu", name="convolution")(x)
    x = layers.Multiply(name="windows_only")([x, mask])
    return _features(x, layers.GlobalMaxPooling1D(name="strongest"), units, tokens, mask)


def _text_transformer(ids: Tensor, vocab_size: int, units: int, tokens: bool) -> Tensor:
    mask = PaddingMask(name="padding_mask")(ids) if tokens else None
    x = layers.Embedding(vocab_size, units, mask_zero=True, name="embedding")(ids)
    x = PositionEmbedding(name="position")(x)
    x = transformer_block(x, heads=4, name="block")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    return _features(x, MaskedAverage(name="average"), units, tokens, mask)


TEXT_ENCODERS = {
    "average": _text_average,
    "lstm": _text_lstm,
    "conv": _text_conv,
    "transformer": _text_transformer,
}


def text_branch(
    vocab_size: int,
    length: int,
    *,
    encoder: str = "average",
    units: int = 64,
    tokens: bool = False,
    name: str = "text",
) -> keras.Model:
    """Word ids → features.

    Input: int32 (batch, length), ids from 0 to vocab_size - 1, where 0 is padding; a text may be
    empty (all 0).
    Output: float (batch, units); with tokens (batch, length, units), zeros where padding is.

    Args:
        vocab_size: number of ids, padding and unknown word included.
        length: words a text is padded or cut to.
        encoder: "average" (mean of word embeddings; order is lost), "lstm" (Hochreiter &
            Schmidhuber 1997), "conv" (windows of three words, strongest kept; Kim 2014) or
            "transformer" (one block; Vaswani 2017).
        units: width of the embedding and of the output.
        tokens: keep one vector a word, for a fusion that attends to them.
        name: name of the model and of its input.

    Raises:
        ValueError: an unknown encoder, a size that is not a positive integer, or a vocabulary of
            one.
    """
    build = _encoder(encoder, TEXT_ENCODERS)
    length, units = _positive("length", length), _positive("units", units)
    if _positive("vocab_size", vocab_size) < 2:
        raise ValueError("vocab_size must be at least 2, since id 0 is padding; got 1")
    ids = keras.Input((length,), dtype="int32", name=name)
    return keras.Model(ids, build(ids, vocab_size, units, tokens), name=name)


# ------------------------------------------------------------------------------ image

PATCH = 4  # pixels; the side of one patch
FEW_STEPS = (
    0.9  # momentum of the moving averages: right after 50 steps, where Keras' 0.99 needs 500
)


def _picture_features(x: Tensor, units: int, tokens: bool) -> Tensor:
    """(batch, rows, columns, d) → features of the average, or of each place."""
    if tokens:
        x = layers.Reshape((x.shape[1] * x.shape[2], x.shape[3]), name="places")(x)
    return _features(x, layers.GlobalAveragePooling2D(name="average"), units, tokens)


def _image_conv(x: Tensor, units: int, tokens: bool) -> Tensor:
    """The first convolution halves the picture, so that no map is ever large; then as in VGG."""
    for i, (filters, stride) in enumerate(((32, 2), (64, 1), (128, 1)), start=1):
        x = x if i == 1 else layers.MaxPooling2D(2, name=f"pool{i - 1}")(x)
        x = layers.Conv2D(
            filters, 3, strides=stride, padding="same", use_bias=False, name=f"convolution{i}"
        )(x)
        x = _settled(x, i)
    return _picture_features(x, units, tokens)


def _image_small(x: Tensor, units: int, tokens: bool) -> Tensor:
    x = _strided(x, (8, 16, 32), (5, 3, 3))
    return _picture_features(x, units, tokens)


def _strided(x: Tensor, filters: tuple[int, ...], kernels: tuple[int, ...]) -> Tensor:
    """Convolutions that halve the picture as they go, so that no map is ever large."""
    for i, (n, kernel) in enumerate(zip(filters, kernels, strict=True), start=1):
        x = layers.Conv2D(
            n, kernel, strides=2, padding="same", use_bias=False, name=f"convolution{i}"
        )(x)
        x = _settled(x, i)
    return x


def _settled(x: Tensor, i: int) -> Tensor:
    x = layers.BatchNormalization(momentum=FEW_STEPS, name=f"norm{i}")(x)
    return layers.ReLU(name=f"relu{i}")(x)


def _image_stack(x: Tensor, units: int, tokens: bool) -> Tensor:
    for i, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"convolution{i}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{i}")(_settled(x, i))
    return _picture_features(x, units, tokens)


def _image_patch(x: Tensor, units: int, tokens: bool) -> Tensor:
    x = layers.Conv2D(64, PATCH, strides=PATCH, padding="same", name="patches")(x)
    x = _mix(x, 64, "mix1")
    x = layers.Conv2D(128, 2, strides=2, padding="same", name="merge")(x)
    x = _mix(x, 128, "mix2")
    return _picture_features(x, units, tokens)


def _mix(x: Tensor, filters: int, name: str) -> Tensor:
    """Neighbours first, then channels: ConvMixer (Trockman & Kolter 2022), made cheap."""
    h = layers.DepthwiseConv2D(5, padding="same", name=f"{name}_neighbours")(x)
    h = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(h)
    return layers.Dense(filters, activation="gelu", name=f"{name}_channels")(h)


IMAGE_ENCODERS = {
    "conv": _image_conv,
    "small": _image_small,
    "stack": _image_stack,
    "patch": _image_patch,
}
SMALLEST = {"conv": 8, "small": 8, "stack": 8, "patch": PATCH}  # pixels a side


def image_branch(
    shape: tuple[int, int, int],
    *,
    encoder: str = "conv",
    units: int = 64,
    tokens: bool = False,
    name: str = "image",
) -> keras.Model:
    """Pixels → features.

    Input: (batch, height, width, channels), 0 to 255, uint8 or float; scaled to [-1, 1] inside.
    Output: float (batch, units); with tokens (batch, places, units), row by row.

    Args:
        shape: (height, width, channels) of one picture.
        encoder: "conv" (three 3×3 convolutions of 32, 64 and 128 filters, each with batch
            normalisation; the first has stride 2, maxima of 2×2 halve the next two maps), "small"
            (8, 16 and 32 filters, the first of 5×5, all with stride 2), "stack" ("conv" with all
            three at full resolution and a pooling after each, as in VGG, Simonyan & Zisserman
            2015: five times the time) or "patch"
            (4×4 patches, then depthwise 5×5 and pointwise mixing; as cheap as "conv", and less
            accurate on emoji).
        units: width of the output.
        tokens: keep one vector a place of the last feature map, for a fusion that attends to them.
        name: name of the model and of its input.

    Raises:
        ValueError: an unknown encoder, a shape that is not three positive integers, a picture too
            small for it.
    """
    build = _encoder(encoder, IMAGE_ENCODERS)
    units = _positive("units", units)
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise ValueError(
            f"shape must be (height, width, channels), such as (48, 48, 3); got {shape!r}"
        )
    height, width, channels = (_positive("each part of shape", n) for n in shape)
    if min(height, width) < SMALLEST[encoder]:
        raise ValueError(
            f"a picture of {height}×{width} is too small for encoder {encoder!r}, "
            f"which needs at least {SMALLEST[encoder]}×{SMALLEST[encoder]} pixels"
        )
    pixels = keras.Input((height, width, channels), dtype="float32", name=name)
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels)
    return keras.Model(pixels, build(scaled, units, tokens), name=name)


# ------------------------------------------------------------------------------ audio


def _audio_conv(x: Tensor, units: int, tokens: bool) -> Tensor:
    x = layers.Reshape((*x.shape[1:], 1), name="one_channel")(x)
    x = _strided(x, (16, 32, 64), (3, 3, 3))
    return _picture_features(x, units, tokens)


def _audio_gru(x: Tensor, units: int, tokens: bool) -> Tensor:
    return layers.GRU(units, return_sequences=tokens, name="features")(x)


def _audio_transformer(x: Tensor, units: int, tokens: bool) -> Tensor:
    x = layers.Dense(units, name="project")(x)
    x = PositionEmbedding(name="position")(x)
    x = transformer_block(x, heads=4, name="block")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    return _features(x, layers.GlobalAveragePooling1D(name="average"), units, tokens)


AUDIO_ENCODERS = {"conv": _audio_conv, "gru": _audio_gru, "transformer": _audio_transformer}


def audio_branch(
    samples: int,
    rate: int,
    *,
    encoder: str = "conv",
    units: int = 64,
    tokens: bool = False,
    name: str = "audio",
) -> keras.Model:
    """Waveform → features, by way of a log-mel spectrogram that each clip normalises by itself.

    Input: float (batch, samples) in [-1, 1], one channel; silence is fine.
    Output: float (batch, units); with tokens (batch, places, units): frames, or for "conv" the
    places of the last feature map.

    Args:
        samples: length of a clip in samples; at least one frame (`frame_length(rate)`, 32 ms or a
            little more).
        rate: samples per second, at least 1000. For slower signals take `signal_branch`.
        encoder: "conv" (2-D convolutions over time and frequency), "gru" (Cho 2014) or
            "transformer" (Vaswani 2017).
        units: width of the output.
        tokens: keep one vector a place, for a fusion that attends to them.
        name: name of the model and of its input.

    Raises:
        ValueError: an unknown encoder, a size that is not a positive integer, a rate below 1000, a
            clip too short.
    """
    build = _encoder(encoder, AUDIO_ENCODERS)
    samples, units = _positive("samples", samples), _positive("units", units)
    if _positive("rate", rate) < 1000:
        raise ValueError(
            f"rate must be at least 1000 samples per second for a mel spectrogram, got {rate}; "
            "for slower signals use signal_branch"
        )
    if samples < frame_length(rate):
        raise ValueError(
            f"a clip of {samples} samples is shorter than one frame: at {rate} samples per second "
            f"use at least {frame_length(rate)} samples, or pad the clip with zeros"
        )
    waveform = keras.Input((samples,), dtype="float32", name=name)
    return keras.Model(
        waveform, build(LogMel(rate, name="log_mel")(waveform), units, tokens), name=name
    )


# ------------------------------------------------------------------------------ signal


def signal_branch(
    samples: int, *, units: int = 64, tokens: bool = False, name: str = "signal"
) -> keras.Model:
    """A waveform whose shape and level matter (ECG, breath, acceleration) → features.

    Three 1-D convolutions with strides 5, 2 and 2, batch normalisation, and the average over time.
    Unlike `audio_branch` nothing is normalised: a millivolt stays a millivolt.

    Input: float (batch, samples), in a unit in which typical values are about 1.
    Output: float (batch, units); with tokens (batch, places, units).

    Args:
        samples: length of the waveform, at least 20.
        units: width of the output.
        tokens: keep one vector a place, 20 samples apart, for a fusion that attends to them.
        name: name of the model and of its input.

    Raises:
        ValueError: a size that is not a positive integer, fewer than 20 samples.
    """
    if _positive("samples", samples) < 20:
        raise ValueError(f"samples must be at least 20 for strides of 5, 2 and 2, got {samples}")
    waveform = keras.Input((samples,), dtype="float32", name=name)
    x = layers.Reshape((samples, 1), name="one_channel")(waveform)
    for i, (filters, kernel, stride) in enumerate(((32, 15, 5), (64, 7, 2), (64, 5, 2)), start=1):
        x = layers.Conv1D(
            filters, kernel, strides=stride, padding="same", use_bias=False, name=f"convolution{i}"
        )(x)
        x = layers.BatchNormalization(momentum=FEW_STEPS, name=f"norm{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(x)
    pool = layers.GlobalAveragePooling1D(name="average")
    x = _features(x, pool, _positive("units", units), tokens)
    return keras.Model(waveform, x, name=name)


# ------------------------------------------------------------------------------ vector


def vector_branch(size: int, *, units: int = 64, name: str = "vector") -> keras.Model:
    """Ready features → features: a pretrained embedding, a row of a table.

    Input: float (batch, size); bring columns of a table to a like scale first, for example with
    `keras.layers.Normalization`.
    Output: float (batch, units), from one Dense layer with ReLU.

    Args:
        size: number of features that come in.
        units: width of the output.
        name: name of the model and of its input.

    Raises:
        ValueError: a size that is not a positive integer.
    """
    vector = keras.Input((_positive("size", size),), dtype="float32", name=name)
    features = layers.Dense(_positive("units", units), activation="relu", name="features")(vector)
    return keras.Model(vector, features, name=name)


# ------------------------------------------------------------------------------ arguments


def _positive(what: str, value: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < 1:
        raise ValueError(f"{what} must be a positive integer, got {value!r}")
    return value.__index__()


def _encoder(name: str, known: dict[str, Callable]) -> Callable:
    if name not in known:
        raise ValueError(f"unknown encoder {name!r}; choose one of {', '.join(map(repr, known))}")
    return known[name]
