"""Whisper: a small one against NumPy in float64; the real one against its originals.

A network of the same architecture with random weights, from a file of the same form, needs nothing
but NumPy. What needs the weights is skipped where they are not in the cache, and says so. The
answers of faster-whisper and CTranslate2 are stored (`benchmarks/whisper.py answers`); where these
are installed, with the extra `bench`, they are asked again. The spoken sentence is rendered.
"""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import soundfile
from optional import needs
from scipy.special import erf
from test_ctranslate2_file import flat

import mmkeras as mm
from mmkeras import assets
from mmkeras.branches.whisper_mel import WhisperLogMel, slaney_filters
from mmkeras.pretrained import transcribe, unfreeze, whisper_decoder, whisper_tiny
from mmkeras.pretrained.ctranslate2_file import load_ctranslate2
from mmkeras.pretrained.whisper import (
    Sizes,
    assign_encoder,
    encoder,
)
from mmkeras.pretrained.whisper_decoder import (
    END,
    Rules,
    all_told,
    assign_decoder,
    decoder,
    greedy,
    stepper,
    text_of,
    windows,
)

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data" / "whisper"
RNG = np.random.default_rng(0)
SMALL = Sizes(units=8, heads=2, blocks=2, bands=10, frames=9, length=6)
SAMPLES = 16_000 // 10  # 10 frames, 5 after the convolutions
WAVES = (RNG.uniform(-1, 1, (4, SAMPLES)) * [[1], [0], [0.001], [0.1]]).astype("float32")


@pytest.fixture(scope="module")
def sentence() -> np.ndarray:
    return soundfile.read(DATA / "sentence.flac", dtype="float32")[0]


# ---- a small network, in NumPy --------------------------------------------------------------


def norm(x: np.ndarray, file: Any, name: str) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5)
    return scaled * file[f"{name}/gamma"] + file[f"{name}/beta"]


def dense(x: np.ndarray, file: Any, name: str) -> np.ndarray:
    return x @ file[f"{name}/weight"].T + file[f"{name}/bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int, causal: bool) -> np.ndarray:
    out = []
    for q1, k1, v1 in zip(*(np.split(x, heads, axis=-1) for x in (q, k, v)), strict=True):
        scores = q1 @ k1.T / np.sqrt(q1.shape[-1])
        if causal:
            scores[np.triu_indices(len(q1), 1)] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out.append(weights / weights.sum(-1, keepdims=True) @ v1)
    return np.concatenate(out, axis=-1)


def own_attention(x: np.ndarray, file: Any, name: str, sizes: Sizes, causal: bool) -> np.ndarray:
    name = f"{name}/self_attention"
    h = dense(norm(x, file, f"{name}/layer_norm"), file, f"{name}/linear_0")
    return x + dense(
        attend(*np.split(h, 3, axis=-1), sizes.heads, causal), file, f"{name}/linear_1"
    )


def network(x: np.ndarray, file: Any, name: str) -> np.ndarray:
    h = dense(norm(x, file, f"{name}/ffn/layer_norm"), file, f"{name}/ffn/linear_0")
    return x + dense(gelu(h), file, f"{name}/ffn/linear_1")


def log_mel(wave: np.ndarray, bands: int) -> np.ndarray:
    """As Whisper has it: mirrored at both ends, the last frame dropped, clamped by the clip."""
    x = np.pad(wave.astype("float64"), 200, mode="reflect")
    window = np.hanning(401)[:-1]
    frames = [x[at : at + 400] * window for at in range(0, len(x) - 399, 160)][:-1]
    power = np.abs(np.fft.rfft(frames)) ** 2
    log = np.log10(np.maximum(power @ slaney_filters(bands).T, 1e-10))
    return (np.maximum(log, log.max() - 8) + 4) / 4


def encoded(wave: np.ndarray, file: Any, sizes: Sizes) -> list[np.ndarray]:
    """What `layer` 0, 1, … and the last one give for each frame of a wave (samples,)."""
    x = log_mel(wave, sizes.bands)
    for i, stride in ((1, 1), (2, 2)):
        kernel, padded = file[f"encoder/conv{i}/weight"], np.pad(x, [(1, 1), (0, 0)])
        x = sum(padded[j : len(x) + j : stride] @ kernel[:, :, j].T for j in range(3))
        x = gelu(x + file[f"encoder/conv{i}/bias"])
    states = [x + file["encoder/position_encodings/encodings"][: len(x)]]
    for i in range(sizes.blocks):
        x = own_attention(states[-1], file, f"encoder/layer_{i}", sizes, causal=False)
        states.append(network(x, file, f"encoder/layer_{i}"))
    return [*states[:-1], norm(states[-1], file, "encoder/layer_norm")]


def written(tokens: np.ndarray, heard: np.ndarray, file: Any, sizes: Sizes) -> np.ndarray:
    """The states of the decoder, (tokens, units)."""
    table = file["decoder/position_encodings/encodings"]
    x = file["decoder/embeddings/weight"][tokens] + table[: len(tokens)]
    for i in range(sizes.blocks):
        name = f"decoder/layer_{i}"
        x = own_attention(x, file, name, sizes, causal=True)
        asks = norm(x, file, f"{name}/attention/layer_norm")
        query = dense(asks, file, f"{name}/attention/linear_0")
        key, value = np.split(dense(heard, file, f"{name}/attention/linear_1"), 2, axis=-1)
        seen = attend(query, key, value, sizes.heads, causal=False)
        x = network(x + dense(seen, file, f"{name}/attention/linear_2"), file, name)
    return norm(x, file, "decoder/layer_norm")


def random_file(sizes: Sizes) -> dict[str, np.ndarray]:
    """The names and shapes of a Whisper file, in half precision."""
    u, shapes = sizes.units, {}

    def linear(name: str, out: int, into: int) -> None:
        shapes.update({f"{name}/weight": (out, into), f"{name}/bias": (out,)})

    def attention(name: str, *out: int) -> None:
        shapes.update({f"{name}/layer_norm/{part}": (u,) for part in ("beta", "gamma")})
        for i, size in enumerate(out):
            linear(f"{name}/linear_{i}", size, 4 * u if name.endswith("ffn") and i else u)

    for part, rows in (("encoder", sizes.frames), ("decoder", sizes.length)):
        shapes[f"{part}/position_encodings/encodings"] = (rows, u)
        shapes.update({f"{part}/layer_norm/{name}": (u,) for name in ("beta", "gamma")})
        for i in range(sizes.blocks):
            attention(f"{part}/layer_{i}/self_attention", 3 * u, u)
            attention(f"{part}/layer_{i}/ffn", 4 * u, u)
            if part == "decoder":
                attention(f"{part}/layer_{i}/attention", u, 2 * u, u)
    for i, into in ((1, sizes.bands), (2, u)):
        shapes |= {f"encoder/conv{i}/weight": (u, into, 3), f"encoder/conv{i}/bias": (u,)}
    shapes["decoder/embeddings/weight"] = (sizes.words, u)
    return {name: RNG.normal(0, 0.5, shape).astype("<f2") for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file and the models that were filled from it."""
    path = tmp_path_factory.mktemp("whisper") / "model.bin"
    path.write_bytes(flat(random_file(SMALL), [("decoder/projection/weight",) * 2][:0]))
    tensors = load_ctranslate2(path, "WhisperSpec")
    ear, writer = encoder(SAMPLES, 2, SMALL, tokens=True), decoder(SMALL._replace(frames=5))
    assign_encoder(ear, tensors)
    assign_decoder(writer, tensors)
    file = {name: array.astype("float64") for name, array in tensors.items()}
    return SimpleNamespace(tensors=tensors, file=file, ear=ear, writer=writer)


def close(got: Any, want: np.ndarray, share: float = 1e-5) -> None:
    """Every number, within a share of the largest one."""
    assert np.shape(got) == want.shape and np.isfinite(want).all()
    assert np.abs(np.asarray(got) - want).max() < share * np.abs(want).max()


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_layer_of_the_encoder_in_numpy(small: Any, layer: int) -> None:
    model = encoder(SAMPLES, layer, SMALL)
    assign_encoder(model, small.tensors)
    want = [encoded(wave, small.file, SMALL)[layer].mean(axis=0) for wave in WAVES]
    close(model(WAVES), np.stack(want))
    if layer == 1:
        rest = encoder(SAMPLES, 2, SMALL, after=1, tokens=True)
        assign_encoder(rest, small.tensors)
        states = encoder(SAMPLES, 1, SMALL, tokens=True)
        assign_encoder(states, small.tensors)
        close(rest(states(WAVES)), np.asarray(small.ear(WAVES)))
        close(small.ear(WAVES)[2], encoded(WAVES[2], small.file, SMALL)[2])


def test_the_decoder_in_numpy_and_step_by_step(small: Any) -> None:
    heard, tokens = np.asarray(small.ear(WAVES)), RNG.integers(0, SMALL.words, (4, SMALL.length))
    states = np.asarray(small.writer([tokens, heard]))
    for row in range(4):
        close(states[row], written(tokens[row], heard[row].astype("float64"), small.file, SMALL))
    step, table = stepper(small.writer), small.file["decoder/embeddings/weight"]
    speech = all_told(small.writer, heard[:1])
    told = speech[..., :0, :]
    for token, state in zip(tokens[0], states[0], strict=True):
        logits, told = step(token, told, speech)
        close(logits, table @ state)


def test_the_likeliest_token_that_is_allowed(small: Any) -> None:
    """A step whose favourites are known: the rules, the end, and the limit."""
    favourites = [[9, 8, 7], [9, 8, 7], [5, 9], [6], [END], [3]]  # the first is of START

    def step(token: int, told: Any, speech: Any) -> Any:
        seen.append(token)
        logits = np.full(SMALL.words, -10.0, "float32")
        logits[favourites[len(seen) - 1]] = np.arange(3, 0, -1)[: len(favourites[len(seen) - 1])]
        return logits, told

    speech = np.zeros((1, 2, 1, 1, 3, 4))
    for rules, most, want in (
        (Rules([], []), 9, [9, 5, 6]),
        (Rules([9], [8]), 9, [7, 5, 6]),
        (Rules([5, 9], []), 2, [8, 0]),
    ):
        seen: list[int] = []
        numbers, silence = greedy(step, speech, rules, most)
        assert numbers == want and seen[:3] == [50_257, 50_362, want[0]]
        assert 0 < silence < 1e-4  # of 51,864 tokens


def test_weights_that_do_not_fit_are_named(small: Any) -> None:
    other = type(small.tensors)(small.tensors)
    del other["encoder/layer_1/ffn/linear_0/bias"]
    with pytest.raises(ValueError, match="lacks 'encoder/layer_1/ffn/linear_0/bias'"):
        assign_encoder(small.ear, other)


# ---- the spectrogram ------------------------------------------------------------------------


def test_the_spectrogram_in_numpy_and_by_faster_whisper(sentence: np.ndarray) -> None:
    """Near 80 dB below the maximum float32 is off by 1e-5 in both; the mean difference is 1e-7."""
    with np.load(DATA / "answers.npz") as stored:
        theirs = stored["sentence_mel"]
    got = np.asarray(WhisperLogMel()(sentence[None]))[0]
    for ours, want in ((got, log_mel(sentence, 80)), (got[::8], theirs)):
        assert ours.shape == want.shape
        assert np.abs(ours - want).max() < 3e-5 and np.abs(ours - want).mean() < 1e-6


def test_a_loud_neighbour_changes_nothing(sentence: np.ndarray) -> None:
    quiet = 1e-3 * sentence[16_000:17_600]
    alone = np.asarray(WhisperLogMel()(quiet[None]))[0]
    both = np.asarray(WhisperLogMel()(np.stack([quiet, np.sign(quiet)])))[0]
    np.testing.assert_array_equal(both, alone)
    loud = log_mel(np.sign(quiet), 80)
    assert alone.min() < loud.max() - 2.5  # 80 dB are 2: one clamp for both would be seen
    silence = np.asarray(WhisperLogMel()(np.zeros((1, 400), "float32")))
    np.testing.assert_allclose(silence, np.full((1, 2, 80), -1.5), atol=1e-6)


def test_filters_have_equal_areas_and_slaneys_edges() -> None:
    filters = slaney_filters(80)
    assert filters.shape == (80, 201) and (filters >= 0).all()
    areas = filters[45:].sum(axis=1) * 40  # Hz per bin; the narrow ones hit few bins
    np.testing.assert_allclose(areas, 1, atol=0.03)
    peaks = filters.argmax(axis=1) * 40
    step = 45.245640471924965 / 81  # mel; the number is faster-whisper's
    assert np.abs(peaks[:25] - 1000 / 15 * step * np.arange(1, 26)).max() <= 20
    np.testing.assert_allclose(peaks[50] / peaks[40], 6.4 ** (10 * step / 27), rtol=0.03)


# ---- the builder ----------------------------------------------------------------------------


def test_a_random_start_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "fetch", None)
    model = whisper_tiny(0.64, 2, weights=None, name="voice")
    assert model.name == model.input.name == "voice"
    assert (model.input_shape, model.output_shape) == ((None, 10_240), (None, 384))
    assert not model.trainable_weights
    block = 12 * 384**2 + (4 + 4 + 1 + 4) * 384  # attention 4u² + 4u, network 8u² + 5u, norms 4u
    positions, convolutions = 32 * 384, (3 * 80 + 1) * 384 + (3 * 384 + 1) * 384
    assert model.count_params() == 2 * block + positions + convolutions


@pytest.mark.parametrize("seconds", [0, 0.02, 30.01, -1, "5", None, np.nan, np.inf])
def test_lengths_that_cannot_work(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"expected 0\.025 \(one window\) to 30"):
        whisper_tiny(seconds, weights=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 5}, "layer must be an integer from 0 to 4, got 5"),
        ({"layer": -1}, "layer must be an integer from 0 to 4"),
        ({"layer": 2, "after": 3}, "after must be an integer from 0 to 2"),
        ({"weights": "base"}, 'expected "tiny.en" or None'),
        ({"name": "son é"}, "letters A to Z"),
    ],
)
def test_other_arguments_that_cannot_work(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        whisper_tiny(1, **change)


def test_as_a_branch_unfrozen_by_depth() -> None:
    """One line in a multimodal model; what stands before the trained blocks keeps every bit."""
    batch, y = {"audio": WAVES, "facts": np.eye(4, 2, dtype="float32")}, np.array([0, 1, 0, 1])
    audio = encoder(SAMPLES, 2, SMALL)
    model = mm.multimodal_model([audio, mm.vector_branch(2, units=3, name="facts")], {"y": 2})
    unfreeze(model, 0)
    assert not audio.trainable_weights
    unfreeze(model, 1)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = audio.get_weights()
    model.train_on_batch(batch, y)
    moved = {
        weight.path.split("/")[0]
        for weight, old in zip(audio.weights, before, strict=True)
        if not np.array_equal(weight, old)
    }
    assert moved == {"block_2", "norm"}


# ---- text -----------------------------------------------------------------------------------


def test_text_of_tokens() -> None:
    vocabulary = ["ĠHel", "lo", "Ã", "©", "ðŁ", "Ċ"]
    assert text_of([0, 1, 5, 2, 3], vocabulary) == " Hello\né"
    assert text_of([4, END + 7], vocabulary) == "�"
    assert text_of([], vocabulary) == ""


def test_long_recordings_are_cut_where_it_is_quiet() -> None:
    wave = RNG.uniform(0.5, 1, 70 * 16_000).astype("float32")
    wave[27 * 16_000 : 28 * 16_000] = 0
    pieces = windows(wave)
    np.testing.assert_array_equal(np.concatenate(pieces), wave)
    assert all(400_000 < len(piece) <= 480_000 for piece in pieces[:-1]) and len(pieces) == 3
    assert 27 < len(pieces[0]) / 16_000 < 28
    assert [len(piece) for piece in windows(wave[:480_000])] == [480_000]


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(0), r"shape \(0,\)"),
        (np.zeros((2, 9)), "Average the channels"),
        ("hello", "expected floats"),
        (np.zeros(9, "int16"), "divide integers of 16 bits by 32,768"),
        (np.array([0, np.nan, np.inf]), "2 values that are not finite"),
    ],
)
def test_waves_that_cannot_be_transcribed(wave: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transcribe(wave)


def test_windows_that_are_silent_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an ear that hears the loudest sample, and a vocabulary of its own."""
    said = {0.0: ([0], 0.9), 0.5: ([0, 1], 0.1), 1.0: ([1], 0.1)}
    monkeypatch.setattr(whisper_decoder, "all_told", lambda writer, heard: heard.max())
    monkeypatch.setattr(whisper_decoder, "greedy", lambda step, heard, rules: said[heard])
    parts = (lambda x, training: x, None, None, None, ["Ġyou", "Ġthere"])
    monkeypatch.setattr(whisper_decoder, "_loaded", lambda: parts)
    wave = np.concatenate([np.full(416_000, 0.5), np.zeros(640_000), np.full(99, 1.0)])
    assert transcribe(np.zeros(1)) == ""
    assert transcribe(np.zeros(1), no_speech=1) == "you"
    assert transcribe(wave[:480_000]) == "you there"
    assert transcribe(wave) == "you there there"


# ---- the real one ---------------------------------------------------------------------------

real = needs("whisper-tiny-en")


@pytest.fixture(scope="module")
def folder() -> Path:
    return assets.fetch("whisper-tiny-en")


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("whisper_bench", ROOT / "benchmarks/whisper.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Any:
    """As it is loaded in a session of half precision: in float32."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        parts = whisper_decoder._loaded()
    finally:
        keras.config.set_dtype_policy("float32")
    yield parts
    whisper_decoder._loaded.cache_clear()


@real
@pytest.mark.slow
def test_the_answers_of_ctranslate2(folder: Path, bench: Any) -> None:
    with np.load(DATA / "answers.npz") as stored:
        for name, wave in bench.waves().items():
            model = whisper_tiny(len(wave) / 16_000, tokens=True)
            assert model.input_shape == (None, len(wave))
            got = np.asarray(model(wave[None]))[0]
            assert got.shape == (len(wave) // 320, 384)
            want = stored[f"{name}_features"]
            difference = np.linalg.norm(got[::16] - want) / np.linalg.norm(want)
            assert difference < 1e-5 and np.abs(got[::16] - want).max() < 3e-4, name


@real
@pytest.mark.slow
def test_what_is_said(loaded: Any, bench: Any) -> None:
    """Token by token, and how likely it is that nobody speaks."""
    ear, writer, step, rules, vocabulary = loaded
    with np.load(DATA / "answers.npz") as stored:
        for name, wave in bench.waves().items():
            heard = ear(np.pad(wave, (0, 480_000 - len(wave)))[None])
            numbers, silence = greedy(step, all_told(writer, heard), rules)
            assert numbers == stored[f"{name}_tokens"].tolist(), name
            assert silence == pytest.approx(float(stored[f"{name}_silence"]), rel=1e-3)
    sentence = "Please close the window before you leave the room."
    assert transcribe(bench.waves()["sentence"]) == sentence
    assert transcribe(np.zeros(1)) == ""


@real
@pytest.mark.slow
def test_every_weight_of_the_file_is_in_the_models_once(folder: Path, loaded: Any) -> None:
    tensors = load_ctranslate2(folder / "model.bin", "WhisperSpec")
    kept = {id(x): x for x in tensors.values() if x.dtype == np.float16}.values()
    models, u = loaded[:2], 384
    counts = [
        4 * (12 * u**2 + 13 * u) + (3 * 80 + 3 * u + 2) * u + 1500 * u + 2 * u,
        4 * (16 * u**2 + 19 * u) + 51_864 * u + 448 * u + 2 * u,
    ]
    assert [model.count_params() for model in models] == counts == [8_209_920, 29_554_944]
    assert sum(x.size for x in kept) == sum(counts)
    sides = (kept, [weight for model in models for weight in model.get_weights()])
    sums = [sum(float(np.abs(x, dtype="float64").sum()) for x in side) for side in sides]
    assert sums[0] == pytest.approx(sums[1], rel=1e-9)
    keys = [
        x[384:768] for name, x in tensors.items() if name.endswith("self_attention/linear_0/bias")
    ]
    assert len(keys) == 8 and not np.any(keys)  # Whisper has no key bias


@real
@pytest.mark.slow
def test_the_shortest_the_longest_and_silence(folder: Path) -> None:
    for seconds, layer in ((0.025, 4), (0.64, 0), (30, 1)):
        model = whisper_tiny(seconds, layer)
        clips = np.zeros((2, model.input_shape[1]), "float32")
        clips[1] = np.sign(RNG.normal(size=clips.shape[1]))  # as loud as can be
        features = np.asarray(model(clips))
        assert np.isfinite(features).all() and np.ptp(features, axis=0).max() > 0.1


@real
@pytest.mark.slow
def test_filled_to_30_s_the_features_are_others(loaded: Any, sentence: np.ndarray) -> None:
    """A short window has no silence to attend to: alike, not equal, as `whisper_tiny` says."""
    filled = np.asarray(loaded[0](np.pad(sentence, (0, 480_000 - len(sentence)))[None]))[0, :143]
    short = np.asarray(whisper_tiny(len(sentence) / 16_000, tokens=True)(sentence[None]))[0]
    lengths = np.linalg.norm(filled, axis=1) * np.linalg.norm(short, axis=1)
    cosines = (filled * short).sum(axis=1) / lengths
    assert 0.95 < np.median(cosines) < 0.99


@real
@pytest.mark.slow
@pytest.mark.parametrize("format", ["litert", "onnx"])  # SavedModels: in test_battery.py
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_exported(folder: Path, format: str, tmp_path: Path, sentence: np.ndarray) -> None:
    import battery  # it takes seconds

    model = mm.multimodal_model([whisper_tiny(0.64, 2)], {"y": 3})
    suffix, run = battery.FORMATS[format]
    target = tmp_path / f"model{suffix}"
    x = {"audio": sentence[None, 8000:18_240]}
    with battery.lean():
        model.export(target, format=format, verbose=False)
    (got,) = run(target, x, ["y"]).values()
    np.testing.assert_allclose(got, model(x), atol=1e-5)


@real
@needs("mandarin-syllables")
@pytest.mark.slow
def test_the_originals_again(folder: Path, bench: Any) -> None:
    """Where they are installed: the stored answers are theirs, and real speech agrees, too."""
    pytest.importorskip("ctranslate2", reason="the extra `bench` is not installed")
    pytest.importorskip("faster_whisper", reason="the extra `bench` is not installed")
    sentence = bench.waves()["sentence"]
    with np.load(DATA / "answers.npz") as stored:
        tokens, _ = bench.original_text(sentence)
        assert tokens.tolist() == stored["sentence_tokens"].tolist()
        mel, features = bench.original_features(sentence)
        np.testing.assert_allclose(mel[::8], stored["sentence_mel"], atol=1e-4)
        np.testing.assert_allclose(features[::16], stored["sentence_features"], atol=1e-4)
    waves = mm.datasets.load_syllables(16_000).waves[::400]
    ours = np.asarray(whisper_tiny(0.64, tokens=True)(waves))
    for wave, got in zip(waves, ours, strict=True):
        _, want = bench.original_features(wave)
        assert np.linalg.norm(got - want) < 1e-5 * np.linalg.norm(want)


@real
def test_the_rules_are_those_of_the_file(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert END in config["suppress_ids_begin"] and len(config["suppress_ids"]) == 90
    vocabulary = (folder / "vocabulary.txt").read_text("utf-8").split("\n")
    names = ["<|endoftext|>", "<|startoftranscript|>", "<|nocaptions|>", "<|notimestamps|>"]
    assert [vocabulary[i] for i in (END, 50_257, 50_361, 50_362)] == names
