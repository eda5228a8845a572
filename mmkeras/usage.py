"""The parser of all commands, which reports wrong usage in one line."""

import argparse
import difflib
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's parser without abbreviated options; for a misspelt option it suggests one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            wrong = next((word for word in unknown if word.startswith("-")), unknown[0])
            self.error(f"there is no option {wrong}{self._hint(wrong.split('=')[0])}")
        return options

    def _hint(self, wrong: str) -> str:
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        begun = [flag for flag in known if len(wrong) > 3 and flag.startswith(wrong)]
        close = [*begun, *difflib.get_close_matches(wrong, known, n=1)]
        return f"; did you mean {close[0]}?" if close else ""

    def error(self, message: str) -> NoReturn:
        """Print one line instead of the whole usage, and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n({self.prog} --help explains the options)\n")
