"""Checks of chapter 11, a note and a scan."""

from collections.abc import Callable, Collection, Iterator

import numpy as np
import pandas as pd

from ..evaluate import best_threshold, expected_cost
from . import NotYet, exercise, expect_close
from .sheets import check_borders, check_edges, check_gaps, check_meaning, sheets_with_marks


@exercise(
    "11.1",
    "counted by formula",
    hint="a window of kernel pixels without padding loses kernel - 1 pixels a side, pooling halves "
    "what is left, and Flatten gives side * side * filters numbers",
)
def flatten_weights(count: Callable) -> str | None:
    """Return the number of weights of the convolution and the Dense layer together, an int."""
    for side, channels, kernel, filters, units in (
        (64, 1, 3, 32, 64),
        (224, 3, 3, 16, 128),
        (48, 3, 4, 8, 10),
    ):
        conv = kernel * kernel * channels * filters + filters
        pooled = (side - kernel + 1) // 2
        dense = pooled * pooled * filters * units + units
        got = count(side, channels, kernel, filters, units)
        case = f"a picture of {side} × {side} × {channels}, {filters} windows, {units} units"
        slips = {
            conv + dense - units: "the biases of the Dense layer are missing",
            conv + dense - filters: "the biases of the convolution are missing",
            conv + dense - units - filters: "the biases are missing: one per window, one per unit",
            dense: "this is the Dense layer alone: add the convolution",
            kernel * kernel * filters + filters + dense: "each window looks at all "
            f"{channels} channels of its place",
            conv + (side // 2) ** 2 * filters * units + units: "without padding the convolution "
            f"loses {kernel - 1} pixels per side before the pooling",
            conv + (side - kernel + 1) ** 2 * filters * units + units: "the pooling halves both "
            "sides before Flatten",
            conv + pooled * pooled * channels * units + units: "after the convolution there are "
            f"{filters} channels, not {channels}",
        }
        slip = slips.get(int(got)) if isinstance(got, int | float | np.number) else None
        if slip and got != conv + dense:
            raise NotYet(f"{case}: {slip}")
        expect_close(got, conv + dense, f"the count for {case}")
    return "nearly all of them are in the Dense layer, and they grow with the square of the side"


@exercise(
    "11.2",
    "the leak is found",
    hint="set(train['patient']) & set(test['patient']) first; then train.merge(test, on=values) "
    "with values = all columns but patient and recording (merge takes two gaps for equal); then "
    "train.groupby(column)['disease'].nunique() of each column with at most five "
    "levels; for ruled_out ask what the AUC would be if the fault were there",
)
def find_leak(find: Callable, ruled_out: dict[str, list[str]] | None = None) -> str | None:
    """Return which fault the two tables have: "patient", "twin", "label" or "none"."""
    for case, wanted, (train, test), clue in _designs():
        before = train.copy(), test.copy()
        got = find(train, test)
        if not (train.equals(before[0]) and test.equals(before[1])):
            raise NotYet("it changes the tables it was given: work on a copy")
        if got not in ("patient", "twin", "label", "none"):
            raise NotYet(f'return "patient", "twin", "label" or "none"; yours returns {got!r}')
        if got != wanted:
            raise NotYet(f"{case}: yours says {got!r}. {clue}")
    if ruled_out is None:
        return "now the judgement: what have the two experiments of the sender ruled out?"
    _check_judgement(ruled_out)
    return "and no fault is ruled out: ask for a split by patient in which twins are one person"


def _check_judgement(ruled_out: dict[str, list[str]]) -> None:
    """Neither experiment rules out any of the three faults for certain."""
    row, ward, faults = "shuffled by row", "without ward", ("patient", "twin", "label")
    form = (
        f'give ruled_out = {{"{row}": [...], "{ward}": [...]}}, each a list of faults, maybe empty'
    )
    if not isinstance(ruled_out, dict) or set(ruled_out) != {row, ward}:
        raise NotYet(form)
    if any(x is ... or x == [...] for x in ruled_out.values()):
        raise NotYet("find_leak is right; now the judgement: replace the ... in ruled_out")
    for found in ruled_out.values():
        if not isinstance(found, list | tuple | set) or not set(found) <= set(faults):
            raise NotYet(f"{form}; the faults are {', '.join(faults)}")
    if "label" in ruled_out[row]:
        raise NotYet(
            "a disguised diagnosis survives: after the shuffling the column no longer goes with "
            "the labels, so the AUC falls to 0.50 although the leak is there"
        )
    if ruled_out[row]:
        raise NotYet(
            "shuffled by row, two rows of one person (or twins) get labels that have nothing in "
            "common, so the AUC falls to 0.50 although the leak is there: see section 8"
        )
    if "label" in ruled_out[ward]:
        raise NotYet("ward was such a column, but another column may hold the diagnosis as well")
    if ruled_out[ward]:
        raise NotYet("leaving a column out does not separate the people of training and test set")


def _designs() -> Iterator[tuple[str, str, tuple[pd.DataFrame, pd.DataFrame], str]]:
    """Name, fault, (train, test) and what a wrong answer has overlooked."""
    rng = np.random.default_rng(11)
    n = 60
    table = pd.DataFrame({"patient": np.arange(n), "recording": 0})
    table["age"] = rng.integers(30, 70, n)
    table["chol"] = np.where(rng.random(n) < 0.2, np.nan, 180 + rng.permutation(n))
    table["exang"] = rng.integers(0, 2, n)
    table["disease"] = (rng.random(n) < 0.2 + 0.6 * table["exang"]).astype(int)
    table.loc[:3, "exang"], table.loc[:3, "disease"] = [0, 1, 0, 1], [0, 1, 1, 0]
    train, test = table[:40].copy(), table[40:].reset_index(drop=True)
    yield (
        "a clean split, whose row numbers overlap",
        "none",
        (train, test),
        "No patient is shared, no row is repeated with its diagnosis. A value with a level per "
        "patient, such as chol, goes with one outcome each and is no disguise; row numbers of a "
        "DataFrame mean nothing.",
    )
    again = pd.concat([test, train[5:6].assign(recording=3, age=train["age"].iloc[5] + 1)])
    yield (
        "a patient who came back a year later",
        "patient",
        (train, again.reset_index(drop=True)),
        "The same patient number is on both sides, although the values differ.",
    )
    gap = train[train["chol"].isna()][:1]
    for name, row in {"a copy": train[7:8], "a copy with a gap": gap}.items():
        copied = pd.concat([test, row.assign(patient=999, recording=2)]).reset_index(drop=True)
        clue = "A test row equals a training row in all values; patient and recording may differ"
        clue += ", and NaN is not equal to NaN." if name != "a copy" else "."
        yield f"{name} under a new number", "twin", (train, copied), clue
    code = {0: "C", 1: "A"}
    marked = [part.assign(ward=part["disease"].map(code)) for part in (train, test)]
    marked[0].loc[marked[0].index[:4], "ward"] = ["C2", "A", "A", "C2"]
    yield (
        "a column with three levels",
        "label",
        (marked[0], marked[1]),
        "Every ward goes with one diagnosis: it need not be called 0 and 1 to be the label.",
    )
    renamed = [part.drop(columns="ward") for part in marked]
    for part, old in zip(renamed, marked, strict=True):
        part.insert(3, "code", old["ward"].map({"C": 4, "C2": 7, "A": 2}))
    yield (
        "the same column under another name, in the middle of the table",
        "label",
        (renamed[0], renamed[1]),
        "Look at every column but patient, recording and disease: the name and the place of a "
        "disguise are free.",
    )
    for case, levels, pure, clue in (
        ("a column of four levels", 4, [3], "One pure level is no disguise: each level must go "
         "with one outcome."),
        ("a column of eight levels", 8, range(8), "A column with more than five levels is not "
         "counted here, even if each goes with one outcome."),
    ):  # fmt: skip
        parts = [part.assign(room=_rooms(part["disease"], levels, pure)) for part in (train, test)]
        yield case, "none", (parts[0], parts[1]), clue


def _rooms(disease: pd.Series, levels: int, pure: Collection[int]) -> np.ndarray:
    """Levels in turn; the pure ones go with one outcome each, the even ones with health."""
    room = np.arange(len(disease)) % levels
    wrong = np.isin(room, list(pure)) & (room % 2 != disease)
    return np.where(wrong, (room + 1) % levels if len(pure) > 1 else 0, room)


@exercise(
    "11.3",
    "an augmentation that keeps the diagnosis",
    hint="copy the sheets to float; move each half (32 rows) on its own: pad it by 2 pixels with "
    "np.pad(mode='edge') and cut 32 × 64 out at a random place; multiply by a factor from 0.9 to "
    "1.1, add noise only where the half is not black, clip to 0..255, cast to uint8",
)
def augment(change: Callable) -> str | None:
    """Return new sheets, uint8 (n, 64, 64, 1), that mean the same as the old ones."""
    sheets = sheets_with_marks()
    before = sheets.copy()
    got = change(sheets, np.random.default_rng(2))
    if not np.array_equal(sheets, before):
        raise NotYet("it changes the sheets it was given: start from a copy")
    got = np.asarray(got)
    if got.shape != sheets.shape or got.dtype != np.uint8:
        raise NotYet(
            f"uint8 {sheets.shape} should come out, yours is {got.dtype} {got.shape}: "
            "np.clip(…, 0, 255).astype('uint8')"
        )
    again = np.asarray(change(sheets, np.random.default_rng(3)))
    if np.array_equal(got, sheets) and np.array_equal(again, sheets):
        raise NotYet("nothing has changed")
    same = [np.array_equal(new, old) for new, old in zip(got, sheets, strict=True)]
    if any(same) and np.shape(again) == np.shape(sheets):  # by chance, one draw may change little
        twice = [np.array_equal(new, old) for new, old in zip(again, sheets, strict=True)]
        if any(np.logical_and(same, twice)):
            raise NotYet("some sheets have not changed")
    check_gaps(got)
    check_meaning(got, sheets)
    check_edges(got)
    check_borders(got)
    if not np.array_equal(np.asarray(change(sheets, np.random.default_rng(2))), got):
        raise NotYet("equal seeds give different sheets: every change must be drawn from rng")
    others = (change(sheets, np.random.default_rng(seed)) for seed in (3, 4, 5))
    if all(np.array_equal(np.asarray(other), got) for other in others):
        raise NotYet("another rng gives the same sheets: draw the change from rng")
    check_meaning(again, sheets)
    check_edges(again)
    check_borders(again)
    return "stress stays left, arteries below, and a gap stays a gap"


@exercise(
    "11.4",
    "chosen on some patients, paid on others",
    hint="mm.evaluate.best_threshold on the validation patients, then mm.evaluate.expected_cost "
    "on the test patients, both with false_positive= and false_negative=",
)
def threshold_for(choose: Callable) -> str | None:
    """Return the threshold of the validation patients and its mean cost on the test patients."""
    rng = np.random.default_rng(0)
    for false_positive, false_negative in ((1, 5), (4, 1)):
        y_valid, y_test = (rng.random(200) < 0.4).astype(int), (rng.random(300) < 0.4).astype(int)
        p_valid, p_test = (
            1 / (1 + np.exp(0.5 - 2 * y - rng.normal(0, 1.2, len(y)))) ** 2
            for y in (y_valid, y_test)
        )
        got = choose(y_valid, p_valid, y_test, p_test, false_positive, false_negative)
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise NotYet("return two numbers: the threshold, and its mean cost on the test rows")
        best = best_threshold(y_valid, p_valid, false_positive, false_negative)
        swapped = best_threshold(y_valid, p_valid, false_negative, false_positive)
        on_test = best_threshold(y_test, p_test, false_positive, false_negative)
        equal = best_threshold(y_valid, p_valid, 1, 1)
        slips = {
            equal: "both mistakes cost the same in yours",
            swapped: "the two costs are exchanged",
            on_test: "this threshold was chosen on the test patients: they may pay, but not choose",
            false_positive / (false_positive + false_negative): "this is the threshold of the "
            "theory, which needs calibrated probabilities, and these are not: search on the "
            "validation patients",
            0.5: "0.5 is right only when both mistakes cost the same",
        }
        try:
            given = float(got[0])
        except (TypeError, ValueError):
            raise NotYet("the first of the two should be a number, the threshold") from None
        paid = expected_cost(y_valid, p_valid, best, false_positive, false_negative)
        ok = 0 <= given <= 1 and np.isclose(
            expected_cost(y_valid, p_valid, given, false_positive, false_negative), paid
        )
        for value, message in slips.items():
            if not ok and np.isclose(given, value):
                raise NotYet(message)
        if not ok:
            raise NotYet(f"{given:.3g} is not the cheapest threshold on the validation patients")
        want = expected_cost(y_test, p_test, given, false_positive, false_negative)
        again = expected_cost(y_valid, p_valid, given, false_positive, false_negative)
        if np.isscalar(got[1]) and np.isclose(got[1], again) and not np.isclose(again, want):
            raise NotYet(
                "this is the cost on the validation patients: report the one on the test patients"
            )
        expect_close(got[1], want, "the mean cost on the test patients")
    return "the cost on the test patients is the number to publish"


@exercise(
    "11.5",
    "another hospital, another prior",
    hint="multiply p by real / trained, column by column, and divide each row by its sum",
)
def correct_priors(correct: Callable) -> str | None:
    """Return the corrected probabilities, (n, K), with rows that sum to 1."""
    rng = np.random.default_rng(0)
    for classes in (3, 2):
        p = rng.dirichlet(np.ones(classes), 6)
        trained, real = rng.dirichlet(np.full(classes, 4.0), 2)
        got = correct(p.copy(), trained.copy(), real.copy())
        raw, other = p * real / trained, p * trained / real
        want = raw / raw.sum(axis=1, keepdims=True)
        slips = {
            "each row must sum to 1: divide by its sum (axis=1, keepdims=True)": raw,
            "trained and real are exchanged": other / other.sum(axis=1, keepdims=True),
            "divide by the shares in training: the answers of the model already contain them": (
                p * real / (p * real).sum(axis=1, keepdims=True)
            ),
        }
        for message, value in slips.items():
            if np.shape(got) == value.shape and np.allclose(got, value, atol=1e-9):
                raise NotYet(message)
        expect_close(got, want, f"the corrected probabilities of {classes} classes")
    return "it holds where only the shares differ, and not what illness looks like"
