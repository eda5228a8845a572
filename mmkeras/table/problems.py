"""What is wrong with a table: collected row by row, told all at once."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

HEADER = 1  # the number a spreadsheet gives to the first record
SHOWN = 50  # problems that a message spells out
# The arguments of load_table that a reason may name as `argument=value`, or as `argument=`.
_ARGUMENTS = (
    "text|image|audio|label|split|group|numbers|categories|classes|encoding|delimiter|"
    "allow_outside|allow_missing_columns|least_rows|max_file_bytes|max_audio_seconds"
)
_ARGUMENT = re.compile(rf"(?<![\w-])({_ARGUMENTS})=('[^']*'|[\w.,]*\w|)")


class TableError(ValueError):
    """A table with faults; all of those that were found, not only the first.

    Attributes:
        problems: pandas DataFrame with ``row`` (Int64, as a spreadsheet counts: the header is row
            1; missing where the fault is of the whole table), ``column``, ``value`` and ``reason``
            (str; column and value may be empty).
        skippable: ``on_error="skip"`` would leave out rows that are at fault by themselves: none
            of the problems is of the whole table, or of the encoding of the file.
    """

    def __init__(self, path: Path | str, problems: pd.DataFrame) -> None:
        self.path, self.problems = Path(path), problems
        of_rows = problems["row"].gt(HEADER).fillna(False).all()
        misread = problems["reason"].str.contains(NOT_OF_ENCODING).any()
        self.skippable = bool(of_rows and not misread)
        super().__init__(_message(self.path, problems))

    def for_command(self, trained: bool = False) -> str:
        """The message with the command's options where it names arguments of `load_table`.

        Args:
            trained: it is a command on a trained run, which settled some of them: see `in_flags`.
        """
        return _message(self.path, in_words(self.problems, trained))


NOT_OF_ENCODING = "byte 0x.. is not UTF-8"


# What no command on a trained run has an option for.
_SETTLED = {
    "text": "the text",
    "image": "the pictures",
    "audio": "the recordings",
    "numbers": "a number",
    "categories": "a category",
    "classes": "the classes of the training",
}


def in_flags(reason: str, trained: bool = False) -> str:
    """A reason as the command says it: ``delimiter=';'`` becomes ``--delimiter ';'``.

    Reasons are written for Python. This is the one place that knows how the options of the command
    are spelt: as the arguments, with "-" for "_"; what is True there is given without a value here;
    a tab is called tab; of several columns each has its own --number or --category. The command
    has no option for fractions and max_pixels, and those on a trained run none for what the
    training settled.
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
    """The problems with their reasons as a command says them, see `in_flags`."""
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
    """What was found so far. Row 0 stands for the whole table while collecting."""

    found: list[tuple[int, str, str, str]] = field(default_factory=list)

    def add(self, row: int, column: str | None, value: str, reason: str) -> None:
        printable = value.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
        self.found.append((row, column or "", printable, reason))

    def rows(self) -> set[int]:
        return {row for row, *_ in self.found if row > HEADER}

    def of_the_table(self) -> bool:
        return any(row <= HEADER for row, *_ in self.found)

    def frame(self) -> pd.DataFrame:
        """In the order of the rows, those of the whole table first."""
        table = pd.DataFrame(
            sorted(self.found, key=lambda one: one[0]), columns=["row", "column", "value", "reason"]
        )
        row = table["row"].astype("Int64")
        return table.assign(row=row.mask(row == 0))


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """A half sentence: the closest of what there is, or all of it where it is not much.

    It compares with every name: call it once for each wrong one, not once a row.
    """
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wrong.casefold(), list(folded), n=1, cutoff=0.5)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    some = ", ".join(map(repr, known[:12]))
    return f"there is {some}{' …' if len(known) > 12 else ''}"
