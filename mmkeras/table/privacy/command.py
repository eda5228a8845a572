"""The command `mmkeras data`: the assets of the course, and what is kept of a user's own data.

mmkeras data forget weather/data.csv --rows 3,7 --dry-run
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...assets import command as assets
from ..command import RunError, delimiter, encoding, exit_status
from ..explain import row_list

KEY = (
    "file with a key, 64 hexadecimal digits, which others cannot read; make one with: (umask 077; "
    "openssl rand -hex 32 > KEYFILE), and keep a copy: without it, the run is lost"
)
LOCK = """Example: mmkeras data lock weather/run --key-file KEYFILE. The file is encrypted and
authenticated by AES-256-GCM, in pieces of which none can be changed, moved or cut off unnoticed. It
is read again before the folder is deleted; what is deleted is not overwritten, and a disk may keep
it for a while. To use the run, unlock it. Exit status: 0 done, 1 it could not be done, 2 wrong
usage."""
UNLOCK = """Example: mmkeras data unlock weather/run.locked --key-file KEYFILE. Nothing is written
unless all of the file is genuine. Exit status: 0 done, 1 it could not be done, 2 wrong usage."""
LEFT = 3  # exit status: done, but traces are left
FORGET = f"""Example: mmkeras data forget visits.csv --id-column patient --id 0123 --dry-run.
Deleted are copies of decoded files and features of encoders, which mmkeras keeps in its cache; they
are made anew when they are needed, so delete the rows from the table as well, and the files that
they name. Not deleted, but named, is what a command wrote because it was asked to: runs,
evaluations, explanations, predictions. Exit status: 0 done, 1 the data has problems, 2 wrong usage,
{LEFT} done, and what is named still holds traces."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status; see --help."""
    parser, commands = assets.parser()
    _add_forget(commands)
    _add_locks(commands)
    options = parser.parse_args(argv)
    if options.command == "forget":
        return _forget(options, parser.error)
    if options.command in ("lock", "unlock"):
        return exit_status(lambda: _lock(options), stopped="nothing was deleted")
    return assets.run(parser, options)


def _add_forget(commands: Any) -> None:
    p = commands.add_parser(
        "forget",
        help="delete what mmkeras keeps of a table or of a person in it, and name what is left",
        description="Delete what mmkeras keeps of a table, or of some of its rows, beyond the "
        "table itself, and name everything else that still holds traces of them.",
        epilog=FORGET,
    )
    add = p.add_argument
    add("csv", type=Path, metavar="data.csv", help="the table; it is not changed")
    add("--rows", type=row_list, metavar="LIST", help="numbers of the rows to forget, such as "
        "3,7-9, where the header is row 1 (default: all)")  # fmt: skip
    add("--id-column", metavar="COL", help="the column that tells whose a row is, such as patient")
    add("--id", action="append", metavar="VALUE", help="with --id-column: forget the rows with "
        "this value, compared letter by letter; may be given several times")  # fmt: skip
    add("--look", action="append", type=Path, default=[], metavar="DIR", help="also look for runs "
        "and other traces in this folder, and in those within it; may be given several times "
        "(default: only in the folder of the table)")  # fmt: skip
    add("--dry-run", action="store_true", help="delete nothing, and tell what would be deleted")
    add("--encoding", type=encoding, default="utf-8", metavar="NAME", help="encoding of the CSV, "
        "such as cp1252 (default: utf-8)")  # fmt: skip
    add("--delimiter", type=delimiter, default=",", metavar="MARK", help="character between "
        "cells, such as ';', or tab (default: a comma)")  # fmt: skip


def _add_locks(commands: Any) -> None:
    p = commands.add_parser(
        "lock",
        help="turn the folder of a run into one file that only a key opens",
        description="Turn the folder of a run into one file, RUN.locked, that only a key opens, "
        "and delete the folder.",
        epilog=LOCK,
    )
    p.add_argument("run", type=Path, metavar="RUN", help="folder that mmkeras train wrote")
    p.add_argument("--key-file", type=Path, required=True, metavar="FILE", help=KEY)
    p = commands.add_parser(
        "unlock",
        help="turn such a file into the folder that it was",
        description="Turn a locked run into the folder that it was, and delete the file.",
        epilog=UNLOCK,
    )
    p.add_argument("run", type=Path, metavar="RUN.locked", help="file that mmkeras data lock wrote")
    p.add_argument("--key-file", type=Path, required=True, metavar="FILE", help="the key with "
                   "which it was locked")  # fmt: skip


def _lock(options: argparse.Namespace) -> None:
    from . import lock

    if options.command == "lock":
        made = lock.lock(options.run, options.key_file)
        print(f"Wrote {made}, and deleted {options.run}")
        print(f"To use it: mmkeras data unlock {made} --key-file {options.key_file}")
    else:
        print(f"Wrote {lock.unlock(options.run, options.key_file)}, and deleted {options.run}")


def _forget(options: argparse.Namespace, wrong: Any) -> int:
    if bool(options.id_column) != bool(options.id):
        wrong("--id-column and --id belong together, as in: --id-column patient --id 0123")
    if options.rows and options.id:
        wrong("--rows and --id both choose rows: give one of them")
    left: list[Any] = []
    status = exit_status(lambda: left.extend(_forgotten(options)), stopped="run it again")
    return status or (LEFT if left else 0)


def _forgotten(options: argparse.Namespace) -> list[Any]:
    """Forget, with lines on stdout; what still holds traces."""
    from . import forget, traces

    for folder in options.look:
        if not folder.is_dir():
            raise RunError(f"--look {folder}: there is no such folder")
    chosen = forget.chosen(options)
    found = forget.plan(options.csv, chosen)
    if not options.dry_run:
        forget.delete(found)
    looked = list(dict.fromkeys([options.csv.resolve().parent, *options.look]))
    left = traces.find(options.csv, looked)
    for line in _told(options, chosen, found, left, looked):
        print(line)
    return left


def _told(
    options: argparse.Namespace,
    chosen: Any,
    found: Any,
    left: Sequence[Any],
    looked: Sequence[Path],
) -> Iterator[str]:
    from . import forget, traces

    if chosen is not None:
        named = f"the files that they name: {len(chosen.mine)}"
        yield f"Rows of {options.csv.name}: {forget.numbers(chosen.rows)}; {named}"
    verb = "Would forget" if options.dry_run else "Forgotten"
    for one in found:
        yield f"{verb}: {one.what}"
    if not found:
        yield f"mmkeras keeps nothing of {options.csv} in its cache"
    if left:
        yield "Still there, and holding traces; delete them yourself:"
        yield from (f"  {trace.path}: {trace.what}" for trace in left)
    yield f"Looked for traces in {', '.join(map(str, looked))}; --look DIR looks elsewhere, too."
    yield traces.UNKNOWN
    if options.csv.exists():
        what = "the rows" if chosen is not None else "it"
        yield f"{options.csv} itself is unchanged: delete {what}, and the files named, yourself."
