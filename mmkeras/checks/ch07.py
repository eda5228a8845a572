"""Checks of chapter 07, fusion methods."""

from collections.abc import Callable

import keras
import numpy as np

from . import NotYet, exercise, expect_close


@exercise(
    "07.1",
    "the price of a tensor",
    hint="each modality is projected with d·u weights and u biases; the joint features are "
    "(u + 1)^M, and the head has one weight for each of them and class, and one bias a class",
)
def tensor_weights(count: Callable) -> str | None:
    """A function of widths (list of int), units, classes: weights of tensor fusion and head."""
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
    "shares of those who are there",
    hint="exp(scores − the largest score in the row) times present, then divide each row by its "
    "sum; a row of zeros stays zeros if you divide by at least a tiny number",
)
def masked_softmax(softmax: Callable) -> str | None:
    """A function of scores and present, both (n, M): softmax over what is there, (n, M)."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 3))
    present = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 1, 1], [0, 0, 0]], float)
    got = softmax(scores.copy(), present.copy())
    powers = np.exp(scores)
    want = powers * present / np.maximum((powers * present).sum(axis=1, keepdims=True), 1e-9)
    if np.shape(got) == want.shape:
        got = np.asarray(got, float)
        if np.isnan(got[-1]).any():
            raise NotYet("where nothing is present, 0 / 0 is NaN: divide by np.maximum(sum, 1e-9)")
        everyone = powers / powers.sum(axis=1, keepdims=True)
        if np.allclose(got, everyone):
            raise NotYet("what is absent still gets a share: multiply by present")
        if np.allclose(got, everyone * present):
            raise NotYet("rows with a gap do not sum to 1: mask before you divide, not after")
        zeroed = np.exp(scores * present)
        if np.allclose(got, zeroed / zeroed.sum(axis=1, keepdims=True)):
            raise NotYet("a score of 0 is not a weight of 0: exp(0) = 1; mask after the exp")
    expect_close(got, want, "the shares", atol=1e-6)
    large = softmax(np.array([[1000.0, 999.0, 0.0]]), np.ones((1, 3)))
    expect_close(large, [[0.731059, 0.268941, 0.0]], "for scores near 1000 the share", atol=1e-4)
    return "an absent modality has no share, whatever its score"


@exercise(
    "07.3",
    "a gate by hand",
    hint="put all features side by side; for modality m the gate is sigmoid(everything @ G[m] + "
    "c[m]) and the content tanh(X[m] @ W[m] + b[m]); multiply the two, and add over m",
)
def gated_by_hand(gate: Callable) -> str | None:
    """A function of X, W, b, G, c (lists, one entry a modality): the GMU's output, (n, u)."""
    rng = np.random.default_rng(0)
    for widths, u in (((3, 2), 4), ((2, 5, 3), 2)):
        X = [rng.normal(size=(6, d)) for d in widths]
        W, b = [rng.normal(size=(d, u)) for d in widths], [rng.normal(size=u) for _ in widths]
        G = [rng.normal(size=(sum(widths), u)) for _ in widths]
        c = [rng.normal(size=u) for _ in widths]
        got = gate(X, W, b, G, c)
        everything = np.concatenate(X, axis=1)
        gates = [1 / (1 + np.exp(-(everything @ g + k))) for g, k in zip(G, c, strict=True)]
        inner = [x @ w + k for x, w, k in zip(X, W, b, strict=True)]
        want = np.sum([g * np.tanh(i) for g, i in zip(gates, inner, strict=True)], axis=0)
        if np.shape(got) == want.shape:
            if np.allclose(got, sum(g * i for g, i in zip(gates, inner, strict=True))):
                raise NotYet("the content is tanh(X[m] @ W[m] + b[m]); the tanh is missing")
            if np.allclose(got, sum(np.tanh(i) for i in inner)):
                raise NotYet("the gates are missing")
            bare = [1 / (1 + np.exp(-(everything @ g))) for g in G]
            if np.allclose(got, sum(g * np.tanh(i) for g, i in zip(bare, inner, strict=True))):
                raise NotYet("the gates' biases c are missing")
        expect_close(got, want, f"the output for {len(widths)} modalities", atol=1e-6)
    return "each gate sees all modalities, and opens one of them, feature by feature"


@exercise(
    "07.4",
    "a fusion of your own",
    hint="in build(self, shapes) make one Dense a modality, self.project = [keras.layers.Dense("
    "self.units) for _ in shapes], and build each; in call take the elementwise maximum",
)
def max_fusion(kind: type) -> str | None:
    """A keras Layer class, kind(units): elementwise maximum of one Dense a modality, (n, u)."""
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
    "07.5",
    "a referee, by hand",
    hint="two units suffice: one multiplies the words by something that is 0 when c = -1, the "
    "other the picture by something that is 0 when c = +1; a factor of 1 leaves a unit alone",
)
def referee(weights: Callable) -> str | None:
    """A function that returns W, b (lists of three), v, a: of a product fusion and its head."""
    got = weights()
    if not isinstance(got, tuple | list) or len(got) != 4:
        raise NotYet("return four things: W and b, lists of three arrays each, then v and a")
    W, b, v, a = got
    if len(W) != 3 or len(b) != 3:
        raise NotYet(f"W and b need an entry for words, picture, referee; got {len(W)}, {len(b)}")
    W, b = [np.asarray(w, float) for w in W], [np.asarray(k, float) for k in b]
    v, a = np.asarray(v, float), float(np.asarray(a))
    units = v.size
    for m, (w, k) in enumerate(zip(W, b, strict=True)):
        if w.shape != (1, units) or k.shape != (units,):
            raise NotYet(
                f"with {units} weights in v, W[{m}] should have shape (1, {units}) and b[{m}] "
                f"({units},); yours have {w.shape} and {k.shape}"
            )
    rng = np.random.default_rng(0)
    words, picture = rng.uniform(-1, 1, (2, 1000))
    c = rng.choice([-1.0, 1.0], 1000)
    parts = zip((words, picture, c), W, b, strict=True)
    logit = np.prod([x[:, None] @ w + k for x, w, k in parts], axis=0) @ v.reshape(-1) + a
    truth = np.where(c > 0, words, picture) > 0
    share = ((logit > 0) == truth).mean()
    if share < 0.02:
        raise NotYet("all answers are the wrong way round: turn the signs of v")
    for sign, who in ((1, "words"), (-1, "picture")):
        here = ((logit > 0) == truth)[c == sign].mean()
        if here < 0.98:
            raise NotYet(f"where the referee says {who!r} (c = {sign:+d}), {here:.0%} are right")
    return f"{units} units and no training: {share:.0%} right"
