"""The command `mmkeras sample`: write a small data set to try the other commands on.

mmkeras sample weather
mmkeras sample posts --set sentiment
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..assets import AssetError
from ..usage import Parser
from .command import STATUS, at_least, of_system, seed


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras sample",
        description="Write a small rendered data set (no real notes, pictures, recordings or "
        "temperatures): data.csv with a label, new.csv without, and the pictures and sounds they "
        "name. Or posts in three classes of sentiment: real tweets, emoji as people used them, "
        "and a rendered voice.",
        epilog="Example: mmkeras sample weather, then mmkeras train weather/data.csv --label "
        "label. Or: mmkeras sample posts --set sentiment, then mmkeras train posts/data.csv "
        f"--split split. The folder is made in the current folder. {STATUS}",
    )
    p.add_argument("folder", type=Path, metavar="FOLDER", help="folder to write")
    p.add_argument("--set", choices=("weather", "sentiment"), default="weather", help="what to "
                   "write; sentiment fetches up to 17 MB (default: weather)")  # fmt: skip
    p.add_argument("--rows", type=at_least(9), metavar="N", help="number of rows with a label, 9 "
                   "or more (default: 108); of sentiment 60 or more, a multiple of 3 (default: "
                   "600)")  # fmt: skip
    p.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of the random draws "
                   "(default: 0)")  # fmt: skip
    p.add_argument("--force", action="store_true", help="write into a folder that holds files")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 1 if the folder cannot be used (2: wrong usage)."""
    options = parser().parse_args(argv)
    folder = options.folder
    try:
        if folder.is_dir() and any(folder.iterdir()) and not options.force:
            raise FileExistsError(f"{folder} holds files already; name another folder, or --force")
        said = _posts(options) if options.set == "sentiment" else _weather(options)
    except OSError as error:
        print(f"error: {of_system(error)}", file=sys.stderr)
        return 1
    except (AssetError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(said)
    return 0


def _weather(options: argparse.Namespace) -> str:
    from . import weather  # here, so that nothing heavy is loaded for --help

    rows = options.rows or 108
    data = weather.write(options.folder, rows=rows, seed=options.seed)
    new = options.folder / "new.csv"
    return (
        f"Rendered {rows} rows of weather notes, pictures, sounds and temperatures: {data}\n"
        f"and a few without a label: {new}. It is rendered, not real data.\n"
        f"Next: mmkeras train {data} --label label"
    )


def _posts(options: argparse.Namespace) -> str:
    from . import posts

    rows = options.rows or posts.ROWS
    data = posts.write(options.folder, rows=rows, seed=options.seed)
    return (
        f"Wrote {rows} posts: {data}. The tweets are real, the emoji drawn by how people used "
        f"them,\nand the voice is rendered. {options.folder / 'README.txt'} says more.\n"
        f"Next: mmkeras train {data} --split split"
    )
