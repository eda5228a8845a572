"""Occlusion and Shapley values of anything that has an answer to every choice of its parts.

`occlusion` and `shapley` of this package explain the inputs of a model. Here the answer may come
from anywhere, such as from a sentence that is put together again without some of its words.
"""

import itertools
from collections.abc import Callable

import numpy as np

from ..arguments import check_positive, check_seed

ALL_ORDERS = 5  # parts whose 120 orders are all walked
Value = Callable[[np.ndarray], np.ndarray]


def without_each(value: Value, size: int) -> np.ndarray:
    """The answer with all parts minus the answer without one, float (size,): occlusion.

    Args:
        value: bool (k, size), True where a part stays → float (k,), the answers.
        size: the number of parts, 1 or more.
    """
    parts = check_positive("size", size)
    told = np.asarray(value(np.vstack([np.ones(parts, bool), ~np.eye(parts, dtype=bool)])), float)
    return told[0] - told[1:]


def mean_gain(value: Value, size: int, permutations: int = 8, seed: int = 0) -> np.ndarray:
    """What each part adds, averaged over orders of adding them, float (size,): Shapley values.

    They sum to the answer with all parts minus the answer without any (Shapley 1953). Up to five
    parts all orders are walked, and the values are exact; else so many random ones, each forwards
    and backwards (Castro, Gómez & Tejada 2009).

    Args:
        value, size: as for `without_each`. Each choice of parts is asked for once.
        permutations: the number of random orders, int from 1.
        seed: of the random orders.
    """
    parts, count = check_positive("size", size), check_positive("permutations", permutations)
    rng = np.random.default_rng(check_seed(seed))
    if parts <= ALL_ORDERS:
        orders = np.array(list(itertools.permutations(range(parts))))
    else:
        drawn = np.stack([rng.permutation(parts) for _ in range(count)])
        orders = np.concatenate([drawn, drawn[:, ::-1]])
    place = np.argsort(orders, axis=1)  # of each part in each order
    keep = place[:, None, :] < np.arange(parts + 1)[None, :, None]
    asked, which = np.unique(keep.reshape(-1, parts), axis=0, return_inverse=True)
    told = np.asarray(value(asked), float)[which.reshape(-1)].reshape(len(orders), parts + 1)
    gains = np.zeros(parts)
    np.add.at(gains, orders, np.diff(told, axis=1))
    return gains / len(orders)
