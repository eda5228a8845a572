"""Sound and other signals: a waveform → features.

Derived in chapter 04 (sound) and chapter 12 (signals).
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..arguments import check_name, check_positive, choose
from ..attention import PositionEmbedding
from ..formats.tracing import format_now, log1p
from .image import picture_features, strided
from .parts import FEW_STEPS, Tensor, features_of, transformer_block

register = keras.saving.register_keras_serializable("mmkeras")

FRAME_SECONDS = 0.032  # the shortest analysis window; the FFT has the next power of two of samples
HOP_SECONDS = 0.010
MEL_BANDS = 40


@register
class LogMel(layers.Layer):
    """Waveform (batch, samples) in [-1, 1] → log-mel spectrogram (batch, frames, bands).

    Each clip is standardised by its own mean and spread alone, so that its spectrogram depends
    neither on the recording level nor on the other clips of the batch. Silence gives zeros. The
    layer computes in float32 under any policy, since the power of a loud clip does not fit into
    float16. The mel scale is that of Stevens, Volkmann & Newman (1937) in the form of HTK.

    In LiteRT and ONNX files it computes the same in other ways, up to rounding: see `in_bands`, and
    `_power` for the Fourier transform, which tf2onnx cannot translate.

    Args:
        rate: samples per second, int.
        bands: number of mel bands, int.
    """

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def __init__(self, rate: int, bands: int = MEL_BANDS, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.rate, self.bands = rate, bands
        self.mel = layers.MelSpectrogram(
            num_mel_bins=bands,
            sampling_rate=rate,
            fft_length=frame_length(rate),
            sequence_stride=round(HOP_SECONDS * rate),
            mag_exp=2.0,
            power_to_db=False,  # its conversion to dB depends on the maximum of the whole batch
            dtype="float32",
            name="mel",
        )

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.mel.build(shape)

    def call(self, waveform: Tensor) -> Tensor:
        log_power = log1p(1e6 * self._mel_power(waveform))  # 0 in silence
        centred = log_power - ops.mean(log_power, axis=(1, 2), keepdims=True)
        spread = ops.sqrt(ops.mean(ops.square(centred), axis=(1, 2), keepdims=True))
        return centred / ops.maximum(spread, 1e-3)

    def _mel_power(self, waveform: Tensor) -> Tensor:
        """The power in each mel band: (batch, frames, bands)."""
        if format_now() not in ("litert", "onnx"):
            return ops.swapaxes(self.mel(waveform), 1, 2)
        filters = mel_filters(self.rate, self.bands, self.mel.fft_length, self.mel.min_freq)
        places, weights = in_bands(filters)
        return ops.sum(ops.take(self._power(waveform), places, axis=-1) * weights, axis=-1)

    def _power(self, waveform: Tensor) -> Tensor:
        """|Fourier transform|² of each frame: (batch, frames, length // 2 + 1).

        For ONNX it is a convolution with cosines and sines under a Hann window, as in Whisper.
        """
        length, hop = self.mel.fft_length, self.mel.sequence_stride
        if format_now() != "onnx":
            real, imaginary = ops.stft(waveform, length, hop, length)
            return ops.square(real) + ops.square(imaginary)
        turn = 2 * np.pi * np.arange(length) / length
        turns = np.outer(turn, np.arange(length // 2 + 1))
        waves = np.concatenate([np.cos(turns), np.sin(turns)], axis=1)
        waves = (waves * (1 - np.cos(turn))[:, None] / 2)[:, None].astype("float32")
        x = ops.pad(waveform, [[0, 0], [length // 2, length // 2]], mode="reflect")
        x = ops.square(ops.conv(x[..., None], waves, strides=hop, padding="valid"))
        return x[..., : length // 2 + 1] + x[..., length // 2 + 1 :]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "bands": self.bands}


def mel_filters(rate: int, bands: int, length: int, lowest: float) -> np.ndarray:
    """Those of Keras' `MelSpectrogram`: float64 (length // 2 + 1, bands), triangles up to rate / 2.

    Their corners are equally far apart on HTK's mel scale, 1127 ln(1 + f / 700), from `lowest` Hz.
    """
    mel = 1127 * np.log1p(np.linspace(0, rate / 2, length // 2 + 1)[:, None] / 700)
    edges = np.linspace(1127 * np.log1p(lowest / 700), mel[-1, 0], bands + 2)
    rise = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall))
    filters[0] = 0  # the constant part of a signal is no sound
    return filters


def in_bands(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is not 0 in mel filters, (bins, bands): places int32 and weights, (bands, widest).

    They take a fifth of the room of the matrix. And no converter takes them for the weights of a
    product, whose other factor dynamic range quantization would round to 256 steps: most of a
    power spectrum then becomes 0, and its logarithm nonsense (chapter 18).
    """
    first = (filters > 0).argmax(axis=0)
    widest = int((filters > 0).sum(axis=0).max())
    places = np.minimum(first[:, None] + np.arange(widest), len(filters) - 1)
    weights = np.take_along_axis(filters.T, places, axis=1)
    weights[first[:, None] + np.arange(widest) >= len(filters)] = 0  # beyond the end
    return places.astype("int32"), weights.astype("float32")


def frame_length(rate: int) -> int:
    """Number of samples in a frame of at least 32 ms at `rate` samples per second; a power of 2."""
    return 2 ** (round(FRAME_SECONDS * rate) - 1).bit_length()


def _audio_conv(x: Tensor, units: int, tokens: bool) -> Tensor:
    x = layers.Reshape((*x.shape[1:], 1), name="one_channel")(x)
    x = strided(x, (16, 32, 64), (3, 3, 3))
    return picture_features(x, units, tokens)


def _audio_gru(x: Tensor, units: int, tokens: bool) -> Tensor:
    return layers.GRU(units, return_sequences=tokens, name="features")(x)


def _audio_transformer(x: Tensor, units: int, tokens: bool) -> Tensor:
    x = layers.Dense(units, name="project")(x)
    x = PositionEmbedding(name="position")(x)
    x = transformer_block(x, heads=4, name="block")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    return features_of(x, layers.GlobalAveragePooling1D(name="average"), units, tokens)


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
    """Waveform → features, by way of a log-mel spectrogram that is normalised clip by clip.

    Input: float (batch, samples) in [-1, 1], one channel; silence is allowed.
    Output: float (batch, units); with tokens (batch, places, units), where the places are frames,
    or, for "conv", the places of the last feature map.

    Args:
        samples: length of a clip in samples; at least one frame, which is `frame_length(rate)`
            samples and lasts 32 to 64 ms.
        rate: samples per second, at least 1000. For slower signals use `signal_branch`.
        encoder: "conv" (2-D convolutions over time and frequency), "gru" (Cho 2014) or
            "transformer" (Vaswani 2017).
        units: width of the output.
        tokens: keep one vector per place, for a fusion that attends to them.
        name: name of the model and of its input.

    Raises:
        ValueError: an unknown encoder, a size that is not a positive integer, a rate below 1000, a
            clip that is too short, or a name that TensorFlow cannot use.
    """
    build = choose("encoder", encoder, AUDIO_ENCODERS)
    samples, units = check_positive("samples", samples), check_positive("units", units)
    check_name("name", name)
    rate = check_positive("rate", rate)
    if rate < 1000:
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


def signal_branch(
    samples: int, *, units: int = 64, tokens: bool = False, name: str = "signal"
) -> keras.Model:
    """A waveform whose shape and level matter (ECG, breath, acceleration) → features.

    It has three 1-D convolutions with strides 5, 2 and 2, batch normalisation, and the average over
    time. Unlike in `audio_branch`, the input is not normalised: a millivolt stays a millivolt.

    Input: float (batch, samples), in a unit in which typical values are about 1, such as mV.
    Output: float (batch, units); with tokens (batch, places, units).

    Args:
        samples: length of the waveform, at least 20.
        units: width of the output.
        tokens: keep one vector per place, 20 samples apart, for a fusion that attends to them.
        name: name of the model and of its input.

    Raises:
        ValueError: a size that is not a positive integer, fewer than 20 samples, or a name
            that TensorFlow cannot use.
    """
    samples, units = check_positive("samples", samples), check_positive("units", units)
    check_name("name", name)
    if samples < 20:
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
    return keras.Model(waveform, features_of(x, pool, units, tokens), name=name)
