"""The rendered sample set: complete, repeatable, and readable by the loader's rules."""

import csv

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmkeras import load_table
from mmkeras.assets import AssetError
from mmkeras.datasets import load_sentiment
from mmkeras.table import sample, weather


def records(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_file_is_there_and_each_row_tells_something(tmp_path):
    rows = records(weather.write(tmp_path, rows=60, new=6))
    assert len(rows) == 60 and list(rows[0]) == [*weather.INPUTS, "label"]
    assert {row["label"] for row in rows} == set(weather.CLASSES)
    new = records(tmp_path / "new.csv")
    assert len(new) == 6 and "label" not in new[0]
    for row in [*rows, *new]:
        assert row["text"] or row["image"] or row["audio"] or row["degrees"]
        assert row["station"] in weather.STATIONS
        if row["image"]:
            with Image.open(tmp_path / row["image"]) as image:
                assert image.format in ("PNG", "JPEG") and min(image.size) >= 56
        if row["audio"]:
            wave, rate = soundfile.read(tmp_path / row["audio"])
            assert (len(wave), rate) == (8000, 8000) and 0.01 < np.abs(wave).max() <= 1
    for column in ("text", "image", "audio", "degrees"):
        blank = sum(not row[column] for row in rows)
        assert 0 < blank < 30, f"{column}: {blank} blank cells"
    assert {p.suffix for p in (tmp_path / "pictures").iterdir()} == {".png", ".jpg"}
    assert "Rendered" in (tmp_path / "README.txt").read_text(encoding="utf-8")


def _nearest(row):
    """The weather that the thermometer tells, where it is not between two."""
    if row["degrees"]:
        there = float(row["degrees"]) - weather.STATIONS[row["station"]]
        for label, degrees in weather.DEGREES.items():
            if abs(there - degrees) < 3.5:
                return label
    return None


def test_each_modality_tells_about_half_and_no_file_name_tells_the_label(tmp_path):
    rows = records(weather.write(tmp_path, rows=300, new=1))
    hints = {hint: name for name, some in weather.HINTS.items() for hint in some}
    told = [next((c for h, c in hints.items() if h in row["text"]), None) for row in rows]
    assert 0.4 < sum(t == row["label"] for t, row in zip(told, rows, strict=True)) / 300 < 0.7
    assert not any(t and t != row["label"] for t, row in zip(told, rows, strict=True))
    near = [_nearest(row) for row in rows]
    assert 0.4 < sum(k == row["label"] for k, row in zip(near, rows, strict=True)) / 300 < 0.7
    assert not any(k and k != row["label"] for k, row in zip(near, rows, strict=True))
    looks = {c: {row["image"][-3:] for row in rows if row["label"] == c} for c in weather.CLASSES}
    assert all({"png", "jpg"} <= kinds for kinds in looks.values())


def test_the_seed_decides_everything(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        weather.write(tmp_path / name, rows=12, seed=seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b and a != c


@pytest.mark.parametrize("rows, new", [(8, 1), (9, 0)])
def test_too_few_rows_are_refused(tmp_path, rows, new):
    with pytest.raises(ValueError, match=f"got {rows} and {new}"):
        weather.write(tmp_path, rows=rows, new=new)
    assert not list(tmp_path.iterdir())


def test_the_command_says_that_it_is_rendered_and_does_not_overwrite(tmp_path, capsys):
    folder = tmp_path / "weather"
    assert sample.main([str(folder), "--rows", "9"]) == 0
    said = capsys.readouterr().out
    assert "It is rendered, not real data" in said and f"mmkeras train {folder}" in said
    (folder / "mine.txt").write_text("keep", encoding="utf-8")
    before = contents(folder)
    assert sample.main([str(folder), "--rows", "9", "--seed", "5"]) == 1
    assert "holds files already" in capsys.readouterr().err and contents(folder) == before
    assert sample.main([str(folder), "--rows", "9", "--seed", "5", "--force"]) == 0
    assert contents(folder) != before and (folder / "mine.txt").read_text("utf-8") == "keep"


def test_a_folder_that_is_a_file_is_an_error_not_a_traceback(tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert sample.main([str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(SystemExit) as wrong:
        sample.main([str(tmp_path / "x"), "--rows", "3"])
    assert wrong.value.code == 2


# ---- posts --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def posts_folder(tmp_path_factory):
    """60 posts, by the command."""
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("posts") / "posts"
    try:
        load_sentiment(60, size=64)
    except AssetError as error:
        pytest.skip(f"the data cannot be had here: {error}")
    assert sample.main([str(folder), "--set", "sentiment", "--rows", "60"]) == 0
    return folder


def test_posts_are_those_of_the_loader_and_train_reads_them(posts_folder):
    rows, made = records(posts_folder / "data.csv"), load_sentiment(60, size=64)
    assert list(rows[0]) == ["text", "picture", "voice", "label", "split"]
    assert [row["text"] for row in rows] == made.text.tolist()
    assert [row["label"] for row in rows] == made.table["label"].tolist()
    assert [row["split"] for row in rows] == made.table["part"].tolist()
    for row, image, wave in zip(rows, made.images, made.waves, strict=True):
        with Image.open(posts_folder / row["picture"]) as picture:
            assert np.array_equal(np.asarray(picture), image)
        sound, rate = soundfile.read(posts_folder / row["voice"], dtype="float32")
        assert rate == 16_000 and np.abs(sound - wave[: len(sound)]).max() < 1e-4
        assert not wave[len(sound) :].any()
    columns = {"text": "text", "image": "picture", "audio": "voice", "label": "label"}
    table = load_table(posts_folder / "data.csv", **columns, split="split")
    assert table.parts == {"train": 36, "valid": 9, "test": 15}


def test_the_folder_says_what_is_rendered_and_what_can_be_known(posts_folder, capsys):
    about = (posts_folder / "README.txt").read_text(encoding="utf-8")
    assert "rendered: nobody spoke" in about and "CC-BY-SA-4.0" in about
    testing = load_sentiment(60, size=64).split()[2]
    right = (testing.posterior["image+audio"].argmax(1) == testing.y).mean()
    assert f"picture and voice {right:.3f}" in about
    again = posts_folder.parent / "again"
    assert sample.main([str(again), "--set", "sentiment", "--rows", "61"]) == 1
    assert "error: posts must be a multiple of 3" in capsys.readouterr().err
    assert not again.exists()
