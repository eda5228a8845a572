"""The problems of a table, which are collected row by row and reported all at once."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

HEADER = 1  # the number of the first record in a spreadsheet
SHOWN = 50  # number of problems that a message spells out
# The arguments of load_table that a reason may name as `argument=value`, or as `argument=`.
_ARGUMENTS = (
    "text|image|audio|label|split|group|numbers|categories|classes|encoding|delimiter|"
    "allow_outside|allow_missing_columns|least_rows|max_file_bytes|max_audio_seconds"
)
_ARGUMENT = re.compile(rf"(?<![\w-])({_ARGUMENTS})=('[^']*'|[\w.,]*\w|)")


class TableError(ValueError):
    """A table has problems; the error holds all of them, not only the first.

    Attributes:
        problems: pandas DataFrame with ``row`` (Int64, counted as in a spreadsheet, where the
            header is row 1; missing if the problem concerns the whole table), ``column``, ``value``
            and ``reason`` (str; column and value may be empty).
        skippable: whether ``on_error="skip"`` would help by leaving out rows, because no problem
            concerns the whole table or the encoding of the file.
    """

    def __init__(self, path: Path | str, problems: pd.DataFrame) -> None:
        self.path, self.problems = Path(path), problems
        of_rows = problems["row"].gt(HEADER).fillna(False).all()
        misread = problems["reason"].str.contains(NOT_OF_ENCODING).any()
        self.skippable = bool(of_rows and not misread)
        super().__init__(_message(self.path, problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.problems)  # it may come from another process

    def for_command(self, trained: bool = False) -> str:
        """The message, in which options of the command replace the arguments of `load_table`.

        Args:
            trained: whether the command uses a trained run, which fixes some options: see
                `in_flags`.
        """
        return _message(self.path, in_words(self.problems, trained))


NOT_OF_ENCODING = "byte 0x.. is not UTF-8"


# Arguments for which the commands on a trained run have no option.
_SETTLED = {
    "text": "the text",
    "image": "the pictures",
    "audio": "the recordings",
    "numbers": "a number",
    "categories": "a category",
    "classes": "the classes of the training",
}


def in_flags(reason: str, trained: bool = False) -> str:
    """The reason in terms of the command: ``delimiter=';'`` becomes ``--delimiter ';'``.

    Reasons are written for Python. Only this function knows how the options of the command are
    spelt: like the arguments, with "-" for "_", and without a value where the argument is True. A
    tab is written as tab, and each of several columns has its own --number or --category. The
    commands have no option for fractions and max_pixels, and the commands on a trained run have
    none for what the training has fixed.
    """

    def flag(found: re.Match[str]) -> str:
        name, value = found[1].replace("_", "-"), found[2]
        if trained and name in _SETTLED:
            return _SETTLED[name]
        name = {"numbers": "number", "categories": "category"}.get(name, name)
        value = {"'\\t'": "tab", "True": ""}.get(value, value)
        return f"--{name}{f' {value}' if value else ''}"

    reason = reason.replace("fractions=", "the split ").replace("max_pixels=", "")
    return _ARGUMENT.sub(flag, reason)


def in_words(problems: pd.DataFrame, trained: bool = False) -> pd.DataFrame:
    """The problems with their reasons in terms of the command, see `in_flags`."""
    return problems.assign(reason=[in_flags(reason, trained) for reason in problems["reason"]])


def _message(path: Path, problems: pd.DataFrame) -> str:
    count = len(problems)
    lines = [f"{path.name}: {count} problem{'' if count == 1 else 's'}"]
    for row, column, value, reason in problems.head(SHOWN).itertuples(index=False):
        place = "" if pd.isna(row) else f"row {row}"
        place += f"{', ' if place and column else ''}{f'column {column!r}' if column else ''}"
        shown = f"{value[:80]!r}{'…' if len(value) > 80 else ''}"
        lines.append(f"  {place or 'table'}: {f'{shown}: ' if value else ''}{reason}")
    if count > SHOWN:
        kinds = problems["reason"].iloc[SHOWN:].value_counts()
        lines.append(f"  and {count - SHOWN} more:")
        lines += [f"    {n} times: {reason}" for reason, n in kinds.head(20).items()]
        if len(kinds) > 20:
            lines.append(f"    and {len(kinds) - 20} other reasons; see .problems")
    return "\n".join(lines)


@dataclass
class Problems:
    """The problems that were found so far. Row 0 stands for the whole table."""

    found: list[tuple[int, str, str, str]] = field(default_factory=list)

    def add(self, row: int, column: str | None, value: str, reason: str) -> None:
        """Add one problem; row 0 stands for the whole table."""
        printable = value.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
        self.found.append((row, column or "", printable, reason))

    def rows(self) -> set[int]:
        """The numbers of the rows that have a problem."""
        return {row for row, *_ in self.found if row > HEADER}

    def of_the_table(self) -> bool:
        """Whether a problem concerns the whole table or its header."""
        return any(row <= HEADER for row, *_ in self.found)

    def frame(self) -> pd.DataFrame:
        """The problems in the order of the rows, with those of the whole table first."""
        table = pd.DataFrame(
            sorted(self.found, key=lambda one: one[0]), columns=["row", "column", "value", "reason"]
        )
        row = table["row"].astype("Int64")
        return table.assign(row=row.mask(row == 0))


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """Half a sentence with the closest of the known names, or else with up to 12 of them.

    The wrong name is compared with every known name, so call this once per wrong name, not once per
    row.
    """
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wrong.casefold(), list(folded), n=1, cutoff=0.5)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    some = ", ".join(map(repr, known[:12]))
    return f"there is {some}{' …' if len(known) > 12 else ''}"
