"""Which column is what: told from all rows of the file, numbers and categories too."""

import csv
import random
import re
from pathlib import Path

import pytest

from mmkeras.table import columns
from mmkeras.table.columns import choose, kind_of
from mmkeras.table.kinds import least_words, sample_cells

SENTENCES = [f"the patient came in on day {i} with a cough" for i in range(30)]
SEX = ["f", "m", "m"] * 10
AGES = [str(20 + 7 * i % 50) for i in range(30)]
LABELS = ["ill", "well"] * 15


def write(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path


# ---- the whole file -------------------------------------------------------------------------


def test_a_sorted_file_is_sampled_from_its_beginning_to_its_end(tmp_path):
    """2,000 short titles, then 2,000 texts of 60 words: the first rows alone would say 8 words."""
    rows = [["a short title", "a"]] * 2000 + [[" ".join(["word"] * 60), "b"]] * 2000
    path = write(tmp_path / "a.csv", [["text", "label"], *rows])
    cells = sample_cells(path)
    assert len(cells["text"]) == 2000
    assert least_words(cells["text"]) == 60
    assert 0.45 < sum(cell == "a short title" for cell in cells["text"]) / 2000 < 0.55
    assert cells["label"] == ["ab"[len(cell) > 20] for cell in cells["text"]]  # rows stay rows
    assert sample_cells(path) == cells


def test_pictures_that_come_late_are_seen(tmp_path):
    rows = [["some words of a text", "", "a"]] * 2500 + [["", "1.png", "b"]] * 5
    path = write(tmp_path / "a.csv", [["text", "image", "label"], *rows])
    choice = choose(sample_cells(path), {}, taken={"label": "label"})
    assert choice.columns == {"text": "text", "image": "image"}
    assert choice.why["image"] == "5 of 5 filled cells name files (.png)"


def test_kinds_are_counted_over_all_rows(tmp_path):
    rows = [["1", "a"]] * 3000 + [["no number", "b"]] * 1000
    path = write(tmp_path / "a.csv", [["value", "label"], *rows])
    cells = sample_cells(path, rows=10)
    assert kind_of(cells["value"]).name == "mixed"
    assert "1000 of 4000" in kind_of(cells["value"]).why
    with pytest.raises(columns.ColumnError, match="Columns, judged by all 4000 rows"):
        choose(cells, {}, without=["numbers"], taken={"label": "label"})


def test_lines_before_the_header_and_ragged_rows_are_passed_over(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\n,\ntext,label\none two,a\nragged\n,\n three ,b\n", encoding="utf-8")
    assert sample_cells(path) == {"text": ["one two", "three"], "label": ["a", "b"]}


# ---- numbers and categories -----------------------------------------------------------------


def choice_of(cells, **options):
    return choose({**cells, "label": LABELS}, {}, taken={"label": "label"}, **options)


def test_numbers_and_categories_are_found_beside_text():
    choice = choice_of({"note": SENTENCES, "age": AGES, "sex": SEX})
    assert choice.columns == {"text": "note"} and not choice.unused
    assert list(choice.numbers) == ["age"] and list(choice.categories) == ["sex"]
    assert choice.numbers["age"] == "30 of 30 filled cells are numbers"
    assert choice_of({"age": AGES, "sex": SEX}).columns == {}  # they can be all there is


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("row", [str(i) for i in range(1, 31)], "it numbers the rows, 1 to 30"),
        ("any", random.Random(0).sample([str(i) for i in range(30)], 30), "it numbers the rows"),
        ("PatientId", [str(i * i + 1000) for i in range(30)], "all different, and it is called so"),
        ("patient_id", [str(i * i + 1000) for i in range(30)], "and it is called so"),
        ("zip", [f"0{i * 37 + 1000}" for i in range(30)], "30 of 30 numbers begin with 0"),
        ("code", [f"AB{i:03d}" for i in range(30)], "30 of 30 different"),
        ("same", ["4"] * 30, "every cell is the same"),
        ("same", ["yes"] * 30, "every cell is the same"),
        ("part", ["train", "train", "test"] * 10, "it says in which part a row is"),
        ("outcome", [str(i % 2) for i in range(30)], "it goes with the label 'label' one to one"),
        ("result", [("sick", "fine")[i % 2] for i in range(30)], "in every row: the answer"),
    ],
)
def test_what_names_the_rows_or_the_answer_is_left_out_and_said(name, cells, why):
    cells = {"age": AGES, name: cells}
    choice = choice_of(cells)
    assert list(choice.numbers) == ["age"] and not choice.categories
    assert why in choice.unused[name].why
    taken = choice_of(cells, number=[name])  # who names it takes it
    assert list(taken.numbers) == ["age", name] and not taken.unused


def test_a_number_that_only_looks_like_an_identifier_is_taken():
    cells = {
        "income": [str(1000 + i * i) for i in range(30)],
        "paid": [f"{i}.5" for i in range(30)],
    }
    assert list(choice_of(cells).numbers) == ["income", "paid"]


def test_a_column_that_goes_with_the_label_in_most_rows_only_is_taken():
    almost = [*(("sick", "fine")[i % 2] for i in range(29)), "sick"]
    assert list(choice_of({"age": AGES, "result": almost}).categories) == ["result"]


def test_what_is_named_overrules_what_is_found():
    cells = {"note": SENTENCES, "age": AGES, "sex": SEX}
    choice = choice_of(cells, category=["age"], ignore=["sex", "note"])
    assert choice.columns == {} and choice.numbers == {}
    assert choice.categories == {"age": "named; 30 of 30 filled cells are numbers"}
    assert choice.unused["sex"].why.startswith("to be ignored; ")
    assert choice_of(cells, without=["numbers"]).categories == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number": ["agee"]}, "there is no column 'agee' (--number)"),
        ({"number": ["age"], "ignore": ["age"]}, "'age' is named twice: --number and --ignore"),
        ({"category": ["label"]}, "'label' is named twice: --label and --category"),
        ({"ignore": ["age", "sex"]}, "no column looks like text"),
    ],
)
def test_names_that_cannot_be_meant(options, message):
    with pytest.raises(columns.ColumnError, match=re.escape(message)):
        choice_of({"age": AGES, "sex": SEX}, **options)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1.234,5", "17,25"] * 3, "number"),
        (["$ 1,200", "$950"] * 3, "number"),
        (["5 %", "17%"] * 3, "number"),
        (["3", "NA", "4", "NA", "5", "?"], "number"),
        (["12 kg", "15 kg"] * 9, "category"),
        (["2024-01-02", "2024-01-03"] * 5, "mixed"),
    ],
)
def test_how_numbers_may_be_written(cells, kind):
    assert kind_of(cells).name == kind
