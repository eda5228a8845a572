"""A tiny rendered data set to try `mmkeras train` and `mmkeras predict` with.

mmkeras sample weather
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..usage import Parser
from .command import STATUS, at_least, of_system, seed


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras sample",
        description="Write a tiny rendered data set (no real notes, pictures, recordings or "
        "temperatures): data.csv with a label, new.csv without, and the pictures and sounds they "
        "name.",
        epilog="Example: mmkeras sample weather, then mmkeras train weather/data.csv --label "
        f"label. The folder is made where you are. {STATUS}",
    )
    p.add_argument("folder", type=Path, metavar="FOLDER", help="folder to write")
    p.add_argument("--rows", type=at_least(9), default=108, metavar="N", help="number of rows "
                   "with a label, 9 or more (default: 108)")  # fmt: skip
    p.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of the random draws "
                   "(default: 0)")  # fmt: skip
    p.add_argument("--force", action="store_true", help="write into a folder that holds files")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns 0, or 1 when the folder cannot be used (argparse: 2)."""
    options = parser().parse_args(argv)
    from . import weather  # here, so that nothing heavy is loaded for --help

    folder = options.folder
    try:
        if folder.is_dir() and any(folder.iterdir()) and not options.force:
            raise FileExistsError(f"{folder} holds files already; name another folder, or --force")
        data = weather.write(folder, rows=options.rows, seed=options.seed)
    except OSError as error:
        print(f"error: {of_system(error)}", file=sys.stderr)
        return 1
    print(
        f"Rendered {options.rows} rows of weather notes, pictures, sounds and temperatures: {data}"
    )
    print(f"and a few without a label: {folder / 'new.csv'}. It is rendered, not real data.")
    print(f"Next: mmkeras train {data} --label label")
    return 0
