"""Which parts of the inputs are explained together: words, patches, seconds, halves, modalities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..arguments import check_positive


@dataclass(frozen=True, eq=False)
class Regions:
    """A division of the inputs into R parts, each of which is removed or kept as a whole.

    Attributes:
        labels: input name → int array that fits the rows of this input: (1, …) if all rows are
            divided alike, or (n, …) if not. Each number is that of a region, from 0 to R - 1, which
            may reach over several inputs; -1 is never removed.
        names: the names of the R regions.

    Raises:
        ValueError: there is no region, a label is beyond the names, or a region has no part at all.
    """

    labels: Mapping[str, np.ndarray]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.labels or not self.names:
            raise ValueError('there is no region; name inputs, such as {"image": (4, 4)}')
        found = np.unique(np.concatenate([np.unique(at) for at in self.labels.values()]))
        if found.dtype.kind not in "iu" or found[0] < -1 or found[-1] >= len(self.names):
            raise ValueError(
                f"labels must be whole numbers from -1 to {len(self.names) - 1}, one for each of "
                f"the {len(self.names)} names; got {found[0]} to {found[-1]}"
            )
        if lost := set(range(len(self.names))) - set(found.tolist()):
            raise ValueError(f"region {self.names[min(lost)]!r} has no part in any input")

    def __len__(self) -> int:
        return len(self.names)

    def sums(self, attribution: Mapping[str, np.ndarray]) -> np.ndarray:
        """What all parts of a region did together, float (n, R), of arrays shaped as the inputs."""
        if missing := [name for name in self.labels if name not in attribution]:
            raise ValueError(f"there is no attribution for {missing}, only for {list(attribution)}")
        n = len(next(iter(attribution.values())))
        out = np.zeros((n, len(self) + 1))
        for name, at in self.labels.items():
            part = np.asarray(attribution[name], float)
            label = np.broadcast_to(at, part.shape).reshape(n, -1)
            row = np.repeat(np.arange(n), label.shape[1])
            np.add.at(out, (row, label.ravel()), part.ravel())
        return out[:, :-1]  # the last column is that of the label -1


def mixed(
    labels: Mapping[str, np.ndarray],
    x: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    keep: np.ndarray,
) -> dict[str, np.ndarray]:
    """The rows x where a region is kept, `other` where it is removed.

    Args:
        labels: those of `Regions`.
        x, other: input name → (n, …), of the same dtypes.
        keep: bool (n, R).
    """
    out, keep = dict(x), np.pad(keep, ((0, 0), (0, 1)), constant_values=True)  # -1 is kept
    for name, at in labels.items():
        rows = np.arange(len(keep)).reshape(-1, *[1] * (at.ndim - 1))
        out[name] = np.where(keep[rows, at], x[name], other[name])
    return out


def regions(
    x: Mapping[str, np.ndarray], cells: Mapping[str, int | Sequence[int] | None]
) -> Regions:
    """Divide each named input into equal cells, the same for all rows.

    Args:
        x: input name → (n, …), of which only the shapes matter.
        cells: input name → the number of cells along its axes after the first: 8 for a sound in
            eight stretches, (4, 4) for a picture in sixteen patches with all their channels, the
            length for single words, None for the input as a whole. Inputs that are not named, such
            as the presence mask, are never removed.

    Returns:
        The `Regions`, named "image" where there is one cell, and else "image 0", "image 1", … in
        the order of reading.

    Raises:
        ValueError: an unknown input, or more cells than there are values along an axis.
    """
    labels: dict[str, np.ndarray] = {}
    names: list[str] = []
    for name, given in cells.items():
        if name not in x:
            raise ValueError(f"{name!r} is none of the inputs {', '.join(map(repr, x))}")
        shape = np.shape(x[name])[1:]
        counts = () if given is None else tuple(np.atleast_1d(np.asarray(given, object)))
        if len(counts) > len(shape):
            raise ValueError(f"{name!r} has {len(shape)} axes after the rows, not {len(counts)}")
        at: np.ndarray = np.zeros((1, *shape), int)
        for axis, (count, size) in enumerate(zip(counts, shape, strict=False)):
            if check_positive(f"the cells of {name!r}", count) > size:
                raise ValueError(f"{count} cells are more than the {size} values of {name!r}")
            along = np.arange(size) * count // size
            at = at * count + along.reshape(-1, *[1] * (len(shape) - axis - 1))
        total = int(at.max()) + 1
        labels[name] = at + len(names)
        names += [name] if total == 1 else [f"{name} {i}" for i in range(total)]
    return Regions(labels, tuple(names))
