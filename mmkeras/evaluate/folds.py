"""Cross-validation: the training rows and the test rows of each fold.

Derived in chapter 09.
"""

import numpy as np
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

from ..arguments import Arrays, check_codes, check_positive


def folds(
    y: Arrays,
    *,
    k: int = 5,
    repeats: int = 1,
    groups: Arrays | None = None,
    leave_out: Arrays | None = None,
    seed: int = 0,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers to train and to test on for each fold of a cross-validation (Stone 1974).

    The folds are stratified by class. With `groups`, no group is on both sides, and classes are
    balanced as well as whole groups allow. With `leave_out`, there is one fold for each of its
    labels, in sorted order, which tests on that label and trains on all others; k and seed then
    have no effect.

    Args:
        y: (n,) class labels of any kind.
        k: number of folds, at least 2.
        repeats: how often all rows are divided anew; the result has k * repeats folds.
        groups: (n,) labels such as patients.
        leave_out: (n,) labels such as hospitals. A group that occurs in several hospitals is left
            out of the training when it is tested.
        seed: seed of the shuffling, int from 0.

    Returns:
        List of (train, test), each an int array of row numbers.

    Raises:
        ValueError: k is below 2 or above the number of rows (or groups) of the smallest class,
            there is only one label to leave out, a side would be empty, or the lengths differ.
    """
    classes = check_codes("y", y, len(y))
    member = np.arange(len(y)) if groups is None else check_codes("groups", groups, len(y))
    check_positive("repeats", repeats)
    if leave_out is not None:
        if repeats != 1:
            raise ValueError(f"leave_out knows one division only, so repeats={repeats} must be 1")
        return _leave_one_out(check_codes("leave_out", leave_out, len(y)), member)
    check_positive("k", k)
    units = [len(np.unique(member[classes == c])) for c in range(classes.max() + 1)]
    if not 2 <= k <= min(units):
        what = "rows" if groups is None else "groups"
        smallest = np.asarray(y)[classes == np.argmin(units)][0]
        raise ValueError(
            f"k must be at least 2 and at most {min(units)}, the number of {what} of class "
            f"{smallest}; got {k}"
        )
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    state = np.random.RandomState(seed)
    splits = []
    for _ in range(repeats):
        splitter = kind(k, shuffle=True, random_state=state)
        splits += list(
            splitter.split(classes[:, None], classes, None if groups is None else member)
        )
    if not all(len(test) for _, test in splits):
        raise ValueError(f"k={k} leaves a fold without a group; use fewer folds or another seed")
    return splits


def _leave_one_out(site: np.ndarray, member: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    if site.max() == 0:
        raise ValueError("leave_out must hold at least two different labels")
    splits = []
    for train, test in LeaveOneGroupOut().split(site[:, None], groups=site):
        train = train[~np.isin(member[train], member[test])]
        if len(train) == 0:
            raise ValueError(
                "leave_out leaves no row to train on, because its labels share all groups"
            )
        splits.append((train, test))
    return splits
