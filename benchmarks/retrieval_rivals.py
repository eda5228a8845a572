"""Rivals of the two towers in retrieval.py that train no network; `data` is its `Data`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from mmkeras import retrieval

Embed = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


class Neighbours:
    """The mean MiniLM vector of the names of the k most similar training drawings."""

    settings = (5, 15, 45)

    def fit(self, data: Any, train: np.ndarray, setting: int) -> Embed:
        def embed(rows: np.ndarray, concepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            pictures = unit(data.pictures)
            near = retrieval.search(pictures[rows], pictures[train], setting)[1]
            names = unit(data.minilm)
            return unit(names[data.concept[train][near]].mean(axis=1)), names[concepts]

        return embed


class Linear:
    """Ridge regression from the features of a drawing to the MiniLM vector of its name."""

    settings = (100.0, 1000.0, 10_000.0)

    def fit(self, data: Any, train: np.ndarray, setting: float) -> Embed:
        names = unit(data.minilm)
        ridge = Ridge(setting).fit(data.pictures[train], names[data.concept[train]])
        centre = names[np.unique(data.concept[train])].mean(axis=0)
        return lambda rows, concepts: (
            unit(ridge.predict(data.pictures[rows]) - centre), unit(names[concepts] - centre)
        )  # fmt: skip


class Joint:
    """One linear code that restores picture and name (principal components of both together)."""

    settings = (32, 64, 128)

    def fit(self, data: Any, train: np.ndarray, setting: int) -> Embed:
        own = data.concept[train]
        pairs = [(data.pictures, train), (data.minilm, own)]
        means = [x[rows].mean(axis=0) for x, rows in pairs]
        parts = [x - mean for (x, _), mean in zip(pairs, means, strict=True)]
        parts = [x / np.sqrt((x[rows] ** 2).sum(axis=1).mean())
                 for x, (_, rows) in zip(parts, pairs, strict=True)]  # fmt: skip
        both = PCA(setting, random_state=0).fit(np.hstack([parts[0][train], parts[1][own]]))
        axes = np.split(both.components_, [data.pictures.shape[1]], axis=1)
        codes = [unit(x @ a.T) for x, a in zip(parts, axes, strict=True)]
        return lambda rows, concepts: (codes[0][rows], codes[1][concepts])
