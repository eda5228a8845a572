"""Many small networks at once, how they are trained with and without privacy, and who attacks them.

Every network has one hidden layer of 64 units and reads the features of one patient: words of the
note, the mean beat of the ECG, the scan at 16 by 16 pixels. What the features need to know (the
vocabulary, means and deviations) comes from simulated patients, so that no real patient is spent on
it. An array of networks has a first axis M; `member` (M, n) says which patients each was trained
on. Used by benchmarks/privacy.py, for chapter 21.
"""

import re
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops
from scipy.signal import find_peaks
from scipy.special import expit, gammaln, logsumexp

from mmkeras.datasets import note_words, simulate_heart
from mmkeras.datasets.heart import Heart

HIDDEN = 64
INPUTS = ("exact note", "note", "ECG", "scan", "all three")


def exact_words(notes: Sequence[str]) -> list[str]:
    """The words of each note in lower case, its numbers as they are written."""
    return [" ".join(re.findall(r"[a-z]+|\d+", note.lower())) for note in notes]


def bag(texts: Sequence[str], vocabulary: Sequence[str]) -> np.ndarray:
    """float32 (n, words): 1 where the text has the word."""
    place = {word: i for i, word in enumerate(vocabulary)}
    out = np.zeros((len(texts), len(place)), np.float32)
    for row, text in enumerate(texts):
        out[row, [place[word] for word in set(text.split()) if word in place]] = 1
    return out


def ecg_features(strips: np.ndarray) -> np.ndarray:
    """float32 (n, 42): beats per minute / 100, and the mean beat in 20 pieces, two parts."""
    out = np.zeros((len(strips), 42), np.float32)
    for row, strip in enumerate(strips):
        for part, signal in enumerate((strip[:500], strip[500:])):
            peaks, _ = find_peaks(signal, height=0.5, distance=27)
            inner = peaks[(peaks >= 15) & (peaks < len(signal) - 45)]
            if len(inner) > 1:
                out[row, part] = 7500 / np.diff(peaks).mean() / 100
                beat = np.mean([signal[p - 15 : p + 45] for p in inner], axis=0)
                out[row, 2 + 20 * part : 22 + 20 * part] = beat.reshape(20, 3).mean(axis=1)
    return out


def scan_features(scans: np.ndarray) -> np.ndarray:
    """float32 (n, 256): the scan at 16 by 16 pixels, 0 to 1."""
    return scans[..., 0].reshape(-1, 16, 4, 16, 4).mean(axis=(2, 4)).reshape(-1, 256) / 255


def features(heart: Heart) -> dict[str, np.ndarray]:
    """The features of every patient by the name of the input, float32 (n, size)."""
    public, found = simulate_heart(2000, seed=5), {}
    for name, words in (("exact note", exact_words), ("note", note_words)):
        vocabulary = sorted({word for text in words(public.note) for word in text.split()})
        found[name] = bag(words(heart.note), vocabulary)
    for name, take, attribute, scale in (
        ("ECG", ecg_features, "ecg", 4),
        ("scan", scan_features, "scan", 8),
    ):
        known = take(getattr(public, attribute))
        mine = (take(getattr(heart, attribute)) - known.mean(axis=0)) / (known.std(axis=0) + 1e-3)
        found[name] = (mine / scale).astype(np.float32)
    found["all three"] = np.concatenate([found[m] for m in ("note", "ECG", "scan")], axis=1)
    return found


def halves(networks: int, n: int, seed: int) -> np.ndarray:
    """bool (networks, n): network 2j has a random half of the patients, 2j + 1 the other half."""
    rng, member = np.random.default_rng(seed), np.zeros((networks, n), bool)
    for m in range(0, networks, 2):
        member[m, rng.permutation(n)[: n // 2]] = True
        member[m + 1] = ~member[m]
    return member


Weights = list[np.ndarray]  # (M, d, h), (M, h), (M, h, 1), (M, 1)


def train(
    x: np.ndarray, y: np.ndarray, member: np.ndarray, *, seed: int, l2: float = 0.0,
    epochs: int = 40, batch: int = 64,
) -> Weights:  # fmt: skip
    """Train M networks side by side, each on its own rows (equally many), and return the weights.

    The loss is the sum over the networks, and Adam treats each weight by itself, so that no network
    feels the others.
    """
    keras.utils.set_random_seed(seed)
    many, size = len(member), x.shape[1]
    rows = np.stack([np.flatnonzero(own) for own in member], axis=1)  # (rows of each, M)
    options = {"bias_axes": "mo", "kernel_regularizer": keras.regularizers.L2(l2) if l2 else None}
    inputs = keras.Input((many, size))
    hidden = layers.EinsumDense(
        "bmi,mio->bmo", (many, HIDDEN), activation="relu", **options,
        kernel_initializer=keras.initializers.RandomNormal(stddev=(2 / size) ** 0.5),
    )(inputs)  # fmt: skip
    logit = layers.EinsumDense(
        "bmi,mio->bmo", (many, 1), **options,
        kernel_initializer=keras.initializers.RandomNormal(stddev=HIDDEN**-0.5),
    )(hidden)  # fmt: skip
    model = keras.Model(inputs, layers.Reshape((many,))(logit))
    model.compile(
        keras.optimizers.Adam(2e-3), lambda t, z: ops.sum(ops.softplus(z) - t * z, axis=-1)
    )
    model.fit(x[rows], y[rows].astype("float32"), epochs=epochs, batch_size=batch, verbose=0)
    return [np.array(w) for w in model.weights]


def logits(weights: Weights, x: np.ndarray) -> np.ndarray:
    """(M, n): what each network says of each patient."""
    w1, b1, w2, b2 = weights
    hidden = np.maximum(np.matmul(x, w1) + b1[:, None], 0)
    return (hidden @ w2)[..., 0] + b2


def train_privately(
    x: np.ndarray, y: np.ndarray, member: np.ndarray, *, seed: int, rate: float, share: float,
    steps: int, clip: float = 1.0, noise: float = 0.0,
) -> Weights:  # fmt: skip
    """DP-SGD (Abadi et al. 2016) for M networks at once; the formulas are in chapter 21.

    In each step every patient of a network is drawn with probability `share` by itself (Poisson),
    each gradient is shortened to the length `clip`, and noise of `noise * clip` is added to the
    sum. The lengths follow from |a|^2 |delta|^2 for each dense layer, so no gradient of one patient
    is ever formed.
    """
    rng = np.random.default_rng(seed)
    (many, _), size = member.shape, x.shape[1]
    rows = np.stack([np.flatnonzero(own) for own in member])
    expected = share * rows.shape[1]
    most = min(rows.shape[1], int(expected + 6 * expected**0.5))
    w1 = rng.normal(0, (2 / size) ** 0.5, (many, size, HIDDEN)).astype(np.float32)
    w2 = rng.normal(0, HIDDEN**-0.5, (many, HIDDEN, 1)).astype(np.float32)
    weights = [w1, np.zeros((many, HIDDEN), np.float32), w2, np.zeros((many, 1), np.float32)]
    for _ in range(steps):
        drawn = rng.random(rows.shape) < share
        order = np.argsort(~drawn, axis=1, kind="stable")[:, :most]
        on, own = np.take_along_axis(drawn, order, 1), np.take_along_axis(rows, order, 1)
        for w, g in zip(weights, clipped_sums(weights, x[own], y[own], on, clip), strict=True):
            if noise:
                g = g + noise * clip * rng.standard_normal(g.shape, dtype=np.float32)
            w -= rate * g / expected
    return weights


def clipped_sums(
    weights: Weights, x: np.ndarray, y: np.ndarray, on: np.ndarray, clip: float
) -> Weights:
    """The sum of the clipped gradients of the cross-entropy over the rows that are `on`.

    x (M, b, d), y and `on` (M, b); the result has the shapes of the weights.
    """
    w1, b1, w2, b2 = weights
    hidden = np.maximum(x @ w1 + b1[:, None], 0)
    delta2 = expit((hidden @ w2)[..., 0] + b2) - y
    delta1 = delta2[..., None] * w2[:, None, :, 0] * (hidden > 0)
    square = ((x**2).sum(-1) + 1) * (delta1**2).sum(-1) + ((hidden**2).sum(-1) + 1) * delta2**2
    factor = np.minimum(1, clip / np.sqrt(square + 1e-12)) * on
    delta1, delta2 = delta1 * factor[..., None], delta2 * factor
    sums = (
        x.swapaxes(1, 2) @ delta1,
        delta1.sum(axis=1),
        hidden.swapaxes(1, 2) @ delta2[..., None],
        delta2.sum(axis=1)[:, None],
    )
    return [g.astype(np.float32) for g in sums]


def confidence(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) of the true class: large where the network is sure and right."""
    return (2 * y - 1) * z


def lira(phi: np.ndarray, member: np.ndarray, asked: np.ndarray | None = None) -> np.ndarray:
    """The log likelihood ratio "trained on it" against "not" (Carlini et al. 2022), (M, n).

    Each network in turn is the victim and the others are the shadows, except its other half, so
    that both sides have equally many. The variances are shared by all patients.
    """
    scores = np.empty_like(phi)
    for m in range(len(phi)):
        others = np.setdiff1d(np.arange(len(phi)), [m, m ^ 1])
        got, mine = (phi if asked is None else asked)[m], []
        for inside in (member[others], ~member[others]):
            mean = (phi[others] * inside).sum(axis=0) / inside.sum(axis=0)
            spread = (((phi[others] - mean) ** 2) * inside).sum() / inside.sum()
            mine.append(-((got - mean) ** 2) / (2 * spread) - np.log(spread) / 2)
        scores[m] = mine[0] - mine[1]
    return scores


def above(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """For each of `mine` the share of `theirs` that is smaller; ties count half."""
    theirs = np.sort(theirs)
    both = np.searchsorted(theirs, mine, "left") + np.searchsorted(theirs, mine, "right")
    return both / (2 * len(theirs))


def contributions(
    score: np.ndarray, first: np.ndarray, second: np.ndarray, group: np.ndarray | None = None
) -> np.ndarray:
    """What each patient adds to the mean AUC of the networks, float (n,).

    `first` and `second`, bool (M, n), are two kinds of patients of each network, of which the first
    should score higher. The mean of the result over the patients is the AUC, averaged over the
    networks, and its standard error over patients is 2 * std / sqrt(n) (DeLong et al. 1988, summed
    over the networks). With a group, this holds for the patients of each group by themselves.
    """
    n = score.shape[1]
    out, group = np.zeros(n), np.zeros(n, int) if group is None else group
    for name in np.unique(group):
        here, aucs, influence = group == name, [], np.zeros(n)
        for s, a, b in zip(score, first & here, second & here, strict=True):
            one, two = above(s[a], s[b]), 1 - above(s[b], s[a])
            aucs.append(one.mean())
            influence[a] += (one - aucs[-1]) / a.sum() / len(score)
            influence[b] += (two - aucs[-1]) / b.sum() / len(score)
        out[here] = np.mean(aucs) + influence[here] * here.sum() / 2
    return out


def rdp_epsilon(share: float, noise: float, steps: int, delta: float) -> float:
    """epsilon of DP-SGD with Poisson sampling, from Renyi divergences (Mironov 2017)."""
    best = np.inf
    for a in range(2, 256):
        k = np.arange(a + 1)
        terms = gammaln(a + 1) - gammaln(k + 1) - gammaln(a - k + 1) + k * np.log(share)
        terms += (a - k) * np.log1p(-share) + (k * k - k) / (2 * noise**2)
        best = min(best, (steps * logsumexp(terms) + np.log(1 / delta)) / (a - 1))
    return best


def noise_for(epsilon: float, share: float, steps: int, delta: float) -> float:
    """The smallest noise, to 0.001, with which `rdp_epsilon` is at most epsilon."""
    low, high = 0.3, 100.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (
            (low, middle) if rdp_epsilon(share, middle, steps, delta) <= epsilon else (middle, high)
        )
    return high
