"""Chapter 11: what a student with a likely slip is told."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd
from check_cases import accepted, refused

from mmkeras.checks import ch11
from mmkeras.evaluate import best_threshold, expected_cost


def weights(
    *, conv: bool = True, bias: int = 3, pad: int = 0, pool: int = 2, flat: bool = False
) -> Callable:
    def count(side: int, channels: int, kernel: int, filters: int, units: int) -> int:
        left = (side - (0 if pad else kernel - 1)) // pool
        first = kernel * kernel * (1 if flat else channels) * filters + filters * (bias & 1)
        return first * conv + left * left * filters * units + units * (bias >> 1)

    return count


def test_flatten_weights_is_what_keras_counts() -> None:
    model = keras.Sequential(
        [
            keras.Input((21, 21, 3)),
            keras.layers.Conv2D(4, 4),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
        ]
    )
    assert weights()(21, 3, 4, 4, 5) == model.count_params()


VALUES = ["age", "chol", "exang", "disease"]


def find_leak(train: pd.DataFrame, test: pd.DataFrame) -> str:
    if set(train["patient"]) & set(test["patient"]):
        return "patient"
    names = [c for c in train if c not in ("patient", "recording")]
    if len(train[names].merge(test[names], on=names)):
        return "twin"
    for name in set(names) - {"disease"}:
        groups = train.groupby(name)["disease"]
        if train[name].nunique() <= 5 and groups.nunique().max() == 1:
            return "label"
    return "none"


def by_rows(train: pd.DataFrame, test: pd.DataFrame) -> str:
    """The same by plain loops and strings."""
    if any(p in train["patient"].tolist() for p in test["patient"]):
        return "patient"
    names = [c for c in train if c not in ("patient", "recording")]
    seen = {str(row) for row in train[names].astype(str).values.tolist()}
    if any(str(row) in seen for row in test[names].astype(str).values.tolist()):
        return "twin"
    for name in names[:-1] if names[-1] == "disease" else names:
        pairs = set(zip(train[name].astype(str), train["disease"], strict=True))
        levels = {level for level, _ in pairs}
        if name != "disease" and len(pairs) == len(levels) <= 5:
            return "label"
    return "none"


def judged(row: Any, ward: Any) -> tuple[Callable, dict[str, Any]]:
    return find_leak, {"shuffled by row": row, "without ward": ward}


def with_equals(train: pd.DataFrame, test: pd.DataFrame) -> str:
    """Rows compared by ==, so that a gap hides a copy."""
    names = [c for c in train if c not in ("patient", "recording")]
    same = (train[names].to_numpy()[:, None] == test[names].to_numpy()[None]).all(axis=2)
    found = find_leak(train, test)
    return "none" if found == "twin" and not same.any() else found


def any_column(train: pd.DataFrame, test: pd.DataFrame) -> str:
    names = [c for c in train if c not in ("patient", "recording", "disease")]
    pure = any(train.groupby(n)["disease"].nunique().max() == 1 for n in names)
    found = find_leak(train, test)
    return "label" if found == "none" and pure else found


def equal_column(train: pd.DataFrame, test: pd.DataFrame) -> str:
    found = find_leak(train, test)
    same = any(train[n].equals(train["disease"]) for n in train if n != "disease")
    return "none" if found == "label" and not same else found


def patients_only(train: pd.DataFrame, test: pd.DataFrame) -> str:
    return "patient" if set(train["patient"]) & set(test["patient"]) else "none"


def row_numbers(train: pd.DataFrame, test: pd.DataFrame) -> str:
    return "patient" if set(train.index) & set(test.index) else find_leak(train, test)


def named_ward(train: pd.DataFrame, test: pd.DataFrame) -> str:
    """Only looks whether a column has the name of the letter in the exercise."""
    found = find_leak(train, test)
    return "none" if found == "label" and "ward" not in train else found


def pure_levels(train: pd.DataFrame, test: pd.DataFrame, *, most: int, worst: str) -> str:
    """A disguise has up to `most` levels, of which the worst or the best is pure."""
    found = find_leak(train, test)
    for name in set(train) - {"patient", "recording", "disease"}:
        outcomes = train.groupby(name)["disease"].nunique()
        if found == "none" and len(outcomes) <= most and outcomes.agg(worst) == 1:
            return "label"
    return found


def safe(
    sheets: np.ndarray, rng: np.random.Generator, *, far: int = 2, parts: int = 2
) -> np.ndarray:
    """Each part of a sheet, its halves or the whole, is moved within its own frame."""
    out, rows = np.empty_like(sheets), 64 // parts
    for i, sheet in enumerate(sheets.astype(float)):
        down, right = rng.integers(0, 2 * far + 1, 2)
        padded = np.pad(
            sheet.reshape(parts, rows, 64, 1), ((0, 0), (far, far), (far, far), (0, 0)), mode="edge"
        )
        moved = padded[:, down : down + rows, right : right + 64].reshape(64, 64, 1)
        noise = np.where(moved > 0, rng.normal(0, 3, moved.shape), 0)
        out[i] = np.clip(moved * rng.uniform(0.9, 1.1) + noise, 0, 255)
    return out


def after(change: Callable) -> Callable:
    return lambda sheets, rng: change(safe(sheets, rng))


def crop(sheets: np.ndarray, edge: int = 8) -> np.ndarray:
    frame = np.full((1, 64, 64, 1), 12, np.uint8)
    frame[:, edge:-edge, edge:-edge] = 255
    return np.minimum(sheets, frame)


def in_place(sheets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sheets[:] = safe(sheets, rng)
    return sheets


def upside_down(sheets: np.ndarray) -> np.ndarray:
    return np.concatenate([sheets[:, 31::-1], sheets[:, :31:-1]], axis=1)


def holes(sheets: np.ndarray, rng: np.random.Generator, *, fill: int = 0) -> np.ndarray:
    """Cutout: a square of 8 × 8 in each sheet."""
    out = safe(sheets, rng)
    for sheet, row, column in zip(out, *rng.integers(0, 56, (2, len(out))), strict=True):
        hole = sheet[row : row + 8, column : column + 8]
        hole[hole > 0] = fill
    return out


def glaring(sheets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gain = rng.uniform(0.5, 1.5, (len(sheets), 1, 1, 1))
    return np.clip(sheets * gain, 0, 255).astype(np.uint8)


def noisy_gap(sheets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(sheets + rng.normal(0, 5, sheets.shape), 0, 255).astype(np.uint8)


def choose(y_valid: Any, p_valid: Any, y_test: Any, p_test: Any, fp: float, fn: float) -> Any:
    threshold = best_threshold(y_valid, p_valid, fp, fn)
    return threshold, expected_cost(y_test, p_test, threshold, fp, fn)


def chosen(pick: Callable) -> Callable:
    """A threshold by `pick`, and its cost on the test patients."""

    def answer(yv: Any, pv: Any, yt: Any, pt: Any, fp: float, fn: float) -> Any:
        threshold = pick(yv, pv, yt, pt, fp, fn)
        return threshold, expected_cost(yt, pt, threshold, fp, fn)

    return answer


def on_validation(yv: Any, pv: Any, yt: Any, pt: Any, fp: float, fn: float) -> Any:
    threshold = best_threshold(yv, pv, fp, fn)
    return threshold, expected_cost(yv, pv, threshold, fp, fn)


def rolled(sheets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each sheet turned round by up to 3 pixels, as the exercise is often solved."""
    out = [np.roll(sheet, rng.integers(-3, 4, 2), (0, 1)) for sheet in sheets]
    return np.clip(np.stack(out) * 0.95, 0, 255).astype(np.uint8)


def brighter(sheets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """No shift at all, only gain: a modest right answer."""
    gain = rng.choice([0.9, 0.95, 1.05, 1.1], (len(sheets), 1, 1, 1))
    return np.clip(sheets * gain, 0, 255).astype(np.uint8)


def all_brighter(sheets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One gain for all sheets, which may be so near 1 that the bytes stay as they were."""
    return np.clip(sheets * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)


def ratio(p: np.ndarray, trained: Any, real: Any) -> np.ndarray:
    return p * np.asarray(real) / np.asarray(trained)


def normal(p: np.ndarray) -> np.ndarray:
    return p / p.sum(axis=1, keepdims=True)


def test_the_correction_is_bayes_rule() -> None:
    """Two classes with known likelihoods: the corrected posterior is that of the other prior."""
    like = np.array([[0.2, 0.7], [0.5, 0.1], [0.4, 0.4]])
    trained, real = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    posterior = normal(like * trained)
    assert np.allclose(normal(ratio(posterior, trained, real)), normal(like * real))


WRONG = {
    ch11.flatten_weights: [
        ("the Dense layer alone", lambda: (weights(conv=False),), "the Dense layer alone"),
        ("no bias of the Dense layer", lambda: (weights(bias=1),), "biases of the Dense layer"),
        ("no bias of the convolution", lambda: (weights(bias=2),), "biases of the convolution"),
        ("no bias", lambda: (weights(bias=0),), "the biases are missing: one per window"),
        ("padding", lambda: (weights(pad=1),), "loses 2 pixels per side"),
        ("one channel", lambda: (weights(flat=True),), "looks at all 3 channels"),
        ("no pooling", lambda: (weights(pool=1),), "the pooling halves"),
        ("a constant", lambda: (lambda *sizes: 7,), "the count for a picture of 64 × 64"),
    ],
    ch11.find_leak: [
        ("only patients", lambda: (patients_only,), "A test row equals a training row"),
        ("row numbers", lambda: (row_numbers,), "row numbers of a DataFrame mean nothing"),
        ("gaps by ==", lambda: (with_equals,), "NaN is not equal to NaN"),
        ("any pure column", lambda: (any_column,), "is no disguise"),
        ("only a column that equals it", lambda: (equal_column,), "need not be called 0 and 1"),
        ("the name of the column", lambda: (named_ward,), "the name and the place"),
        (
            "one pure level is enough",
            lambda: (lambda *t: pure_levels(*t, most=5, worst="min"),),
            "One pure level is no disguise",
        ),
        (
            "up to 20 levels",
            lambda: (lambda *t: pure_levels(*t, most=20, worst="max"),),
            "more than five levels",
        ),
        ("True instead of a word", lambda: (lambda train, test: True,), "yours returns True"),
        ("always none", lambda: (lambda train, test: "none",), "on both sides"),
        ("judgement missing", lambda: judged(..., ...), "now the judgement"),
        ("judgement in a word", lambda: judged("label", []), "each a list of faults"),
        ("no dict", lambda: (find_leak, ["label"]), "give ruled_out"),
        ("shuffling and the label", lambda: judged(["label"], []), "no longer goes with"),
        ("shuffling and the patient", lambda: judged(["patient"], []), "labels that have nothing"),
        ("no ward, no label", lambda: judged([], ["label"]), "another column"),
        ("no ward, no twin", lambda: judged([], ["twin"]), "does not separate the people"),
    ],
    ch11.augment: [
        ("left-right", lambda: (after(lambda s: s[:, :, ::-1]),), "left and right are exchanged"),
        ("up-down", lambda: (after(lambda s: s[:, ::-1]),), "above and below are exchanged"),
        ("halves exchanged", lambda: (after(lambda s: np.roll(s, 32, 1)),), "below are exchanged"),
        ("halves upside down", lambda: (after(upside_down),), "each half is upside down"),
        ("black holes", lambda: (holes,), "a black hole was made"),
        (
            "grey holes",
            lambda: (lambda s, rng: holes(s, rng, fill=12),),
            "part of the sheet was cut",
        ),
        ("50 to 150%", lambda: (glaring,), "beyond recognition"),
        (
            "a generator of its own",
            lambda: (lambda sheets, rng: safe(sheets, np.random.default_rng()),),
            "equal seeds give different sheets",
        ),
        ("np.roll by up to 3", lambda: (rolled,), "np.roll wraps the sheet around"),
        (
            "moved as a whole",
            lambda: (lambda sheets, rng: safe(sheets, rng, parts=1),),
            "at its border to the other half",
        ),
        ("too far", lambda: (after(lambda s: np.roll(s, 9, 2)),), "no longer where they were"),
        ("cropped a little", lambda: (after(crop),), "a part of the sheet was cut off"),
        ("cropped much", lambda: (after(lambda s: crop(s, 24)),), "a part was cut off"),
        ("too dark", lambda: (after(lambda s: s // 3),), "beyond recognition"),
        ("noise on a gap", lambda: (noisy_gap,), "black half is no longer black"),
        ("in place", lambda: (in_place,), "changes the sheets it was given"),
        ("nothing", lambda: (lambda sheets, rng: sheets.copy(),), "nothing has changed"),
        (
            "one sheet only",
            lambda: (lambda sheets, rng: sheets + np.eye(14, 1, dtype="uint8")[..., None, None],),
            "some sheets",
        ),
        ("floats", lambda: (lambda sheets, rng: sheets / 255,), "should come out, yours is float"),
        (
            "a seed of its own",
            lambda: (lambda sheets, rng: safe(sheets, np.random.default_rng(0)),),
            "another rng gives the same",
        ),
    ],
    ch11.threshold_for: [
        (
            "costs exchanged",
            lambda: (chosen(lambda yv, pv, yt, pt, fp, fn: best_threshold(yv, pv, fn, fp)),),
            "exchanged",
        ),
        (
            "plain errors",
            lambda: (chosen(lambda yv, pv, yt, pt, fp, fn: best_threshold(yv, pv, 1, 1)),),
            "both mistakes cost the same in yours",
        ),
        (
            "chosen on the test",
            lambda: (chosen(lambda yv, pv, yt, pt, fp, fn: best_threshold(yt, pt, fp, fn)),),
            "on the test",
        ),
        (
            "the theory",
            lambda: (chosen(lambda yv, pv, yt, pt, fp, fn: fp / (fp + fn)),),
            "of the theory",
        ),
        ("0.5", lambda: (chosen(lambda *_: 0.5),), "only when both mistakes cost the same"),
        ("too high", lambda: (chosen(lambda *_: 0.97),), "not the cheapest threshold"),
        ("paid on validation", lambda: (on_validation,), "the cost on the validation patients"),
        ("only the threshold", lambda: (lambda *a: choose(*a)[0],), "return two numbers"),
        ("a word", lambda: (lambda *a: ("low", 1.0),), "should be a number"),
        ("another cost", lambda: (lambda *a: (choose(*a)[0], 99.0),), "cost on the test patients"),
    ],
    ch11.correct_priors: [
        ("not normal", lambda: (ratio,), "each row must sum to 1"),
        (
            "exchanged",
            lambda: (lambda p, trained, real: normal(ratio(p, real, trained)),),
            "exchanged",
        ),
        (
            "only the new shares",
            lambda: (lambda p, trained, real: normal(p * real),),
            "divide by the shares in training",
        ),
        ("nothing", lambda: (lambda p, trained, real: p,), "the corrected probabilities of 3"),
        (
            "one class",
            lambda: (lambda p, trained, real: normal(ratio(p, trained, real))[:, 0],),
            "should have shape",
        ),
    ],
}
RIGHT = {
    ch11.flatten_weights: [
        ("by formula", lambda: (weights(),)),
        ("a NumPy integer", lambda: (lambda *sizes: np.int64(weights()(*sizes)),)),
    ],
    ch11.find_leak: [
        ("merge", lambda: (find_leak,)),
        ("strings", lambda: (by_rows,)),
        ("with the judgement", lambda: judged([], ())),
    ],
    ch11.augment: [
        ("shift, gain, noise", lambda: (safe,)),
        ("as far as allowed", lambda: (lambda sheets, rng: safe(sheets, rng, far=3),)),
        ("gain alone", lambda: (brighter,)),
        ("one gain for all", lambda: (all_brighter,)),
        (
            "plainly darker",
            lambda: (lambda s, rng: s - np.minimum(s, np.uint8(rng.integers(2, 9))),),
        ),
    ],
    ch11.threshold_for: [("with mm.evaluate", lambda: (choose,))],
    ch11.correct_priors: [
        ("by columns", lambda: (lambda p, trained, real: normal(ratio(p, trained, real)),)),
        (
            "in logarithms",
            lambda: (
                lambda p, trained, real: normal(np.exp(np.log(p) + np.log(real) - np.log(trained))),
            ),
        ),
    ],
}
test_wrong, test_right = refused(WRONG), accepted(RIGHT)
