"""The command `mmkeras evaluate`: test a trained run on other labelled rows, and write a report.

    mmkeras evaluate weather/run weather/march.csv

It writes a folder with report.html, metrics.json and predictions.csv. All rows of the CSV form one
test part, even if a column of it says otherwise.
"""

import argparse
import json
import os
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
    column_list,
    folder_command,
    load_as_trained,
)

FILES = ("report.html", "metrics.json", "predictions.csv")
# The keys of settings.json that `mmkeras predict` needs, and those that the report shows.
NEEDED = (*runs.NEEDED, "label", "columns_chosen", "day", "device", "versions", "training",
          "weights")  # fmt: skip
MISSING = (
    "The model was trained with it. Name the column as in the training (the label: --label), or "
    "let every row go without an input: --allow-missing-columns"
)
SAME = (
    "This is the file that the model was trained on. It has seen most of these rows, so the "
    "results are far too good and say nothing about new rows; see metrics.json of the run instead."
)


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras evaluate",
        description="Test a model that mmkeras train made on other rows that have a label, and "
        f"write a folder with {', '.join(FILES)}.",
        epilog="Example: mmkeras evaluate weather/run march.csv --out march. All rows are tested; "
        f"none may have been in the training. {STATUS}",
    )
    add_run_and_csv(p, "labelled.csv", "rows with their true class")
    p.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: "
                   "labelled.evaluation, beside the CSV)")  # fmt: skip
    p.add_argument("--force", action="store_true", help="replace the files of an earlier "
                   "evaluation")  # fmt: skip
    p.add_argument("--label", metavar="COL", help="the column of the true class (default: as in "
                   "training)")  # fmt: skip
    p.add_argument("--group", metavar="COL", help="a column, such as the patient, whose equal "
                   "values belong together: intervals then count groups (default: as in "
                   "training)")  # fmt: skip
    p.add_argument("--groups", type=column_list, default=[], metavar="A,B,…", help="columns of "
                   "groups of people, such as sex,age, whose results are shown apart")  # fmt: skip
    p.add_argument("--show-rows", action="store_true", help="show rows in the report (the surest "
                   "mistakes with their texts, pictures and sounds, what skipped rows held) and "
                   "their cells in predictions.csv (default: numbers of rows only)")  # fmt: skip
    p.add_argument("--allow-missing-columns", action="store_true", help="take a column of the "
                   "training that the file lacks for blank in every row")  # fmt: skip
    add_reading(p.add_argument_group("reading").add_argument, trained="as in training")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `parser`."""
    return folder_command(
        parser(), _run, argv, ending=".evaluation", goal="go on without these rows", missing=MISSING
    )


def _run(options: argparse.Namespace) -> None:
    """Run the command, except for the handling of errors."""
    if not options.csv.is_file():
        raise RunError(f"there is no CSV at {options.csv}")
    settings = runs.read_settings(options.run, NEEDED)
    learned = _learned(options.run, settings)
    check_folder(options.out, options.force)
    import mmkeras as mm

    from .prepare import skipped
    from .results import summary

    mm.start()
    model, settings = runs.load(options.run)
    table = load(options, settings)
    for line in skipped(table, trained=True):
        print(line)
    run, predictions = judge(model, settings, table, learned, options)
    write(options.out, run, predictions)
    for line in summary(run.metrics):
        print(line)
    print(f"Wrote {options.out}: {', '.join(FILES)}")
    print(f"Next: open {options.out / 'report.html'}")


def _learned(folder: Path, settings: dict[str, Any]) -> dict[str, int]:
    """Class → number of training rows; version 0.1.0 wrote them only into metrics.json."""
    if "learned" in settings:
        return dict(settings["learned"])
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return {name: parts["train"] for name, parts in metrics["classes"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / 'metrics.json'} does not say how many rows of each class the "
                       f"model learned from: {error}") from None  # fmt: skip


def check_folder(folder: Path, force: bool) -> None:
    """Make the folder before anything is computed; RunError if that is not possible."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; name a folder with --out")
    if (folder / "settings.json").exists():
        raise RunError(f"{folder} holds a run; name another folder with --out")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise RunError(f"{folder} holds files already; name another with --out, or --force")
    if not folder.exists() and not folder.parent.is_dir():
        raise RunError(f"there is no folder {folder.parent} to make {folder.name} in")
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        raise RunError(f"nothing can be written to {folder}; name another folder with --out")


def load(options: argparse.Namespace, settings: dict[str, Any]) -> Any:
    """The labelled rows as a `Table` whose test part holds all of them."""
    from .kinds import sample_cells

    codec = options.encoding or settings["encoding"]
    mark = options.delimiter or settings["delimiter"]
    group = options.group
    if group is None and settings.get("group") in sample_cells(options.csv, codec, mark, rows=1):
        group = settings["group"]
    label = options.label or settings["label"]
    return load_as_trained(options, settings, label=label, group=group, fractions=(0, 0, 1))


def _groups(options: argparse.Namespace, settings: dict[str, Any]) -> Any:
    """The groups of people in the file, by row."""
    from . import people

    codec = options.encoding or settings["encoding"]
    return people.read(
        options.csv, options.groups, codec, options.delimiter or settings["delimiter"]
    )


def judge(
    model: Any,
    settings: dict[str, Any],
    table: Any,
    learned: dict[str, int],
    options: argparse.Namespace,
) -> tuple[Any, Any]:
    """The `report.Run` of these rows, and the table of predictions."""
    from . import people
    from .measure import answer, measure
    from .problems import in_words
    from .report import Run
    from .report.examples import examples
    from .results import predictions

    y, answers = answer(model, table, "test")
    metrics = measure(table, y, answers, settings.get("seed", 0), learned=learned)
    metrics["data"] = {"name": options.csv.name, "sha256": files.sha256(options.csv)}
    if settings.get("data_sha256") == metrics["data"]["sha256"]:
        metrics["warnings"].insert(0, SAME)
    p = answers[table.modalities]
    if options.groups:
        people.add(metrics, _groups(options, settings), table.rows, y, p,
                   seed=settings.get("seed", 0))  # fmt: skip
    shown = table.modalities if options.show_rows else ()
    now = {
        "data": options.csv.name,
        "label": options.label or settings["label"],
        "group": (options.group or settings["group"]) if "group" in table.rows else None,
        "how_split": "all rows of a file of their own",
        "command": options.command,
    }
    run = Run(
        {**settings, **now},
        metrics,
        y,
        p,
        examples(table, y, p) if options.show_rows else None,
        in_words(table.report, trained=True),
    )
    return run, predictions(table.rows, table.classes, y, p, shown)


def write(folder: Path, run: Any, predictions: Any) -> None:
    """Write all files or none; other files are kept."""
    from . import report

    with files.whole_folder(folder, FILES) as part:
        runs.write_json(part / "metrics.json", run.metrics)
        predictions.to_csv(part / "predictions.csv", index=False)
        (part / "report.html").write_text(report.page(run), encoding="utf-8")
