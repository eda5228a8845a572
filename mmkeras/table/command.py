"""What the commands on tables share: how they end, and how they read their options.

Nothing heavy is imported here, so that `--help` appears at once.
"""

import argparse
import contextlib
import csv
import errno
import math
import re
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..files import owner_alone

STATUS = (
    "Exit status: 0 done, 1 the data has problems, 2 wrong usage, 130 stopped by Ctrl-C (143 by "
    "SIGTERM)."
)
MOST_SEED = 2**32 - 1  # the largest seed that NumPy and TensorFlow accept


class RunError(Exception):
    """A command cannot continue; the message says why, and what to do."""


class Terminated(KeyboardInterrupt):
    """SIGTERM was received, which a scheduler sends before it kills a process."""


def exit_status(
    work: Callable[[], None],
    *,
    advice: str = "",
    hints: Mapping[str, str] | None = None,
    stopped: str,
    trained: bool = False,
    kept: Callable[[], str] = str,
    private: bool = True,
) -> int:
    """The exit status of a command: 0, 1 after an error that is printed, 130 if it was stopped.

    Args:
        work: runs the command.
        advice: the text to print after problems of single rows, or "".
        hints: part of a reason → the text to print after a problem with this reason.
        stopped: the text to print if the user stops the command.
        trained: whether the command uses a trained run, which fixes some options of the training.
        kept: returns the text to print, in place of `stopped`, if the command did not finish, or
            "".
        private: whether only the user can read what the command writes.
    """
    from .problems import TableError  # imported here, so that --help loads no pandas

    try:
        with _terminable(), _plain_warnings(), owner_alone() if private else nullcontext():
            work()
        return 0
    except BrokenPipeError:
        raise
    except (TableError, RunError, OSError) as error:
        print(f"error: {_told(error, trained)}", file=sys.stderr)
        if isinstance(error, TableError):
            if advice and error.skippable:
                print(advice, file=sys.stderr)
            for words, hint in (hints or {}).items():
                if error.problems["reason"].str.contains(words, regex=False).any():
                    print(hint, file=sys.stderr)
        status = 1
    except KeyboardInterrupt as stop:
        print(f"\nstopped{'' if kept() else f': {stopped}'}", file=sys.stderr)
        status = 143 if isinstance(stop, Terminated) else 130
    except Exception as error:
        gone = re.search(r"^Refused: (.*)$", str(error), re.MULTILINE)  # inside TensorFlow's report
        if not gone:
            print(kept(), file=sys.stderr)
            raise
        print(
            f"error: a file was deleted or changed after it was checked: {gone[1]}", file=sys.stderr
        )
        status = 1
    if text := kept():
        print(text, file=sys.stderr)
    return status


def folder_command(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None,
    *,
    ending: str,
    goal: str,
    missing: str,
) -> int:
    """The exit status of a command that writes a folder on a trained run and the rows of a CSV.

    Args:
        parser: the options; its `prog` is "mmkeras" and the name of the command.
        work: runs the command; its options have the whole line as `command`, and always an `out`.
        argv: what follows the name of the command; None: as it was called.
        ending: of the folder beside the CSV that is written unless the user names another.
        goal: what --skip-bad-rows is for, such as "explain the other rows".
        missing: the text to print if the CSV lacks a column.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = parser.parse_args(arguments)
    options.command = shlex.join([*parser.prog.split(), *arguments])
    options.out = options.out or options.csv.with_suffix(ending)
    return exit_status(
        lambda: work(options),
        advice="" if options.skip_bad_rows else f"To {goal}: --skip-bad-rows",
        hints={"no such column": missing},
        trained=True,
        stopped=f"nothing was written to {options.out}",
    )


def load_as_trained(options: argparse.Namespace, settings: Mapping[str, Any], **more: Any) -> Any:
    """The `Table` of the CSV, prepared as in the training; `more` are arguments of `load_table`."""
    from .loader import load_table

    return load_table(
        options.csv,
        allow_missing_columns=options.allow_missing_columns,
        encoding=options.encoding or settings["encoding"],
        delimiter=options.delimiter or settings["delimiter"],
        **reading_of(options),
        **settings["table"],
        **more,
    )


def _told(error: Exception, trained: bool) -> str:
    from .problems import TableError

    if isinstance(error, TableError):
        return error.for_command(trained)
    return of_system(error) if isinstance(error, OSError) else str(error)


def of_system(error: OSError) -> str:
    """The text of an error of the system, without Python's "[Errno 28]", and with advice."""
    if error.strerror is None:
        return str(error)
    where = f": {error.filename}" if error.filename else ""
    advice = {errno.ENOSPC: "; make room, or write elsewhere with --out"}.get(error.errno or 0, "")
    return f"{error.strerror}{where}{advice}"


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print warnings as lines of the command, each once, without a place in Python's source."""
    said = set[str]()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        # Pillow warns of large pictures before we refuse them, by a limit of our own.
        if category.__name__ == "DecompressionBombWarning" or str(message) in said:
            return
        said.add(str(message))
        print(f"Beware: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM raise `Terminated`, so that the command cleans up as after Ctrl-C."""

    def stop(*_: Any) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# ------------------------------------------------------------------------------ options


def at_least(least: float, kind: type = int, most: float = math.inf) -> Callable[[str], Any]:
    """For argparse: a finite number from `least` to `most`."""

    def number(text: str) -> Any:
        value = kind(text)
        if not least <= value <= most or math.isinf(value):
            limit = f"{least:g} or more" if math.isinf(most) else f"from {least:g} to {most:.0f}"
            raise argparse.ArgumentTypeError(f"must be {limit}, got {text}")
        return value

    number.__name__ = kind.__name__  # for argparse's message about text that is no number
    return number


seed = at_least(0, most=MOST_SEED)


def encoding(text: str) -> str:
    """For argparse: the name of a text encoding that Python knows."""
    try:
        "".encode(text)
    except LookupError:
        raise argparse.ArgumentTypeError(
            f"must be a text encoding such as utf-8, cp1252 or gb18030; got {text!r}"
        ) from None
    return text


def delimiter(text: str) -> str:
    """For argparse: one character, or "tab"."""
    mark = "\t" if text in ("tab", "\\t") else text
    if len(mark) != 1 or mark in '"\r\n':
        raise argparse.ArgumentTypeError(f"must be one character, or tab; got {text!r}")
    return mark


def seconds(text: str) -> float:
    """For argparse: a time such as 90s, 10m or 1.5h, in seconds; a number alone means minutes."""
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)(s|m|min|h)?", text.strip())
    value = float(found[1]) * {"s": 1, "h": 3600}.get(found[2], 60) if found else 0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a time such as 90s, 10m or 1.5h; got {text!r}")
    return value


def file_size(text: str) -> int:
    """For argparse: a size such as 4096, 200K, 1.5M or 2G, in bytes; a K is 1,024 bytes."""
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)([KMG]?)(i?B)?", text.strip(), re.IGNORECASE)
    power = " KMG".index(found[2].upper() or " ") if found else 0
    value = round(float(found[1]) * 1024**power) if found else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a size such as 200K, 64M or 2G; got {text!r}")
    return value


def column_list(text: str) -> list[str]:
    """The columns that are named, each once: "sex,age" → ["sex", "age"]."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} names no column; write sex,age")
    return names


def class_list(text: str) -> list[str]:
    """For argparse: names separated by commas; a name with a comma is put into double quotes."""
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f"must be two or more different names, as in sun,rain,snow; got {text!r}"
        )
    return names


def add_run_and_csv(parser: argparse.ArgumentParser, rows: str, what: str) -> None:
    """Add the two arguments that `predict` and `evaluate` require: a trained run and a CSV."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that mmkeras train wrote")
    parser.add_argument("csv", type=Path, metavar=rows, help=what)


def add_reading(add: Callable[..., Any], trained: str = "") -> None:
    """Add the options about the CSV and its files that several commands have.

    Args:
        add: the `add_argument` of a parser or group.
        trained: the default of an option that is not given, "as in training", or "".
    """
    add("--skip-bad-rows", action="store_true", help="leave out rows that have problems, "
        "and list them")  # fmt: skip
    add("--allow-outside", action="store_true", help="allow paths out of the folder of the CSV")
    add("--encoding", type=encoding, metavar="NAME", default=None if trained else "utf-8",
        help=f"encoding of the CSV, such as cp1252 (default: {trained or 'utf-8'})")  # fmt: skip
    add("--delimiter", type=delimiter, metavar="MARK", default=None if trained else ",",
        help="character between cells, such as ';', or tab "
        f"(default: {trained or 'a comma'})")  # fmt: skip
    add("--max-audio-seconds", type=at_least(0.05, float), default=3600.0, metavar="S",
        help="longer recordings are refused (default: 3600)")  # fmt: skip
    add("--max-file-bytes", type=file_size, default=256 * 1024**2, metavar="SIZE",
        help="larger files, such as 64M, are refused unopened (default: 256M)")  # fmt: skip
    add("--no-cache", action="store_true", help="keep no decoded copies of files in mmkeras' cache")


def reading_of(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `load_table` from the options of `add_reading`, but encoding and delimiter."""
    return {
        "on_error": "skip" if options.skip_bad_rows else "raise",
        "allow_outside": options.allow_outside,
        "max_audio_seconds": options.max_audio_seconds,
        "max_file_bytes": options.max_file_bytes,
        "cache": False if options.no_cache else None,
    }


def quoted(names: Sequence[str], most: int = 10) -> str:
    """The names in quotes, such as "'a', 'b' and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
