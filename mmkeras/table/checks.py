"""Cells that cannot be what they are meant for: labels, parts, groups, gaps, classes."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from .parts import PARTS
from .reading import Cells, Problems, did_you_mean

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


def check_labels(
    cells: Cells, column: str, classes: Sequence[str] | None, problems: Problems
) -> None:
    """Blank labels, labels that are not among the classes, one label in two spellings."""
    labels = cells.columns[column]
    counts = Counter(labels)
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts, key=lambda one: (-counts[one], one)):
        spellings.setdefault(_canonical(label), []).append(label)
    usual = {other: same[0] for same in spellings.values() for other in same[1:]}
    for row, label in zip(cells.rows, labels, strict=True):
        if not label:
            problems.add(row, column, "", "blank label")
        elif classes is not None and label not in classes:
            hint = did_you_mean(label, classes)
            problems.add(row, column, label, f"unknown label: not one of classes=; {hint}")
        elif classes is None and label in usual:
            often = f"{usual[label]!r} ({counts[usual[label]]} rows)"
            problems.add(row, column, label, f"looks like {often} spelt in another way; unify them")


def _canonical(label: str) -> str:
    """Equal for "1", "1.0" and "01"; for "Cat" and "cat"; for é as one and as two characters."""
    if _NUMBER.fullmatch(label) and len(label) < 1000:
        return str(Fraction(label))
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def check_parts(cells: Cells, column: str, problems: Problems) -> None:
    for row, part in zip(cells.rows, cells.columns[column], strict=True):
        if part not in PARTS:
            reason = "must be 'train', 'valid' or 'test'"
            hint = f"; {did_you_mean(part, PARTS)}" if part else ""
            problems.add(row, column, part, reason + ("; it is blank" if not part else hint))


def check_groups(cells: Cells, group: str, split: str, problems: Problems) -> None:
    """Rows of a group that are in another part than most of it: they would leak."""
    parts: dict[str, Counter[str]] = {}
    pairs = list(zip(cells.columns[group], cells.columns[split], strict=True))
    for name, part in pairs:
        if name and part in PARTS:
            parts.setdefault(name, Counter())[part] += 1
    home = {name: max(PARTS, key=lambda part: n[part]) for name, n in parts.items() if len(n) > 1}
    for row, (name, part) in zip(cells.rows, pairs, strict=True):
        if name in home and part in PARTS and part != home[name]:
            reason = f"this row is in {part!r}, but most of its group in {home[name]!r}"
            problems.add(row, group, name, reason)


def check_gaps(cells: Cells, columns: Sequence[str], problems: Problems) -> None:
    """Rows in which nothing is given."""
    names = " and ".join(repr(name) for name in columns)
    for row, *values in zip(cells.rows, *(cells.columns[name] for name in columns), strict=True):
        if not any(values):
            reason = f"is blank: {names}" if len(columns) == 1 else f"are all blank: {names}"
            problems.add(row, None, "", reason)


def class_names(labels: Sequence[str]) -> list[str]:
    """Each label once, in order: by value where all are numbers, else alphabetical."""
    names = sorted(set(labels))
    if all(_NUMBER.fullmatch(name) for name in names):
        names.sort(key=float)
    return names


def check_classes(
    labels: Sequence[str], parts: Sequence[str], column: str, fixed: bool, problems: Problems
) -> None:
    """Nothing left, one class only, no training rows, a class that training never sees."""
    if not len(labels):
        problems.add(0, None, "", "no row is left")
        return
    known = set(labels)
    if not fixed and len(known) == 1:
        only = next(iter(known))
        reason = f"one class only: every row is {only!r}; there is nothing to tell apart"
        problems.add(0, column, "", reason)
    trained = {label for label, part in zip(labels, parts, strict=True) if part == "train"}
    if not trained and not fixed:
        problems.add(0, None, "", "no row is in 'train'")
    for label in sorted(known - trained if trained else ()):
        n = sum(other == label for other in labels)
        problems.add(0, column, label, f"no row of this class is in 'train' ({n} are elsewhere)")
