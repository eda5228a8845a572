"""Models: branches, a fusion and heads put together into one `keras.Model`.

The import registers the layers of branches too, so that `keras.saving.load_model` knows them.
"""

from .. import branches as branches
from .build import Head, multimodal_model
from .model import MultimodalModel

__all__ = ["Head", "MultimodalModel", "multimodal_model"]
