"""Which column of a CSV holds text, pictures or sounds: a guess from the cells, with its reason."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .command import RunError

MODALITIES = ("text", "image", "audio")
SUFFIXES = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic"),
    "audio": (".wav", ".flac", ".ogg", ".oga", ".mp3", ".m4a", ".aac", ".opus", ".aiff"),
}
ROWS = 2000  # that are looked at
FEW = 20  # different values up to which a column of short phrases may be a category
# Scripts that put no spaces between words: Han, Kana, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")


class ColumnError(RunError):
    """The columns cannot be told apart; the message lists what was seen in each."""


@dataclass(frozen=True)
class Kind:
    """What a column seems to hold.

    Attributes:
        name: "text", "image", "audio", "number", "category", "identifier", "blank" or "mixed".
        why: what was seen, in a few words.
    """

    name: str
    why: str


@dataclass(frozen=True)
class Choice:
    """Columns by modality, each with the reason; and what is in the rest.

    Attributes:
        columns: modality → column, in the order text, image, audio.
        why: modality → reason.
        unused: column → `Kind`.
    """

    columns: dict[str, str]
    why: dict[str, str]
    unused: dict[str, Kind] = field(default_factory=dict)


def sample_cells(
    path: Path, encoding: str = "utf-8", delimiter: str = ",", rows: int = ROWS
) -> dict[str, list[str]]:
    """Column → the cells of the first rows, without whitespace around them; blank is "".

    It forgives what the loader will complain about: ragged records, bytes of another encoding.

    Raises:
        OSError, UnicodeError, csv.Error: the file cannot be read at all.
    """
    codec = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    with path.open(encoding=codec, errors="replace", newline="") as stream:
        records = csv.reader(stream, delimiter=delimiter)
        header = [name.strip() for name in next(records, [])]
        found = list(itertools.islice(records, rows))
    cells: dict[str, list[str]] = {name: [] for name in header}
    for record in found:
        if any(cell.strip() for cell in record):
            for name, cell in zip(header, record, strict=False):
                cells[name].append(cell.strip())
    return cells


def kind_of(cells: Sequence[str]) -> Kind:
    """What a column with these cells holds."""
    given = [cell for cell in cells if cell]
    n, different = len(given), len(set(given))
    if not n:
        return Kind("blank", "no cell is filled")
    files = {m: [c for c in given if c.lower().endswith(SUFFIXES[m])] for m in SUFFIXES}
    for modality, named in files.items():
        if len(named) >= 0.8 * n:
            counts = Counter(Path(cell).suffix.lower() for cell in named)
            ends = ", ".join(suffix for suffix, _ in counts.most_common(4))
            return Kind(modality, f"{len(named)} of {n} filled cells name files ({ends})")
    if sum(map(len, files.values())) >= 0.5 * n:
        images, sounds = (len(named) for named in files.values())
        return Kind("mixed", f"of {n} filled cells {images} name pictures and {sounds} sounds")
    numbers = sum(map(_is_number, given))
    if numbers >= 0.9 * n:
        return Kind("number", f"{numbers} of {n} filled cells are numbers")
    letters = sum(any(c.isalpha() for c in cell) for cell in given)
    words = sum(map(count_words, given)) / n
    seen = f"{words:.1f} words a cell, {different} of {n} different"
    if letters < 0.8 * n:
        return Kind("mixed", f"only {letters} of {n} filled cells hold letters")
    if words < 1.5 or (words < 4 and different <= FEW and n >= 5 * different):
        alike = different <= max(FEW, n / 5)
        return Kind("category" if alike else "identifier", seen)
    return Kind("text", seen)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def count_words(cell: str) -> int:
    """Words between spaces; in a script without spaces every character counts."""
    return len(_UNSPACED.sub(" x ", cell).split())


def unspaced(cells: Sequence[str]) -> bool:
    """Is most of this text in a script that puts no spaces between words?"""
    letters = [c for cell in cells for c in cell if c.isalpha()]
    return bool(letters) and len(_UNSPACED.findall("".join(letters))) > len(letters) / 2


def choose(
    cells: Mapping[str, Sequence[str]],
    named: Mapping[str, str | None],
    *,
    without: Collection[str] = (),
    taken: Mapping[str, str | None] | None = None,
) -> Choice:
    """A column for each modality: the one that was named, else the only one that looks like it.

    Args:
        cells: column → cells, as from `sample_cells`.
        named: modality → column, or None to guess.
        without: modalities that are not wanted.
        taken: role → column for what is not input: the label, the split, the group.

    Raises:
        ColumnError: several columns may be it, or there is nothing at all, or a column that was
            named does not exist.
    """
    roles = {role: column for role, column in (taken or {}).items() if column}
    wanted = {m: named.get(m) for m in MODALITIES if m not in without}
    for role, column in {**roles, **{m: c for m, c in wanted.items() if c}}.items():
        if column not in cells:
            raise ColumnError(f"there is no column {column!r} (--{role})\n{_seen(cells, roles)}")
    used = {*roles.values(), *filter(None, wanted.values())}
    kinds = {column: kind_of(values) for column, values in cells.items()}
    columns: dict[str, str] = {}
    why: dict[str, str] = {}
    for modality, name in wanted.items():
        alike = [c for c, kind in kinds.items() if kind.name == modality and c not in used]
        same = [c for c in alike if c.lower() == modality]
        if not name and len(alike) > 1 and not same:
            raise ColumnError(
                f"several columns may be the {modality}: {', '.join(map(repr, alike))}. Say which, "
                f"as in --{modality} {alike[0]}, or --without {modality}\n{_seen(cells, roles)}"
            )
        if name or alike:
            column = columns[modality] = name or [*same, *alike][0]
            why[modality] = f"{'named; ' if name else ''}{kinds[column].why}"
    if not columns:
        raise ColumnError(
            "no column looks like text, paths of pictures or paths of sounds. Say which to use: "
            f"--text COLUMN, --image COLUMN or --audio COLUMN\n{_seen(cells, roles)}"
        )
    rest = {c: k for c, k in kinds.items() if c not in {*columns.values(), *roles.values()}}
    return Choice(columns, why, rest)


def _seen(cells: Mapping[str, Sequence[str]], roles: Mapping[str, str]) -> str:
    """A line a column."""
    role_of = {column: role for role, column in roles.items()}
    rows = max(map(len, cells.values()), default=0)
    lines = [f"Columns, judged by the first {rows} rows:"]
    for column, values in cells.items():
        kind = kind_of(values)
        role = f"the {role_of[column]}; " if column in role_of else ""
        lines.append(f"  {column!r}: {role}{kind.name}, {kind.why}")
    return "\n".join(lines)


def least_words(cells: Sequence[str]) -> int:
    """Words that hold 95% of the texts whole, from 8 to 200."""
    import numpy as np  # here, so that it is not loaded for --help

    counts = [count_words(cell) for cell in cells if cell]
    return int(np.clip(np.quantile(counts, 0.95), 8, 200)) if counts else 8
