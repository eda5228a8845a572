"""Pretrained encoders as plain Keras models, and their features kept on disk."""

from .efficientnet_lite0 import efficientnet_lite0
from .features import cached_features

__all__ = ["cached_features", "efficientnet_lite0"]
