"""`load_table`: cells stay what they are, files become tensors, batches hold every row once."""

import csv
import json
import sqlite3
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

import mmkeras as mm
from mmkeras.table import decode as decoding
from mmkeras.table import load_table, store
from mmkeras.table.decode import decode_image
from mmkeras.table.parts import deal
from mmkeras.table.problems import Problems
from mmkeras.table.recordings import decode_audio

SIZES = {"image_size": (8, 12), "audio_rate": 1000, "audio_seconds": 0.1, "words": 4}


def write(path: Path, header: list[str], rows: list[list[str]], **options) -> Path:
    with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as stream:
        csv.writer(stream, **options).writerows([header, *rows])
    return path


@pytest.fixture
def data(tmp_path):
    """30 rows of two classes; every fifth has no text, every third no picture, every fourth no
    sound; picture i is all (i, i, i), sound i is all i / 100."""
    rows = []
    for i in range(30):
        Image.new("RGB", (12, 8), (i, i, i)).save(tmp_path / f"{i}.png")
        soundfile.write(tmp_path / f"{i}.flac", np.full(150, i / 100), 1000)
        kind = ("cat", "dog")[i % 2]
        text = "" if i % 5 == 3 else f"A {kind}, number{i}!"
        rows.append([text, *(("", f"{i}.png")[i % 3 > 0], ("", f"{i}.flac")[i % 4 > 0]), kind])
    return write(tmp_path / "data.csv", ["text", "image", "audio", "label"], rows)


def load(path, **options):
    columns = {"text": "text", "image": "image", "audio": "audio"}
    return load_table(path, **{**columns, **SIZES, "cache": path.parent / "cache", **options})


def numbers(dataset) -> list[int]:
    """Which rows came, in order, by the grey of the picture, or the loudness, or the text."""
    return [int(i) for _, y in dataset.as_numpy_iterator() for i in y]


# ---- cells ----------------------------------------------------------------------------------


def test_cells_are_strings_and_nothing_is_guessed(tmp_path):
    words = ["NA", "None", "nan", "null", "TRUE", "1e5", "007", "-"]
    rows = [[word, ("01", "02")[i % 2]] for i, word in enumerate(words)]
    table = load_table(write(tmp_path / "a.csv", ["text", "label"], rows), text="text", cache=False)
    assert table.rows["text"].tolist() == words
    assert table.classes == ["01", "02"] and table.rows["label"].tolist() == ["01", "02"] * 4
    assert all(x["present"].all() for x, _ in table.dataset("all").as_numpy_iterator())
    assert all(type(cell) is str for cell in table.rows["text"])


def test_numeric_classes_are_in_the_order_of_their_values(tmp_path):
    rows = [["a", str(i % 12)] for i in range(36)]
    table = load_table(write(tmp_path / "a.csv", ["text", "label"], rows), text="text")
    assert table.classes == [str(i) for i in range(12)]


@pytest.mark.parametrize(
    "options", [{"encoding": "utf-8-sig"}, {"encoding": "utf-16"}, {"encoding": "cp1252"}]
)
def test_encodings(tmp_path, options):
    rows = [["été", ("oui", "non")[i % 2]] for i in range(6)]
    path = write(tmp_path / "a.csv", ["text", "label"], rows, **options)
    if options["encoding"] == "utf-8-sig":
        options = {}  # a mark needs no saying
    table = load_table(path, text="text", **options)
    assert table.rows["text"].tolist() == ["été"] * 6


def test_what_a_german_spreadsheet_writes(tmp_path):
    rows = [["a;b, c", ("x", "y")[i % 2]] for i in range(6)]
    path = write(tmp_path / "a.csv", ["text", "label"], rows, delimiter=";")
    table = load_table(path, text="text", delimiter=";")
    assert table.rows["text"].tolist() == ["a;b, c"] * 6


def test_gaps_are_marked_and_are_zeros(data):
    table = load(data)
    assert table.modalities == ("text", "image", "audio")
    for x, y in table.dataset("all", batch_size=7).as_numpy_iterator():
        assert list(x) == ["text", "image", "audio", "present"]
        assert x["text"].dtype == np.int32 and x["text"].shape == (len(y), 4)
        assert x["image"].dtype == np.uint8 and x["image"].shape == (len(y), 8, 12, 3)
        assert x["audio"].dtype == np.float32 and x["audio"].shape == (len(y), 100)
        assert x["present"].dtype == np.float32 and y.dtype == np.int32
        for name, there in zip(table.modalities, x["present"].T, strict=True):
            assert not x[name][there == 0].any()
    (x, y), *more = table.dataset("all", batch_size=30).as_numpy_iterator()
    i = np.arange(30)
    assert not more
    np.testing.assert_array_equal(x["present"], np.stack([i % 5 != 3, i % 3 > 0, i % 4 > 0], 1))
    np.testing.assert_array_equal(x["image"][:, 3, 3, 0], np.where(i % 3, i, 0))
    expected = np.where(i % 4, i / 100, 0)
    np.testing.assert_allclose(x["audio"], expected[:, None].repeat(100, 1), atol=1e-4)
    np.testing.assert_array_equal(y, i % 2)


def test_a_column_that_a_file_lacks_can_count_as_blank(tmp_path, data):
    table = load(data)
    new = write(tmp_path / "new.csv", ["text", "image"], [["a cat", ""], ["", "1.png"]])
    with pytest.raises(ValueError, match="no such column \\(audio=\\)"):
        load_table(new, label=None, **table.settings)
    new = load_table(new, label=None, allow_missing_columns=True, **table.settings)
    x = next(iter(new.dataset("all")))
    np.testing.assert_array_equal(x["present"], [[1, 0, 0], [0, 1, 0]])


# ---- text -----------------------------------------------------------------------------------


def test_words_come_from_the_training_rows_alone(tmp_path):
    rows = [[f"common {part}", part, "ab"[i % 2]] for i in range(4) for part in
            ("train", "train", "valid", "test")]  # fmt: skip
    path = write(tmp_path / "a.csv", ["text", "split", "label"], rows)
    table = load_table(path, text="text", split="split", words=3)
    assert table.vocabulary == ["", "[UNK]", "train", "common"]
    ids = {part: next(iter(table.dataset(part)))[0]["text"][0].numpy().tolist()
           for part in table.parts}  # fmt: skip
    assert ids == {"train": [3, 2, 0], "valid": [3, 1, 0], "test": [3, 1, 0]}


def test_ids_are_those_of_keras_for_ascii(tmp_path):
    texts = ["Hello, World!", "don't   panic", "a - b  (e)", "hello 42", "WORLD world"] * 2
    rows = [[text, "xy"[i % 2], "train"] for i, text in enumerate(texts)]
    path = write(tmp_path / "a.csv", ["text", "label", "part"], rows)
    table = load_table(path, text="text", split="part", words=5)
    keras_layer = keras.layers.TextVectorization(output_sequence_length=5)
    keras_layer.adapt(texts)
    assert table.vocabulary == keras_layer.get_vocabulary()
    x, _ = next(iter(table.dataset("train", shuffle=False)))
    np.testing.assert_array_equal(x["text"], keras_layer(texts))


def test_capitals_and_punctuation_of_all_scripts(tmp_path):
    rows = [["ÉCOLE, «Straße»!", "a", "train"], ["école straße 🐈", "b", "train"]]
    path = write(tmp_path / "a.csv", ["text", "label", "part"], rows)
    table = load_table(path, text="text", split="part")
    assert sorted(table.vocabulary[2:]) == ["straße", "école", "🐈"]


def test_characters_for_scripts_without_spaces(tmp_path):
    rows = [["猫，很 可爱。", "a", "train"], ["狗很可爱！", "b", "train"]]
    path = write(tmp_path / "a.csv", ["text", "label", "part"], rows)
    table = load_table(path, text="text", split="part", tokens="character", words=6)
    assert sorted(table.vocabulary[2:]) == sorted("猫狗很可爱")
    x, _ = next(iter(table.dataset("train", shuffle=False)))
    assert "".join(table.vocabulary[i] for i in x["text"][0]) == "猫很可爱"
    again = load_table(path, **{**table.settings, "label": None})
    np.testing.assert_array_equal(next(iter(again.dataset("all")))["text"], x["text"])


def test_the_vocabulary_has_a_limit(data):
    table = load(data, vocabulary_size=6)
    assert len(table.vocabulary) == 6 and table.vocabulary[:2] == ["", "[UNK]"]
    assert set(table.vocabulary) > {"a", "cat", "dog"}


# ---- pictures -------------------------------------------------------------------------------


def decoded(tmp_path, image, name="a.png", size=(8, 8), **options):
    image.save(tmp_path / name, **options)
    return decode_image(str(tmp_path / name), size, max_pixels=10**6)


def test_the_proportions_are_kept(tmp_path):
    wide = decoded(tmp_path, Image.new("RGB", (40, 20), "red"))
    assert wide.shape == (8, 8, 3) and wide.dtype == np.uint8
    assert (wide[2:6] == (255, 0, 0)).all() and not wide[:2].any() and not wide[6:].any()
    tall = decoded(tmp_path, Image.new("RGB", (2, 4), "red"), size=(8, 12))
    assert (tall[:, 4:8] == (255, 0, 0)).all() and not tall[:, :4].any() and not tall[:, 8:].any()
    line = decoded(tmp_path, Image.new("RGB", (900, 1), "red"))
    assert (line[3] == (255, 0, 0)).all() and line.sum() == 8 * 255


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("LA", (0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 51), (255, 204, 204)),
        ("I;16", 257 * 100, (100, 100, 100)),
    ],
)
def test_every_mode_becomes_rgb_on_white(tmp_path, mode, colour, expected):
    found = decoded(tmp_path, Image.new(mode, (6, 6), colour))
    np.testing.assert_array_equal(found, np.broadcast_to(expected, (8, 8, 3)))


def test_palettes_with_and_without_a_transparent_colour(tmp_path):
    image = Image.new("P", (6, 6), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    assert (decoded(tmp_path, image) == (10, 200, 30)).all()
    assert (decoded(tmp_path, image, transparency=1) == 255).all()


@pytest.mark.parametrize(("name", "options"), [("a.jpg", {}), ("a.webp", {"lossless": True})])
def test_formats(tmp_path, name, options):
    found = decoded(tmp_path, Image.new("RGB", (9, 9), (200, 100, 50)), name, **options)
    np.testing.assert_allclose(found, np.broadcast_to((200, 100, 50), (8, 8, 3)), atol=3)


def test_the_content_counts_and_not_the_name(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.jpg", "PNG")
    assert (decode_image(str(tmp_path / "a.jpg"), (8, 8), 100) == (255, 0, 0)).all()


def test_cmyk_of_a_printer(tmp_path):
    found = decoded(tmp_path, Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "a.jpg")
    np.testing.assert_allclose(found, np.broadcast_to((255, 0, 0), (8, 8, 3)), atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(tmp_path, orientation):
    upright = Image.new("RGB", (16, 16))
    upright.paste("red", (0, 0, 8, 8))
    upright.paste("blue", (8, 0, 16, 8))
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
            6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}.get(orientation)  # fmt: skip
    stored = upright.transpose(Image.Transpose[undo]) if undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(tmp_path, stored, exif=exif, size=(16, 16))
    np.testing.assert_array_equal(found, np.asarray(upright))


def test_a_large_jpeg_is_shrunk_without_aliasing(tmp_path):
    """Stripes one pixel wide average to grey."""
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    found = decoded(tmp_path, Image.fromarray(stripes), "a.jpg", quality=95)
    assert np.abs(found.astype(int) - 128).max() < 12


# ---- recordings -----------------------------------------------------------------------------


def tone(hertz, rate, seconds=1.0, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def heard(tmp_path, samples, rate, name="a.wav", new=8000, seconds=1.0, **options):
    soundfile.write(tmp_path / name, samples, rate, **options)
    return decode_audio(str(tmp_path / name), new, seconds, max_seconds=60)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 44101, 7999])
def test_a_tone_keeps_its_pitch_and_level_at_any_rate(tmp_path, rate):
    found = heard(tmp_path, tone(440, rate), rate)
    assert found.shape == (8000,) and found.dtype == np.float32
    middle = slice(400, 7600)
    np.testing.assert_allclose(found[middle], tone(440, 8000)[middle], atol=0.01)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_what_the_new_rate_cannot_carry_is_removed_not_folded_back(tmp_path, rate):
    """4.9 kHz is above the Nyquist frequency of 4 kHz; folded back it would sound at 3.1 kHz."""
    samples = tone(4900, rate)
    found = heard(tmp_path, samples, rate)
    assert np.abs(found[400:7600]).max() < 0.005
    naive = samples[:: rate // 8000]
    assert np.abs(naive).max() > 0.45  # the test would notice


def test_stereo_becomes_the_mean_of_its_channels(tmp_path):
    left, right = tone(300, 8000), tone(500, 8000, level=0.3)
    found = heard(tmp_path, np.stack([left, right], 1), 8000)
    np.testing.assert_allclose(found, (left + right) / 2, atol=1e-4)


def test_channels_that_cancel_each_other_are_not_averaged_to_silence(tmp_path):
    left = tone(300, 8000)
    opposite = heard(tmp_path, np.stack([0.9 * left, -0.92 * left], 1), 8000)
    np.testing.assert_allclose(opposite, -0.92 * left, atol=1e-4)
    silent = heard(tmp_path, np.zeros((8000, 2)), 8000)
    assert not silent.any()
    one_of_six = np.zeros((8000, 6))
    one_of_six[:, 3] = left
    np.testing.assert_allclose(heard(tmp_path, one_of_six, 8000), left / 6, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 0.01),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "DOUBLE", 1e-6),
        ("a.wav", "ULAW", 0.02),
        ("a.flac", "PCM_16", 1e-4),
        ("a.ogg", "VORBIS", 0.05),
        ("a.ogg", "OPUS", 0.1),
    ],
)
def test_audio_formats(tmp_path, name, subtype, tolerance):
    found = heard(tmp_path, tone(440, 8000), 8000, name, subtype=subtype)
    np.testing.assert_allclose(found[100:-100], tone(440, 8000)[100:-100], atol=tolerance)


def test_clips_are_cut_and_padded_at_their_end(tmp_path):
    ramp = np.linspace(0, 0.9, 1600)
    np.testing.assert_allclose(
        heard(tmp_path, ramp, 8000, seconds=0.1, subtype="FLOAT"), ramp[:800], atol=1e-6
    )
    padded = heard(tmp_path, ramp, 8000, seconds=0.3, subtype="FLOAT")
    np.testing.assert_allclose(padded[:1600], ramp, atol=1e-6)
    assert padded.shape == (2400,) and not padded[1600:].any()


def test_a_cut_clip_is_the_start_of_the_whole_one(tmp_path):
    """The resampling of the part does not know where the cut will be."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 44100)
    whole = heard(tmp_path, noise, 44100, seconds=1.0)
    part = heard(tmp_path, noise, 44100, seconds=0.25)
    np.testing.assert_allclose(part, whole[:2000], atol=1e-6)


def test_values_stay_within_one(tmp_path):
    square = np.sign(tone(440, 44100, level=1.0))
    found = heard(tmp_path, 1.5 * square, 44100, subtype="FLOAT")
    assert np.abs(found).max() == 1.0


# ---- parts ----------------------------------------------------------------------------------


def test_fractions_are_stratified_and_depend_on_the_seed(tmp_path):
    rows = [[f"w{i}", "a" if i % 10 else "b"] for i in range(400)]
    path = write(tmp_path / "a.csv", ["text", "label"], rows)
    tables = [load_table(path, text="text", seed=seed) for seed in (0, 0, 1)]
    assert tables[0].parts == {"train": 280, "valid": 60, "test": 60}
    b = tables[0].rows.query("label == 'b'")["part"].value_counts().to_dict()
    assert b == {"train": 28, "valid": 6, "test": 6}
    first, again, other = (table.rows["part"] for table in tables)
    assert first.equals(again) and not first.equals(other)


def test_every_class_is_in_every_part_of_a_small_table():
    labels = list("aaabbbcccdddd")
    for seed in range(20):
        problems = Problems()
        parts = deal(labels, None, (0.7, 0.15, 0.15), seed, problems)
        assert not problems.found
        assert len(set(zip(labels, parts, strict=True))) == 12


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_never_divided(seed):
    rng = np.random.default_rng(seed)
    groups = [f"g{int(60 * u**2)}" for u in rng.random(1000)]  # of very different sizes
    labels = [("a", "b")[int(rng.random() < 0.2 + 0.6 * (int(g[1:]) % 2))] for g in groups]
    problems = Problems()
    parts = deal(labels, groups, (0.6, 0.2, 0.2), seed, problems)
    assert not problems.found
    assert len(set(zip(groups, parts, strict=True))) == len(set(groups))
    shares = np.array([(parts == part).mean() for part in ("train", "valid", "test")])
    np.testing.assert_allclose(shares, (0.6, 0.2, 0.2), atol=0.05)
    whole = np.mean(np.array(labels) == "a")
    for part in ("train", "valid", "test"):
        assert abs(np.mean(np.array(labels)[parts == part] == "a") - whole) < 0.15


def test_rows_with_one_picture_can_stay_together(tmp_path):
    for i in range(10):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [[f"{i % 10}.png" if i < 40 else "", f"text {i}", "ab"[i % 2]] for i in range(60)]
    path = write(tmp_path / "a.csv", ["image", "text", "label"], rows)
    table = load_table(path, image="image", text="text", group="image", cache=False)
    pictures = table.rows[table.rows["image"] != ""]
    assert pictures.groupby("image")["part"].nunique().max() == 1
    assert table.rows[table.rows["image"] == ""]["part"].nunique() > 1  # each by itself


def test_a_split_column_is_obeyed(tmp_path):
    parts = ["train", "train", "test", "valid", "train", "train"]
    rows = [[f"w{i}", "ab"[i % 2], part] for i, part in enumerate(parts)]
    path = write(tmp_path / "a.csv", ["text", "label", "part"], rows)
    table = load_table(path, text="text", split="part")
    assert table.rows["part"].tolist() == parts
    assert table.parts == {"train": 4, "valid": 1, "test": 1}
    assert table.rows["row"].tolist() == list(range(2, 8))


# ---- batches --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4, 21, 100])
def test_every_row_once_at_any_batch_size(data, batch_size):
    table = load(data, text=None, audio=None, on_error="skip")
    assert len(table) == 20  # the others have no picture
    want = sorted(int(name[:-4]) for name in table.rows["image"])
    for shuffle in (False, True):
        dataset = table.dataset("all", batch_size, shuffle=shuffle)
        seen = [x["image"][:, 4, 4, 0] for x, _ in dataset.as_numpy_iterator()]
        assert sorted(np.concatenate(seen).tolist()) == want
        assert len(seen) == len(dataset) == -(-20 // batch_size)
        assert all(len(batch) == batch_size for batch in seen[:-1])


def orders(dataset, passes=2):
    return [
        tuple(np.concatenate([x["audio"][:, 0] for x, _ in dataset.as_numpy_iterator()]).tolist())
        for _ in range(passes)
    ]


def test_each_pass_has_a_new_order_and_a_seed_repeats_them(data):
    table = load(data)
    keras.utils.set_random_seed(1)
    first = orders(table.dataset("train", seed=3))
    keras.utils.set_random_seed(2)  # the order is the table's own
    assert orders(table.dataset("train", seed=3)) == first
    assert first[0] != first[1] and sorted(first[0]) == sorted(first[1])
    assert orders(table.dataset("train", seed=4))[0] != first[0]
    for part in ("valid", "test", "all"):
        again = orders(table.dataset(part))
        assert again[0] == again[1]
    assert orders(table.dataset("train", shuffle=False))[0] != first[0]


def test_without_the_mask(data):
    table = load(data)
    x, _ = next(iter(table.dataset("test", present=False)))
    assert list(x) == ["text", "image", "audio"]


def test_a_model_learns_from_a_table_with_gaps_and_predicts_for_another(data, tmp_path):
    table = load(data, image_size=(16, 16), audio_seconds=0.2)
    keras.utils.set_random_seed(0)
    branches = [
        mm.text_branch(len(table.vocabulary), 4, units=8),
        mm.image_branch((16, 16, 3), units=8),
        mm.audio_branch(200, 1000, units=8),
    ]
    model = mm.multimodal_model(branches, {"label": len(table.classes)}, missing=True)
    model.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        history = model.fit(
            table.dataset("train", 8), validation_data=table.dataset("valid"), epochs=12, verbose=0
        )
    assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]
    assert np.isfinite(model.evaluate(table.dataset("test"), verbose=0)).all()
    settings = json.loads(json.dumps(table.settings))
    new = write(tmp_path / "new.csv", ["text", "image", "audio"], [["a cat", "", "1.flac"]] * 5)
    new = load_table(new, label=None, **settings)
    assert new.parts == {"all": 5} and new.classes == table.classes
    assert new.vocabulary == table.vocabulary and "label" not in new.rows
    answers = model.predict(new.dataset("all", batch_size=2), verbose=0)
    assert answers.shape == (5, 2)
    np.testing.assert_allclose(answers, answers[:1].repeat(5, 0), atol=1e-6)


# ---- the cache ------------------------------------------------------------------------------


def count_decoding(monkeypatch):
    counts: Counter[str] = Counter()
    original = decoding.decode_image

    def decode(path, size, max_pixels):
        counts[Path(path).name] += 1
        return original(path, size, max_pixels)

    monkeypatch.setattr("mmkeras.table.steps.decode_image", decode)
    return counts


def pictures(table):
    x, _ = next(iter(table.dataset("all", batch_size=len(table))))
    return x["image"].numpy()


def test_each_distinct_file_is_decoded_once_even_in_later_runs(tmp_path, monkeypatch):
    counts = count_decoding(monkeypatch)
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [[f"{i % 3}.png", "ab"[i % 2]] for i in range(60)]
    path = write(tmp_path / "a.csv", ["image", "label"], rows)
    options = {"image": "image", "image_size": (8, 8), "cache": tmp_path / "cache"}
    first = pictures(load_table(path, **options))
    assert counts == {"0.png": 1, "1.png": 1, "2.png": 1}
    np.testing.assert_array_equal(pictures(load_table(path, **options)), first)
    assert sum(counts.values()) == 3  # nothing new in a second run
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "1.png")  # another size in bytes
    changed = pictures(load_table(path, **options))
    assert (changed[1] == 9).all() and counts == {"0.png": 1, "1.png": 2, "2.png": 1}
    small = load_table(path, **{**options, "image_size": (4, 4)})
    assert pictures(small).shape == (60, 4, 4, 3) and sum(counts.values()) == 7
    without = load_table(path, **{**options, "cache": False})
    np.testing.assert_array_equal(pictures(without), changed)


@pytest.mark.parametrize("cache", ["cache", False])
def test_the_first_pass_keeps_no_pixels(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(store, "WORKERS", 2)  # each holds a few records
    for i in range(200):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    path = write(
        tmp_path / "a.csv", ["image", "label"], [[f"{i}.png", "ab"[i % 2]] for i in range(200)]
    )
    options = {"image": "image", "image_size": (128, 128)}

    def measured(turn):
        tracemalloc.start()
        try:
            table = load_table(path, **options, cache=cache and tmp_path / f"{cache}{turn}")
            kept, highest = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(table) == 200
        return highest, kept

    # The least of three: threads that earlier tests left behind allocate, too.
    highest, kept = min(measured(turn) for turn in range(3))
    everything = 200 * 128 * 128 * 3
    assert highest < everything / 1.5 and kept < everything / 10


def test_the_cache_forgets_what_the_table_no_longer_names_to_the_last_byte(data):
    table = load(data)
    (store,) = (data.parent / "cache").glob("data-*/image-*.sqlite")
    count = "SELECT count(*) FROM records"
    assert sqlite3.connect(store).execute(count).fetchone() == (20,)
    gone = pictures(table)[-1].tobytes()  # of row 29
    assert gone in store.read_bytes()
    rows = table.rows[["text", "image", "audio", "label"]].head(12)
    rows.to_csv(data, index=False)
    load(data)
    assert sqlite3.connect(store).execute(count).fetchone() == (8,)
    assert gone not in store.read_bytes()


def test_a_damaged_cache_is_made_again(data):
    first = pictures(load(data))
    (store,) = (data.parent / "cache").glob("data-*/image-*.sqlite")
    store.write_bytes(b"not a database at all" * 1000)
    np.testing.assert_array_equal(pictures(load(data)), first)
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE records SET data = x'00'")  # records of a wrong length
    np.testing.assert_array_equal(pictures(load(data)), first)


def test_a_locked_cache_is_left_to_who_uses_it(data, monkeypatch):
    """After 60 s it was taken for damaged, and deleted under the process that wrote it."""
    first = pictures(load(data))
    (path,) = (data.parent / "cache").glob("data-*/image-*.sqlite")
    before = path.read_bytes()
    monkeypatch.setattr(store, "LOCKED", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.warns(UserWarning, match="locked; files are decoded at each pass"):
        table = load(data)
    np.testing.assert_array_equal(pictures(table), first)
    other.close()
    assert path.read_bytes() == before


def test_without_a_cache_a_first_pass_decodes_each_file_once(tmp_path, monkeypatch):
    counts = count_decoding(monkeypatch)
    for i in range(12):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [[f"{i}.png", "ab"[i % 2]] for i in range(12)]
    path = write(tmp_path / "a.csv", ["image", "label"], rows)
    table = load_table(path, image="image", image_size=(8, 8), cache=False)
    first = pictures(table)
    np.testing.assert_array_equal(first[:, 0, 0, 0], np.arange(12))
    assert set(counts.values()) == {1} and len(counts) == 12
    Image.new("RGB", (8, 8), (99, 99, 99)).save(tmp_path / "3.png")  # the file itself counts
    assert pictures(table)[3].min() == 99 and counts["3.png"] == 2
    monkeypatch.setattr(store.Scratch, "put", lambda *_: None)  # beyond what it may hold
    again = load_table(path, image="image", image_size=(8, 8), cache=False)
    assert pictures(again)[5, 0, 0, 0] == 5 and counts["5.png"] == 3


def test_what_a_temporary_file_may_hold_is_bounded():
    scratch = store.Scratch(length=4, limit=10)
    scratch.put([(1, b"aaaa"), (2, b"bbbb"), (3, b"cccc")])
    assert scratch.get([3, 2, 1]) == {2: b"bbbb", 1: b"aaaa"}


def test_a_cache_that_cannot_be_written_is_said_and_done_without(data, tmp_path):
    first = pictures(load(data))
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="files are decoded at each pass"):
        table = load(data, cache=tmp_path / "file")
    np.testing.assert_array_equal(pictures(table), first)


def test_the_default_cache_is_that_of_the_package(data, monkeypatch, tmp_path):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "other"))
    load(data, cache=None)
    assert len(list((tmp_path / "other" / "tables").glob("data-*/*.sqlite"))) == 2


# ---- paths ----------------------------------------------------------------------------------


def test_folders_backslashes_and_links_within_the_folder(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "in" / "deep" / "a.png")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "in" / "deep" / "a.png")
    names = ["deep/a.png", "deep\\a.png", "./deep/../deep/a.png", "link.png"]
    names.append(str(tmp_path / "in" / "deep" / "a.png"))  # absolute, but inside
    rows = [[name, "ab"[i % 2]] for i, name in enumerate(names * 2)]
    path = write(tmp_path / "in" / "data.csv", ["image", "label"], rows)
    assert (pictures(load_table(path, image="image", cache=False)) == (255, 0, 0)).all()


def test_paths_may_leave_the_folder_where_that_is_allowed(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    names = ["../a.png", str(tmp_path / "a.png")]
    rows = [[name, "ab"[i % 2]] for i, name in enumerate(names * 3)]
    path = write(tmp_path / "in" / "data.csv", ["image", "label"], rows)
    table = load_table(path, image="image", cache=False, allow_outside=True)
    assert (pictures(table) == (255, 0, 0)).all()
    assert isinstance(table.report, pd.DataFrame) and table.report.empty


def test_reading_ahead_stays_in_order_and_within_bounds():
    running = []

    def work(i):
        running.append(i)
        return i

    results = store.ahead(work, iter(range(100)), workers=2)
    assert next(results) == 0
    assert max(running) <= 5
    assert list(results) == list(range(1, 100))


def test_sizes_are_integers_of_any_type_and_kept_as_pythons(tmp_path):
    rows = "".join(f"word{i} more,{'ab'[i % 2]}\n" for i in range(12))
    (tmp_path / "t.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    table = load_table(
        tmp_path / "t.csv", text="text", words=np.int64(3), seed=np.uint8(1),
        image_size=np.array([8, 9]), vocabulary_size=np.int32(9),
    )  # fmt: skip
    assert json.loads(json.dumps(table.settings))["image_size"] == [8, 9]
    x, _ = next(iter(table.dataset("train", np.int64(2)).as_numpy_iterator()))
    assert x["text"].shape == (2, 3)
    with pytest.raises(ValueError, match="seed must be an integer from 0 to 4294967295"):
        load_table(tmp_path / "t.csv", text="text", seed=2**32)
