"""The rows on which exported files are compared: those on which the training was stopped."""

import argparse
import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import files
from ..command import RunError, reading_of
from ..options import parser as training_parser

EXAMPLES = 100  # training rows that show an int8 file which numbers occur


@dataclass(frozen=True)
class Source:
    """A CSV, and the options of the training if it is the one that the model was trained on."""

    csv: Path
    trained: argparse.Namespace | None


@dataclass(frozen=True)
class Rows:
    """Inputs by name, (n, …), with their classes, int (n,); and rows to choose 8-bit ranges by."""

    x: dict[str, np.ndarray]
    y: np.ndarray
    examples: dict[str, np.ndarray]
    what: str


def find(options: argparse.Namespace, settings: dict[str, Any]) -> Source:
    """The CSV to read; raises RunError if there is none, or if it has changed."""
    then = _options(settings)
    known = settings.get("data_sha256")
    if options.csv:
        if not options.csv.is_file():
            raise RunError(f"there is no CSV at {options.csv}")
        return Source(options.csv, then if files.sha256(options.csv) == known else None)
    places = [options.run.parent / settings.get("data", "")]
    places += [then.csv] if then else []
    there = [path for path in places if path.is_file()]
    if not there:
        raise RunError(
            f"the CSV of the training is neither {' nor '.join(map(str, places))}: name it with "
            "--csv, or another CSV with a label, to compare the files with the model on its rows"
        )
    same = [path for path in there if files.sha256(path) == known]
    if not same or then is None:
        raise RunError(
            f"{there[0]} is not the file that the model was trained on, so its validation rows are "
            f"unknown: name that file, or this one for all of its rows, with --csv {there[0]}"
        )
    return Source(same[0], then)


def _options(settings: dict[str, Any]) -> argparse.Namespace | None:
    """The options of the training; None if the command that it kept is none of ours."""
    words = shlex.split(settings.get("command", ""))
    if words[:2] != ["mmkeras", "train"]:
        return None
    try:
        return training_parser().parse_args(words[2:])
    except SystemExit:
        return None


def read(options: argparse.Namespace, settings: dict[str, Any], source: Source) -> Rows:
    """At most `options.rows` rows, evenly spread over the validation part, or over the file.

    Raises:
        RunError: the rows fall into other parts than in the training.
        TableError: the CSV or its files have problems.
    """
    table = _table(options, settings, source)
    if source.trained is None:
        x, y = _spread(table, "test", options.rows)
        few = {name: value[:EXAMPLES] for name, value in x.items()}
        return Rows(x, y, few, "all rows of a file that the model was not trained on")
    _same_parts(options.run, table)
    x, y = _spread(table, "valid", options.rows)
    examples, _ = _spread(table, "train", EXAMPLES)
    return Rows(x, y, examples, "the validation part")


def _table(options: argparse.Namespace, settings: dict[str, Any], source: Source) -> Any:
    from ..loader import load_table

    then = source.trained
    how: dict[str, Any] = {"fractions": (0, 0, 1)}
    reading = reading_of(options)
    if then is not None:
        how = {key: getattr(then, key) for key in
               ("split", "group", "seed", "least_rows", "allow_duplicates")}  # fmt: skip
        skip = options.skip_bad_rows or then.skip_bad_rows
        reading["on_error"] = "skip" if skip else "raise"
        reading["allow_outside"] |= then.allow_outside
        for key in ("max_audio_seconds", "max_file_bytes"):
            reading[key] = max(reading[key], getattr(then, key))
    return load_table(
        source.csv,
        label=settings["label"],
        encoding=options.encoding or settings["encoding"],
        delimiter=options.delimiter or settings["delimiter"],
        **how,
        **reading,
        **settings["table"],
    )


def _same_parts(run: Path, table: Any) -> None:
    """Raise RunError unless each part has as many rows as it had in the training."""
    try:
        then = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError):
        return  # the run of one seed has no metrics
    now = {name: int(n) for name, n in table.parts.items()}
    if {name: then.get(name) for name in now} != now:
        raise RunError(
            f"the rows fall into other parts than in the training ({now}, then {then}): pictures "
            "or recordings may be gone; name another CSV with --csv"
        )


def _spread(table: Any, part: str, most: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """At most so many rows of a part, evenly spread over it."""
    step, done = max(1, math.ceil(table.parts[part] / most)), 0
    kept: list[Any] = []
    for x, y in table.dataset(part, shuffle=False).as_numpy_iterator():
        here = np.arange((-done) % step, len(y), step)
        kept.append(({name: value[here] for name, value in x.items()}, y[here]))
        done += len(y)
    x = {name: np.concatenate([batch[name] for batch, _ in kept]) for name in kept[0][0]}
    return x, np.concatenate([y for _, y in kept])
