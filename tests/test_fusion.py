"""Every fusion against NumPy; its weights by formula; masks, gradients, round trips."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmkeras as mm
from mmkeras import fusion
from mmkeras.fusion import METHODS

N, WIDTHS, U = 6, (3, 5, 4), 8
RNG = np.random.default_rng(0)
X = [RNG.normal(size=(N, d)).astype("float32") for d in WIDTHS]
P = RNG.dirichlet(np.ones(4), (3, N)).astype("float32")  # decisions of three modalities
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]], "float32")
VECTOR_METHODS = [m for m in METHODS if m != "decision"]


def layer(method, **kwargs):
    keras.utils.set_random_seed(1)
    if method in ("concatenate", "decision"):
        return METHODS[method](**kwargs)
    return METHODS[method](**{"units": U, **kwargs})


def features(method):
    return list(P) if method == "decision" else X


@functools.cache
def made_once(method):
    """A layer on `features(method)` that no test changes, and its weights, all of them random."""
    made = layer(method)
    call(made, features(method))
    return made, randomise(made)


def randomise(made):
    """Every weight random, so that no zero or one of the start hides an error."""
    for i, w in enumerate(made.weights):
        w.assign(np.random.default_rng(i).normal(0, 0.5, w.shape))
    return {w.path.split("/", 1)[1]: w.numpy() for w in made.weights}


def call(made, x, present=None):
    """The layer on tensors, as NumPy."""
    x = [tf.constant(v) for v in x]
    out = made(x) if present is None else made(x, present=tf.constant(present))
    return np.asarray(out)


# ------------------------------------------------------------------------------ oracles


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def shares(s, present):
    e = np.exp(s) * present
    return e / np.maximum(e.sum(-1, keepdims=True), 1e-9)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def projected(w, x, name="project"):
    return [v @ w[f"{name}_{m}/kernel"] + w[f"{name}_{m}/bias"] for m, v in enumerate(x)]


def concatenate(w, x, p):
    return np.concatenate([v * p[:, m : m + 1] for m, v in enumerate(x)], 1)


def weighted_sum(w, x, p):
    alpha = shares(np.tile(w["scores"], (N, 1)), p)
    return sum(alpha[:, m : m + 1] * h for m, h in enumerate(projected(w, x)))


def product(w, x, p):
    out = np.ones((N, U))
    for m, h in enumerate(projected(w, x)):
        out *= np.where(p[:, m : m + 1] > 0, h, 1)
    return out


def gated(w, x, p):
    everything = concatenate(w, x, p)
    out = 0
    for m, h in enumerate(projected(w, x)):
        gate = sigmoid(everything @ w[f"gate_{m}/kernel"] + w[f"gate_{m}/bias"])
        out = out + p[:, m : m + 1] * gate * np.tanh(h)
    return out


def attention(w, x, p):
    h = np.stack(projected(w, x), 1)
    s = np.tanh(h @ w["hidden/kernel"] + w["hidden/bias"]) @ w["score/kernel"]
    return (shares(s[..., 0], p)[..., None] * h).sum(1)


def tensor(w, x, p):
    a, b, c = (
        np.concatenate([h * p[:, m : m + 1], np.ones((N, 1))], 1)
        for m, h in enumerate(projected(w, x))
    )
    return np.einsum("ni,nj,nk->nijk", a, b, c).reshape(N, -1)


def low_rank(w, x, p):
    """The full weight tensor, put together from its factors, as in equation 4 of the paper."""
    rank = len(w["mix"])
    ones = [np.concatenate([v * p[:, m : m + 1], np.ones((N, 1))], 1) for m, v in enumerate(x)]
    factors = [
        np.concatenate([w[f"factor_{m}/kernel"], w[f"factor_{m}/bias"][None]]).reshape(-1, rank, U)
        for m in range(len(x))
    ]
    whole = np.einsum("r,iru,jru,kru->ijku", w["mix"], *factors)
    return np.einsum("ni,nj,nk,ijku->nu", *ones, whole) + w["bias"]


def norm(w, name, x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-6) * w[f"{name}/gamma"] + w[f"{name}/beta"]


def block(w, x, memory, there):
    """One sample: x (t, u), memory (s, u), there (s,)."""
    own = {k.split("/", 1)[1]: v for k, v in w.items()}
    q, kv = norm(own, "norm_0", x), norm(own, "norm_1", memory)[there > 0]
    if len(kv):
        query, key, value = (
            (a @ own[f"attention/{n}/kernel"]).reshape(len(a), 4, -1)
            for a, n in ((q, "query"), (kv, "key"), (kv, "value"))
        )
        a = softmax(np.einsum("thk,shk->hts", query, key) / np.sqrt(query.shape[-1]))
        mixed = np.einsum("hts,shk->thk", a, value)
        x = x + mixed.reshape(len(x), -1) @ own["attention/output/kernel"]
    h = np.maximum(norm(own, "norm_2", x) @ own["wide/kernel"] + own["wide/bias"], 0)
    return x + h @ own["narrow/kernel"] + own["narrow/bias"]


def part(w, name):
    return {k: v for k, v in w.items() if k.startswith(name + "/")}


def sequences(w, x, p):
    """Projected tokens and where they are there, a list a modality."""
    x = [v[:, None] if v.ndim == 2 else v for v in x]
    there = [(v != 0).any(-1) * p[:, m : m + 1] for m, v in enumerate(x)]
    x = [h * t[..., None] for h, t in zip(projected(w, x), there, strict=True)]
    return x, there


def mean_of(x, there):
    return x[there > 0].mean(0) if there.any() else np.zeros(x.shape[-1])


def cross_attention(w, x, p):
    x, there = sequences(w, x, p)
    rows = []
    for n in range(N):
        parts = []
        for to in range(len(x)):
            for come in range(len(x)):
                if to != come:
                    own = part(w, f"from_{come}_to_{to}")
                    seen = block(own, x[to][n], x[come][n], there[come][n])
                    parts.append(mean_of(seen, there[to][n]))
        rows.append(np.concatenate(parts) if parts else mean_of(x[0][n], there[0][n]))
    return np.array(rows)


def bottleneck(w, x, p):
    x, there = sequences(w, x, p)
    rows = []
    for n in range(N):
        shared, own = w["bottleneck"], [v[n] for v in x]
        for depth in range(2):
            versions = []
            for m in range(len(x)):
                both = np.concatenate([own[m], shared])
                mask = np.concatenate([there[m][n], np.ones(len(shared))])
                both = block(part(w, f"layer_{depth}_modality_{m}"), both, both, mask)
                own[m], version = both[: -len(shared)], both[-len(shared) :]
                versions.append(version)
            here = [v for m, v in enumerate(versions) if p[n, m]]
            shared = np.mean(here, 0) if here else 0 * shared
        pooled = [mean_of(own[m], there[m][n]) for m in range(len(x)) if p[n, m]]
        rows.append(np.mean(pooled, 0) if pooled else np.zeros(U))
    return np.array(rows)


def decision(w, x, p):
    p = np.where(p.sum(1, keepdims=True) == 0, 1, p)
    return np.einsum("nm,mnk->nk", p / p.sum(1, keepdims=True), np.stack(x))


ORACLES = {name: globals()[name] for name in METHODS}


@pytest.mark.parametrize("masked", [False, True], ids=["all there", "gaps"])
@pytest.mark.parametrize("method", METHODS)
def test_equals_numpy(method, masked):
    (made, weights), x = made_once(method), features(method)
    mask = PRESENT if masked else np.ones((N, 3), "float32")
    want = ORACLES[method](weights, x, mask)
    got = call(made, x, PRESENT if masked else None)
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)


TOKENS = [
    RNG.normal(size=(N, t, d)).astype("float32") for t, d in zip((4, 1, 3), WIDTHS, strict=True)
]
TOKENS[0][:, 2:] = 0  # padding
TOKENS[2][0] = 0  # nothing but padding


@pytest.mark.parametrize("masked", [False, True], ids=["all there", "gaps"])
@pytest.mark.parametrize("method", ["cross_attention", "bottleneck"])
def test_sequences_equal_numpy(method, masked):
    made, weights = made_once(method)
    mask = PRESENT if masked else np.ones((N, 3), "float32")
    got = call(made, TOKENS, PRESENT if masked else None)
    np.testing.assert_allclose(got, ORACLES[method](weights, TOKENS, mask), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("method", ["cross_attention", "bottleneck"])
def test_padding_has_no_influence(method):
    made, _ = made_once(method)
    want = call(made, TOKENS)
    longer = [np.concatenate([x, np.zeros_like(x)], axis=1) for x in TOKENS]
    np.testing.assert_allclose(call(made, longer), want, atol=1e-5)


@pytest.mark.parametrize("mix", ["average", "product", "learned"])
@pytest.mark.parametrize("classes", [1, 4])
def test_decisions(mix, classes):
    p = P[:, :, :classes]
    made = fusion.DecisionFusion(mix)
    call(made, p)
    if mix == "learned":
        made.scores.assign([0.5, -1.0, 2.0])
    got = call(made, p, PRESENT)
    for n, there in enumerate(np.where(PRESENT.sum(1, keepdims=True) == 0, 1, PRESENT) > 0):
        own = p[there, n]
        if mix == "average":
            want = own.mean(0)
        elif mix == "learned":
            want = softmax(np.array([0.5, -1.0, 2.0])[there]) @ own
        else:
            both = np.concatenate([own, 1 - own], 1) if classes == 1 else own
            want = (both.prod(0) / both.prod(0).sum())[:classes]
        np.testing.assert_allclose(got[n], want, rtol=1e-4)


# ------------------------------------------------------------------------------ weights

D, M = sum(WIDTHS), 3
BLOCK = 6 * U + 4 * U * 4 * 2 + 4 * U * U + 3 * U
COUNTS = {
    "concatenate": 0,
    "weighted_sum": D * U + M * U + M,
    "product": D * U + M * U,
    "gated": D * U + M * U + M * (D * U + U),
    "attention": D * U + M * U + U * U + U + U,
    "tensor": D * U + M * U,
    "low_rank": 4 * U * (D + M) + 4 + U,
    "cross_attention": D * U + M * U + M * (M - 1) * BLOCK,
    "bottleneck": D * U + M * U + 4 * U + 2 * M * BLOCK,
    "decision": 0,
}
WIDTH = {
    "concatenate": D,
    "tensor": (U + 1) ** 3,
    "cross_attention": M * (M - 1) * U,
    "decision": 4,
}


@pytest.mark.parametrize("method", METHODS)
def test_weights_by_formula_and_width(method):
    made, _ = made_once(method)
    assert call(made, features(method)).shape == (N, WIDTH.get(method, U))
    assert made.count_params() == COUNTS[method]


def test_learned_decisions_have_a_weight_a_modality():
    made = fusion.DecisionFusion("learned")
    call(made, P)
    assert made.count_params() == 3


@pytest.mark.parametrize("method", METHODS)
def test_every_number_of_modalities(method):
    for count in (1, 2) if METHODS[method].takes_sequences else (1, 2, 4):
        x = [X[0]] * count if method != "decision" else [P[0]] * count
        made = layer(method)
        assert np.isfinite(call(made, x)).all()
        assert np.isfinite(call(made, x, np.zeros((N, count), "float32"))).all()


@pytest.mark.parametrize("method", METHODS)
def test_order_of_the_modalities(method):
    """Where each modality has weights of its own, another order is another answer, except where
    the fusion is symmetric and the weights go along."""
    made, x = layer(method), features(method)
    x = [x[0], x[0] + 0.3] if method != "decision" else [x[0], x[1]]
    call(made, x)
    randomise(made)
    same = np.allclose(call(made, x), call(made, x[::-1]), atol=1e-4)
    assert same == (method == "decision")


# ------------------------------------------------------------------------------ masks


@pytest.mark.parametrize("method", METHODS)
def test_what_is_absent_does_not_matter(method):
    (made, _), x = made_once(method), features(method)
    want = call(made, x, PRESENT)
    other = [np.where(PRESENT[:, m : m + 1] > 0, v, v + 7) for m, v in enumerate(x)]
    if method == "decision":  # the last row has nothing, so that all of them count
        other = [np.concatenate([o[:-1], v[-1:]]) for o, v in zip(other, x, strict=True)]
    np.testing.assert_allclose(call(made, other, PRESENT), want, atol=1e-5)
    if method != "decision":
        np.testing.assert_allclose(call(made, [2 * v for v in x], PRESENT)[-1], want[-1], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_mask_of_ones_is_no_mask(method):
    (made, _), x = made_once(method), features(method)
    np.testing.assert_allclose(call(made, x, np.ones((N, 3), "float32")), call(made, x), atol=1e-6)


# ------------------------------------------------------------------------------ XOR


@pytest.fixture(scope="module")
def accuracies():
    """Training accuracy of every fusion of vectors with a linear head: label → method → share."""
    inputs = [keras.Input((3,), name=n) for n in "ab"]
    heads = {
        m: keras.layers.Dense(1, name=f"{m}_head")(mm.fuse(inputs, layer(m, name=m)))
        for m in VECTOR_METHODS
    }
    votes = [keras.layers.Dense(1, "sigmoid", name=f"vote_{i}")(v) for i, v in enumerate(inputs)]
    decided = mm.fuse(votes, "decision")
    heads["decision"] = keras.ops.log(decided) - keras.ops.log(1 - decided)
    model = keras.Model(inputs, heads)
    first = model.get_weights()
    weights = [v.value for v in model.trainable_variables]
    sizes = [int(np.prod(w.shape)) for w in weights]

    @tf.function(autograph=False)
    def step(x, y, mean, square, rate):
        """Adam on one long vector: Keras's own takes a dozen operations for each weight."""
        with tf.GradientTape() as tape:
            loss = sum(
                tf.reduce_mean(keras.losses.binary_crossentropy(y, out, from_logits=True))
                for out in model(x, training=True).values()
            )
        flat = tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, weights)], 0)
        mean, square = 0.9 * mean + 0.1 * flat, 0.999 * square + 0.001 * flat**2
        steps = tf.split(rate * mean / (tf.sqrt(square) + 1e-7), sizes)
        for weight, change in zip(weights, steps, strict=True):
            weight.assign_sub(tf.reshape(change, weight.shape))
        return mean, square

    def train(label):
        model.set_weights(first)
        mean = square = tf.zeros(sum(sizes))
        rng = np.random.default_rng(0)
        a, b = (rng.choice([-1.0, 1.0], (400, 1)) for _ in range(2))
        y = label(a, b).astype("float32")
        x = [np.concatenate([v, rng.normal(size=(400, 2))], axis=1) for v in (a, b)]
        x = [tf.constant(v, "float32") for v in x]
        for i in range(1, 81):
            rate = 0.04 * (1 - 0.999**i) ** 0.5 / (1 - 0.9**i)
            mean, square = step(x, tf.constant(y), mean, square, tf.constant(rate))
        return {m: float(np.mean((np.asarray(out) > 0) == y)) for m, out in model(x).items()}

    return train


@pytest.mark.slow
def test_only_some_fusions_learn_an_interaction(accuracies):
    got = accuracies(lambda a, b: a * b > 0)
    for method in ("concatenate", "weighted_sum", "decision"):
        assert got[method] < 0.65, got
    for method in ("product", "tensor", "low_rank"):
        assert got[method] > 0.98, got


def test_none_loses_what_one_modality_knows(accuracies):
    got = accuracies(lambda a, b: a > 0)
    assert min(got.values()) > 0.97, got


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_the_shares_of_attention_under_any_policy(policy):
    made = fusion.AttentionFusion(U, dtype=policy)
    made(X)
    for present in (None, PRESENT):
        alpha = np.asarray(made.weigh(X, present), "float32")
        want = np.ones(N) if present is None else PRESENT.any(1)
        np.testing.assert_allclose(alpha.sum(axis=1), want, atol=2e-3)
        assert present is None or not alpha[PRESENT == 0].any()


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("gated", {"units": 0}),
        ("low_rank", {"rank": 0}),
        ("cross_attention", {"heads": 0}),
        ("bottleneck", {"depth": 1}),
        ("decision", {"mix": "vote"}),
    ],
)
def test_wrong_settings_are_named(method, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} .*{value!r}"):
        METHODS[method](**wrong)
