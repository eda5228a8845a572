"""The command `mmkeras predict`: write a CSV again, with the answer of a trained run in each row.

    mmkeras predict weather/run weather/new.csv

It adds a column `prediction` and a column `probability_<class>` per class. If the file lacks a
column, that is an error, or with --allow-missing-columns a modality that no row has. With
--skip-bad-rows a row that cannot be read stays in the output, with an empty prediction and the
reason in one more column, `problem`.
"""

import argparse
import codecs
import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..usage import Parser
from . import run as runs
from .command import STATUS, RunError, add_reading, add_run_and_csv, exit_status, reading_of

if TYPE_CHECKING:  # imported by the functions that need them, so that --help appears at once
    import pandas as pd

MISSING = (
    "The model was trained with it. Name the column as in the training, or let every row go "
    "without: --allow-missing-columns"
)
PREDICTION, PROBABILITY, PROBLEM = "prediction", "probability_", "problem"


def predict(
    model: Any, settings: dict[str, Any], path: Path, **reading: Any
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """The probabilities of every row of a CSV.

    Args:
        model, settings: from `run.load`.
        path: the CSV, with the columns that the model was trained on.
        reading: arguments of `load_table`, such as on_error or encoding; the others are as in
            training.

    Returns:
        Two DataFrames: the probabilities, with a float column per class and the row number in the
        file (the header is 1) as index; and the problems, with columns row, column, value, reason.

    Raises:
        TableError: rows cannot be read, or a column is missing; the error lists all problems.
    """
    import numpy as np
    import pandas as pd

    from .loader import load_table
    from .measure import probabilities
    from .problems import in_words

    as_trained = {key: settings[key] for key in ("encoding", "delimiter")}
    table = load_table(path, label=None, **as_trained | reading, **settings["table"])
    classes = settings["classes"]
    found = [np.empty((0, len(classes)))]
    if len(table):
        for x in table.dataset("all").as_numpy_iterator():
            found.append(probabilities(model, x, len(classes)))
    answers = pd.DataFrame(np.concatenate(found), index=table.rows["row"], columns=classes)
    return answers, in_words(table.report, trained=True)


def joined(
    records: dict[int, list[str]], answers: "pd.DataFrame", problems: "pd.DataFrame"
) -> list[list[str]]:
    """The records, each with its answer, and with a last column `problem` if there are problems.

    Raises:
        RunError: the input already has a column with the name of one that is added.
    """
    import pandas as pd

    (_, header), *rows = records.items()
    reasons: dict[int, list[str]] = {
        row: ["all cells are blank"] for row, cells in rows if not any(map(str.strip, cells))
    }
    for row, column, _, reason in problems.itertuples(index=False):
        if not pd.isna(row):
            reasons.setdefault(int(row), []).append(f"{column}: {reason}" if column else reason)
    added = [PREDICTION, *(f"{PROBABILITY}{name}" for name in answers.columns)]
    added += [PROBLEM] if reasons else []
    same = [name for name in header if name.strip() in added]
    if same:
        raise RunError(
            f"the CSV already has a column {same[0]!r}, which the answers need: rename it"
        )
    best = answers.columns[answers.to_numpy().argmax(axis=1)] if len(answers) else []
    said = {
        int(row): [name, *(f"{p:.6f}" for p in ps)]
        for row, name, ps in zip(answers.index, best, answers.to_numpy(), strict=True)
    }
    out = [[*header, *added]]
    for row, cells in rows:
        if row not in said and row not in reasons:
            raise AssertionError(f"row {row} has neither an answer nor a problem")
        cells = [*cells[: len(header)], *[""] * (len(header) - len(cells))]
        answer = said.get(row, [""] * (1 + len(answers.columns)))
        why = ["; ".join(reasons.get(row, []))] if reasons else []
        out.append([*cells, *answer, *why])
    return out


def write(path: Path, rows: list[list[str]], encoding: str, delimiter: str) -> str:
    """Write the whole file or nothing; return its encoding (UTF-8 with BOM if names need it)."""
    if encoding != "utf-8":
        try:
            "".join(cell for row in rows for cell in row).encode(encoding, "surrogateescape")
        except UnicodeEncodeError:
            encoding = "utf-8-sig"
    with files.whole(path, "w", newline="", encoding=encoding, errors="surrogateescape") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return encoding


def codec_of(path: Path, encoding: str) -> str:
    """The encoding with which to write a CSV like this one, with or without byte-order mark."""
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        with path.open("rb") as file:
            return "utf-8-sig" if file.read(3) == codecs.BOM_UTF8 else "utf-8"
    return encoding


# ------------------------------------------------------------------------------ command line


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras predict",
        description="Predict every row of a CSV with a model that mmkeras train made: add a "
        "column prediction and a column probability_<class> for each class.",
        epilog="Example: mmkeras predict weather/run weather/new.csv. The columns are those of the "
        f"training, and the output is encoded as the input is. {STATUS}",
    )
    add_run_and_csv(p, "new.csv", "rows to answer")
    p.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: "
                   "new.predicted.csv, beside the CSV)")  # fmt: skip
    p.add_argument("--force", action="store_true", help="replace the output file")
    p.add_argument("--allow-missing-columns", action="store_true", help="take a column of the "
                   "training that the file lacks for blank in every row")  # fmt: skip
    add_reading(p.add_argument_group("reading").add_argument, trained="as in training")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `parser`."""
    options = parser().parse_args(argv)
    out = options.out or options.csv.with_suffix(f".predicted{options.csv.suffix}")
    advice = "" if options.skip_bad_rows else "To answer the other rows: --skip-bad-rows"
    return exit_status(
        lambda: _run(options, out),
        advice=advice,
        hints={"no such column": MISSING},
        trained=True,
        stopped=f"{out} was not written",
    )


def check_output(out: Path, csv: Path, force: bool) -> None:
    """Raise RunError if the file could not be written, before anything is computed."""
    if out.is_dir():
        raise RunError(f"{out} is a folder; name a file with --out")
    if not out.parent.is_dir():
        raise RunError(f"there is no folder {out.parent} to write {out.name} into; make it, or "
                       "name another file with --out")  # fmt: skip
    if not os.access(out.parent, os.W_OK):
        raise RunError(f"nothing can be written to {out.parent}; name another file with --out")
    if out.exists() and not force:
        raise RunError(f"{out} exists; name another file with --out, or --force")
    if out.exists() and os.path.samefile(out, csv):
        raise RunError(f"{out} is the input itself; name another file with --out")


def _run(options: argparse.Namespace, out: Path) -> None:
    """Run the command, except for the handling of errors."""
    from .reading import header_of, read_records

    if not options.csv.is_file():
        raise RunError(f"there is no CSV at {options.csv}")
    check_output(out, options.csv, options.force)
    runs.read_settings(options.run)  # its faults are reported before TensorFlow is loaded
    import mmkeras as mm

    mm.start()
    model, settings = runs.load(options.run)
    codec = options.encoding or settings["encoding"]
    mark = options.delimiter or settings["delimiter"]
    reading = reading_of(options) | {"encoding": codec, "delimiter": mark}
    missing = options.allow_missing_columns
    answers, problems = predict(
        model, settings, options.csv, allow_missing_columns=missing, **reading
    )
    records = dict(read_records(options.csv, codec, mark))
    header = header_of(records[min(records)])
    for column in runs.inputs_of(settings):
        if column not in header:
            print(f"There is no column {column!r}: every row goes without it.")
    wanted = codec_of(options.csv, codec)
    used = write(out, joined(records, answers, problems), wanted, mark)
    bad = len(records) - 1 - len(answers)
    left = f", {bad} with problems left empty" if bad else ""
    print(f"Wrote {out}: {len(answers)} row{'s' * (len(answers) != 1)} answered{left}")
    if used != wanted:
        print(f"It is in UTF-8: {wanted} has no letters for a name of a class.")
