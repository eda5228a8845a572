"""Equal rows: found by what they hold, counted, and kept on one side of the split."""

import csv
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmkeras.table import load_table

SIZES = {"image_size": (8, 8), "audio_rate": 1000, "audio_seconds": 0.1, "cache": False}


def write(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def coins(path: Path, times: int = 4) -> Path:
    """150 random texts, each several times, labelled by a coin: nothing can be learned of it."""
    rng = random.Random(3)
    words = [f"w{i}" for i in range(400)]
    texts = [(" ".join(rng.sample(words, 8)), rng.choice("ab")) for _ in range(150)] * times
    rng.shuffle(texts)
    return write(path, ["text", "label"], [list(text) for text in texts])


def sides(table, column="text"):
    """Distinct parts that rows with one value are in."""
    return table.rows.groupby(column)["part"].nunique()


def test_equal_rows_are_kept_on_one_side_and_counted(tmp_path):
    table = load_table(coins(tmp_path / "a.csv"), text="text")
    assert sides(table).max() == 1
    found = table.duplicates
    assert found["rows"] == 450 and found["kinds"] == {"cells": 450, "file bytes": 0, "pictures": 0}
    assert found["together"] and not found["warning"]
    assert 170 < found["crossing"] <= 180  # of the 180 rows outside the training part
    shares = np.array(list(table.parts.values())) / 600
    np.testing.assert_allclose(shares, (0.7, 0.15, 0.15), atol=0.02)
    again = load_table(coins(tmp_path / "a.csv"), text="text")
    assert table.rows["part"].equals(again.rows["part"])


def test_equal_rows_may_be_allowed_on_both_sides(tmp_path):
    path = coins(tmp_path / "a.csv")
    table = load_table(path, text="text", allow_duplicates=True)
    outside = table.rows[table.rows["part"] != "train"]
    trained = set(table.rows.loc[table.rows["part"] == "train", "text"])
    assert table.duplicates["crossing"] == outside["text"].isin(trained).sum() > 150
    assert not table.duplicates["together"]
    assert f"{table.duplicates['crossing']} rows outside" in table.duplicates["warning"]


def test_a_table_without_equal_rows_is_dealt_as_ever(tmp_path):
    path = coins(tmp_path / "a.csv", times=1)
    table, allowed = (load_table(path, text="text", allow_duplicates=a) for a in (False, True))
    assert table.rows["part"].equals(allowed.rows["part"])
    assert table.duplicates == {
        "rows": 0, "crossing": 0, "kinds": {"cells": 0, "file bytes": 0, "pictures": 0},
        "together": True, "warning": "",
    }  # fmt: skip


def test_a_split_column_is_kept_and_its_leaks_are_said(tmp_path):
    rows = [[f"w{i}", "ab"[i % 2], "train"] for i in range(20)]
    rows += [["W3!", "b", "test"], ["new", "a", "test"], ["w4", "a", "valid"]]
    path = write(tmp_path / "a.csv", ["text", "label", "part"], rows)
    table = load_table(path, text="text", split="part")
    assert table.rows["part"].tolist() == [row[2] for row in rows]
    assert table.duplicates["crossing"] == table.duplicates["rows"] == 2
    assert not table.duplicates["together"]
    assert "2 rows that the column 'part' puts into" in table.duplicates["warning"]


@pytest.mark.parametrize(
    ("text", "other", "equal"),
    [
        ("Red, green!", "red GREEN", True),
        ("caf\u00e9 noir", "cafe\u0301\u00a0noir", True),
        ("red\u200b green", "red green", True),
        ("red green", "green red", False),
        ("!!!", "???", False),
        ("", "red", False),
    ],
)
def test_what_equal_texts_are(tmp_path, text, other, equal):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    rows = [[f"word {i}", "a.png", "ab"[i % 2]] for i in range(10)]
    rows += [[text, "a.png", "a"], [other, "a.png", "a"]]
    path = write(tmp_path / "a.csv", ["text", "image", "label"], rows)
    table = load_table(path, text="text", image="image", **SIZES)
    assert table.duplicates["rows"] == equal


def test_copies_and_other_files_of_the_same_content_are_found(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        soundfile.write(tmp_path / f"{i}.wav", rng.uniform(-0.5, 0.5, 200), 1000)
    shutil.copy(tmp_path / "0.png", tmp_path / "copy.png")
    shutil.copy(tmp_path / "0.wav", tmp_path / "copy.wav")
    Image.open(tmp_path / "1.png").save(tmp_path / "other.bmp")
    samples, rate = soundfile.read(tmp_path / "2.wav")
    soundfile.write(tmp_path / "other.flac", samples, rate)
    rows = [[f"{i}.png", f"{i}.wav", "ab"[i % 2]] for i in range(12)]
    rows += [
        ["./3.png", "3.wav", "b"],  # cells
        ["copy.png", "copy.wav", "a"],  # file bytes
        ["other.bmp", "1.wav", "b"],  # pictures
        ["2.png", "other.flac", "a"],  # recordings
        ["4.png", "5.wav", "a"],  # another recording: another row
    ]
    path = write(tmp_path / "a.csv", ["image", "audio", "label"], rows)
    for cache in (False, tmp_path / "cache", tmp_path / "cache"):  # none, cold, warm
        table = load_table(path, image="image", audio="audio", **{**SIZES, "cache": cache})
        assert table.duplicates["rows"] == 4
        kinds = {"cells": 1, "file bytes": 1, "pictures": 1, "recordings": 1}
        assert table.duplicates["kinds"] == kinds
        parts = table.rows["part"]
        for i, other in ((3, 12), (0, 13), (1, 14), (2, 15)):
            assert parts[i] == parts[other]


def test_equal_numbers_and_categories(tmp_path):
    rows = [[str(i), f"c{i % 3}", "ab"[i % 2]] for i in range(20)]
    rows += [["3.0", "c0", "b"], ["3", "c1", "b"], ["", "c1", "a"], ["", "c1", "b"]]
    path = write(tmp_path / "a.csv", ["n", "c", "label"], rows)
    table = load_table(path, numbers=["n"], categories=["c"])
    assert table.duplicates["rows"] == 2  # 3 is 3.0; blank is blank


def test_groups_that_share_equal_rows_stay_together(tmp_path):
    rows = [[f"w{i}", f"p{i // 3}", "ab"[i % 2]] for i in range(60)]
    rows += [["w0", "p7", "a"], ["w30", "p19", "a"]]
    path = write(tmp_path / "a.csv", ["text", "who", "label"], rows)
    for seed in range(5):
        table = load_table(path, text="text", group="who", seed=seed)
        assert sides(table, "group").max() == 1 and sides(table).max() == 1


def test_too_few_different_rows_are_dealt_one_by_one_and_said(tmp_path):
    rows = [[("good", "bad")[i % 2], "ab"[i % 2]] for i in range(60)]
    table = load_table(write(tmp_path / "a.csv", ["text", "label"], rows), text="text")
    assert min(table.parts.values()) == 8
    assert not table.duplicates["together"] and table.duplicates["crossing"] == 18
    assert "too few different rows to keep equal ones together" in table.duplicates["warning"]


def test_new_rows_are_not_searched(tmp_path):
    table = load_table(coins(tmp_path / "a.csv"), text="text")
    new = load_table(tmp_path / "a.csv", **{**table.settings, "label": None})
    assert new.duplicates["rows"] == 0
