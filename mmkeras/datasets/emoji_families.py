"""Families of emoji that look or are called nearly the same, which a split must not divide."""

import re

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import euclidean_distances

from .emoji_drawings import ARTISTS, drawings_of, plain

_FAMILY_SIZE = 48  # side in pixels at which pictures are compared, whatever size is loaded
# Distances below which a reader cannot tell two pictures apart at a glance. Both lie in a gap: no
# pair of the default groups is within 0.0004 of either, except for pairs with similar labels.
_ALL_ALIKE = 0.071  # mean over the artists, in grey, 0..1
_ONE_ALIKE = 0.030  # any one artist, in colour, 0..1
# Words in which labels of one family differ: "two o’clock", "three-thirty"; "red heart" ...
_VARIANT = re.compile(
    r"\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirty|o’clock|"
    r"red|orange|yellow|green|light blue|blue|purple|brown|black|white|gr[ae]y|pink|"
    r"1st|2nd|3rd|first|last|quarter|waxing|waning|crescent|gibbous|new|full|low|medium|high|"
    r"left|right|showing .*)\b|-"
)


def families(concepts: pd.DataFrame, drawn: dict[str, dict[str, str]]) -> np.ndarray:
    """A family number for each concept, int `(concepts,)`.

    Two concepts are linked if their labels differ only in a number, a colour or a phase, if the
    artists draw them alike on average, or if one artist draws them almost identically. A family
    holds all concepts that are linked, directly or through others. All four artists are always
    compared, so that the families depend neither on the picture size nor on the loaded artists.
    """
    labels = concepts["label_en"].str.replace(_VARIANT, " ", regex=True).str.split().str.join(" ")
    linked = labels.to_numpy()[:, None] == labels.to_numpy()[None]
    total, seen_by = np.zeros(linked.shape), np.zeros(linked.shape)
    keys = concepts["hexcode"].map(plain)
    for artist in ARTISTS:
        here = np.flatnonzero(keys.isin(drawn[artist].keys()))
        if not len(here):
            continue
        pictures = drawings_of(artist, list(concepts["hexcode"].iloc[here]), _FAMILY_SIZE)
        pixels = _shrink(pictures, 3)
        both = np.ix_(here, here)
        total[both] += _distances(pixels.mean(-1))
        seen_by[both] += 1
        linked[both] |= _distances(pixels) < _ONE_ALIKE
    linked |= total < _ALL_ALIKE * seen_by  # false where no artist draws both
    component = connected_components(linked, directed=False)[1]
    first = np.unique(component, return_index=True)[1]
    return first[component]  # the number of the first concept in it


def _shrink(pictures: np.ndarray, by: int) -> np.ndarray:
    """Means over blocks of `by` times `by` pixels, scaled from 0..255 to 0..1."""
    n, height, width, channels = pictures.shape
    squares = pictures.reshape(n, height // by, by, width // by, by, channels)
    total = np.zeros((n, height // by, width // by, channels), np.uint32)
    for row, column in np.ndindex(by, by):  # ten times faster than `mean` over two short axes
        total += squares[:, :, row, :, column]
    return total / by**2 / 255


def _distances(pixels: np.ndarray) -> np.ndarray:
    """Root mean square difference between each two pictures, `(n, ...)` → `(n, n)`."""
    flat = pixels.reshape(len(pixels), -1)
    return euclidean_distances(flat) / np.sqrt(flat.shape[1])
