"""Files of other formats answer as the model does, or are refused by name."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import layers, ops

import mmkeras as mm
from mmkeras import formats
from mmkeras.branches import LogMel, WhisperLogMel
from mmkeras.branches.audio import in_bands, mel_filters
from mmkeras.formats import Limits, Unwritable, compared, written, written_as
from mmkeras.formats.compare import answers
from mmkeras.formats.litert import heads, heads_kept, kept_names, litert
from mmkeras.formats.tracing import plain_gelu

RATE, SAMPLES = 8000, 4000
RNG = np.random.default_rng(0)
T = np.arange(SAMPLES) / RATE
TONE = np.sin(2 * np.pi * 440 * T) * np.exp(-8 * T)  # it fades: loud and quiet frames in one clip
NOISE = RNG.normal(size=SAMPLES)
CLIPS = np.stack(
    [TONE, 0.001 * TONE, TONE + 0.001 * NOISE, 0.3 * NOISE, 0 * T, np.sign(TONE), 1e-4 * NOISE,
     np.where(T > 0.25, TONE, 0)]
).astype("float32")  # fmt: skip
N = len(CLIPS)

# ------------------------------------------------------------------------------ layers


@pytest.mark.parametrize("rate", [1000, 8000, 16_000, 22_050])
def test_the_bands_are_the_matrix_of_keras(rate):
    layer = LogMel(rate)
    length, low = layer.mel.fft_length, layer.mel.min_freq
    filters = mel_filters(rate, 40, length, low)
    keras_own = layer.mel.linear_to_mel_weight_matrix(40, length // 2 + 1, rate, low, rate / 2)
    np.testing.assert_allclose(filters, keras_own, atol=2e-4)
    places, weights = in_bands(filters)
    again = np.zeros_like(filters)
    np.add.at(again, (places, np.arange(40)[:, None]), weights)
    np.testing.assert_allclose(again, filters, atol=1e-6)
    assert weights.size < filters.size / 2


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_log_mel_computes_the_same_in_other_ways(format):
    layer = LogMel(RATE)
    want = layer(CLIPS).numpy()
    with written_as(format):
        got = layer(CLIPS).numpy()
    np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-4)
    assert np.abs(got - want).max() > 0  # it was another way
    assert formats.format_now() == ""


def test_whispers_spectrogram_computes_the_same():
    layer = WhisperLogMel()
    with written_as("litert"):
        got = layer(CLIPS).numpy()
    np.testing.assert_array_equal(got, layer(CLIPS).numpy())


def test_a_product_of_binary_answers_is_the_same_for_onnx():
    p = [RNG.uniform(size=(N, 1)).astype("float32") for _ in range(2)]
    layer = mm.fusion.DecisionFusion("product")
    want = layer(p).numpy()
    with written_as("onnx"):
        np.testing.assert_allclose(layer(p).numpy(), want, atol=1e-6)


def test_gelu_is_the_same_and_comes_back_after_an_error():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(5, "gelu"), layers.Dense(2)])
    x = RNG.normal(0, 3, (N, 3)).astype("float32")
    want = model(x).numpy()
    with pytest.raises(RuntimeError), plain_gelu(model):
        assert model.layers[0].activation is not keras.activations.gelu
        np.testing.assert_allclose(model(x).numpy(), want, atol=1e-6)
        raise RuntimeError
    assert model.layers[0].activation is keras.activations.gelu


def test_a_head_is_traced_otherwise_and_is_as_before_after_an_error():
    """Also where it stands inside of a model that is a layer, as behind frozen encoders."""
    x = keras.Input((3,), name="x")
    inner = keras.Model(x, layers.Dense(2, "softmax", name="answer")(layers.Dense(4)(x)))
    outer = keras.Model(x, inner(layers.Dense(3, name="first")(x)))
    (head,) = heads(outer)
    assert head is inner.get_layer("answer")
    rows = RNG.normal(size=(N, 3)).astype("float32")
    want = outer(rows).numpy()
    with pytest.raises(RuntimeError), heads_kept(outer), written_as("litert"):
        assert "call" in vars(head)
        np.testing.assert_allclose(outer(rows).numpy(), want, atol=1e-6)
        raise RuntimeError
    assert "call" not in vars(head)
    np.testing.assert_array_equal(outer(rows).numpy(), want)


# ------------------------------------------------------------------------------ comparing


def test_what_is_compared():
    want = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    got = want.copy()
    got[1] = [0.55, 0.45]
    found = compared(got, want, np.array([0, 1, 1, 1]))
    assert (found.rows, found.changed, found.agreement) == (4, 1, 0.75)
    assert found.difference == pytest.approx(0.15)
    assert (found.accuracy, found.before, found.lost) == (0.5, 0.75, 25)
    binary = compared(got[:, 1:], want[:, 1:], np.array([0, 1, 1, 1]))
    assert binary.difference == pytest.approx(0.15)
    assert (binary.changed, binary.accuracy, binary.before) == (1, 0.5, 0.75)
    assert np.isnan(compared(got, want).accuracy)


def test_what_is_refused():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 1000)
    want = np.where(y[:, None] == [0, 1], 0.6, 0.4)
    got = want.copy()
    limits = Limits(difference=0.25)
    assert compared(want, want, y).faults(limits) == []
    got[:10] = want[:10, ::-1]  # ten answers turn, 1.0 points: just allowed
    assert compared(got, want, y).faults(limits) == []
    got[10] = want[10, ::-1]
    assert "loses 1.1 points" in " ".join(compared(got, want, y).faults(limits))
    got = want.copy()
    got[:31] = want[:31, ::-1]
    told = compared(got, want).faults(limits)
    assert len(told) == 1 and "31 of 1000 rows get another class" in told[0]
    got = want.copy()
    got[0] = [0.1, 0.9] if y[0] == 0 else [0.9, 0.1]
    assert "differs by 0.5" in " ".join(compared(got, want, y).faults(limits))
    assert compared(got[:5], want[:5], y[:5]).faults(Limits(1.0)) == []  # one row is allowed
    got[0] = np.nan
    assert compared(got, want, y).faults(Limits(1.0)) == ["an answer is no finite number"]


def test_answers_of_another_shape_are_no_answers():
    with pytest.raises(ValueError, match=r"\(3, 2\), the model \(4, 2\)"):
        compared(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="shape"):
        compared(np.zeros((0, 2)), np.zeros((0, 2)))


def test_a_format_that_cannot_be_run_here_says_what_to_install(monkeypatch):
    here = importlib.util.find_spec
    assert formats.lacking("onnx") is None and formats.lacking("savedmodel") is None
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "onnx" in name else here(name)
    )
    told = formats.lacking("onnx")
    assert told == (
        "it needs onnx and tf2onnx and onnxruntime: python -m pip install onnx tf2onnx onnxruntime"
    )
    assert formats.lacking("litert-int8") is None


# ------------------------------------------------------------------------------ files


@pytest.fixture(scope="module")
def model():
    """Text, pictures and sound with gaps; weights that are large enough to matter."""
    keras.utils.set_random_seed(0)
    branches = [
        mm.text_branch(50, 6, units=16),
        mm.image_branch((16, 16, 3), encoder="small", units=16),
        mm.audio_branch(SAMPLES, RATE, units=16),
    ]
    made = mm.multimodal_model(branches, {"answer": 3}, missing=True)
    for i, weight in enumerate(made.trainable_variables):
        weight.assign(weight + np.random.default_rng(i).normal(0, 0.1, weight.shape))
    return made


@pytest.fixture(scope="module")
def x():
    rows = 4 * N
    present = RNG.integers(0, 2, (rows, 3)).astype("float32")
    present[:N, 2], present[0] = 1, 0  # each clip is heard once; a row without anything
    audio = np.tile(CLIPS, (4, 1))
    audio[(present[:, 2] == 0).nonzero()[0][:2]] = np.nan  # what is absent may hold anything
    return {
        "text": RNG.integers(0, 50, (rows, 6)).astype("int32"),
        "image": RNG.integers(0, 256, (rows, 16, 16, 3)).astype("float32"),
        "audio": audio,
        "present": present,
    }


def heard(x):
    """The same rows without NaN, by which ranges are chosen."""
    return {name: np.nan_to_num(value) for name, value in x.items()}


FAR = {"savedmodel": 1e-5, "litert": 1e-4, "onnx": 1e-4, "litert-fp16": 0.02}
FAR |= {"litert-dynamic": 0.05, "litert-int8": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize("format", formats.FORMATS)
def test_a_file_answers_as_the_model(format, model, x, tmp_path):
    """On rows with gaps, with silence and quiet sounds; row by row as in batches."""
    want = np.asarray(model(x))
    assert np.isfinite(want).all() and np.ptp(want, axis=0).max() > 0.1
    path = written(model, format, tmp_path / formats.FORMATS[format], heard(x))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    run = formats.loaded(format, path)
    got = answers(run, x)
    np.testing.assert_allclose(got, want, atol=FAR[format])
    alone = answers(run, x, batch=1)
    np.testing.assert_allclose(alone, got, atol=max(1e-5, FAR[format] / 2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dynamic", "int8"])
def test_a_spectrogram_is_not_rounded_before_its_logarithm(kind, tmp_path, monkeypatch):
    """With the control: as Keras writes the layer, its numbers are wrong, see chapter 18."""
    wave = keras.Input((SAMPLES,), name="audio")
    heard = keras.Model(wave, mm.branches.MeanAndSpread()(LogMel(RATE, name="log_mel")(wave)))
    want, x = np.asarray(heard(CLIPS)), {"audio": CLIPS}

    def off():
        (path := tmp_path / "model.tflite").write_bytes(litert(heard, kind, x))
        return np.abs(answers(formats.loaded("litert", path), x) - want).max()

    assert off() < (1e-3 if kind == "dynamic" else 0.2)
    monkeypatch.setattr("mmkeras.branches.audio.format_now", lambda: "")
    monkeypatch.setattr(LogMel, "stays_float", False)
    assert off() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_texts_of_any_number_of_words_are_averaged_in_8_bits(whole, tmp_path, monkeypatch):
    """A runtime takes the 8-bit integer 0 for the number zero: here it stood for ten words."""
    if whole:  # another one's layer, which does not say that it stays float
        monkeypatch.delattr(mm.branches.MaskedAverage, "stays_float")
    keras.utils.set_random_seed(0)
    ids = keras.Input((24,), dtype="int32", name="text")
    words = layers.Embedding(50, 8, mask_zero=True)(ids)
    mean = mm.branches.MaskedAverage(name="mean")(words)
    model = keras.Model([ids], layers.Dense(3, name="answer")(mean))
    text = RNG.integers(1, 50, (21, 24)) * (np.arange(24) < np.arange(21)[:, None])
    x = {"text": text.astype("int32")}  # of 0 to 20 words, so that ten are in the middle
    run = formats.loaded("litert-int8", written(model, "litert-int8", tmp_path / "m.tflite", x))
    np.testing.assert_allclose(answers(run, x, 1), model.predict_on_batch(x), atol=0.01)


@pytest.mark.slow
def test_8_bits_take_a_third_of_the_room():
    """Of a model as `mmkeras train` builds it of texts, pictures and sounds."""
    branches = [mm.text_branch(150, 12), mm.image_branch((64, 64, 3)), mm.audio_branch(8000, RATE)]
    made = mm.multimodal_model(branches, {"answer": 3}, missing=True)
    rows = {t.name: np.ones((2, *t.shape[1:]), t.dtype) for t in made.inputs}
    size = [len(litert(made, kind, rows)) for kind in ("dynamic", "int8")]
    assert max(size) <= 0.35 * 4 * made.count_params()  # four bytes of each weight


@pytest.mark.slow
def test_a_saved_model_has_each_weight_once(model, tmp_path):
    """Keras' own export has each twice; when it no longer has, `saved_model` can go."""
    size = 4 * model.count_params()
    ours = written(model, "savedmodel", tmp_path / "ours") / "variables"
    assert size < formats.size_of(ours) < 1.5 * size
    model.export(tmp_path / "keras", format="tf_saved_model", verbose=False)
    assert formats.size_of(tmp_path / "keras" / "variables") > 2 * size


def test_rows_that_do_not_fit_are_refused(model, x, tmp_path):
    target = tmp_path / "model.tflite"
    with pytest.raises(Unwritable, match="inputs 'text', 'image', 'audio', 'present'; got none"):
        written(model, "litert-int8", target)
    with pytest.raises(Unwritable, match="got 'text'"):
        written(model, "litert-int8", target, {"text": x["text"]})
    with pytest.raises(Unwritable, match="at least one row"):
        written(model, "litert-int8", target, {name: v[:0] for name, v in x.items()})
    with pytest.raises(Unwritable, match="'text' has 1"):
        written(model, "litert-int8", target, {**x, "text": x["text"][:1]})
    with pytest.raises(ValueError, match="must be one of savedmodel, litert"):
        written(model, "tflite", target)
    with pytest.raises(ValueError, match="float32, float16, dynamic, int8, got 'int4'"):
        litert(model, "int4")
    assert not list(tmp_path.iterdir())


@keras.saving.register_keras_serializable("mmkeras_tests")
class Logarithm(layers.Layer):
    def call(self, x):
        return ops.log1p(ops.abs(x))


@pytest.mark.slow
def test_what_a_format_lacks_is_refused_and_leaves_no_file(tmp_path):
    """tf2onnx writes a file with an operator that no runtime has, and only logs it."""
    x = keras.Input((3,), name="x")
    plain = keras.Model(x, layers.Dense(2)(Logarithm()(x)))
    with pytest.raises(Unwritable, match="operators Log1p"):
        written(plain, "onnx", tmp_path / "model.onnx")
    ours = mm.models.MultimodalModel(plain.inputs, plain.outputs)
    with pytest.raises(ValueError, match="becomes Log1p, which ONNX does not have"):
        ours.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    spoken = keras.Input((6,), dtype="int32", name="text")
    read = keras.Model(spoken, layers.GRU(2, name="memory")(layers.Embedding(5, 3)(spoken)))
    with pytest.raises(Unwritable, match=r"layer 'memory' \(GRU\) cannot .* TensorFlow inside"):
        written(read, "litert-dynamic", tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_layers_that_stay_float_are_found_by_name(model):
    names = [
        "multimodal_model_1/audio_encoder_1/log_mel_1/stft/rfft2",
        "multimodal_model_1/audio_or_blank_1/SelectV2;multimodal_model_1/other",
        "multimodal_model_1/audio_encoder_1/log_mel_2_more/Mean",
        "multimodal_model_1/audio_encoder_1/convolution1_1/Conv2D;x/log_mel_1/truediv",
        "serving_default_audio:0",
    ]
    assert kept_names(model, names) == names[:2]
    tokens = keras.Input((4, 8), name="x")
    look = keras.Model(tokens, mm.attention.MultiHeadAttention(2, name="look")(tokens, tokens))
    names = ["m/look_1/MatMul", "m/look_1/query_1/MatMul", "m/other/MatMul"]
    assert kept_names(look, names) == names[:1]  # the layers that it owns have weights
