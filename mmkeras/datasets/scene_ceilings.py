"""How far each modality of a scene reaches, by going through all scenes that there can be.

To be read with `scenes`.
"""

import itertools

import numpy as np

from .colours import NAMES as COLOURS

KINDS = ("face", "animal", "food", "vehicle", "clothing")
PLACES = ("top left", "top right", "bottom left", "bottom right")
REPLIES = (*COLOURS, *KINDS, *PLACES)  # 16
MODALITIES = ("image", "audio", "text")
# What is asked and by what the drawing is named: 0 its colour, 1 its kind, 2 its place
COMBINATIONS = tuple(itertools.permutations(range(3), 2))


def worlds(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All ways to choose four kinds and four colours, each at most once, and how likely they are.

    Four kinds are drawn, each choice equally likely, then a drawing of each kind, each equally
    likely, and all of it anew until the four colours differ. So

        P(kinds, colours) is proportional to the product over the four of n(kind, colour) / n(kind)

    Args:
        counts: int (kinds, colours), n(kind, colour), how many drawings there are.

    Returns:
        int64 (worlds, 4, 2), the kind and the colour of each of four drawings, the kinds ascending;
        and float64 (worlds,), their probabilities, which are above 0 and sum to 1.

    Raises:
        ValueError: there is no way.
    """
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    found = [
        list(zip(kinds, colours, strict=True))
        for kinds in itertools.combinations(range(counts.shape[0]), 4)
        for colours in itertools.permutations(range(counts.shape[1]), 4)
        if counts[list(kinds), list(colours)].all()
    ]
    if not found:
        raise ValueError(f"{counts.sum()} drawings make no scene of four kinds and four colours")
    pairs = np.array(found, np.int64)
    weight = share[pairs[..., 0], pairs[..., 1]].prod(axis=1)
    return pairs, weight / weight.sum()


def replies(drawing: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The colour, the kind and the place of drawings, as numbers along `REPLIES`.

    Args:
        drawing: int (..., 2), kind and colour.
        place: int (...), 0 to 3.

    Returns:
        int64 (..., 3).
    """
    first = len(COLOURS)
    kind = first + drawing[..., 0]
    return np.stack([drawing[..., 1], kind, first + len(KINDS) + place], axis=-1)


def exact_ceilings(found: np.ndarray, likely: np.ndarray) -> dict[str, float]:
    """The share of right replies that each subset of modalities allows, see `Scenes.ceilings`.

    It sums over every world with its probability (both as `worlds` gives them), four arrangements
    in which each drawing is once in each place, each drawing meant, and each of `COMBINATIONS`.
    Four arrangements suffice, because in scenes the place does not depend on the rest.
    """
    shape = (len(found), 4, 4, len(COMBINATIONS))
    world, turn, meant, pair = (index.ravel() for index in np.indices(shape))
    value = replies(found[world, meant], (meant + turn) % 4)
    asked, by = np.array(COMBINATIONS)[pair].T
    row = np.arange(len(value))
    weight = likely[world] / (len(row) / len(found))
    reply, shown = value[row, asked], {"image": world * 4 + turn, "audio": asked}
    shown["text"] = value[row, by]
    ceilings = {}
    for size in range(len(MODALITIES) + 1):
        for names in itertools.combinations(MODALITIES, size):
            seen = np.zeros(len(row), np.int64)
            for name in names:
                seen = seen * (shown[name].max() + 1) + shown[name]
            counts = np.bincount(seen * len(REPLIES) + reply, weight)
            counts.resize((int(seen.max()) + 1, len(REPLIES)), refcheck=False)
            ceilings["+".join(names)] = float(counts.max(axis=1).sum())
    return ceilings
