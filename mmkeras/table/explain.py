"""The command `mmkeras explain`: what the answers of a trained run came from, one page a row.

    mmkeras explain weather/run weather/new.csv

It writes a folder with index.html and a page row-N.html for each row: the text coloured word by
word, the picture with a map, the sound with bars over time, the numbers ranked, and the share of
each modality.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import files
from ..usage import Parser
from . import run as runs
from .command import (
    STATUS,
    RunError,
    add_reading,
    add_run_and_csv,
    at_least,
    folder_command,
    load_as_trained,
    seed,
)
from .evaluate import check_folder
from .predict import MISSING

FIRST = 10  # rows that are explained if none are named
METHODS = ("shapley", "occlusion")
PAGE = re.compile(r"row-[0-9]+\.html")


def row_list(text: str) -> list[int]:
    """For argparse: numbers of rows and ranges, such as 2,5,9-12, in order, each once."""
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, 0)
        if not 2 <= first <= last:
            raise argparse.ArgumentTypeError(
                "must be numbers of rows as a spreadsheet counts them, where the header is row 1, "
                f"such as 2,5,9-12; got {text!r}"
            )
        if last - first >= 10_000:
            raise argparse.ArgumentTypeError(f"must name at most 10000 rows; got {text!r}")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras explain",
        description="Show what the answers of a model that mmkeras train made came from: write a "
        "folder with a page for each row and an index.html. A page shows which words, patches of "
        "the picture, stretches of the sound and numbers speak for the answer, and which against.",
        epilog="Example: mmkeras explain weather/run weather/new.csv --rows 2,5-7. Or, why it was "
        "not another class: mmkeras explain weather/run weather/new.csv --class sun --out "
        "why-not-sun. "
        f"{STATUS}",
    )
    add_run_and_csv(p, "rows.csv", "rows to explain")
    p.add_argument("--rows", type=row_list, metavar="LIST", help="numbers of the rows, such as "
                   "2,5,9-12, where the header is row 1 (default: the first "
                   f"{FIRST} rows)")  # fmt: skip
    p.add_argument("--class", dest="target", metavar="NAME", help="the class whose probability is "
                   "explained, such as sun (default: in each row the one that is "
                   "predicted)")  # fmt: skip
    p.add_argument("--method", choices=METHODS, default="shapley", help="shapley: what a part adds "
                   "on average over orders of adding the parts, so that parts that say the same "
                   "share it; occlusion: how the answer falls when this part alone is removed, "
                   "which is several times as fast (default: shapley)")  # fmt: skip
    p.add_argument("--permutations", type=at_least(1), default=4, metavar="N", help="random orders "
                   "for --method shapley, each walked in both directions, such as 32 for steadier "
                   "numbers (default: 4)")  # fmt: skip
    p.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of these orders "
                   "(default: 0)")  # fmt: skip
    p.add_argument("--grid", type=at_least(1, most=64), default=8, metavar="N", help="cut the "
                   "picture into N times N patches, such as 4 for large ones "
                   "(default: 8)")  # fmt: skip
    p.add_argument("--stretches", type=at_least(1, most=256), default=16, metavar="N", help="cut "
                   "the sound into N stretches of equal length (default: 16)")  # fmt: skip
    p.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: "
                   "rows.explained, beside the CSV)")  # fmt: skip
    p.add_argument("--force", action="store_true", help="replace the pages of an earlier "
                   "explanation")  # fmt: skip
    p.add_argument("--allow-missing-columns", action="store_true", help="take a column of the "
                   "training that the file lacks for blank in every row")  # fmt: skip
    add_reading(p.add_argument_group("reading").add_argument, trained="as in training")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `parser`."""
    return folder_command(
        parser(), _run, argv, ending=".explained", goal="explain the other rows", missing=MISSING
    )


def _run(options: argparse.Namespace) -> None:
    """Run the command, except for the handling of errors."""
    if not options.csv.is_file():
        raise RunError(f"there is no CSV at {options.csv}")
    settings = runs.read_settings(options.run)
    target = class_of(options.target, settings["classes"])
    check_folder(options.out, options.force)
    import mmkeras as mm

    from .prepare import skipped

    mm.start()
    model, settings = runs.load(options.run)
    table, cells = load(options, settings)
    for line in skipped(table, trained=True):
        print(line)
    for column in runs.inputs_of(settings):
        if column not in cells[0]:
            print(f"There is no column {column!r}: every row goes without it.")
    places = chosen(table, cells, options)
    found = explained(model, settings["classes"], table, cells, places, target, options)
    write(options.out, pages(found, settings["classes"], options))
    if options.rows is None and len(table) > FIRST:
        print(f"Explained the first {FIRST} of {len(table)} rows; --rows names others")
    print(f"Wrote {options.out}: {len(found)} page{'s' * (len(found) != 1)}, and index.html")
    print(f"Next: open {options.out / 'index.html'}")


def class_of(name: str | None, classes: Sequence[str]) -> int | None:
    """The number of a class, or None for None; RunError if there is none of this name."""
    if name is None:
        return None
    if name not in classes:
        from .problems import did_you_mean

        raise RunError(f"--class {name}: there is no such class; {did_you_mean(name, classes)}")
    return list(classes).index(name)


def load(options: argparse.Namespace, settings: dict[str, Any]) -> tuple[Any, dict[int, Any]]:
    """The `Table`, and row number → column → cell; row 0 has the names of all columns."""
    from .reading import header_of, read_records

    codec = options.encoding or settings["encoding"]
    mark = options.delimiter or settings["delimiter"]
    table = load_as_trained(options, settings, label=None)
    records = dict(read_records(options.csv, codec, mark))
    header = header_of(records.pop(min(records)))
    cells = {row: dict(zip(header, some, strict=False)) for row, some in records.items()}
    return table, {0: dict.fromkeys(header, ""), **cells}


def chosen(table: Any, cells: dict[int, Any], options: argparse.Namespace) -> list[int]:
    """The places in the table of the rows to explain; RunError if one is not there."""
    rows = [int(row) for row in table.rows["row"]]
    if not rows:
        raise RunError(f"{options.csv} has no row to explain")
    places = {row: i for i, row in enumerate(rows)}
    for row in options.rows or ():
        if row not in cells:
            raise RunError(f"--rows: there is no row {row}; {options.csv.name} has rows 2 to "
                           f"{max(cells)}")  # fmt: skip
        if row not in places:
            raise RunError(f"--rows: row {row} was left out, because it has problems")
    return [places[row] for row in options.rows] if options.rows else list(range(len(rows)))[:FIRST]


def explained(
    model: Any,
    classes: list[str],
    table: Any,
    cells: dict[int, Any],
    places: Sequence[int],
    target: int | None,
    options: argparse.Namespace,
) -> list[Any]:
    """The `Explained` of each of these rows."""
    from .explained import Explainer

    explain = Explainer(
        model, table, classes,
        method=options.method, permutations=options.permutations, seed=options.seed,
        grid=options.grid, stretches=options.stretches,
    )  # fmt: skip
    rows = table.rows["row"].to_numpy()
    return [explain(place, cells[int(rows[place])], target) for place in places]


def pages(
    found: Sequence[Any], classes: Sequence[str], options: argparse.Namespace
) -> dict[str, str]:
    """Name of a file → its text."""
    from .report import explained as html

    about = {
        "data": options.csv.name,
        "run": options.run.resolve().name,
        "method": options.method,
        "permutations": options.permutations,
        "command": options.command,
    }
    rows = [one.row for one in found]
    made = {
        html.name_of(one.row): html.page(one, classes, about, html.links(rows, i))
        for i, one in enumerate(found)
    }
    return made | {"index.html": html.index(found, classes, about)}


def write(folder: Path, made: dict[str, str]) -> None:
    """Write all pages or none, in place of earlier pages."""
    with files.whole_folder(folder, old=lambda name: bool(PAGE.fullmatch(name))) as part:
        for name, text in made.items():
            (part / name).write_text(text, encoding="utf-8")
