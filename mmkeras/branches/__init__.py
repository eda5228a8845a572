"""Branches: one small encoder per modality, each a plain functional `keras.Model`.

A branch takes one raw modality and gives `units` features. All scaling is inside, so what goes in
is what a file holds: word ids, pixels from 0 to 255, a waveform from -1 to 1. Every branch is
finite on empty text, black pictures and silence, and one sample's features never depend on the
other samples of its batch at inference.
"""

from ..attention import PositionEmbedding
from .audio import (
    AUDIO_ENCODERS,
    FRAME_SECONDS,
    HOP_SECONDS,
    MEL_BANDS,
    LogMel,
    audio_branch,
    frame_length,
    signal_branch,
)
from .fixed import MeanAndSpread, Standardise, TfIdfSum, inverse_frequency
from .image import IMAGE_ENCODERS, PATCH, SMALLEST, image_branch
from .parts import FEW_STEPS, UnitLength, transformer_block
from .text import (
    TEXT_ENCODERS,
    BackInPlace,
    MaskedAverage,
    MaskedTokens,
    PaddingMask,
    WordsFirst,
    text_branch,
)
from .vector import vector_branch
from .whisper_mel import WhisperLogMel

__all__ = [
    "AUDIO_ENCODERS",
    "FEW_STEPS",
    "FRAME_SECONDS",
    "HOP_SECONDS",
    "IMAGE_ENCODERS",
    "MEL_BANDS",
    "PATCH",
    "SMALLEST",
    "TEXT_ENCODERS",
    "BackInPlace",
    "LogMel",
    "MaskedAverage",
    "MaskedTokens",
    "MeanAndSpread",
    "PaddingMask",
    "PositionEmbedding",
    "Standardise",
    "TfIdfSum",
    "UnitLength",
    "WhisperLogMel",
    "WordsFirst",
    "audio_branch",
    "frame_length",
    "image_branch",
    "inverse_frequency",
    "signal_branch",
    "text_branch",
    "transformer_block",
    "vector_branch",
]
