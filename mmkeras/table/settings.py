"""The content of a run's settings.json: how to read new rows, and every setting of the training."""

import argparse
import datetime
import importlib.metadata
import platform
from typing import Any

from .. import __version__, files
from . import run as runs


def settings_of(
    options: argparse.Namespace, choice: Any, table: Any, weights: Any
) -> dict[str, Any]:
    """The content of settings.json; `table` is what `load_table` needs to read new rows."""
    from ..session import device
    from .prepare import ROLES, roles_of

    packages = ("tensorflow", "keras", "numpy", "pandas")
    by_column = f"by the column {options.split!r}" if options.split else (
        f"drawn by chance{', whole groups' if options.group else ''}, stratified by class "
        f"(seed {options.seed})"
    )  # fmt: skip
    roles = roles_of(options)
    counts = table.rows.loc[table.rows["part"] == "train", "label"].value_counts()
    return {
        "format": runs.FORMAT,
        "table": table.settings,
        "modalities": list(table.modalities),
        "classes": table.classes,
        "encoding": options.encoding,
        "delimiter": options.delimiter,
        "data": options.csv.name,
        "data_sha256": files.sha256(options.csv),
        "learned": {name: int(counts.get(name, 0)) for name in table.classes},
        **roles,
        "columns": choice.columns,
        "numbers": list(choice.numbers),
        "categories": list(choice.categories),
        "columns_chosen": {
            **{m: [column, choice.why[m]] for m, column in choice.columns.items()},
            **_numbers_chosen(choice),
            **{role: [column, ROLES[role]] for role, column in roles.items() if column},
            **{f"not used: {c}": [kind.name, kind.why] for c, kind in choice.unused.items()},
        },
        "how_split": by_column,
        "fusion": options.fusion,
        "image_encoder": options.image_encoder,
        "parameters": parameters(options, table, weights),
        "day": datetime.date.today().isoformat(),
        "device": device(),
        "command": options.command,
        "versions": {
            "mmkeras": __version__,
            "Python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def _numbers_chosen(choice: Any) -> dict[str, list[str]]:
    """The modality "numbers" as the report shows it: its columns, and why they were chosen."""
    kinds = [("number", choice.numbers), ("category", choice.categories)]
    seen = [f"{column!r} is a {kind}: {why}" for kind, of in kinds for column, why in of.items()]
    columns = [*choice.numbers, *choice.categories]
    return {"numbers": [", ".join(columns), "; ".join(seen)]} if columns else {}


def parameters(options: argparse.Namespace, table: Any, weights: Any) -> dict[str, Any]:
    """Every setting that affects the result, in one flat dict, for JSON and for a table."""
    s, there = table.settings, table.modalities
    sizes: dict[str, Any] = {}
    if "text" in there:
        sizes |= {"words": s["words"], "tokens": s["tokens"], "vocabulary": len(table.vocabulary)}
    if "image" in there:
        sizes |= {"image size": s["image_size"][0]}
    if "audio" in there:
        sizes |= {"audio rate (Hz)": s["audio_rate"], "audio length (s)": s["audio_seconds"]}
    if "numbers" in there:
        sizes |= {"number features": len(table.number_names)}
    return {
        **sizes,
        "encoders": options.encoders,
        **(_network(options, table) if options.encoders == "scratch" else {}),
        "time limit (s)": options.time_limit,
        "class weights": "equal" if weights is None else "balanced",
        "seed": options.seed,
        "least rows of a class": options.least_rows,
        "groups of people": ", ".join(options.groups) or None,
        "equal rows on both sides": options.allow_duplicates,
        "longest recording (s)": options.max_audio_seconds,
        "largest file (bytes)": options.max_file_bytes,
    }


def _network(options: argparse.Namespace, table: Any) -> dict[str, Any]:
    """Of a network from scratch."""
    from .fit import DROPOUT, batch_size, patience

    image = {"image encoder": options.image_encoder} if "image" in table.modalities else {}
    return {
        **image,
        "fusion": options.fusion,
        "dropout": DROPOUT,
        "optimiser": "Adam",
        "learning rate": options.learning_rate,
        "batch size": batch_size(table, options),
        "epochs, at most": options.epochs,
        "patience (epochs)": patience(options.epochs),
        "seeds": options.seeds,
    }
