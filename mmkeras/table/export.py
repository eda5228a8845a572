"""The command `mmkeras export`: write a trained run for other programs, and compare each file.

    mmkeras export weather/run --to litert,litert-int8,onnx

Each format is written, loaded again by the program that it is made for, and asked about the
validation rows of the training. A file whose answers differ too much from the model's is refused.
The folder gets export.json and export.html with all numbers. Chapter 18 explains the formats.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..files import whole_folder
from ..usage import Parser
from . import run as runs
from .command import add_reading, at_least, exit_status
from .evaluate import check_folder

# Repeated from `formats.FORMATS`, so that --help loads no TensorFlow; a test compares them.
FORMATS = ("savedmodel", "litert", "litert-fp16", "litert-dynamic", "litert-int8", "onnx")
NOTES = ("export.json", "export.html")
NEEDED = (*runs.NEEDED, "label", "modalities")
STATUS = (
    "Exit status: 0 done, 1 a format was refused or the data has problems, 2 wrong usage, 130 "
    "stopped by Ctrl-C (143 by SIGTERM)."
)


def format_list(text: str) -> list[str]:
    """For argparse: names of formats, separated by commas."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"must be some of {', '.join(FORMATS)}; got {name!r}")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"names a format twice: {text!r}")
    return names


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras export",
        description="Write a model that mmkeras train made in the formats of other programs, load "
        "each file again, compare its answers with the model's on rows of the data, and refuse "
        "what differs too much.",
        epilog="Example: mmkeras export weather/run --to litert,litert-int8,onnx. savedmodel is "
        "for TensorFlow, litert for phones and small devices (fp16: weights of 16 bits; dynamic: "
        "weights of 8 bits; int8: 8 bits throughout, except where 256 steps are too few; a "
        "run with pretrained encoders can lose too much by it and is then refused: try dynamic), "
        f"onnx for ONNX Runtime. {STATUS}",
    )
    p.add_argument("run", type=Path, metavar="RUN", help="folder that mmkeras train wrote")
    p.add_argument("--to", type=format_list, default=list(FORMATS), metavar="A,B,…", help="formats "
                   f"to write: {', '.join(FORMATS)} (default: all)")  # fmt: skip
    p.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: export, in "
                   "RUN)")  # fmt: skip
    p.add_argument("--force", action="store_true", help="replace the files of an earlier export")
    p.add_argument("--csv", type=Path, metavar="FILE", help="the CSV of the training, if it is no "
                   "longer where it was; of any other CSV with a label, all rows are "
                   "compared")  # fmt: skip
    p.add_argument("--rows", type=at_least(1), default=500, metavar="N", help="compare at most N "
                   "rows, evenly spread over the part (default: 500)")  # fmt: skip
    p.add_argument("--tolerance", type=at_least(0, float, 100), default=1.0, metavar="POINTS",
                   help="refuse a file that loses more points of accuracy, or that gives another "
                   "class to three times as many rows in 100; one row is always allowed (default: "
                   "1)")  # fmt: skip
    add_reading(p.add_argument_group("reading").add_argument, trained="as in training")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `parser`."""
    options = parser().parse_args(argv)
    options.out = options.out or options.run / "export"
    refused: list[str] = []
    status = exit_status(
        lambda: refused.extend(_run(options)),
        trained=True,
        stopped=f"nothing was written to {options.out}",
        private=False,  # they hold no row, and other programs read them
    )
    return status or int(bool(refused))


def _run(options: argparse.Namespace) -> list[str]:
    """Run the command, except for the handling of errors; the formats that were refused."""
    from .exported import rows as sources

    settings = runs.read_settings(options.run, NEEDED)
    source = sources.find(options, settings)
    check_folder(options.out, options.force)
    import mmkeras as mm

    from .exported import files, page

    mm.start()
    model, settings = runs.load(options.run)
    rows = sources.read(options, settings, source)
    print(f"Comparing on {len(rows.y)} rows of {source.csv.name} ({rows.what})", flush=True)
    with whole_folder(options.out, old=_earlier().__contains__) as part:
        result = files.export(options, model, settings, rows, part)
        runs.write_json(part / NOTES[0], result)
        (part / NOTES[1]).write_text(page.page(result), encoding="utf-8")
    for line in page.lines(result):
        print(line)
    return list(_told(options, result))


def _earlier() -> set[str]:
    """The names that files of an earlier export may have."""
    from ..formats.write import FORMATS as names

    return {name + end for name in names.values() for end in ("", ".refused")}


def _told(options: argparse.Namespace, result: dict[str, Any]) -> Iterator[str]:
    """Prints what was written and what was not; the formats that were refused."""
    good = [entry["file"] for entry in result["formats"].values() if not entry["refused"]]
    print(f"Wrote {options.out}: {', '.join([*good, *NOTES])}")
    for name, entry in result["formats"].items():
        if entry["refused"]:
            print(f"Refused: {name}, since {'; '.join(entry['refused'])}")
            yield name
