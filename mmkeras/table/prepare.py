"""From a CSV and the options of `mmkeras train` to a `Table`: columns chosen, sizes measured."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from .columns import Choice, choose, kind_of
from .command import RunError, reading_of
from .encoders import choice as encoders
from .kinds import least_words, sample_cells, unspaced
from .parts import PARTS

NGRAMS = 20_000  # most words and pairs of words for TF-IDF
ROLES = {"label": "is learned", "split": "says the part", "group": "equal values stay together"}


def roles_of(options: argparse.Namespace) -> dict[str, str | None]:
    """Role → column, for the columns that are not inputs."""
    return {role: getattr(options, role) for role in ROLES}


def inspect(options: argparse.Namespace) -> tuple[Choice, dict[str, list[str]], dict[str, int]]:
    """The chosen columns, the sampled cells, and the classes with too few rows.

    Raises:
        RunError: the columns cannot be told apart, or the label is a quantity.
        TableError: the CSV cannot be read.
    """
    from .characters import visible
    from .problems import Problems
    from .reading import read_cells
    from .steps import rare_classes

    path = options.csv
    if not path.is_file():
        raise RunError(f"there is no CSV at {path}")
    roles = roles_of(options)
    wanted = {role: column for role, column in roles.items() if column}
    # The loader will report the problems of the file as a whole.
    whole = read_cells(path, wanted, (), encoding=options.encoding, delimiter=options.delimiter,
               problems=Problems())  # fmt: skip
    cells = sample_cells(path, options.encoding, options.delimiter)
    named = {m: getattr(options, m) for m in ("text", "image", "audio")}
    choice = choose(cells, named, without=options.without, taken=roles, number=options.number,
                    category=options.category, ignore=options.ignore)  # fmt: skip
    labels = [cell for cell in cells[options.label] if cell]
    if kind_of(labels).name == "number" and len(set(labels)) > max(20, len(labels) / 5):
        raise RunError(
            f"the label {options.label!r} holds {len(set(labels))} different numbers in "
            f"{len(labels)} rows: this command learns classes, not quantities. Put them into a few "
            "classes, or build a model with a 'regression' head (mmkeras.multimodal_model)"
        )
    rare = rare_classes(list(map(visible, whole.columns[options.label])), options.least_rows)
    return choice, cells, rare


def chosen(
    choice: Choice,
    cells: Mapping[str, Sequence[str]],
    rare: Mapping[str, int],
    options: argparse.Namespace,
) -> Iterator[str]:
    """Lines that say what each column is taken for, and why."""
    yield f"Columns of {options.csv.name}"
    for modality, column in choice.columns.items():
        yield f"  {modality:8} {column!r}: {choice.why[modality]}"
    for what, found in (("number", choice.numbers), ("category", choice.categories)):
        for column, why in found.items():
            yield f"  {what:8} {column!r}: {why}"
    for role, name in roles_of(options).items():
        if name:
            yield f"  {role:8} {name!r}"
    for column, kind in choice.unused.items():
        yield f"  not used {column!r}: {kind.name}, {kind.why}"
        if not options.split and looks_like_parts(cells[column]):
            yield f"    it names parts: to train, stop and test by it, add --split {column}"

    if rare:
        yield f"Classes left out, with fewer than {options.least_rows} rows: {told(rare)}"


def told(rare: Mapping[str, int]) -> str:
    """The classes with their numbers of rows, such as "'a' (1 row), 'b' (2 rows)"."""
    return ", ".join(f"{name!r} ({n} row{'s' * (n > 1)})" for name, n in rare.items())


def looks_like_parts(cells: Sequence[str]) -> bool:
    """Whether these cells say to which part a row belongs."""
    return {cell for cell in cells if cell} == set(PARTS)


def load(options: argparse.Namespace, choice: Choice, cells: Mapping[str, list[str]]) -> Any:
    """The `Table`; sizes that were not given are derived from the data.

    Raises:
        TableError: the table or its files have problems; the error lists all of them.
    """
    from .loader import load_table

    sizes: dict[str, Any] = {**choice.columns}
    frozen = options.encoders != "scratch"
    if "text" in choice.columns:
        texts = cells[choice.columns["text"]]
        sizes["tokens"] = "character" if unspaced(texts) else "word"
        sizes["words"] = options.words or least_words(texts)
        if frozen:  # single words, then pairs
            sizes |= {"ngrams": 2, "words": 2 * sizes["words"], "vocabulary_size": NGRAMS}
    if "audio" in choice.columns:
        paths = cells[choice.columns["audio"]]
        rate = 16_000 if frozen and encoders.here("audio") else 8_000
        sizes["audio_rate"] = options.audio_rate or rate
        sizes["audio_seconds"] = options.audio_seconds or _usual_seconds(options, paths)
    side = options.image_size or (96 if frozen else 64)
    return load_table(
        options.csv,
        numbers=list(choice.numbers) or None,
        categories=list(choice.categories) or None,
        allow_duplicates=options.allow_duplicates,
        least_rows=options.least_rows,
        label=options.label,
        split=options.split,
        group=options.group,
        seed=options.seed,
        classes=options.classes,
        image_size=(side, side),
        encoding=options.encoding,
        delimiter=options.delimiter,
        **reading_of(options),
        **sizes,
    )


def _usual_seconds(options: argparse.Namespace, paths: Sequence[str]) -> float:
    """A length in seconds, up to 10, in which nine of ten of at most 50 recordings fit."""
    import soundfile

    from .paths import Refused, resolve

    folder = os.path.realpath(options.csv.parent)
    found = [path for path in dict.fromkeys(paths) if path]
    lengths = []
    for path in found[:: max(1, len(found) // 50)]:
        with suppress(Refused, OSError, RuntimeError, ValueError):  # the loader will report it
            lengths.append(soundfile.info(resolve(folder, path, options.allow_outside)).duration)
    usual = float(np.quantile(lengths, 0.9)) if lengths else 2.0
    return round(float(np.clip(usual, 0.25, 10)), 2)


def overview(table: Any) -> Iterator[str]:
    """Lines with the rows by class and part, the gaps, the skipped rows and the sizes."""
    import pandas as pd

    rows, parts = table.rows, list(table.parts)
    counts = pd.crosstab(rows["label"], rows["part"])
    yield f"Rows{'':16}" + "".join(f"{part:>8}" for part in parts)
    shown = table.classes[:20]
    for name in shown:
        yield f"  {name[:16]:18}" + "".join(f"{counts.get(p, {}).get(name, 0):8}" for p in parts)
    if len(table.classes) > len(shown):
        yield f"  and {len(table.classes) - len(shown)} more classes"
    yield f"  {'all':18}" + "".join(f"{n:8}" for n in table.parts.values())
    for m in table.modalities:
        there = [(rows.loc[rows["part"] == part, m] != "").mean() for part in parts]
        yield f"  with {m:13}" + "".join(f"{share:8.0%}" for share in there)
    if table.duplicates["rows"]:
        kinds = ", ".join(f"{n} by {what}" for what, n in table.duplicates["kinds"].items() if n)
        together = "kept in one part" if table.duplicates["together"] else "in several parts"
        yield f"Equal rows: {table.duplicates['rows']} equal an earlier one ({kinds}), {together}"
    if table.duplicates["warning"]:
        yield f"Beware: {table.duplicates['warning']}"
    yield from skipped(table)
    yield "Sizes: " + "; ".join(f"{m} {_size(table, m)}" for m in table.modalities)


def skipped(table: Any, trained: bool = False) -> Iterator[str]:
    """Lines with the rows that were left out, and why; `trained` as in `problems.in_flags`."""
    from .problems import in_words

    if len(table.report):
        rows = table.report["row"].nunique()
        yield f"Skipped {rows} row{'' if rows == 1 else 's'} with problems:"
        for row, column, _, reason in in_words(table.report.head(5), trained).itertuples(
            index=False
        ):
            yield f"  row {row}, {column}: {reason}"
        if len(table.report) > 5:
            yield f"  and {len(table.report) - 5} more; the report lists them"


def _size(table: Any, modality: str) -> str:
    s = table.settings
    return {
        "text": lambda: f"{s['words']} {s['tokens']}s, {len(table.vocabulary)} in the vocabulary",
        "image": lambda: f"{s['image_size'][0]}×{s['image_size'][1]} pixels",
        "audio": lambda: f"{s['audio_seconds']:g} s at {s['audio_rate']} Hz",
        "numbers": lambda: f"{len(table.number_names)} features",
    }[modality]()
