"""Divide the rows of a table into training, validation and test part."""

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
    """The part of each row, str (rows,), stratified by label, without dividing a group.

    Groups are distributed largest first, within each class; a row without a group is a group of its
    own, and the class of a group is its most frequent label. First each part gets one group of
    every class; then the part that lacks most rows gets the next group. So a table of a few dozen
    rows has every class in every part, which scikit-learn's splitters do not promise, and 100,000
    groups take about a second.

    `mmkeras.datasets.splits.hold_out` is different: it draws shares of the units, whatever their
    size, with scikit-learn, and may hold out an origin. The published results on the data sets
    depend on its draws.
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
    """The number of the part for each unit."""
    open_parts = np.flatnonzero(fractions)
    lacking = fractions * sizes.sum()
    places = []
    for i, size in enumerate(sizes):
        part = open_parts[i] if i < len(open_parts) else open_parts[lacking[open_parts].argmax()]
        lacking[part] -= size
        places.append(int(part))
    return places
