"""A guess from all cells which column of a CSV is the text, the picture or the sound, and which
columns are numbers or categories, with the reasons."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .command import RunError
from .kinds import MOST, Kind, Tally, kind_of, tally_of

MODALITIES = ("text", "image", "audio", "numbers")
_PARTS = set(map(hash, ("", "train", "valid", "test", "validation", "val", "dev")))


class ColumnError(RunError):
    """The columns cannot be told apart; the message lists what each column seems to hold."""


@dataclass(frozen=True)
class Choice:
    """The columns of each modality with the reasons, and what the other columns hold.

    Attributes:
        columns: modality → column, for text, image and audio, in this order.
        why: modality → reason for the choice.
        unused: column → `Kind`, with the reason why it is left out.
        numbers, categories: columns → reason, in the order of the file; together they are the
            modality "numbers".
    """

    columns: dict[str, str]
    why: dict[str, str]
    unused: dict[str, Kind] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)


def choose(
    cells: Mapping[str, Sequence[str]],
    named: Mapping[str, str | None],
    *,
    without: Collection[str] = (),
    taken: Mapping[str, str | None] | None = None,
    number: Iterable[str] = (),
    category: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Choice:
    """Choose a column for each modality, and all columns that look like numbers or categories.

    The column of a modality is the one that was named, else the only one that looks like it. A
    column is left out, and listed in ``unused`` with the reason, if it numbers or identifies the
    rows, if all its cells are equal, or if it corresponds to the label one to one, so that it would
    give away the answer. Such a column is used all the same if it is named.

    Args:
        cells: column → cells, as from `sample_cells`.
        named: modality → column, or None to guess.
        without: modalities that are not wanted.
        taken: role → column, for columns that are not inputs: the label, the split, the group.
        number, category: columns to use as numbers or categories, whatever they look like.
        ignore: columns that must not be used.

    Raises:
        ColumnError: several columns may be one modality, no column can be used, or a named column
            does not exist or was named twice.
    """
    roles = {role: column for role, column in (taken or {}).items() if column is not None}
    wanted = {m: named.get(m) for m in MODALITIES if m not in without and m != "numbers"}
    said = [*roles.items(), *((m, c) for m, c in wanted.items() if c is not None)]
    said += [("number", c) for c in number] + [("category", c) for c in category]
    said += [("ignore", c) for c in ignore]
    _check_named(said, cells, roles)
    tallies = {column: tally_of(values) for column, values in cells.items()}
    kinds = {column: tally.kind(column) for column, tally in tallies.items()}
    used = {column for _, column in said}
    columns: dict[str, str] = {}
    why: dict[str, str] = {}
    for modality, name in wanted.items():
        alike = [c for c, kind in kinds.items() if kind.name == modality and c not in used]
        same = [c for c in alike if c.lower() == modality]
        if name is None and len(alike) > 1 and not same:
            raise ColumnError(
                f"several columns may be the {modality}: {', '.join(map(repr, alike))}. Say which, "
                f"as in --{modality} {alike[0]}, or --without {modality}\n{_seen(cells, roles)}"
            )
        if name is not None or alike:
            column = columns[modality] = name if name is not None else [*same, *alike][0]
            why[modality] = f"{'named; ' if name is not None else ''}{kinds[column].why}"
    rest = {c: k for c, k in kinds.items() if c not in {*columns.values(), *roles.values()}}
    vectors = _numbers(rest, said, tallies, roles.get("label"), "numbers" not in without)
    if not columns and not any(vectors):
        raise ColumnError(
            "no column looks like text, paths of pictures or paths of sounds, like numbers or "
            "categories. Say which to use: --text COLUMN, --image COLUMN, --audio COLUMN, --number "
            f"COLUMN or --category COLUMN\n{_seen(cells, roles)}"
        )
    unused = {c: k for c, k in rest.items() if c not in {*vectors[0], *vectors[1]}}
    return Choice(columns, why, unused, *vectors)


def _check_named(
    said: Sequence[tuple[str, str]], cells: Mapping[str, Sequence[str]], roles: Mapping[str, str]
) -> None:
    for role, column in said:
        if column not in cells:
            raise ColumnError(f"there is no column {column!r} (--{role})\n{_seen(cells, roles)}")
    groups = [column for role, column in said if role != "group"]
    for column, count in Counter(groups).items():
        if count > 1:
            twice = " and ".join(f"--{role}" for role, other in said if other == column)
            raise ColumnError(f"the column {column!r} is named twice: {twice}")


def _numbers(
    rest: dict[str, Kind],
    said: Sequence[tuple[str, str]],
    tallies: Mapping[str, Tally],
    label: str | None,
    wanted: bool,
) -> tuple[dict[str, str], dict[str, str]]:
    """The columns of numbers and of categories; updates the reasons for those that are left out."""
    found: dict[str, dict[str, str]] = {"number": {}, "category": {}}
    role_of = {column: role for role, column in said if role in (*found, "ignore")}
    answer = tallies[label] if label is not None else None
    for column, kind in list(rest.items()):
        tally, role = tallies[column], role_of.get(column)
        if role == "ignore":
            rest[column] = Kind(kind.name, f"to be ignored; {kind.why}")
        elif role:
            found[role][column] = f"named; {kind.why}"
        elif kind.name in found and wanted:
            if tally.different == 1 and tally.filled == tally.n:
                rest[column] = Kind("constant", f"every cell is the same; {kind.why}")
            elif hash("train") in tally.codes and _PARTS.issuperset(tally.codes):
                rest[column] = Kind(kind.name, f"it says in which part a row is; {kind.why}")
            elif answer and tally.order == answer.order and len(tally.codes) < MOST:
                reason = f"it goes with the label {label!r} one to one in every row: the answer"
                rest[column] = Kind(kind.name, f"{reason}; {kind.why}")
            else:
                found[kind.name][column] = kind.why
    return found["number"], found["category"]


def _seen(cells: Mapping[str, Sequence[str]], roles: Mapping[str, str]) -> str:
    """One line per column."""
    role_of = {column: role for role, column in roles.items()}
    rows = max((tally_of(values).n for values in cells.values()), default=0)
    lines = [f"Columns, judged by all {rows} rows:"]
    for column, values in cells.items():
        kind = kind_of(values, column)
        role = f"the {role_of[column]}; " if column in role_of else ""
        lines.append(f"  {column!r}: {role}{kind.name}, {kind.why}")
    return "\n".join(lines)
