"""Files of other formats, run by the programs that they are made for."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
Answer = Callable[[Arrays], np.ndarray]


def lacking(format: str) -> str | None:
    """What must be installed to write and to run a format, with the command; None if it is here."""
    if format == "onnx":
        absent = [p for p in ("onnx", "tf2onnx", "onnxruntime") if not importlib.util.find_spec(p)]
    elif format.startswith("litert"):
        absent = [] if _litert_runtime() else ["ai-edge-litert"]
    else:
        absent = []
    if not absent:
        return None
    return f"it needs {' and '.join(absent)}: python -m pip install {' '.join(absent)}"


def loaded(format: str, path: str | Path) -> Answer:
    """The file as a function: arrays by input name → the first output, (batch, …).

    Args:
        format: a key of `FORMATS`.
        path: what `written` wrote.
    """
    if format == "savedmodel":
        return _saved_model(Path(path))
    return _onnx(Path(path)) if format == "onnx" else _litert(Path(path))


def runtime(format: str) -> str:
    """The name and the version of the program that runs a format."""
    if format == "onnx":
        return f"onnxruntime {importlib.import_module('onnxruntime').__version__}"
    if format.startswith("litert") and (found := _litert_runtime()) != "tensorflow.lite":
        from importlib.metadata import version

        return f"{found.partition('.')[0].replace('_', '-')} {version('ai-edge-litert')}"
    import tensorflow as tf

    return f"tensorflow {tf.__version__}"


def size_of(path: str | Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    path = Path(path)
    return sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*"))
               if p.is_file())  # fmt: skip


def _saved_model(path: Path) -> Answer:
    import tensorflow as tf

    whole = tf.saved_model.load(str(path))
    served = whole.signatures["serving_default"]

    def answer(x: Arrays, whole: Any = whole) -> np.ndarray:  # it holds the variables
        out = served(**{name: tf.constant(value) for name, value in x.items()})
        return np.asarray(next(iter(out.values())))

    return answer


def _litert_runtime() -> str:
    """The module with the interpreter: the package for devices, or the one inside TensorFlow."""
    if importlib.util.find_spec("ai_edge_litert"):
        return "ai_edge_litert.interpreter"
    import tensorflow as tf

    return "tensorflow.lite" if hasattr(getattr(tf, "lite", None), "Interpreter") else ""


def _litert(path: Path) -> Answer:
    name = _litert_runtime()
    if name == "tensorflow.lite":
        import tensorflow as tf

        interpreter = tf.lite.Interpreter
    else:
        interpreter = importlib.import_module(name).Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own says that it will move
        run = interpreter(str(path)).get_signature_runner()

    def answer(x: Arrays) -> np.ndarray:
        return np.asarray(next(iter(run(**x).values())))

    return answer


def _onnx(path: Path) -> Answer:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def answer(x: Arrays) -> np.ndarray:
        return np.asarray(session.run(None, dict(x))[0])

    return answer
