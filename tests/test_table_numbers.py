"""Numbers and categories of a table: read without guessing, learned from the training rows."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from mmkeras.table import TableError, load_table
from mmkeras.table.features import parse, read_numbers
from mmkeras.table.problems import Problems


def write(path: Path, header: list[str], rows: list[list[str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header, *rows])
    return path


def read(cells, **options):
    problems = Problems()
    values, style = read_numbers(cells, range(2, len(cells) + 2), "x", problems, **options)
    return values.tolist(), style, [(row, value, why) for row, _, value, why in problems.found]


# ---- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2.5", "+3", "1e3", ".5", "5.", "007"], [1, -2.5, 3, 1000, 0.5, 5, 7]),
        (["1.234", "12.345"], [1.234, 12.345]),  # what programs write
        (["1,5", "2,75", "1,234"], [1.5, 2.75, 1.234]),
        (["0,123", "1,234"], [0.123, 1.234]),
        (["1,234", "2.5"], [1234, 2.5]),
        (["1,234.5", "12,345,678"], [1234.5, 12345678]),
        (["1.234,5", "1.234.567", "1.234"], [1234.5, 1234567, 1234]),
        (["1 234,5", "12\u00a0345", "1\u202f234\u202f567"], [1234.5, 12345, 1234567]),
        (["1'234.50", "2’000"], [1234.5, 2000]),
        (["\u22125", "４２"], [-5, 42]),
        (["$1,200.50", "-$3.5", "$ 0.25"], [1200.5, -3.5, 0.25]),
        (["12,50 €", "3,10€", "0"], [12.5, 3.1, 0]),
        (["12%", "7.5 %", "0"], [12, 7.5, 0]),
        (["3\u200b", "\ufeff4"], [3, 4]),
    ],
)
def test_how_a_column_may_write_its_numbers(cells, values):
    found, _, problems = read(cells)
    assert not problems
    np.testing.assert_allclose(found, values)


def test_what_says_that_there_is_none_is_absent():
    found, _, problems = read(["1", "", "NA", "n/a", "NaN", "NULL", "None", "-", "?", "#N/A"])
    assert not problems and found[0] == 1 and np.isnan(found[1:]).all()


@pytest.mark.parametrize(
    ("cells", "row", "value", "reason"),
    [
        (["1", "2", "abc"], 4, "abc", "is not a number; leave the cell blank"),
        (["1", "12 kg"], 3, "12 kg", "is not a number"),
        (["1", "5²"], 3, "5²", "is not a number"),
        (["1", "12,34,567"], 3, "12,34,567", "is not a number"),
        (["1", "inf"], 3, "inf", "is not a number"),
        (["1", "1e99"], 3, "1e99", "is too large a number"),
        (["1.5", "2.5", "3,5"], 4, "3,5", "does not fit a column with decimal points"),
        (["1,5", "2,5", "3.25"], 4, "3.25", "does not fit a column with decimal commas"),
        (["50%", "20%", "0.5"], 4, "0.5", "has no sign, but the column has '%'"),
        (["5", "7", "€9"], 4, "€9", "has '€', but the other numbers of the column have no sign"),
        (["$5", "$7", "€9"], 4, "€9", "has '€', but the column has '$'"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(cells, row, value, reason):
    ((found_row, found_value, found_reason),) = read(cells)[2]
    assert (found_row, found_value) == (row, value) and reason in found_reason


def test_nothing_is_guessed_where_a_comma_may_be_either():
    ((row, value, reason),) = read(["5", "1,234", "2,000"])[2]
    assert (row, value) == (1, "1,234")
    assert reason.startswith(
        "may be 1234 or 1.234, and no cell of the column tells which (first in"
    )
    assert "row 3" in reason
    assert read(["5", "1.234", "2.000"], delimiter=";")[2][0][1] == "1.234"
    assert read(["5", "1,234"], delimiter=";")[0] == [5, 1.234]  # why the delimiter is ";"
    assert read(["5", "1.234"])[0] == [5, 1.234]


def test_reading_a_cell_knows_both_ways():
    assert parse("1,234") == ({".": 1234.0, ",": 1.234}, "")
    assert parse("1.5") == ({".": 1.5}, "") and parse("12") == ({".": 12.0, ",": 12.0}, "")
    assert parse("1.5e-3") == ({".": 0.0015}, "") and parse("") is None and parse("€") is None


# ---- a table --------------------------------------------------------------------------------

HEADER = ["age", "price", "city", "label", "part"]
ROWS = [
    ["20", "1,5", "Rome", "a", "train"],
    ["40", "2,5", "Rome", "b", "train"],
    ["", "3,5", "Oslo", "a", "train"],
    ["30", "", "Oslo", "b", "train"],
    ["30", "2,5", "", "a", "train"],
    ["", "", "", "b", "train"],
    ["60", "9,5", "Bern", "a", "train"],
    ["90", "0,5", "Paris", "b", "test"],
    ["10", "", "Rome", "a", "test"],
]
COLUMNS = {"numbers": ["age", "price"], "categories": ["city"]}


@pytest.fixture
def table(tmp_path):
    rows = [row for row in ROWS if any(row[:3])]
    return load_table(write(tmp_path / "a.csv", HEADER, rows, ";"), **COLUMNS, split="part",
                      delimiter=";")  # fmt: skip


def batch(table, part="all"):
    return next(iter(table.dataset(part, batch_size=100, shuffle=False)))


def test_numbers_are_standardised_on_the_training_rows_and_categories_are_one_hot(table):
    assert table.modalities == ("numbers",)
    assert table.number_names == [
        *("age", "age is blank", "price", "price is blank"),
        *("city = Oslo", "city = Rome", "city = other"),  # Bern is rare: once
    ]
    x, y = batch(table)
    assert x["numbers"].dtype == "float32" and x["numbers"].shape == (8, 7)
    ages, prices = np.array([20, 40, 30, 30, 60]), np.array([1.5, 2.5, 3.5, 2.5, 9.5])
    age, price = ages.mean(), prices.mean()
    expected = [
        [(20 - age) / ages.std(), 0, (1.5 - price) / prices.std(), 0, 0, 1, 0],
        [(40 - age) / ages.std(), 0, (2.5 - price) / prices.std(), 0, 0, 1, 0],
        [0, 1, (3.5 - price) / prices.std(), 0, 1, 0, 0],
        [(30 - age) / ages.std(), 0, 0, 1, 1, 0, 0],
        [(30 - age) / ages.std(), 0, (2.5 - price) / prices.std(), 0, 0, 0, 0],
        [(60 - age) / ages.std(), 0, (9.5 - price) / prices.std(), 0, 0, 0, 1],
        [(90 - age) / ages.std(), 0, (0.5 - price) / prices.std(), 0, 0, 0, 1],  # unseen
        [(10 - age) / ages.std(), 0, 0, 1, 0, 1, 0],
    ]
    np.testing.assert_allclose(x["numbers"], expected, atol=1e-6)
    assert (x["present"].numpy() == 1).all()
    assert table.rows["numbers"][0] == "age=20, price=1.5, city=Rome"


def test_the_settings_prepare_other_rows_alike(table, tmp_path):
    settings = json.loads(json.dumps(table.settings))
    rows = [["70", "", "Oslo"], ["", "4,0", "Ghent"], ["", "", "Rome"]]
    new = load_table(write(tmp_path / "new.csv", HEADER[:3], rows, ";"), label=None, delimiter=";",
                     **settings)  # fmt: skip
    assert new.number_names == table.number_names and new.settings["numbers"] == settings["numbers"]
    of = settings["numbers"]["numbers"]
    np.testing.assert_allclose(
        next(iter(new.dataset("all")))["numbers"],
        [
            [(70 - of["age"]["mean"]) / of["age"]["spread"], 0, 0, 1, 1, 0, 0],
            [0, 1, (4 - of["price"]["mean"]) / of["price"]["spread"], 0, 0, 0, 1],
            [0, 1, 0, 1, 0, 1, 0],
        ],
        atol=1e-6,
    )


def test_new_rows_write_numbers_as_the_training_rows_did(table, tmp_path):
    rows = [["70", "4.0", "Oslo"], ["x", "1.234,5", ""], ["5", "1.234,5", "Oslo"]]
    path = write(tmp_path / "new.csv", HEADER[:3], rows, ";")
    with pytest.raises(TableError) as error:
        load_table(path, label=None, delimiter=";", **table.settings)
    found = error.value.problems.values.tolist()
    assert [one[:3] for one in found] == [[2, "price", "4.0"], [3, "age", "x"]]
    assert found[0][3] == "does not fit a column with decimal commas"
    kept = load_table(path, label=None, delimiter=";", on_error="skip", **table.settings)
    assert kept.rows["numbers"].tolist() == ["age=5, price=1234.5, city=Oslo"]


def test_a_column_that_new_rows_lack_is_blank(table, tmp_path):
    path = write(tmp_path / "new.csv", ["city"], [["Oslo"], ["Rome"]])
    with pytest.raises(TableError, match=r"no such column \(numbers=\)") as error:
        load_table(path, label=None, **table.settings)
    assert error.value.problems["column"].tolist() == ["age", "price"]
    new = load_table(path, label=None, allow_missing_columns=True, **table.settings)
    np.testing.assert_array_equal(
        next(iter(new.dataset("all")))["numbers"], [[0, 1, 0, 1, 1, 0, 0], [0, 1, 0, 1, 0, 1, 0]]
    )


def test_rows_without_numbers_are_absent_and_zeros(tmp_path):
    rows = [[*row, "some text"] for row in ROWS]
    path = write(tmp_path / "a.csv", [*HEADER, "text"], rows, ";")
    table = load_table(path, text="text", **COLUMNS, split="part", delimiter=";", words=2)
    assert table.modalities == ("text", "numbers")
    x, _ = batch(table)
    np.testing.assert_array_equal(x["present"][:, 1], [1, 1, 1, 1, 1, 0, 1, 1, 1])
    assert not x["numbers"].numpy()[5].any() and table.rows["numbers"][5] == ""


def test_every_row_blank_is_a_gap(tmp_path):
    path = write(tmp_path / "a.csv", HEADER, ROWS, ";")
    with pytest.raises(TableError) as error:
        load_table(path, **COLUMNS, split="part", delimiter=";")
    assert error.value.problems["row"].tolist() == [7]
    assert "are all blank: 'age' and 'price' and 'city'" in str(error.value)


def test_what_training_never_had_gets_no_feature(tmp_path):
    rows = [[str(20 + i), ("x", "y")[i % 2], "ab"[i % 2], ("train", "test")[i > 9]]
            for i in range(14)]  # fmt: skip
    rows[12][:2] = ["", "z"]
    path = write(tmp_path / "a.csv", ["age", "kind", "label", "part"], rows)
    table = load_table(path, numbers=["age"], categories=["kind"], split="part")
    assert table.number_names == ["age", "kind = x", "kind = y"]
    np.testing.assert_array_equal(batch(table)[0]["numbers"][12], [0, 0, 0])


def test_a_column_of_one_number_is_left_out_and_said(tmp_path):
    rows = [[str(20 + i), "7", "ab"[i % 2]] for i in range(14)]
    path = write(tmp_path / "a.csv", ["age", "same", "label"], rows)
    with pytest.warns(UserWarning, match="'same': every training row has one number"):
        assert load_table(path, numbers=["age", "same"]).number_names == ["age"]
    with pytest.raises(TableError, match="differ in no number and no category"):
        load_table(path, numbers=["same"])


def test_a_category_with_many_levels_keeps_the_frequent_ones(tmp_path):
    rows = [[f"c{min(i % 200, i % 7)}", "ab"[i % 2], "train"] for i in range(280)]
    rows += [[f"once{i}", "ab"[i % 2], "train"] for i in range(150)]
    path = write(tmp_path / "a.csv", ["city", "label", "part"], rows)
    table = load_table(path, categories=["city"], split="part")
    assert table.number_names == [*(f"city = c{i}" for i in range(7)), "city = other"]
    new = write(
        tmp_path / "new.csv", ["city"], [["c1"], ["once7"], *([f"new{i % 6}"] for i in range(7))]
    )
    says = "'city': 8 cells with what was rare or absent in training, taken for other: 'new0' "
    with pytest.warns(
        UserWarning, match=re.escape(says + "(2), 'once7' (1), ") + ".* and 2 others"
    ):
        again = load_table(new, label=None, **table.settings)
    np.testing.assert_array_equal(batch(again, "all")["numbers"][1:, -1], 1)


def test_the_problems_of_numbers_stand_beside_the_others(tmp_path):
    rows = [[str(i), f"w{i}", "ab"[i % 2]] for i in range(12)]
    rows[3][0], rows[5][2] = "three", ""
    path = write(tmp_path / "a.csv", ["n", "text", "label"], rows)
    with pytest.raises(TableError) as error:
        load_table(path, text="text", numbers=["n"])
    assert error.value.problems["row"].tolist() == [5, 7]
    table = load_table(path, text="text", numbers=["n"], on_error="skip")
    assert len(table) == 10 and 5 not in table.rows["row"].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numbers": "age"}, r"numbers must be a list of columns, such as \['age'\]"),
        ({"numbers": {"age": 1}}, "numbers must be a list of columns, or settings"),
        ({"numbers": ["age"], "label": None}, "no training part to learn numbers from"),
        ({"numbers": []}, "name at least one column"),
    ],
)
def test_arguments(table, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        load_table(tmp_path / "a.csv", **options)


def test_a_column_has_one_role(tmp_path):
    path = write(tmp_path / "a.csv", ["age", "label"], [["1", "a"], ["2", "b"]] * 6)
    with pytest.raises(TableError, match="used for numbers= and categories=; each needs its own"):
        load_table(path, numbers=["age"], categories=["age"])


def test_settings_of_before_still_load(tmp_path):
    """Version 0.1.0 knew neither numbers nor categories."""
    old = {"text": "text", "image": None, "audio": None, "classes": ["a", "b"], "words": 2,
           "tokens": "word", "vocabulary": ["", "[UNK]", "good"], "image_size": [64, 64],
           "audio_rate": 8000, "audio_seconds": 2.0}  # fmt: skip
    path = write(tmp_path / "a.csv", ["text"], [["good grief"]])
    x = next(iter(load_table(path, label=None, **old).dataset("all")))
    np.testing.assert_array_equal(x["text"], [[2, 1]])
