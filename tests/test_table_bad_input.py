"""What `load_table` says about malformed tables and files: which row, which column, why."""

import codecs
import csv
import io
import os
import re
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from mmkeras.table import TableError, load_table

HEADER = ["text", "image", "audio", "label"]
ROWS = 12  # of a good table: its rows are 2 to 13
SIZES: dict[str, Any] = {"image_size": (8, 8), "audio_rate": 1000, "audio_seconds": 0.1}


@dataclass
class Folder:
    """A good table in a folder of its own, to be spoilt before it is written."""

    path: Path
    header: list[str] = field(default_factory=lambda: list(HEADER))
    rows: list[list[str]] = field(
        default_factory=lambda: [
            [f"word {i}", "good.png", "good.wav", ("cat", "dog")[i % 2]] for i in range(ROWS)
        ]
    )
    raw: bytes | None = None  # instead of header and rows

    def __post_init__(self) -> None:
        Image.new("RGB", (9, 6), "red").save(self.path / "good.png")
        soundfile.write(self.path / "good.wav", np.linspace(-0.5, 0.5, 200), 1000)

    def cell(self, row: int, column: str, value: str) -> None:
        self.rows[row - 2][self.header.index(column)] = value

    def file(self, row: int, column: str, name: str, content: bytes) -> None:
        (self.path / name).write_bytes(content)
        self.cell(row, column, name)

    def column(self, name: str, values: list[str]) -> None:
        self.header.append(name)
        self.rows = [[*row, value] for row, value in zip(self.rows, values, strict=True)]

    def text(self) -> str:
        stream = io.StringIO()
        csv.writer(stream).writerows([self.header, *self.rows])
        return stream.getvalue()

    def load(self, **options: Any) -> Any:
        table = self.path / "data.csv"
        table.write_bytes(self.text().encode() if self.raw is None else self.raw)
        options = {"text": "text", "image": "image", "audio": "audio", **SIZES, **options}
        return load_table(table, cache=False, **options)


@pytest.fixture
def folder(tmp_path):
    inner = tmp_path / "table"
    inner.mkdir()
    (tmp_path / "secret.png").write_bytes(b"not for you")
    return Folder(inner)


def picture(format: str = "PNG", size: tuple[int, int] = (64, 64)) -> bytes:
    rng, stream = np.random.default_rng(0), io.BytesIO()
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, format)
    return stream.getvalue()


def sound(samples: Any, rate: int = 1000, format: str = "WAV", subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.asarray(samples, np.float32), rate, format=format, subtype=subtype)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of under 100 bytes that claims to be large."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 10)
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
             for c in (chunk, data, b"IEND")]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_nan() -> bytes:
    samples = np.zeros(200)
    samples[50] = np.nan
    return sound(samples, subtype="FLOAT")


def promise(samples: int) -> bytes:
    """A FLAC of 200 samples whose header speaks of more (36 bits from the end of byte 21 on)."""
    data = bytearray(sound(np.zeros(200), 1000, "FLAC"))
    data[21:26] = bytes([data[21] & 0xF0 | samples >> 32]) + (samples % 2**32).to_bytes(4, "big")
    return bytes(data)


def fifo(folder: Folder) -> None:
    os.mkfifo(folder.path / "pipe.png")
    folder.cell(4, "image", "pipe.png")


def link(folder: Folder) -> None:
    (folder.path / "link.png").symlink_to(folder.path.parent / "secret.png")
    folder.cell(4, "image", "link.png")


def linked_folder(folder: Folder) -> None:
    (folder.path / "up").symlink_to(folder.path.parent)
    folder.cell(4, "image", "up/secret.png")


# name: (what to spoil, row, column, value, part of the reason)
FILES = {
    "missing picture": (lambda f: f.cell(4, "image", "gone.png"),
        "image", "gone.png", "no such file"),
    "missing recording": (lambda f: f.cell(4, "audio", "a/gone.wav"),
        "audio", "a/gone.wav", "no such file"),
    "capitals": (lambda f: f.cell(4, "image", "GOOD.PNG"),
        "image", "GOOD.PNG", "no such file; there is 'good.png' (capitals matter)"),
    "unreadable picture": (lambda f: f.file(4, "image", "x.png", picture()[:40] + b"junk" * 9),
        "image", "x.png", "unreadable picture"),
    "truncated JPEG": (lambda f: f.file(4, "image", "x.jpg", picture("JPEG")[:1500]),
        "image", "x.jpg", "unreadable picture: image file is truncated"),
    "truncated WebP": (lambda f: f.file(4, "image", "x.webp", picture("WEBP")[:600]),
        "image", "x.webp", "picture"),
    "text called .png": (lambda f: f.file(4, "image", "x.png", b"Hello world, no pixels"),
        "image", "x.png",
        "not a PNG, JPEG, WebP, BMP, GIF or TIFF picture: it starts with b'Hello wo'"),
    "HEIC": (lambda f: f.file(4, "image", "x.heic", b"\0\0\0\x18ftypheic" + b"\0" * 40),
        "image", "x.heic", "TIFF picture: it is an HEIC picture; convert it"),
    "truncated GIF": (lambda f: f.file(4, "image", "x.gif", picture("GIF")[:900]),
        "image", "x.gif", "unreadable picture"),
    "truncated TIFF": (lambda f: f.file(4, "image", "x.tif", picture("TIFF")[:900]),
        "image", "x.tif", "picture"),
    "PNG with a wrong checksum": (lambda f: f.file(4, "image", "x.png",
            picture()[:29] + b"\0\0\0\0" + picture()[33:]),
        "image", "x.png", "a PNG whose header is damaged (its checksum does not fit)"),
    "floating-point TIFF": (lambda f: Image.new("F", (8, 8), 0.5).save(f.path / "x.tif")
            or f.cell(4, "image", "x.tif"),
        "image", "x.tif", "the picture holds floating-point numbers"),
    "zero-byte picture": (lambda f: f.file(4, "image", "x.png", b""),
        "image", "x.png", "the file is empty (0 bytes)"),
    "zero-byte recording": (lambda f: f.file(4, "audio", "x.wav", b""),
        "audio", "x.wav", "the file is empty (0 bytes)"),
    "bomb": (lambda f: f.file(4, "image", "x.png", bomb(9000, 8000)),
        "image", "x.png", "the picture has 9000×8000 pixels, more than max_pixels=64,000,000"),
    "large bomb": (lambda f: f.file(4, "image", "x.png", bomb(10**5, 10**5)),
        "image", "x.png", "the picture has more than 178,956,970 pixels"),
    "folder": (lambda f: f.cell(4, "image", "."), "image", ".", "is a folder, not a file"),
    "pipe": (fifo, "image", "pipe.png", "is a device, pipe or socket, not a file"),
    "outside by ..": (lambda f: f.cell(4, "image", "../secret.png"),
        "image", "../secret.png", "leaves the CSV's folder; move the file, or pass allow_outside"),
    "outside, not there": (lambda f: f.cell(4, "image", "../nothing.png"),
        "image", "../nothing.png", "leaves the CSV's folder"),
    "outside by backslash": (lambda f: f.cell(4, "image", "..\\secret.png"),
        "image", "..\\secret.png", "leaves the CSV's folder"),
    "absolute path": (lambda f: f.cell(4, "audio", "/etc/hostname"),
        "audio", "/etc/hostname", "is an absolute path outside the CSV's folder"),
    "link to the outside": (link, "image", "link.png", "leaves the CSV's folder"),
    "linked folder": (linked_folder, "image", "up/secret.png", "leaves the CSV's folder"),
    "Windows drive": (lambda f: f.cell(4, "image", "C:\\pictures\\cat.png"),
        "image", "C:\\pictures\\cat.png", "is a path on a Windows drive"),
    "URL": (lambda f: f.cell(4, "image", "https://example.org/cat.png"),
        "image", "https://example.org/cat.png", "is a URL; download the file"),
    "file URL": (lambda f: f.cell(4, "image", "file:/etc/hostname"),
        "image", "file:/etc/hostname", "is a URL"),
    "NaN": (lambda f: f.file(4, "audio", "x.wav", with_nan()),
        "audio", "x.wav", "has NaN or infinite samples, first at 0.050 s"),
    "no samples": (lambda f: f.file(4, "audio", "x.wav", sound(np.zeros(0))),
        "audio", "x.wav", "the recording is empty (no samples)"),
    "corrupt WAV": (lambda f: f.file(4, "audio", "x.wav", b"RIFF\x20\0\0\0WAVE" + b"junk" * 9),
        "audio", "x.wav", "unreadable recording"),
    "cut WAV": (lambda f: f.file(4, "audio", "x.wav", sound(np.zeros(200))[:300]),
        "audio", "x.wav", "cut short: its header says 444 bytes, the file has 300"),
    "cut FLAC": (lambda f: f.file(4, "audio", "x.flac",
            sound(np.random.default_rng(0).uniform(-1, 1, 20000), 8000, "FLAC")[:20000]),
        "audio", "x.flac", "unreadable recording"),
    "short FLAC": (lambda f: f.file(4, "audio", "x.flac", promise(300)),
        "audio", "x.flac", "unreadable recording"),
    "text called .wav": (lambda f: f.file(4, "audio", "x.wav", b"Hello world, no samples"),
        "audio", "x.wav", "FLAC, OGG, MP3, AIFF or AU recording: it starts with b'Hello"),
    "M4A": (lambda f: f.file(4, "audio", "x.m4a", b"\0\0\0\x18ftypM4A " + b"\0" * 40),
        "audio", "x.m4a", "AIFF or AU recording: it is an M4A recording; convert it"),
    "Matlab": (lambda f: f.file(4, "audio", "x.mat", sound(np.zeros(200), format="MAT5")),
        "audio", "x.mat", "recording, but MAT5"),
    "other scale": (lambda f: f.file(4, "audio", "x.wav",
            sound([0, 20000, -5, 3], subtype="FLOAT")),
        "audio", "x.wav", "its samples reach 20000; expected -1 to 1"),
    "rate": (lambda f: f.file(4, "audio", "x.wav", sound(np.zeros(200), 50)),
        "audio", "x.wav", "has 50 samples per second; expected 1,000 to 768,000"),
}  # fmt: skip
CELLS = {
    "blank label": (lambda f: f.cell(4, "label", " \t"), "label", "", "blank label"),
    "label in capitals": (lambda f: f.cell(4, "label", "Cat"),
        "label", "Cat", "looks like 'cat' (5 rows) spelt in another way"),
    "everything blank": (lambda f: [f.cell(4, c, " ") for c in HEADER[:3]],
        "", "", "are all blank: 'text' and 'image' and 'audio'"),
    "NUL": (lambda f: f.cell(4, "text", "a\0b"), "text", "a␀b", "holds a NUL character"),
    "too few cells": (lambda f: f.rows[2].pop(), "", "", "has 3 cells, but the header has 4"),
    "too many cells": (lambda f: f.rows[2].append(""), "", "", "has 5 cells, but the header has 4"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*FILES, *CELLS])
def test_a_row_at_fault_is_named_and_the_others_can_be_kept(name, folder):
    spoil, column, value, reason = {**FILES, **CELLS}[name]
    if name == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    if name == "Windows drive" and os.name == "nt":
        pytest.skip("paths on a drive are paths like any other")
    if name == "capitals" and (folder.path / "GOOD.PNG").exists():
        pytest.skip("capitals do not matter here")
    spoil(folder)
    with pytest.raises(TableError) as error:
        folder.load()
    table = folder.load(on_error="skip")
    for problems in (error.value.problems, table.report):
        assert problems["row"].tolist() == [4]
        assert problems["column"].tolist() == [column]
        assert problems["value"].tolist() == [value]
        assert reason in problems["reason"].item()
    assert "row 4" in str(error.value) and reason in str(error.value)
    assert table.rows["row"].tolist() == [r for r in range(2, ROWS + 2) if r != 4]


def rename(folder: Folder, **names: str) -> None:
    folder.header = [names.get(name, name) for name in folder.header]


def put(folder: Folder, raw: bytes) -> None:
    folder.raw = raw


def one_class(folder: Folder) -> None:
    for row in range(2, ROWS + 2):
        folder.cell(row, "label", "cat")


def split_without(folder: Folder, part: str, label: str) -> None:
    """A split column in which the rows of a class are nowhere in a part."""
    folder.column("part", ["train", "train", "valid", "test"] * (ROWS // 4))
    for row in folder.rows:
        if row[3] == label and row[4] == part:
            row[4] = "test"


# name: (what to spoil, options, row or None, column, part of the reason)
TABLES = {
    "empty file": (lambda f: put(f, b""), {}, None, "", "the file is empty"),
    "blank file": (lambda f: put(f, b"\n \n\r\n"), {}, None, "", "the file is empty"),
    "mark only": (lambda f: put(f, codecs.BOM_UTF8), {}, None, "", "the file is empty"),
    "header only": (lambda f: f.rows.clear(), {}, None, "", "the file has a header, but no rows"),
    "no such column": (lambda f: rename(f, label="Lable"), {},
        1, "label", "no such column (label=); did you mean 'Lable'?"),
    "nothing like it": (lambda f: None, {"image": "xyz"},
        1, "xyz", "no such column (image=); there is 'text', 'image', 'audio', 'label'"),
    "duplicate column": (lambda f: rename(f, audio="image"), {"audio": None},
        1, "image", "the header has this name 2 times"),
    "one class": (one_class, {}, None, "label", "every row has the class 'cat'"),
    "semicolons": (lambda f: put(f, f.text().replace(",", ";").encode()), {},
        1, "", "seems to be separated by ';'; pass delimiter=';'"),
    "tabs": (lambda f: put(f, f.text().replace(",", "\t").encode()), {},
        1, "", "seems to be separated by '\\t'"),
    "unclosed quote": (lambda f: put(f, f.text().replace("word 5", '"word 5').encode()), {},
        7, "", 'a quote (") that opens here is never closed'),
    "text after a quote": (lambda f: put(f, f.text().replace("word 5", '"word" 5').encode()), {},
        7, "", 'text follows a closing quote (")'),
    "UTF-16": (lambda f: put(f, f.text().encode("utf-16")), {},
        None, "", "is UTF-16, not utf-8: pass encoding='utf-16'"),
    "UTF-16 without mark": (lambda f: put(f, f.text().encode("utf-16-le")), {},
        None, "", "is UTF-16, not utf-8"),
    "not what encoding says": (lambda f: put(f, "text,label\n☃,a\n".encode()),
        {"encoding": "ascii", "image": None, "audio": None}, None, "", "cannot be decoded"),
    "column used twice": (lambda f: None, {"text": "label"},
        1, "label", "the column is used for text= and label=; each needs its own"),
    "grouped by label": (lambda f: None, {"group": "label"},
        1, "label", "the column is used for group= and label="),
    "rare class": (lambda f: [f.cell(row, "label", "fox") for row in (4, 5)], {},
        None, "", "class 'fox' has 2 rows, too few for every part of fractions="),
    "class not in training": (lambda f: split_without(f, "train", "dog"), {"split": "part"},
        None, "label", "no row of this class is in 'train' (6 in other parts)"),
    "no training rows": (lambda f: f.column("part", ["valid", "test"] * 6), {"split": "part"},
        None, "", "no row is in 'train'"),
    "no words to learn": (lambda f: [f.cell(r, "text", "") for r in range(2, 14)], {},
        None, "text", "no training row has text to learn a vocabulary from"),
    "a header in another encoding": (
        lambda f: put(f, f.text().replace("audio", "ton\xe9").encode("latin-1")), {"audio": None},
        1, "", "the header is not valid text"),
}  # fmt: skip


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("name", TABLES)
def test_a_fault_of_the_whole_table_is_raised_in_any_case(name, on_error, folder):
    spoil, options, row, column, reason = TABLES[name]
    spoil(folder)
    with pytest.raises(TableError) as error:
        folder.load(on_error=on_error, **options)
    problems = error.value.problems
    hits = problems[problems["reason"].str.contains(reason, regex=False)]
    assert len(hits) == 1, str(error.value)
    assert hits["column"].item() == column
    found = hits["row"].item()
    assert pd.isna(found) if row is None else found == row
    assert str(error.value).startswith("data.csv: ") and reason in str(error.value)


# ---- what needs options ---------------------------------------------------------------------


def only_problem(folder: Folder, **options: Any) -> tuple:
    with pytest.raises(TableError) as error:
        folder.load(**options)
    assert len(error.value.problems) == 1, str(error.value)
    return tuple(error.value.problems.iloc[0])


def test_an_unknown_label_with_fixed_classes(folder):
    folder.cell(6, "label", "dgo")
    row, column, value, reason = only_problem(folder, classes=["cat", "dog", "fox"])
    assert (row, column, value) == (6, "label", "dgo")
    assert reason == "unknown label: not one of classes=; did you mean 'dog'?"


@pytest.mark.parametrize("other", ["1.0", "01", "+1", "1."])
def test_a_number_in_two_spellings(folder, other):
    for row in range(2, ROWS + 2):
        folder.cell(row, "label", str(row % 2))
    folder.cell(5, "label", other)
    row, column, value, reason = only_problem(folder)
    assert (row, column, value) == (5, "label", other)
    assert reason == (
        "looks like '1' (5 rows) spelt in another way; spell them alike, or name both in classes="
    )


def test_long_numbers_and_equal_looking_codes_are_told_apart(folder):
    for row in range(2, ROWS + 2):
        folder.cell(row, "label", ("12345678901234567890", "12345678901234567891")[row % 2])
    assert len(folder.load().classes) == 2


def test_latin_1_in_a_file_said_to_be_utf_8(folder):
    folder.cell(9, "text", "un café")
    folder.raw = folder.text().encode("latin-1")
    row, column, value, reason = only_problem(folder)
    assert (row, column, value) == (9, "text", "un caf?")
    assert reason == "byte 0xE9 is not UTF-8; is the file in encoding='cp1252' or 'latin-1'?"
    table = folder.load(encoding="latin-1")
    assert table.rows["text"][7] == "un café"


def test_a_row_number_is_that_of_a_spreadsheet_where_cells_hold_line_breaks(folder):
    folder.cell(3, "text", 'two\nlines, "quoted"')
    folder.cell(7, "image", "gone.png")
    assert only_problem(folder)[0] == 7
    folder.raw = folder.text().replace("word 3", "\r\nword 3", 1).encode()  # a blank line
    with pytest.raises(TableError) as error:
        folder.load()
    assert error.value.problems["row"].max() == 8


def test_a_bad_split_value(folder):
    folder.column("part", ["train", "train", "valid", "valid", "test", "test"] * 2)
    folder.cell(4, "part", "validation")
    row, column, value, reason = only_problem(folder, split="part")
    assert (row, column, value) == (4, "part", "validation")
    assert reason == "must be 'train', 'valid' or 'test'; did you mean 'valid'?"
    folder.cell(4, "part", "")
    assert "it is blank" in only_problem(folder, split="part")[3]


def test_a_group_on_both_sides(folder):
    folder.column("part", ["train"] * 8 + ["test"] * 4)
    folder.column("who", ["ann"] * 4 + ["bob"] * 5 + ["eve"] * 3)
    row, column, value, reason = only_problem(folder, split="part", group="who")
    assert (row, column, value) == (10, "who", "bob")
    assert reason == "this row is in 'test', but most of its group is in 'train'"
    table = folder.load(split="part", group="who", on_error="skip")
    assert table.parts == {"train": 8, "valid": 0, "test": 3}


def test_files_too_large_and_recordings_too_long(folder):
    size = (folder.path / "good.wav").stat().st_size
    for option, reason in (
        ({"max_file_bytes": size - 1}, "bytes, more than max_file_bytes=443"),
        ({"max_audio_seconds": 0.1}, "lasts 0.2 s, more than max_audio_seconds=0.1"),
        ({"max_pixels": 53}, "the picture has 9×6 pixels, more than max_pixels=53"),
    ):
        with pytest.raises(TableError) as error:
            folder.load(**option)
        assert len(error.value.problems) == ROWS
        assert error.value.problems["reason"].str.contains(reason, regex=False).all()


def test_endless_audio_is_refused_before_it_is_read(folder):
    folder.file(4, "audio", "long.flac", promise(2**36 - 1))
    row, _, _, reason = only_problem(folder)
    assert row == 4 and reason == "lasts 68,719,476.7 s, more than max_audio_seconds=3600"


def test_all_problems_come_in_one_error(folder):
    folder.cell(3, "image", "gone.png")
    folder.cell(3, "audio", "gone.wav")
    folder.cell(5, "label", "")
    folder.rows[9].append("more")
    folder.file(8, "audio", "x.wav", with_nan())
    with pytest.raises(TableError) as error:
        folder.load()
    assert error.value.problems["row"].tolist() == [3, 3, 5, 8, 11]
    assert isinstance(error.value, ValueError)
    lines = str(error.value).splitlines()
    assert lines[0] == "data.csv: 5 problems"
    assert lines[1] == "  row 3, column 'image': 'gone.png': no such file"
    assert lines[3] == "  row 5, column 'label': blank label"
    assert lines[5] == "  row 11: has 5 cells, but the header has 4"
    table = folder.load(on_error="skip")
    pd.testing.assert_frame_equal(table.report, error.value.problems)
    assert len(table) == ROWS - 4


def test_faults_of_rows_and_of_the_table_come_together(folder):
    one_class(folder)
    folder.cell(3, "image", "gone.png")
    with pytest.raises(TableError) as error:
        folder.load()
    assert [pd.isna(row) for row in error.value.problems["row"]] == [True, False]


def test_a_long_list_is_shortened_and_counted(folder):
    folder.rows = [row[:] for row in folder.rows * 10]
    for row in range(2, 92):
        folder.cell(row, "image", f"gone{row}.png")
    with pytest.raises(TableError) as error:
        folder.load()
    lines = str(error.value).splitlines()
    assert lines[0] == "data.csv: 90 problems" and len(lines) == 1 + 50 + 2
    assert lines[-2:] == ["  and 40 more:", "    40 times: no such file"]


def test_skipping_everything_is_an_error(folder):
    for row in range(2, ROWS + 2):
        folder.cell(row, "image", "gone.png")
    with pytest.raises(TableError, match="no row is left"):
        folder.load(on_error="skip")


def test_a_file_that_goes_after_loading_is_named(folder):
    table = folder.load()
    (folder.path / "good.png").unlink()
    said = r"row \d+, image: \S+good\.png: no such file \(it was there when the table was loaded\)"
    with pytest.raises(Exception, match=said) as error:
        next(iter(table.dataset("train")))
    (row,) = re.findall(r"row (\d+), image", str(error.value).splitlines()[0])
    assert table.rows.set_index("row").loc[int(row), "image"] == "good.png"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": None, "image": None, "audio": None}, "name at least one column"),
        ({"on_error": "ignore"}, "on_error must be"),
        ({"tokens": "syllable"}, "tokens must be"),
        ({"fractions": (0.5, 0.2, 0.2)}, "add up to 1"),
        ({"fractions": (1.2, -0.1, -0.1)}, "add up to 1"),
        ({"classes": "cat"}, "at least two different names"),
        ({"classes": ["cat"]}, "at least two different names"),
        ({"classes": ["cat", "dog", "cat"]}, "must not repeat"),
        ({"label": None}, "pass the vocabulary"),
        ({"vocabulary": ["word"]}, "must start with ''"),
        ({"words": 0}, "words must be a positive integer"),
        ({"image_size": (8,)}, "must be \\(height, width\\)"),
        ({"image_size": (8, 0)}, "image_size\\[1\\]"),
        ({"encoding": "utf-88"}, "unknown encoding 'utf-88'"),
        ({"delimiter": ";;"}, "delimiter must be one character"),
        ({"audio_rate": 500}, "audio_rate must be an integer from 1000"),
        ({"audio_seconds": float("nan")}, "audio_seconds must be a length above 0"),
    ],
)
def test_arguments_out_of_range(folder, options, message):
    with pytest.raises(ValueError, match=message) as error:
        folder.load(**options)
    assert not isinstance(error.value, TableError)


def test_no_such_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no CSV at"):
        load_table(tmp_path / "none.csv", text="text")


def test_parts_without_rows_and_wrong_sizes_of_a_batch(folder):
    table = folder.load(fractions=(0.8, 0, 0.2))
    with pytest.raises(ValueError, match="no row is in 'valid'"):
        table.dataset("valid")
    with pytest.raises(ValueError, match="part must be one of"):
        table.dataset("validation")
    for size in (0, 2.0, True):
        with pytest.raises(ValueError, match="batch_size must be a positive integer"):
            table.dataset("train", batch_size=size)
