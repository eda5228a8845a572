"""The command `mmkeras`: what it can do, and which module does it.

Only the module of the command that was asked for is imported, so that help comes at once.
"""

import importlib
import sys
from collections.abc import Sequence

from . import __version__

COMMANDS = {
    "train": ("table.train", "a CSV in, a trained and tested model with a report out"),
    "predict": ("table.predict", "answer new rows with a trained run"),
    "sample": ("table.sample", "write a tiny rendered data set to try the commands on"),
    "data": ("assets", "list, fetch and verify the data and weights of the course"),
    "doctor": ("doctor", "a report on this machine, to paste into a bug report"),
}
HELP = f"""usage: mmkeras [--version] COMMAND …

Multimodal deep learning on your own data, and the tools of the course.

commands:
{chr(10).join(f"  {name:9} {what}" for name, (_, what) in COMMANDS.items())}

`mmkeras COMMAND --help` explains one of them. Example: mmkeras sample weather
Exit status: 0 done, 1 the data has problems, 2 wrong usage, 130 stopped by Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; see HELP for the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments[0] if arguments else "--help"
    if command in ("-h", "--help", "help"):
        print(HELP)
        return 0 if arguments else 2
    if command in ("-V", "--version"):
        print(f"mmkeras {__version__}")
        return 0
    if command not in COMMANDS:
        print(
            f"mmkeras: there is no command {command!r}; there is {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    module = importlib.import_module(f".{COMMANDS[command][0]}", __package__)
    return module.main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
