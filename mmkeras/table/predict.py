"""A trained run and a CSV in, the same CSV with an answer in each row out.

    mmkeras predict weather/run weather/new.csv

Adds a column `prediction` and one `probability_<class>` a class. A column that the file does not
have is a modality that no row has. With --skip-bad-rows a row that cannot be read stays in the
output, with an empty prediction and the reason in one more column, `problem`.
"""

import argparse
import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command import Parser, RunError, delimiter, encoding, exit_status

if TYPE_CHECKING:  # loaded by the functions that need them: --help comes at once
    import pandas as pd

PREDICTION, PROBABILITY, PROBLEM = "prediction", "probability_", "problem"


def load_run(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The model and the settings of a folder that `mmkeras train` wrote.

    Raises:
        RunError: it is no such folder, or from a newer version of this package.
    """
    from .train import FORMAT

    file = folder / "settings.json"
    if not file.is_file() or not (folder / "model.keras").is_file():
        raise RunError(
            f"{folder} is not a run of mmkeras train: it needs model.keras and {file.name}"
        )
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        version = settings["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged: {error}") from None
    if version != FORMAT:
        raise RunError(f"{file} has format {version!r}, but this mmkeras reads {FORMAT}")
    import keras

    from .. import models  # noqa: F401  registers our classes

    try:
        return keras.saving.load_model(folder / "model.keras"), settings
    except (ValueError, OSError, TypeError) as error:
        raise RunError(f"{folder / 'model.keras'} cannot be loaded: {error}") from None


def predict(
    model: Any,
    settings: dict[str, Any],
    path: Path,
    *,
    skip_bad_rows: bool = False,
    allow_outside: bool = False,
    encoding: str | None = None,
    delimiter: str | None = None,
    cache: bool = True,
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Probabilities of every row of a CSV.

    Args:
        model, settings: from `load_run`.
        path: the CSV, with some of the columns that the model was trained on.
        skip_bad_rows: go on without rows that cannot be read, instead of raising.
        allow_outside: paths may leave the folder of the CSV.
        encoding, delimiter: of the CSV; None: as in training.
        cache: keep decoded copies of the files, see `load_table`.

    Returns:
        Two DataFrames: by row number in the file (the header is 1), a float column a class; and
        the problems, with columns row, column, value, reason.

    Raises:
        TableError: the rows that cannot be read, all of them.
    """
    import numpy as np
    import pandas as pd

    from .loader import load_table
    from .measure import probabilities

    table = load_table(
        path,
        label=None,
        on_error="skip" if skip_bad_rows else "raise",
        allow_missing_columns=True,
        allow_outside=allow_outside,
        encoding=encoding or settings["encoding"],
        delimiter=delimiter or settings["delimiter"],
        cache=None if cache else False,
        **settings["table"],
    )
    classes = settings["classes"]
    found = [np.empty((0, len(classes)))]
    if len(table):
        for x in table.dataset("all").as_numpy_iterator():
            found.append(probabilities(model, x, len(classes)))
    answers = pd.DataFrame(np.concatenate(found), index=table.rows["row"], columns=classes)
    return answers, table.report


def read_records(path: Path, encoding: str, delimiter: str) -> dict[int, list[str]]:
    """Row number → cells, the header first; empty lines are left out, rows of blank cells are not.

    Bytes that are not of this encoding are kept as they are.
    """
    codec = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    with path.open(encoding=codec, errors="surrogateescape", newline="") as stream:
        records = enumerate(csv.reader(stream, delimiter=delimiter), start=1)
        found = {row: cells for row, cells in records if cells}
    header = next(row for row, cells in found.items() if any(map(str.strip, cells)))
    return {row: cells for row, cells in found.items() if row >= header}


def joined(
    records: dict[int, list[str]], answers: "pd.DataFrame", problems: "pd.DataFrame"
) -> list[list[str]]:
    """The records, each with its answer; the last column is there if there are problems.

    Raises:
        RunError: a column of the input has the name of one that is added.
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
        raise RunError(f"the CSV has a column {same[0]!r} already, which is to be added: rename it")
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


def write(path: Path, rows: list[list[str]], delimiter: str) -> None:
    """The whole file or nothing; UTF-8."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file, delimiter=delimiter).writerows(rows)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras predict",
        description="Answer every row of a CSV with a model that mmkeras train made: adds a "
        "column prediction and a probability_<class> for each class.",
        epilog="Example: mmkeras predict weather/run weather/new.csv. The columns are "
        "those of the training; one that is missing altogether is absent in every row. Exit "
        "status: 0 done, 1 the data has problems, 2 wrong usage, 130 stopped by Ctrl-C.",
    )
    p.add_argument("run", type=Path, metavar="RUN", help="folder that mmkeras train wrote")
    p.add_argument("csv", type=Path, metavar="new.csv", help="rows to answer")
    p.add_argument("--out", type=Path, metavar="FILE", help="default: new.predicted.csv beside it")
    p.add_argument("--skip-bad-rows", action="store_true",
                   help="rows that cannot be read get no answer, but a reason")  # fmt: skip
    p.add_argument("--allow-outside", action="store_true", help="paths may leave the CSV's folder")
    p.add_argument(
        "--encoding",
        type=encoding,
        metavar="NAME",
        help="of the CSV (default: as in training)",
    )
    p.add_argument(
        "--delimiter",
        type=delimiter,
        metavar="MARK",
        help="of the CSV (default: as in training)",
    )
    p.add_argument("--no-cache", action="store_true", help="keep no decoded copies of files")
    p.add_argument("--force", action="store_true", help="replace the output file")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; see `parser` for the exit status."""
    options = parser().parse_args(argv)
    out = options.out or options.csv.with_suffix(f".predicted{options.csv.suffix}")
    advice = "" if options.skip_bad_rows else "To answer the other rows: --skip-bad-rows"
    return exit_status(lambda: _run(options, out), advice=advice, stopped=f"{out} was not written")


def _run(options: argparse.Namespace, out: Path) -> None:
    """Everything but telling the errors."""
    import mmkeras as mm

    if not options.csv.is_file():
        raise RunError(f"there is no CSV at {options.csv}")
    if out.exists() and not options.force:
        raise RunError(f"{out} exists; name another file with --out, or --force")
    if out.exists() and os.path.samefile(out, options.csv):
        raise RunError(f"{out} is the input itself; name another file with --out")

    mm.start()
    model, settings = load_run(options.run)
    codec = options.encoding or settings["encoding"]
    mark = options.delimiter or settings["delimiter"]
    answers, problems = predict(
        model,
        settings,
        options.csv,
        skip_bad_rows=options.skip_bad_rows,
        allow_outside=options.allow_outside,
        encoding=codec,
        delimiter=mark,
        cache=not options.no_cache,
    )
    records = read_records(options.csv, codec, mark)
    header = [name.strip() for name in records[min(records)]]
    for modality, column in settings["columns"].items():
        if column not in header:
            print(f"There is no column {column!r}: every row goes without {modality}.")
    write(out, joined(records, answers, problems), mark)
    bad = len(records) - 1 - len(answers)
    left = f", {bad} with problems left empty" if bad else ""
    print(f"Wrote {out}: {len(answers)} rows answered{left}")
