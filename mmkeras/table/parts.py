"""Dealing the rows of a table out to training, validation and test."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .problems import Problems

PARTS = ("train", "valid", "test")


def deal(
    labels: Sequence[str],
    groups: Sequence[str] | None,
    fractions: Sequence[float],
    seed: int,
    problems: Problems,
) -> np.ndarray:
    """A part for each row, str; stratified by label, and no group is divided.

    What is dealt out are groups (a row without one is its own), largest first, within each class
    (of a group: its most frequent label). Each part gets one of every class, then the part that
    lacks most rows gets the next: a table of a few dozen rows has every class in every part, which
    scikit-learn's splitters do not promise, and 100,000 groups take a second.

    `mmkeras.datasets.splits.hold_out` is another thing: it draws shares of the units, whatever
    their size, with scikit-learn, and may hold out an origin. What was published of the data sets
    rests on its draws.
    """
    names = [group or f"\0{i}" for i, group in enumerate(groups or [""] * len(labels))]
    units = pd.factorize(np.array(names, object))[0] if names else np.empty(0, int)
    table = pd.DataFrame({"unit": units, "label": list(labels)})
    counts = table.value_counts().reset_index(name="size")
    counts = counts.sort_values(["unit", "size", "label"], ascending=[True, False, True])
    of_unit = counts.drop_duplicates("unit").set_index("unit")["label"]
    sizes = np.bincount(units)
    rng, wanted = np.random.default_rng(seed), np.array(fractions)
    parts = np.full(len(sizes), "train", object)
    for label, members in sorted(of_unit.groupby(of_unit).groups.items()):
        order = rng.permutation(members.to_numpy())
        order = order[np.argsort(-sizes[order], kind="stable")]
        if len(order) < np.count_nonzero(wanted):
            what = f"{'row' if groups is None else 'group'}{'s' * (len(order) > 1)}"
            of = f"fractions={tuple(fractions)}"
            reason = f"class {label!r} has {len(order)} {what}, too few for every part of {of}"
            problems.add(0, None, "", reason)
        parts[order] = np.array(PARTS, object)[_fill(sizes[order], wanted)]
    return parts[units]


def _fill(sizes: np.ndarray, fractions: np.ndarray) -> list[int]:
    """Which part each unit goes to."""
    open_parts = np.flatnonzero(fractions)
    lacking = fractions * sizes.sum()
    places = []
    for i, size in enumerate(sizes):
        part = open_parts[i] if i < len(open_parts) else open_parts[lacking[open_parts].argmax()]
        lacking[part] -= size
        places.append(int(part))
    return places
