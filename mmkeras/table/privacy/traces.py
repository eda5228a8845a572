"""What commands wrote of a table because they were asked to: it is named, and never deleted."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import files
from .. import run as runs
from ..blocks import JOB

MOST_BYTES = 256 * 1024**2  # of a JSON file that is looked into
UNKNOWN = (
    "Not known to mmkeras: backups and snapshots; copies and renamed files; exported models; runs "
    "and predictions on other machines; reports that were sent; Keras models and features of your "
    "own code; and what a disk keeps of deleted files."
)


@dataclass(frozen=True)
class Trace:
    """A file or folder that holds traces, and which."""

    path: Path
    what: str


def find(csv: Path, folders: Sequence[Path]) -> list[Trace]:
    """Everything in these folders, and in those within them, that was made of this table.

    A run, an evaluation and a stopped prediction know the SHA-256 of their table; other files are
    known by the names that the commands give them.
    """
    digest = files.sha256(csv) if csv.is_file() else ""
    found: dict[Path, Trace] = {}
    for top in folders:
        for place, names, inside in os.walk(top):
            folder = Path(place)
            names[:] = sorted(name for name in names if not name.startswith("."))
            for trace in _here(folder, inside, csv, digest):
                found.setdefault(trace.path.resolve(), trace)
            if "settings.json" in inside and runs.TRAINING in names:
                names.remove(runs.TRAINING)  # a part of the run
    return list(found.values())


def _here(folder: Path, inside: Sequence[str], csv: Path, digest: str) -> Iterator[Trace]:
    stem = csv.stem
    if "settings.json" in inside and (how := _run(folder, csv, digest)):
        unfinished = folder.parent.name == runs.TRAINING
        yield Trace(folder.parent.parent if unfinished else folder, how)
    elif "metrics.json" in inside:
        data = _json(folder / "metrics.json").get("data")
        data = data if isinstance(data, dict) else {}
        if _same(data.get("sha256"), digest) or folder.name == f"{stem}.evaluation":
            yield Trace(folder, "an evaluation: an answer to each row")
    elif JOB in inside and folder.name.endswith(".blocks"):
        job = _json(folder / JOB)
        if _same(job.get("the table"), digest) or folder.name.startswith(f"{stem}.predicted"):
            yield Trace(folder, "a prediction that was stopped: answers to its rows")
    elif folder.name == f"{stem}.explained":
        yield Trace(folder, "explanations: rows with their texts, pictures and sounds")
    for name in sorted(inside):
        if name.startswith(f"{stem}.predicted") and name != csv.name:
            yield Trace(folder / name, "predictions: all cells of each row, and the answers")
        elif name.endswith(runs.LOCKED):
            yield Trace(folder / name, "a locked run, perhaps of this table: unlock it to see")


def _run(folder: Path, csv: Path, digest: str) -> str:
    """What a run holds of this table, or ""."""
    settings = _json(folder / "settings.json")
    if _same(settings.get("data_sha256"), digest):
        how = "a run that was trained on this table"
    elif settings.get("data") == csv.name and "format" in settings:
        how = "a run that was trained on a table of this name with other content, such as an "\
            "earlier version"  # fmt: skip
    else:
        return ""
    table = settings.get("table")
    words = (table.get("vocabulary") if isinstance(table, dict) else None) or ()
    held = ["its weights"]
    held += [f"{len(words):,} words of its texts in settings.json"] if words else []
    if (folder / "test_predictions.csv").exists():
        held.append("an answer to each row of the test part in test_predictions.csv")
    if (folder / "data_card.md").exists():
        held.append("counts of its rows and columns in data_card.md")
    return f"{how}: {', '.join(held)}"


def _same(noted: Any, digest: str) -> bool:
    return bool(digest) and noted == digest


def _json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file; {} for whatever else is there."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
