"""Every branch: shapes, weight counts, NumPy oracles, odd inputs, and the ways a model travels."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmkeras as mm
from mmkeras.branches import LogMel, frame_length

VOCAB, LENGTH, UNITS = 30, 6, 8
RATE, SAMPLES = 8000, 2000
RNG = np.random.default_rng(0)

TEXTS = np.array([[3, 7, 2, 0, 0, 0], [0] * LENGTH, [5, 1, 9, 4, 2, 8]], "int32")
PICTURES = np.stack([RNG.integers(0, 256, (16, 16, 3)), np.zeros((16, 16, 3))]).astype("uint8")
CLIPS = np.stack([RNG.uniform(-1, 1, SAMPLES), np.zeros(SAMPLES)]).astype("float32")
VECTORS = np.stack([RNG.normal(size=5), np.zeros(5)]).astype("float32")

# weight counts, written out
dense = lambda i, o: i * o + o  # noqa: E731
norm = lambda d: 2 * d  # noqa: E731
conv = lambda k, i, o: k * k * i * o  # noqa: E731  (without bias)


def block(d, heads=4):
    inner = heads * (d // heads)
    attention = 3 * dense(d, inner) + dense(inner, d)
    return norm(d) + attention + norm(d) + dense(d, 2 * d) + dense(2 * d, d)


def mix(c):
    return (5 * 5 * c + c) + norm(c) + dense(c, c)


FRAMES, BANDS = 1 + SAMPLES // 80, 40
E = VOCAB * UNITS
CONVOLUTIONS = conv(3, 3, 32) + conv(3, 32, 64) + conv(3, 64, 128) + 4 * (32 + 64 + 128)

BUILDERS = {
    "text average": (
        lambda: mm.text_branch(VOCAB, LENGTH, encoder="average", units=UNITS),
        TEXTS,
        E + dense(UNITS, UNITS),
    ),
    "text lstm": (
        lambda: mm.text_branch(VOCAB, LENGTH, encoder="lstm", units=UNITS),
        TEXTS,
        E + 4 * (UNITS * UNITS + UNITS * UNITS + UNITS),
    ),
    "text conv": (
        lambda: mm.text_branch(VOCAB, LENGTH, encoder="conv", units=UNITS),
        TEXTS,
        E + dense(3 * UNITS, UNITS) + dense(UNITS, UNITS),
    ),
    "text transformer": (
        lambda: mm.text_branch(VOCAB, LENGTH, encoder="transformer", units=UNITS),
        TEXTS,
        E + LENGTH * UNITS + block(UNITS) + norm(UNITS) + dense(UNITS, UNITS),
    ),
    "image patch": (
        lambda: mm.image_branch((16, 16, 3), encoder="patch", units=UNITS),
        PICTURES,
        dense(4 * 4 * 3, 64) + mix(64) + dense(2 * 2 * 64, 128) + mix(128) + dense(128, UNITS),
    ),
    "image conv": (
        lambda: mm.image_branch((16, 16, 3), encoder="conv", units=UNITS),
        PICTURES,
        CONVOLUTIONS + dense(128, UNITS),
    ),
    "image stack": (
        lambda: mm.image_branch((16, 16, 3), encoder="stack", units=UNITS),
        PICTURES,
        CONVOLUTIONS + dense(128, UNITS),
    ),
    "image small": (
        lambda: mm.image_branch((16, 16, 3), encoder="small", units=UNITS),
        PICTURES,
        conv(5, 3, 8) + conv(3, 8, 16) + conv(3, 16, 32) + 4 * (8 + 16 + 32) + dense(32, UNITS),
    ),
    "audio conv": (
        lambda: mm.audio_branch(SAMPLES, RATE, encoder="conv", units=UNITS),
        CLIPS,
        conv(3, 1, 16) + conv(3, 16, 32) + conv(3, 32, 64) + 4 * (16 + 32 + 64) + dense(64, UNITS),
    ),
    "audio gru": (
        lambda: mm.audio_branch(SAMPLES, RATE, encoder="gru", units=UNITS),
        CLIPS,
        3 * (BANDS * UNITS + UNITS * UNITS + 2 * UNITS),
    ),
    "audio transformer": (
        lambda: mm.audio_branch(SAMPLES, RATE, encoder="transformer", units=UNITS),
        CLIPS,
        dense(BANDS, UNITS) + FRAMES * UNITS + block(UNITS) + norm(UNITS) + dense(UNITS, UNITS),
    ),
    "signal": (
        lambda: mm.signal_branch(SAMPLES, units=UNITS),
        CLIPS,
        15 * 32 + 7 * 32 * 64 + 5 * 64 * 64 + 4 * (32 + 64 + 64) + dense(64, UNITS),
    ),
    "vector": (lambda: mm.vector_branch(5, units=UNITS), VECTORS, dense(5, UNITS)),
}
each_builder = pytest.mark.parametrize("case", BUILDERS)


@each_builder
def test_shape_name_and_weight_count(case):
    build, data, count = BUILDERS[case]
    branch = build()
    assert branch.name == case.split()[0] == branch.input.name
    assert branch.output_shape == (None, UNITS)
    assert branch.input_shape == (None, *data.shape[1:])
    assert branch.count_params() == count


@pytest.mark.parametrize("encoder", ["average", "lstm", "conv", "transformer"])
def test_more_padding_does_not_change_a_text(encoder):
    if encoder == "transformer":  # its positions are a weight of fixed length
        short = long = mm.text_branch(VOCAB, 9, encoder=encoder, units=UNITS)
        a, b = np.array([[3, 7, 2] + [0] * 6]), np.array([[3, 7, 2] + [0] * 6])
        # what stands on padding's embedding must not matter
        want = short.predict_on_batch(a)
        table = short.get_layer("embedding").embeddings
        table.assign(tf.tensor_scatter_nd_update(table, [[0]], 9 * tf.ones((1, UNITS))))
    else:
        short = mm.text_branch(VOCAB, 3, encoder=encoder, units=UNITS)
        long = mm.text_branch(VOCAB, 9, encoder=encoder, units=UNITS)
        long.set_weights(short.get_weights())
        a, b = np.array([[3, 7, 2]]), np.array([[3, 7, 2] + [0] * 6])
        want = short.predict_on_batch(a)
    np.testing.assert_allclose(long.predict_on_batch(b), want, atol=1e-6)


def test_average_text_is_the_mean_of_its_words():
    branch = mm.text_branch(VOCAB, LENGTH, units=UNITS)
    table, kernel, bias = branch.get_weights()
    means = np.stack(
        [table[row[row != 0]].mean(0) if row.any() else np.zeros(UNITS) for row in TEXTS]
    )
    want = np.maximum(means @ kernel + bias, 0)
    np.testing.assert_allclose(branch.predict_on_batch(TEXTS), want, atol=1e-6)


def test_word_order_matters_to_all_but_the_average():
    text, turned = np.array([[1, 2, 3, 4, 5, 6]]), np.array([[6, 5, 4, 3, 2, 1]])
    for encoder in ("average", "lstm", "conv", "transformer"):
        branch = mm.text_branch(VOCAB, LENGTH, encoder=encoder, units=UNITS)
        change = np.abs(branch.predict_on_batch(text) - branch.predict_on_batch(turned)).max()
        assert (change < 1e-6) == (encoder == "average"), encoder


def test_log_mel_equals_numpy():
    """Hann window, power of the real FFT, mel filters of HTK, log, standardised per clip."""
    layer = LogMel(RATE)
    got = layer(CLIPS[:1]).numpy()[0]
    n, hop = frame_length(RATE), RATE // 100
    padded = np.pad(CLIPS[0], n // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    frames = np.stack([padded[i : i + n] * window for i in range(0, len(padded) - n + 1, hop)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = lambda f: 1127.0 * np.log(1 + f / 700)  # noqa: E731
    edges = np.linspace(mel(20.0), mel(RATE / 2), BANDS + 2)
    bins = mel(np.linspace(0, RATE / 2, n // 2 + 1))[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall))
    filters[0] = 0  # the DC bin
    log_power = np.log1p(1e6 * (power @ filters))
    np.testing.assert_allclose(got, (log_power - log_power.mean()) / log_power.std(), atol=2e-3)


def test_a_clip_does_not_hear_its_neighbours_or_its_level():
    layer = LogMel(RATE)
    quiet = 0.05 * CLIPS[0]
    alone = layer(quiet[None]).numpy()[0]
    next_to_loud = layer(np.stack([quiet, CLIPS[0]])).numpy()
    np.testing.assert_allclose(next_to_loud[0], alone, atol=1e-4)
    np.testing.assert_allclose(next_to_loud[1], alone, atol=1e-2)
    assert (layer(np.zeros((1, SAMPLES))).numpy() == 0).all()


def test_pixels_may_be_bytes_or_floats():
    branch = mm.image_branch((16, 16, 3), units=UNITS)
    np.testing.assert_array_equal(
        branch.predict_on_batch(PICTURES), branch.predict_on_batch(PICTURES.astype("float32"))
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mm.text_branch(9, 3, encoder="bert"), "'average', 'lstm', 'conv', 'transformer'"),
        (lambda: mm.text_branch(1, 3), "at least 2"),
        (lambda: mm.text_branch(9, 0), "length must be a positive integer, got 0"),
        (lambda: mm.text_branch(9, 3.5), "got 3.5"),
        (lambda: mm.text_branch(9, 3, units=-1), "units must be a positive integer"),
        (lambda: mm.image_branch((3, 48, 3), encoder="patch"), "at least 4×4"),
        (lambda: mm.image_branch((7, 48, 3)), "at least 8×8"),
        (lambda: mm.image_branch((48, 48)), "(height, width, channels)"),
        (lambda: mm.image_branch((48, None, 3)), "got None"),
        (lambda: mm.image_branch((48, 48, 3), encoder="vit"), "'conv', 'small', 'stack', 'patch'"),
        (lambda: mm.audio_branch(255, 8000), "at least 256 samples"),
        (lambda: mm.audio_branch(500, 100), "at least 1000 samples per second"),
        (lambda: mm.audio_branch(8000, 8000, encoder="lstm"), "'conv', 'gru', 'transformer'"),
        (lambda: mm.signal_branch(19), "at least 20"),
        (lambda: mm.signal_branch(100, units=0), "units must be a positive integer"),
        (lambda: mm.vector_branch(0), "size must be a positive integer"),
        (lambda: mm.vector_branch(True), "got True"),
    ],
)
def test_wrong_arguments_say_what_would_work(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rate", "samples"), [(8000, 256), (16000, 512), (22050, 1024), (44100, 2048)]
)
def test_the_shortest_clip_works(rate, samples):
    assert frame_length(rate) == samples
    branch = mm.audio_branch(samples, rate, units=2)
    assert np.isfinite(branch.predict_on_batch(RNG.uniform(-1, 1, (1, samples)))).all()


# ------------------------------------------------------------------------------ tokens


def both(kind, encoder):
    """The branch that pools and the one that keeps its tokens, with the same weights."""
    size = {"text": (20, 6), "image": ((16, 24, 3),), "audio": (800, 8000), "signal": (100,)}[kind]
    own = {} if encoder is None else {"encoder": encoder}
    pooled, kept = (
        getattr(mm, f"{kind}_branch")(*size, units=5, tokens=tokens, **own)
        for tokens in (False, True)
    )
    kept.set_weights(pooled.get_weights())
    return pooled, kept


TOKEN_COUNTS = {
    ("text", "average"): 6,
    ("text", "lstm"): 6,
    ("text", "conv"): 6,
    ("text", "transformer"): 6,
    ("image", "patch"): 2 * 3,
    ("image", "conv"): 2 * 3,
    ("image", "small"): 2 * 3,
    ("image", "stack"): 2 * 3,
    ("signal", None): 5,
}


@pytest.mark.parametrize(("kind", "encoder"), TOKEN_COUNTS, ids=str)
def test_tokens_have_the_same_weights_and_a_place_each(kind, encoder):
    pooled, kept = both(kind, encoder)
    assert kept.output_shape == (None, TOKEN_COUNTS[kind, encoder], 5)
    assert kept.count_params() == pooled.count_params()


@pytest.mark.parametrize("encoder", mm.branches.AUDIO_ENCODERS)
def test_tokens_of_a_clip(encoder):
    pooled, kept = both("audio", encoder)
    assert kept.output_shape[1] > 1 and kept.output_shape[2] == 5
    assert kept.count_params() == pooled.count_params()


@pytest.mark.parametrize("encoder", mm.branches.TEXT_ENCODERS)
def test_padding_becomes_tokens_of_zeros(encoder):
    _, kept = both("text", encoder)
    ids = np.array([[3, 4, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6]], "int32")
    tokens = np.asarray(kept(ids))
    assert not tokens[ids == 0].any()
    assert np.abs(tokens[ids > 0]).max() > 0


def test_the_last_token_of_an_lstm_is_what_it_gives_pooled():
    pooled, kept = both("text", "lstm")
    ids = np.array([[3, 4, 5, 6, 7, 8]], "int32")
    np.testing.assert_allclose(kept(ids)[:, -1], pooled(ids), atol=1e-6)


# ------------------------------------------------------------------------------ on a GPU


@pytest.fixture
def cudnn(monkeypatch):
    """Keras believes in a GPU; the kernel that stands for cuDNN's answers with the lengths."""

    def kernel(input, input_h, sequence_lengths, **rest):
        lengths = tf.cast(sequence_lengths, input.dtype)[:, None, None]
        h = lengths * tf.ones_like(input_h)
        return h * tf.ones_like(input[..., :1]), h, h, None, None

    rnn = sys.modules["keras.src.backend.tensorflow.rnn"]
    monkeypatch.setattr(rnn, "cudnn_ok", lambda *args, **kwargs: True)
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", kernel)


def in_a_graph(model, x):
    """As `fit` and `predict` call it; outside of a graph Keras leaves cuDNN when it refuses."""
    return np.asarray(tf.function(lambda x: model(x))(x))


WITH_GAPS = np.array([[3, 7, 2, 0, 0, 0], [0] * 6, [0, 0, 0, 5, 1, 9], [0, 4, 0, 0, 2, 0]], "int32")


@pytest.mark.parametrize("tokens", [False, True])
def test_cudnn_takes_every_mask_of_a_text(cudnn, tokens):
    """It refuses gaps and texts without a word: the words go first, and step 0 always counts."""
    branch = mm.text_branch(VOCAB, LENGTH, encoder="lstm", units=UNITS, tokens=tokens)
    got = in_a_graph(branch, WITH_GAPS)
    words = (WITH_GAPS > 0).sum(axis=1)
    want = np.where(WITH_GAPS > 0, words[:, None], 0)[..., None] if tokens else words[:, None]
    np.testing.assert_array_equal(got, np.broadcast_to(want, got.shape))


def test_the_kernel_above_is_guarded_as_cudnn_is(cudnn):
    embedding = keras.layers.Embedding(VOCAB, UNITS, mask_zero=True)
    model = keras.Sequential([keras.Input((LENGTH,)), embedding, keras.layers.LSTM(UNITS)])
    for ids in WITH_GAPS[1:]:
        with pytest.raises(tf.errors.InvalidArgumentError, match="right-padded"):
            in_a_graph(model, ids[None])


def test_cudnn_takes_a_clip(cudnn):
    branch = mm.audio_branch(SAMPLES, RATE, encoder="gru", units=UNITS)
    assert (in_a_graph(branch, CLIPS) == FRAMES).all()


def test_an_lstm_skips_padding_wherever_it_stands():
    """As Keras' own mask does on a CPU."""
    pooled, kept = both("text", "lstm")
    ids = np.array([[3, 0, 4, 5, 0, 6], [0, 0, 3, 4, 5, 6], [3, 4, 5, 6, 0, 0]], "int32")
    got, tokens = np.asarray(pooled(ids)), np.asarray(kept(ids))
    np.testing.assert_allclose(got, np.tile(got[2:], (3, 1)), atol=1e-6)
    assert not tokens[ids == 0].any()
    for row, there in zip(tokens, ids > 0, strict=True):
        np.testing.assert_allclose(row[there], tokens[2, :4], atol=1e-6)
    embedding, lstm = pooled.get_layer("embedding"), pooled.get_layer("features")
    want = lstm(embedding(ids), mask=ids > 0)
    np.testing.assert_allclose(got, want, atol=1e-6)
