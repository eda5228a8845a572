"""The command `mmkeras`: what it can do, and which module does it.

Only the module of the requested command is imported, so that the help appears at once.
"""

import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence

from . import __version__

# To add a command, add a line here and a module with main(argv) → exit status that imports quickly.
COMMANDS = {
    "train": ("table.train", "train and test a model on your CSV, and write a report"),
    "evaluate": ("table.evaluate", "test a trained run on other rows that have a label"),
    "predict": ("table.predict", "predict the label of new rows with a trained run"),
    "explain": ("table.explain", "show what the answers to some rows came from"),
    "export": ("table.export", "write a trained run for other programs, each file compared"),
    "serve": ("serve.command", "answer over HTTP with a trained run, for people and programs"),
    "sample": ("table.sample", "write a small rendered data set to try the commands on"),
    "data": ("table.privacy.command", "fetch the course's data; forget or lock your own"),
    "doctor": ("doctor", "report on this machine; paste it into a bug report"),
}
HELP = f"""usage: mmkeras [--help] [--version] COMMAND …

Multimodal deep learning on your own data, and the tools of the course.

commands:
{chr(10).join(f"  {name:9} {what}" for name, (_, what) in COMMANDS.items())}

`mmkeras COMMAND --help` explains one of them, with an example. To begin:

  mmkeras sample weather
  mmkeras train weather/data.csv --label label
  mmkeras predict weather/run weather/new.csv

Exit status: 0 done, 1 the data has problems, 2 wrong usage, 130 stopped by Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (None: that of this process); HELP lists the exit statuses."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # text that the encoding lacks must not stop a command
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        if sys.stdout:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader closed the pipe, as in: mmkeras data list | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        if arguments[1:]:  # mmkeras help train
            return _run([arguments[1], "--help"])
        print(HELP)
        return 0 if arguments else 2
    command, *rest = arguments
    if command in ("-V", "--version"):
        print(f"mmkeras {__version__}")
        return 0
    if command not in COMMANDS:
        print(f"mmkeras: there is no command {command!r}; {_hint(command)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f".{COMMANDS[command][0]}", __package__)
    return int(module.main(rest))


def _hint(command: str) -> str:
    close = difflib.get_close_matches(command.lower(), COMMANDS, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"the commands are {', '.join(COMMANDS)}"


if __name__ == "__main__":
    sys.exit(main())
