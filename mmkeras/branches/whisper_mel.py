"""What Whisper hears: a waveform → its log-mel spectrogram.

It stands here, and not beside `whisper_tiny`, so that saved models load where no pretrained encoder
was imported. Sources: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak
Supervision", 2022, arXiv:2212.04356; the mel scale: M. Slaney, "Auditory Toolbox", 1998.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..composite import Tensor
from ..formats.tracing import kept_float

RATE, FRAME, HOP = 16_000, 400, 160  # samples per second, per window (25 ms), per step (10 ms)
BANDS = 80


@keras.saving.register_keras_serializable("mmkeras")
class WhisperLogMel(layers.Layer):
    """Waveform (batch, samples) in [-1, 1], 16 kHz → log-mel spectrogram (batch, frames, bands).

    100 frames per second, samples // 160 of them, each of 25 ms around its place; the clip is
    mirrored at its ends. log10 of the power in each band, at least 1e-10 and at most 8 below the
    maximum of the *same clip*, then (x + 4) / 4: about -1 to 1.5. Silence gives -1.5 throughout.

    The Fourier transform of 400 samples is a convolution with 201 cosines and 201 sines: as exact
    as a fast one in float32, and every export format knows it. Works in float32 whatever the
    policy. No weights.

    Args:
        bands: number of mel bands.
    """

    stays_float = True  # in a file of 8-bit integers, see mmkeras.formats

    def __init__(self, bands: int = BANDS, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.bands = bands
        turn = 2 * np.pi * np.arange(FRAME) / FRAME
        waves = np.outer(turn, np.arange(FRAME // 2 + 1))
        window = (1 - np.cos(turn)) / 2  # Hann
        both = np.concatenate([np.cos(waves), np.sin(waves)], axis=1) * window[:, None]
        self.waves = both[:, None].astype("float32")
        self.filters = slaney_filters(bands).T.astype("float32")

    def call(self, waveform: Tensor) -> Tensor:
        waves, filters = kept_float(self.waves, waveform), kept_float(self.filters, waveform)
        # Whisper mirrors 200 samples at both ends and drops the last frame, which is the same.
        x = ops.pad(waveform, [[0, 0], [FRAME // 2, FRAME // 2 - HOP]], mode="reflect")
        x = ops.square(ops.conv(x[..., None], waves, strides=HOP, padding="valid"))
        power = x[..., : FRAME // 2 + 1] + x[..., FRAME // 2 + 1 :]
        log = ops.log10(ops.maximum(ops.matmul(power, filters), 1e-10))
        log = ops.maximum(log, ops.max(log, axis=(1, 2), keepdims=True) - 8)
        return (log + 4) / 4

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bands": self.bands}


def slaney_filters(bands: int) -> np.ndarray:
    """Triangles over the 201 frequencies of a spectrum, of equal area: float64 (bands, 201).

    Their edges are equally far from each other on Slaney's scale, which is linear up to 1 kHz (15
    steps) and logarithmic from there on (27 steps for a factor of 6.4), from 0 to 8 kHz.
    """
    top = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    mel = np.linspace(0, top, bands + 2)
    edges = np.where(mel < 15, mel * 1000 / 15, 1000 * 6.4 ** ((mel - 15) / 27))
    hertz = np.linspace(0, RATE / 2, FRAME // 2 + 1)
    return np.stack([
        np.interp(hertz, edges[i : i + 3], [0, 2 / (edges[i + 2] - edges[i]), 0])
        for i in range(bands)
    ])  # fmt: skip
