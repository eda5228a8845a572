"""Checks of chapter 07, fusion methods."""

from collections.abc import Callable

import keras
import numpy as np
import pandas as pd

from . import NotYet, exercise, expect_close


@exercise(
    "07.1",
    "the price of a tensor",
    hint="each modality is projected with d·u weights and u biases; the joint features are "
    "(u + 1)^M, and the head has one weight per feature and class, and one bias per class",
)
def tensor_weights(count: Callable) -> str | None:
    """a function of widths (list of int), units and classes that returns one whole number."""
    for widths, units, classes in (([5, 3], 2, 4), ([64, 64, 64], 16, 6), ([7], 3, 1)):
        got = count(list(widths), units, classes)
        own = sum(widths) * units + len(widths) * units
        want = own + (units + 1) ** len(widths) * classes + classes
        case = f"widths {widths}, {units} units, {classes} classes"
        if np.isscalar(got):
            if got == own:
                raise NotYet(f"{case}: these are the projections alone; add the head's weights")
            if got == own + units ** len(widths) * classes + classes:
                raise NotYet(f"{case}: a 1 is appended to each modality: u + 1, not u")
            if got in (want - classes, want - len(widths) * units):
                raise NotYet(f"{case}: some biases are missing")
        expect_close(got, want, f"the count for {case}")
    return "the head pays for the products, not the fusion layer"


@exercise(
    "07.2",
    "a fusion of your own",
    hint="in build(self, shapes) make one Dense per modality, self.project = [keras.layers.Dense("
    "self.units) for _ in shapes], and build each; in call take the elementwise maximum",
)
def max_fusion(kind: type) -> str | None:
    """a class derived from keras.layers.Layer, MaxFusion(units); its output is (n, units)."""
    if not (isinstance(kind, type) and issubclass(kind, keras.layers.Layer)):
        raise NotYet(f"expected a class that derives from keras.layers.Layer, got {kind!r}")
    rng = np.random.default_rng(0)
    for widths, units in (((4, 3), 5), ((2, 6, 3), 4)):
        layer = kind(units)
        X = [rng.normal(size=(7, d)).astype("float32") for d in widths]
        got = layer([keras.ops.convert_to_tensor(x) for x in X])
        what = f"with widths {list(widths)} and {units} units"
        if tuple(got.shape) != (7, units):
            raise NotYet(f"{what} the output should have shape (7, {units}), got {got.shape}")
        tensors = layer.trainable_variables
        count = sum(int(np.prod(w.shape)) for w in tensors)
        want = sum(widths) * units + len(widths) * units
        if count == 0:
            raise NotYet("the layer has no trainable weights: are they attributes of self?")
        if count != want:
            raise NotYet(f"{what} there should be {want} weights, Keras finds {count}")
        kernels, biases = tensors[::2], tensors[1::2]
        if [tuple(k.shape) for k in kernels] != [(d, units) for d in widths]:
            raise NotYet("the weights should come as kernel, bias, kernel, bias: one Dense each")
        for k, b in zip(kernels, biases, strict=True):
            b.assign(rng.normal(size=b.shape))
            k.assign(rng.normal(size=k.shape))
        got = np.asarray(layer([keras.ops.convert_to_tensor(x) for x in X]))
        pairs = zip(X, kernels, biases, strict=True)
        parts = np.stack([x @ np.asarray(k) + np.asarray(b) for x, k, b in pairs])
        if np.allclose(got, parts.sum(axis=0), atol=1e-4):
            raise NotYet("this is the sum of the projections; take the elementwise maximum")
        expect_close(got, parts.max(axis=0), f"the output {what}", atol=1e-4)
    return "a layer that takes a list is all that fuse() asks for"


@exercise(
    "07.3",
    "a referee, by hand",
    hint="two units suffice: one multiplies the words by something that is 0 when c = -1, the "
    "other the picture by something that is 0 when c = +1; a factor of 1 leaves a unit alone",
)
def referee(weights: Callable) -> str | None:
    """a function without arguments that returns W, b (lists of three arrays), β and β₀."""
    got = weights()
    if not isinstance(got, tuple | list) or len(got) != 4:
        raise NotYet("return four things: W and b, lists of three arrays each, then β and β₀")
    W, b, beta, beta_0 = got
    if len(W) != 3 or len(b) != 3:
        raise NotYet(f"W and b need an entry for words, picture, referee; got {len(W)}, {len(b)}")
    W, b = [np.asarray(w, float) for w in W], [np.asarray(k, float) for k in b]
    beta, beta_0 = np.asarray(beta, float), float(np.asarray(beta_0))
    units = beta.size
    for m, (w, k) in enumerate(zip(W, b, strict=True)):
        if w.shape != (1, units) or k.shape != (units,):
            raise NotYet(
                f"with {units} weights in β, W[{m}] should have shape (1, {units}) and b[{m}] "
                f"({units},); yours have {w.shape} and {k.shape}"
            )
    rng = np.random.default_rng(0)
    words, picture = rng.uniform(-1, 1, (2, 1000))
    c = rng.choice([-1.0, 1.0], 1000)
    parts = zip((words, picture, c), W, b, strict=True)
    logit = np.prod([x[:, None] @ w + k for x, w, k in parts], axis=0) @ beta.reshape(-1) + beta_0
    truth = np.where(c > 0, words, picture) > 0
    share = ((logit > 0) == truth).mean()
    if share < 0.02:
        raise NotYet("all answers are the wrong way round: flip the signs of β")
    for sign, who in ((1, "words"), (-1, "picture")):
        here = ((logit > 0) == truth)[c == sign].mean()
        if here < 0.98:
            raise NotYet(
                f"where the referee says {who!r} (c = {sign:+d}), only {here:.0%} are right"
            )
    return f"{units} units and no training: {share:.0%} right"


@exercise(
    "07.4",
    "find the leak",
    hint="a new concept must be new as a picture, as a concept and as a family; a known artist and "
    "a group are on both sides on purpose. set(a) & set(b) tells what two columns share",
)
def leaks(find: Callable) -> str | None:
    """a function of two DataFrames that returns a list of names of columns, possibly empty."""
    rng = np.random.default_rng(0)
    concept = np.arange(40)
    whole = pd.DataFrame(
        {
            "picture": np.arange(80),
            "artist": np.repeat(["noto", "fluent"], 40),
            "concept": np.tile(concept, 2),
            "family": np.tile(concept // 2, 2),
            "group": np.tile(concept // 2 % 4, 2),
        }
    ).sample(frac=1, random_state=0)
    by_picture = rng.random(80) < 0.5
    cases = {
        "split by picture at random": (whole[by_picture], whole[~by_picture]),
        "split by concept, families torn apart": (
            whole[whole["concept"] % 2 == 0],
            whole[whole["concept"] % 2 == 1],
        ),
        "split by family": (whole[whole["family"] < 10], whole[whole["family"] >= 10]),
        "ten training rows copied into the test set": (whole[:60], whole[50:]),
    }
    for name, (train, test) in cases.items():
        got = find(train.copy(), test.copy())
        if isinstance(got, str) or not isinstance(got, list | tuple | set):
            raise NotYet(f"return a list of names of columns, got {got!r}")
        got = set(got)
        if extra := got & {"artist", "group"}:
            raise NotYet(
                f"{name}: {sorted(extra)[0]!r} is on both sides on purpose: the claim is about "
                "known artists, and every group must be learned before it can be tested"
            )
        want = {c for c in ("picture", "concept", "family") if set(train[c]) & set(test[c])}
        if missed := want - got:
            raise NotYet(
                f"{name}: {sorted(missed)[0]!r} is on both sides, and you do not report it; a "
                "model may recognise what it has seen"
            )
        if got - want:
            raise NotYet(
                f"{name}: {sorted(map(str, got - want))[0]!r} has no value that is on both sides"
            )
    return "a control with labels shuffled by row would have seen none of these leaks"


CLAIMS = {  # claim → holds?, and why
    "A": (False, "its corrected interval (99%, five comparisons) contains 0"),
    "B": (True, "its interval lies below 0 at 99%, too, and the claim names the settings"),
    "C": (
        False,
        "an interval that contains 0 does not show equality; it reaches from -0.013 to 0.021",
    ),
    "D": (True, "its 99% interval lies above 0, and the claim says how each was trained"),
    "E": (
        False,
        "20 settings were tried for it and one for concatenation, and no part of the table "
        "tests the reason",
    ),
    "F": (True, "the interval contains 0, and that is all it says"),
}
ASKED: list[set[str]] = []  # sets that were wrong; the first one gets no reason


@exercise(
    "07.5",
    "which claims hold?",
    hint="five comparisons at 95% together are 99% each (Bonferroni); ask of each claim whether "
    "it says more than the interval, and whether both sides were tuned alike",
)
def claims(letters: object) -> str | None:
    """a set of letters from A to F, such as {"A", "F"}."""
    if isinstance(letters, str):
        letters = [c for c in letters if not c.isspace() and c not in ",;"]
    if not isinstance(letters, list | tuple | set | frozenset):
        raise NotYet(f"give the letters as a set, got {letters!r}")
    chosen = {str(letter).strip().upper() for letter in letters}
    if unknown := sorted(chosen - set(CLAIMS)):
        raise NotYet(f"there is no claim {unknown[0]!r}; they are A to F")
    held = {letter for letter, (holds, _) in CLAIMS.items() if holds}
    wrong, missing = sorted(chosen - held), held - chosen
    if wrong or missing:
        said = f"letters in your set that the table does not support: {len(wrong)}; "
        said += f"supported ones that are missing: {len(missing)}"
        first = not ASKED
        ASKED.append(chosen)
        if first or not wrong:
            raise NotYet(f"{said}. Test each claim against its 99% interval")
        raise NotYet(f"{said}. {wrong[0]} is not supported: {CLAIMS[wrong[0]][1]}")
    return "a corrected interval, the same tuning, and no more words than numbers"
