"""Checks of cells that need no files: labels, parts, groups, gaps, classes."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from .columns import MODALITIES
from .parts import PARTS
from .problems import SHOWN, Problems, did_you_mean
from .reading import Cells

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


def check_cells(
    cells: Cells,
    used: Mapping[str, Sequence[str]],
    classes: Sequence[str] | None,
    problems: Problems,
) -> None:
    """Add all problems of the cells that can be found without opening the files they name."""
    inputs = [role for role in used if role in (*MODALITIES, "categories")]
    check_gaps(cells, [name for role in inputs for name in used[role]], problems)
    if "label" in used:
        check_labels(cells, used["label"][0], classes, problems)
    if "split" in used:
        check_parts(cells, used["split"][0], problems)
        if "group" in used:
            check_groups(cells, used["group"][0], used["split"][0], problems)


def check_labels(
    cells: Cells, column: str, classes: Sequence[str] | None, problems: Problems
) -> None:
    """Add blank labels, labels that are not among the classes, and labels in two spellings."""
    counts = Counter(cells.columns[column])
    if classes is None:
        reasons = _other_spellings(counts)
    else:
        wrong = [label for label in counts if label and label not in set(classes)]
        # A hint compares a label with every class, so only the labels in the message get one.
        hints = {label: f"; {did_you_mean(label, classes)}" for label in wrong[:SHOWN]}
        what = "unknown label: not one of classes="
        reasons = {label: f"{what}{hints.get(label, '')}" for label in wrong}
    reasons[""] = "blank label"
    for row, label in zip(cells.rows, cells.columns[column], strict=True):
        if label in reasons:
            problems.add(row, column, label, reasons[label])


def _other_spellings(counts: Counter[str]) -> dict[str, str]:
    """Label → problem, for all but the most frequent of the spellings that look alike."""
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts, key=lambda one: (-counts[one], one)):
        spellings.setdefault(_canonical(label), []).append(label)
    return {
        other: f"looks like {same[0]!r} ({counts[same[0]]} rows) spelt in another way; spell them "
        "alike, or name both in classes="
        for same in spellings.values()
        for other in same[1:]
    }


def _canonical(label: str) -> str:
    """A form equal for "1" and "01", for "Cat" and "cat", and for é in one or two characters."""
    if _NUMBER.fullmatch(label) and len(label) < 1000:
        return str(Fraction(label))
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def check_parts(cells: Cells, column: str, problems: Problems) -> None:
    """Add rows whose cell names no part."""
    wrong = dict.fromkeys(part for part in cells.columns[column] if part not in PARTS)
    reasons = {
        part: "must be 'train', 'valid' or 'test'; "
        + (did_you_mean(part, PARTS) if part else "it is blank")
        for part in wrong
    }
    for row, part in zip(cells.rows, cells.columns[column], strict=True):
        if part in reasons:
            problems.add(row, column, part, reasons[part])


def check_groups(cells: Cells, group: str, split: str, problems: Problems) -> None:
    """Add rows that are in another part than most rows of their group, since they would leak."""
    parts: dict[str, Counter[str]] = {}
    pairs = list(zip(cells.columns[group], cells.columns[split], strict=True))
    for name, part in pairs:
        if name and part in PARTS:
            parts.setdefault(name, Counter())[part] += 1
    home = {name: max(PARTS, key=lambda part: n[part]) for name, n in parts.items() if len(n) > 1}
    for row, (name, part) in zip(cells.rows, pairs, strict=True):
        if name in home and part in PARTS and part != home[name]:
            reason = f"this row is in {part!r}, but most of its group is in {home[name]!r}"
            problems.add(row, group, name, reason)


def check_gaps(cells: Cells, columns: Sequence[str], problems: Problems) -> None:
    """Add rows in which no modality is given."""
    names = " and ".join(repr(name) for name in columns)
    for row, *values in zip(cells.rows, *(cells.columns[name] for name in columns), strict=True):
        if not any(values):
            reason = f"is blank: {names}" if len(columns) == 1 else f"are all blank: {names}"
            problems.add(row, None, "", reason)


def class_names(labels: Sequence[str]) -> list[str]:
    """Each label once, ordered by value if all labels are numbers, else alphabetically."""
    names = sorted(set(labels))
    if all(_NUMBER.fullmatch(name) for name in names):
        names.sort(key=float)
    return names


def check_classes(
    labels: Sequence[str], parts: Sequence[str], column: str, fixed: bool, problems: Problems
) -> None:
    """Add a problem if no row is left, or only one class, or if a class has no training row."""
    if not len(labels):
        problems.add(0, None, "", "no row is left")
        return
    known = Counter(labels)
    if not fixed and len(known) == 1:
        only = next(iter(known))
        good = " without a problem" if problems.rows() else ""
        reason = f"every row{good} has the class {only!r}: there is nothing to tell apart"
        problems.add(0, column, "", reason)
    trained = {label for label, part in zip(labels, parts, strict=True) if part == "train"}
    if not trained and not fixed:
        problems.add(0, None, "", "no row is in 'train'")
    for label in sorted(known.keys() - trained if trained else ()):
        reason = f"no row of this class is in 'train' ({known[label]} in other parts)"
        problems.add(0, column, label, reason)
