"""Each format is written, loaded again, compared and timed; what differs too much is put aside."""

import argparse
import importlib.metadata
import platform
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ... import formats
from ...formats.compare import BATCHES, answers
from ...formats.litert import quiet
from ...formats.load import runtime
from .rows import Rows

Answer = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def export(
    options: argparse.Namespace, model: Any, settings: dict[str, Any], rows: Rows, folder: Path
) -> dict[str, Any]:
    """The content of export.json; the files are in the folder, refused ones as *.refused."""
    import tensorflow as tf

    x, examples = (
        {tensor.name: np.asarray(of[tensor.name], tensor.dtype) for tensor in model.inputs}
        for of in (rows.x, rows.examples)
    )
    graph = tf.function(lambda given: model(given, training=False), autograph=False)

    def keras(given: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(graph({name: tf.constant(value) for name, value in given.items()}))

    want = answers(keras, x)
    right = formats.compared(want, want, rows.y).accuracy
    found = {}
    for format in options.to:
        print(f"  {format} …", flush=True)
        path = folder / formats.FORMATS[format]
        found[format] = one(format, model, path, x, examples, rows.y, want, options.tolerance)
    _ratios(model, found)
    return {
        "format": 1,
        "run": options.run.resolve().name,
        "data": settings.get("data"),
        "rows": len(rows.y),
        "part": rows.what,
        "tolerance": options.tolerance,
        "classes": settings["classes"],
        "inputs": [
            {"name": t.name, "shape": [None, *t.shape[1:]], "dtype": t.dtype} for t in model.inputs
        ],
        "keras": {
            "bytes": formats.size_of(options.run / "model.keras"),
            "accuracy": right,
            **_times(keras, x),
        },
        "formats": found,
        "versions": {name: importlib.metadata.version(name) for name in ("tensorflow", "keras")},
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def one(
    format: str,
    model: Any,
    path: Path,
    x: Mapping[str, np.ndarray],
    examples: Mapping[str, np.ndarray],
    y: np.ndarray,
    want: np.ndarray,
    points: float,
) -> dict[str, Any]:
    """The entry of a format: its numbers, and in `refused` why it cannot be trusted, if so."""
    if why := formats.lacking(format):
        return {"file": None, "refused": [why]}
    try:
        with quiet():
            formats.written(model, format, path, examples)
    except Exception as error:  # whatever a converter raises is a reason to refuse
        return {"file": None, "refused": [_line(error)]}
    entry: dict[str, Any] = {"file": path.name, "bytes": formats.size_of(path), "refused": []}
    try:
        with quiet():
            run = formats.loaded(format, path)
            got = answers(run, x)
        entry["runtime"] = runtime(format)
        comparison = formats.compared(got, want, y)
        entry["refused"] = comparison.faults(formats.Limits.of(format, points))
        if np.isfinite(comparison.difference):
            entry |= {name: getattr(comparison, name) for name in
                      ("difference", "changed", "agreement", "accuracy", "lost")}  # fmt: skip
        entry |= _times(run, x)
    except Exception as error:  # nor can a file be trusted that does not load or run
        entry["refused"] = [f"it does not run: {_line(error)}"]
    if entry["refused"]:
        aside = path.with_name(f"{path.name}.refused")
        path.rename(aside)
        entry["file"] = aside.name
    return entry


def _times(run: Answer, x: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {f"ms_{batch}": formats.latency(run, x, batch) for batch in BATCHES}


def _ratios(model: Any, found: dict[str, dict[str, Any]]) -> None:
    """The size of each file, in relation to the float32 file of the same kind."""
    whole = {name: entry["bytes"] for name, entry in found.items() if entry.get("bytes")}
    smaller = [name for name in whole if name.startswith("litert-")]
    if smaller and "litert" not in whole:
        with tempfile.TemporaryDirectory() as folder, quiet():
            path = formats.written(model, "litert", Path(folder) / "model.tflite")
            whole["litert"] = formats.size_of(path)
    for name in found:
        if name in whole:
            base = whole["litert"] if name in smaller else whole[name]
            found[name]["ratio"] = whole[name] / base


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
