"""Pretrained encoders as plain Keras models, their features kept on disk, their fine-tuning."""

from .efficientnet_lite0 import efficientnet_lite0
from .features import cached_features
from .fine_tuning import unfreeze
from .minilm_l6 import bert_encoder, minilm_l6, minilm_tokenizer
from .whisper import whisper_tiny
from .whisper_decoder import transcribe
from .wordpiece import WordPiece

__all__ = [
    "WordPiece",
    "bert_encoder",
    "cached_features",
    "efficientnet_lite0",
    "minilm_l6",
    "minilm_tokenizer",
    "transcribe",
    "unfreeze",
    "whisper_tiny",
]
