"""Test sheets for exercise 3 of chapter 11, and what an augmentation must not do to them."""

import numpy as np

from . import NotYet

# A bright mark at the top, bottom, left and right, where the opposite edge is dark
_EDGES = (np.s_[:2, 24:28], np.s_[-2:, 36:40], np.s_[24:28, :2], np.s_[36:40, -2:])
# Two blobs above each other in each quarter, so that a half knows up from down
_BLOBS = tuple((row, column) for row in (10, 22, 41, 53) for column in (16, 48))
_BRIGHT = (60, 82, 104, 126, 148, 170, 192, 214)
# Which blob is the darkest, the second darkest, … after a flip
_EXCHANGED = {
    (1, 0, 3, 2, 5, 4, 7, 6): "left and right are exchanged: stress must stay on the left",
    (6, 7, 4, 5, 2, 3, 0, 1): "above and below are exchanged: the arteries must stay below",
    (4, 5, 6, 7, 0, 1, 2, 3): "above and below are exchanged: the arteries must stay below",
    (2, 3, 0, 1, 6, 7, 4, 5): "each half is upside down: the arteries would spread upwards",
}
_NEAR = 3 + 1  # rows next to the middle and the edges that a shift, or its wrap, may fill


def sheets_with_marks() -> np.ndarray:
    """Six sheets with eight blobs of different brightness, and eight with a black half."""
    rows, columns = np.mgrid[:64, :64]
    sheet = np.full((64, 64), 12.0)
    for (row, column), bright in zip(_BLOBS, _BRIGHT, strict=True):
        sheet[(rows - row) ** 2 + (columns - column) ** 2 <= 25] = bright
    for edge in _EDGES:
        sheet[edge] = 230
    sheets = np.repeat(sheet[None], 14, axis=0)
    sheets[6:10, 32:], sheets[10:, :32] = 0, 0
    return sheets[..., None].astype(np.uint8)


def check_edges(got: np.ndarray) -> None:
    """What leaves the sheet must not come back on the other side."""
    for edge, (side, other) in zip(
        (np.s_[:, -3:, 20:32], np.s_[:, :3, 32:44], np.s_[:, 20:32, -3:], np.s_[:, 32:44, :3]),
        (("top", "bottom"), ("bottom", "top"), ("left", "right"), ("right", "left")),
        strict=True,
    ):
        if (got[:6][edge] > 120).any():
            raise NotYet(
                f"what leaves at the {side} comes back at the {other}: np.roll wraps the sheet "
                "around; fill with the border instead, as np.pad(…, mode='edge') does"
            )


def check_gaps(got: np.ndarray) -> None:
    """A black half stays black, away from its border."""
    above, below = np.s_[:, _NEAR : 32 - _NEAR], np.s_[:, 32 + _NEAR : 64 - _NEAR]
    rings, arteries = got[6:10], got[10:]  # only these were recorded
    if rings[below].any() or arteries[above].any():
        if not rings[above].any() or not arteries[below].any():
            raise NotYet("above and below are exchanged: the arteries must stay below")
        raise NotYet(
            "a black half is no longer black: add noise and brightness only where the sheet is "
            "not black"
        )


def check_borders(got: np.ndarray) -> None:
    """What moves must not carry rows of one half into the other."""
    if got[6:10, 32:].any() or got[10:, :32].any():
        raise NotYet(
            "a black half is no longer black at its border to the other half: move each half "
            "within its own frame"
        )


def check_meaning(got: np.ndarray, sheets: np.ndarray) -> None:
    """The patch at each blob, compared with the blob that was there; and no part is lost."""
    levels = np.array(
        [
            [np.median(new[r - 3 : r + 4, c - 3 : c + 4]) for r, c in _BLOBS]
            for new in got[:6, ..., 0].astype(float)
        ]
    )
    for order in np.argsort(levels).tolist():
        if tuple(order) in _EXCHANGED:
            raise NotYet(_EXCHANGED[tuple(order)])
        if order != sorted(order):
            raise NotYet(
                "the parts of the sheet are no longer where they were: no rotation, no flip, no "
                "crop, and a shift of at most 3 pixels"
            )
    change = levels / np.array(_BRIGHT)
    if change.min() < 0.75 or change.max() > 1.3:
        raise NotYet("a part was cut off or changed beyond recognition: keep within 10 to 20%")
    black = np.lib.stride_tricks.sliding_window_view(got[:6, ..., 0], (6, 6), axis=(1, 2))
    if (black.max(axis=(-2, -1)) == 0).any():
        raise NotYet("a black hole was made: black means not recorded, and a dark gap means ill")
    quarters = [(part[:6, ..., 0] > 40).reshape(6, 2, 32, 2, 32) for part in (got, sheets)]
    new, old = (quarter.sum(axis=(2, 4)) for quarter in quarters)
    if (new / old).min() < 0.85:
        raise NotYet("a part of the sheet was cut off: no part may be lost")
