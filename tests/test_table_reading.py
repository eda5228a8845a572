"""The one CSV reader: odd beginnings, encodings, what nobody sees, what it advises."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from mmkeras.table import TableError, load_table
from mmkeras.table.characters import trimmed, visible
from mmkeras.table.encodings import likely_encoding
from mmkeras.table.kinds import sample_cells
from mmkeras.table.problems import did_you_mean, in_flags
from mmkeras.table.reading import read_records
from mmkeras.table.words import standardize

PLAIN = [["text", "label"], *([f"word {i}", "ab"[i % 2]] for i in range(12))]


def text_of(rows: list[list[str]] = PLAIN) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


def put(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "data.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, **options) -> TableError:
    with pytest.raises(TableError) as error:
        load_table(path, text="text", **options)
    return error.value


# ---- beginnings -----------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["\n", "\r\n\r\n", ",\n", " , \n\n"])
def test_blank_lines_before_the_header_are_counted_and_passed_over_by_all(tmp_path, before):
    path = put(tmp_path, before + text_of())
    first = before.count("\n") + 1
    table = load_table(path, text="text")
    assert len(table) == 12 and table.rows["row"].tolist() == list(range(first + 1, first + 13))
    assert len(sample_cells(path)["text"]) == 12
    assert [row for row, _ in read_records(path)] == list(range(first, first + 13))


@pytest.mark.parametrize("name", ["utf-8", "utf8", "UTF_8", "U8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path, name):
    path = put(tmp_path, text_of().encode("utf-8-sig"))
    assert list(sample_cells(path, name)) == ["text", "label"]
    assert len(load_table(path, text="text", encoding=name)) == 12


@pytest.mark.parametrize("line", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n"])
def test_the_line_in_which_excel_names_the_delimiter(tmp_path, line):
    path = put(tmp_path, line + text_of().replace(",", ";"))
    table = load_table(path, text="text")
    assert table.rows["row"].tolist() == list(range(2, 14))  # Excel does not show that line
    assert list(sample_cells(path)) == ["text", "label"]
    assert next(read_records(path)) == (1, ["text", "label"])


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04\x14\0\x06\0", "is an Excel file (.xlsx) or another archive, not a CSV"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1",
            "is an Excel file (.xls), not a CSV: save or export it as CSV",
        ),
        (b"PAR1\x15\x04", "is a Parquet file, not a CSV"),
    ],
)
def test_a_file_that_is_no_csv_is_named(tmp_path, start, what):
    error = refused(put(tmp_path, start + b"\0" * 300))
    assert what in str(error) and len(error.problems) == 1 and not error.skippable


def test_rows_of_blank_cells_are_given_and_empty_lines_are_not(tmp_path):
    path = put(tmp_path, 'text,label\n,\n\n"a, b",x\n ,\n')
    found = [(1, ["text", "label"]), (2, ["", ""]), (4, ["a, b", "x"]), (5, [" ", ""])]
    assert list(read_records(path)) == found


# ---- long cells -----------------------------------------------------------------------------


def test_a_long_cell_in_a_column_that_is_not_used_is_no_fault(tmp_path):
    limit = csv.field_size_limit()
    rows = [[*row, "x" * (200_000 if i == 5 else 1)] for i, row in enumerate(PLAIN)]
    path = put(tmp_path, text_of(rows).replace("label,x", "label,more"))
    assert len(load_table(path, text="text")) == 12
    assert csv.field_size_limit() == limit  # that of the process is left as it was
    error = refused(path, categories=["more"])
    (problem,) = error.problems.values.tolist()
    assert problem[:2] == [6, "more"] and problem[3].startswith("the cell has 200,000 characters")
    assert len(load_table(path, text="text", categories=["more"], on_error="skip")) == 11


# ---- encodings ------------------------------------------------------------------------------

TEXTS = {
    "gb18030": "今天天气很好，我们去公园散步。",
    "big5": "今天天氣很好，我們去公園散步。",
    "shift_jis": "今日はとても良い天気ですね。",
    "cp949": "오늘은 날씨가 매우 좋습니다",
    "cp1251": "Сегодня очень хорошая погода",
    "cp1252": "Un café “très” chaud, à l’été",
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_likely_encoding_is_advised(tmp_path, name):
    rows = [["text", "label"], *([f"{TEXTS[name]}{i}", "ab"[i % 2]] for i in range(12))]
    content = "".join(f'"{text}",{label}\n' for text, label in rows)
    path = put(tmp_path, content.encode(name))
    assert likely_encoding(path) == name
    error = refused(path)
    assert f"is not UTF-8; is the file in encoding={name!r}" in str(error)
    assert not error.skippable  # leaving out the rows with accents would be no help
    assert f"is the file in --encoding {name}" in error.for_command().replace("'", "")
    assert load_table(path, text="text", encoding=name).rows["text"][0] == f"{TEXTS[name]}0"


@pytest.mark.parametrize("name", TEXTS)
def test_the_likely_encoding_of_a_header(tmp_path, name):
    rows = [[TEXTS[name].replace(",", ""), "label"], *PLAIN[1:]]
    error = refused(put(tmp_path, text_of(rows).encode(name)))
    assert "the header is not valid text; check the encoding" in str(error)
    assert f"encoding={name!r}?" in str(error)


def test_the_likely_encoding_of_one_accent_and_of_none(tmp_path):
    assert likely_encoding(put(tmp_path, "text\nun café\n".encode("latin-1"))) == "cp1252"
    assert likely_encoding(put(tmp_path, "text\nwe don’t\n".encode("cp1252"))) == "cp1252"
    assert likely_encoding(put(tmp_path, text_of())) is None


def test_another_encoding_that_does_not_fit_is_told_the_likely_one(tmp_path):
    rows = [*PLAIN, [TEXTS["shift_jis"], "a"]]
    error = refused(put(tmp_path, text_of(rows).encode("shift_jis")), encoding="ascii")
    assert "cannot be decoded" in str(error) and "encoding='shift_jis'?" in str(error)


# ---- what nobody sees -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        ("\u200bcat", "cat"),
        ("c\u200bat\ufeff", "cat"),
        ("c\u00adat\u200e", "cat"),
        ("cat\u200d", "cat"),
        ("\u3000cat\u00a0", "cat"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u200b", ""),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),  # a family is bound by joiners
        ("می\u200cخواهم", "می\u200cخواهم"),  # so is a word of Persian
    ],
)
def test_invisible_characters(cell, seen):
    assert visible(cell) == seen
    assert trimmed(f" {cell} \u200b").strip() == trimmed(cell)


def test_labels_that_look_alike_are_one_class(tmp_path):
    labels = ["cat", "\u200bcat", "cat\ufeff", "c\u200bat", "caf\u00e9", "cafe\u0301"] * 3
    rows = [["text", "la\u200bbel"], *([f"w{i}", label] for i, label in enumerate(labels))]
    table = load_table(put(tmp_path, text_of(rows)), text="text")
    assert table.classes == ["café", "cat"]


def test_a_cell_of_invisible_characters_is_blank(tmp_path):
    rows = [*PLAIN, ["\u200b\ufeff", "a"]]
    error = refused(put(tmp_path, text_of(rows)))
    assert error.problems.values.tolist()[0][:1] == [14] and "is blank: 'text'" in str(error)


# ---- words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red/Green-blue", "red green blue"),
        ("great<br />fun", "great br fun"),
        ("12.50 and 3,14 and 1.234,5", "12.50 and 3,14 and 1.234,5"),
        ("The end. 5, 6. It's 7.", "the end 5 6 its 7"),
        ("a.b,c e.g. 5.a x.5", "a b c e g 5 a x 5"),
        ("wait...what 1..2", "wait what 1 2"),
        ("Don't rock 'n' roll, rock'n'roll l’été", "dont rock n roll rocknroll lété"),
        ("say 'hello' ‘now’", "say hello now"),
        ("a\u00a0b\u3000c\u2003d\x85e\u2028f", "a b c d e f"),
        ("so\u00adft zero\u200bwidth \ufeffmark", "soft zerowidth mark"),
        ("👨\u200d👩\u200d👧 ok! ¿qué? «Straße»", "👨\u200d👩\u200d👧 ok qué straße"),
        ("$5 + 3% = x_y", "5 3 x y"),
        ("!!! ... ???", ""),
    ],
)
def test_what_a_word_is(text, words):
    found = standardize([text]).numpy()[0].decode()
    assert found.split(" ") == [*([""] if found.startswith(" ") else []), *words.split(" "),
                                *([""] if found.endswith(" ") and words else [])] or (
        not found.strip() and not words
    )  # fmt: skip
    assert "".join(standardize([text], "character").numpy()[0].decode()) == words.replace(" ", "")


def test_an_accent_composed_in_two_ways_is_one_word(tmp_path):
    rows = [["text", "label"], *([("caf\u00e9", "cafe\u0301")[i % 2], "ab"[i // 2 % 2]]
            for i in range(24))]  # fmt: skip
    table = load_table(put(tmp_path, text_of(rows)), text="text", words=1)
    assert table.vocabulary == ["", "[UNK]", "café"]
    x, _ = next(iter(table.dataset("all", 24)))
    np.testing.assert_array_equal(x["text"], np.full((24, 1), 2))


def test_a_text_column_of_punctuation_only_is_said(tmp_path):
    rows = [["text", "label"], *(["?!" * (i + 1), "ab"[i % 2]] for i in range(12))]
    error = refused(put(tmp_path, text_of(rows)))
    assert "no training row has a word to learn a vocabulary from: punctuation only" in str(error)


def test_a_column_without_a_name_can_be_the_text(tmp_path):
    rows = [["", "label"], *PLAIN[1:]]
    table = load_table(put(tmp_path, text_of(rows)), text="")
    assert "word" in table.vocabulary


# ---- what is advised ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "flags"),
    [
        ("pass delimiter=';'", "pass --delimiter ';'"),
        ("pass delimiter='\\t'", "pass --delimiter tab"),
        ("pass encoding='utf-16'", "pass --encoding 'utf-16'"),
        ("move the file, or pass allow_outside=True", "move the file, or pass --allow-outside"),
        ("more than max_file_bytes=443", "more than --max-file-bytes 443"),
        ("more than max_audio_seconds=0.5", "more than --max-audio-seconds 0.5"),
        ("no such column (numbers=); did", "no such column (--number); did"),
        ("or name both in classes=", "or name both in --classes"),
        ("used for text= and label=; each", "used for --text and --label; each"),
        (
            "too few for every part of fractions=(0.7, 0.3, 0)",
            "too few for every part of the split (0.7, 0.3, 0)",
        ),
    ],
)
def test_the_command_speaks_in_its_own_options(reason, flags):
    assert in_flags(reason) == flags


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no such column (text=); did you mean 'Text'?", "(the text)"),
        ("no such column (numbers=); there is 'x'", "(a number)"),
        ("unknown label: not one of classes=; there is 'a'", "one of the classes of the training;"),
        ("no such column (label=); there is 'x'", "(--label)"),
        ("pass delimiter=';'", "pass --delimiter ';'"),
    ],
)
def test_a_command_on_a_trained_run_names_no_option_that_it_lacks(reason, words):
    assert words in in_flags(reason, trained=True)


def test_a_header_in_another_encoding_is_not_also_said_to_lack_columns(tmp_path):
    (tmp_path / "t.csv").write_bytes("文本,label\n天气很好,a\n".encode("gb18030"))
    with pytest.raises(TableError) as error:
        load_table(tmp_path / "t.csv", text="文本")
    reasons = error.value.problems["reason"]
    assert reasons.str.contains("encoding='gb18030'").any()
    assert not reasons.str.contains("no such column").any()


def test_cells_are_told_as_they_are(tmp_path):
    rows = [*PLAIN, ["split=x", ""]]
    error = refused(put(tmp_path, text_of(rows)), classes=["a", "b", "c"])
    assert "blank label" in error.for_command()
    error = refused(put(tmp_path, text_of([*PLAIN, ["x", "label=y"]])), classes=["a", "b"])
    assert "'label=y': unknown label: not one of --classes; " in error.for_command()
    assert "'label=y': unknown label: not one of classes=; " in str(error)


def test_every_argument_in_a_reason_is_known(tmp_path):
    """A reason that names an argument which `in_flags` does not know would reach the command."""
    import inspect

    from mmkeras import table

    names = set(inspect.signature(load_table).parameters) - {"path", "on_error"}
    folder = Path(table.__file__).parent
    unknown = []
    for module in ("reading", "checks", "parts", "paths", "decode", "features", "duplicates"):
        for string in re.findall(r'f?"[^"\n]*"', (folder / f"{module}.py").read_text("utf-8")):
            for name in re.findall(r"\b([a-z_]+)=(?![\]\"])", string):
                if name in names and in_flags(f"{name}=") == f"{name}=":
                    unknown.append((module, name))
    assert unknown == [], unknown


def test_a_wrong_label_is_compared_with_the_classes_once(tmp_path, monkeypatch):
    """100,000 rows with 600 wrong classes took ten minutes, a comparison a row."""
    from mmkeras.table import checks

    asked = []
    monkeypatch.setattr(checks, "did_you_mean", lambda *a: asked.append(a[0]) or did_you_mean(*a))
    rows = [["text", "label"], *([f"w{i}", f"klass {i % 600}"] for i in range(3000))]
    classes = [f"class {i}" for i in range(600)]
    error = refused(put(tmp_path, text_of(rows)), classes=classes)
    assert len(error.problems) == 3000 and len(asked) == len(set(asked)) <= 50
    assert error.problems["reason"][0].endswith("did you mean 'class 0'?")


def test_a_class_that_is_left_alone_by_problems_is_said_to_be_so(tmp_path):
    rows = "".join(f"{('1.5', 'much')[i % 2]},{'ab'[i % 2]}\n" for i in range(16))
    path = put(tmp_path, f"size,label\n{rows}")
    with pytest.raises(TableError) as error:
        load_table(path, numbers=["size"])
    assert "every row without a problem has the class 'a'" in str(error.value)
