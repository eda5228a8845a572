"""Models: branches, a fusion and heads put together into one `keras.Model`."""

from .build import Head, multimodal_model
from .model import MultimodalModel

__all__ = ["Head", "MultimodalModel", "multimodal_model"]
