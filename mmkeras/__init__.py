"""Multimodal deep learning in Keras 3: branches, fusion, heads.

Importing the package is quick, because TensorFlow is loaded only when a name that needs it is used.
The import sets two defaults in the environment, which take effect only if they are set before
TensorFlow is loaded. TensorFlow's oneDNN kernels keep their default: they are on for x86
processors, where convolutions then train in about half the time. `TF_ENABLE_ONEDNN_OPTS=0` switches
them off.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors only

__version__ = "1.0.0"

_MODULES = (
    "assets attention branches checks compression datasets evaluate explain formats fusion "
    "generation missing models plots pretrained retrieval session table training"
).split()
_HOME = {
    "start": "session",
    "text_branch": "branches",
    "image_branch": "branches",
    "audio_branch": "branches",
    "signal_branch": "branches",
    "vector_branch": "branches",
    "fuse": "fusion",
    "multimodal_model": "models",
    "load_table": "table",
}
# The parts of a model run on every backend of Keras; these need TensorFlow.
_ON_TENSORFLOW = "compression explain formats generation pretrained retrieval training".split()
__all__ = ["__version__", *_MODULES, *_HOME]

if TYPE_CHECKING:  # for editors and type checkers, which do not run __getattr__
    from . import (
        assets,
        attention,
        branches,
        checks,
        compression,
        datasets,
        evaluate,
        explain,
        formats,
        fusion,
        generation,
        missing,
        models,
        plots,
        pretrained,
        retrieval,
        session,
        table,
        training,
    )
    from .branches import audio_branch, image_branch, signal_branch, text_branch, vector_branch
    from .fusion import fuse
    from .models import multimodal_model
    from .session import start
    from .table import load_table


def __getattr__(name: str) -> Any:
    home = name if name in _MODULES else _HOME.get(name)
    if home in _ON_TENSORFLOW:
        importlib.import_module(".session", __name__).require_tensorflow()
    if home == name:
        return importlib.import_module(f".{name}", __name__)
    if home is not None:
        return getattr(importlib.import_module(f".{home}", __name__), name)
    raise AttributeError(f"module 'mmkeras' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
