"""--groups: the results in each group of people, in the report, the card and metrics.json."""

import json

import numpy as np
import pandas as pd
import pytest
from command_line import call, write

from mmkeras.evaluate import by_group
from mmkeras.table import people
from mmkeras.table.command import RunError
from mmkeras.table.problems import TableError


def patients(rows=160, seed=0):
    """Records: the value tells the class, for women worse than for men."""
    rng = np.random.default_rng(seed)
    body = []
    for i in range(rows):
        sex, ill = ("f", "m")[i % 2], int(rng.random() < 0.5)
        value = ill + rng.normal(0, 2.5 if sex == "f" else 0.4)
        body.append([f"{value:.3f}", sex, str(30 + i % 50), ("healthy", "ill")[ill]])
    return [["value", "sex", "age", "label"], *body]


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "patients.csv", patients())


def test_numbers_are_cut_into_bands_and_words_stay(tmp_path):
    rows = patients()
    rows[1][1], rows[2][2] = "", ""
    table = people.read(write(tmp_path / "a.csv", rows), ["sex", "age"], "utf-8", ",")
    assert list(table.index) == list(range(2, 162))
    assert set(table["sex"]) == {"f", "m", people.BLANK}
    assert set(table["age"]) == {"below 44", "44 to below 62", "62 and over", people.BLANK}
    ages = pd.Series([int(row[2] or -1) for row in rows[1:]], table.index)
    assert (ages[table["age"] == "44 to below 62"].between(44, 61)).all()


def test_a_few_cells_that_are_no_numbers_do_not_hide_the_bands(tmp_path):
    rows = patients()
    rows[1][2], rows[2][2], rows[3][2] = "NA", "Anna", "-"
    ages = people.read(write(tmp_path / "a.csv", rows), ["age"], "utf-8", ",")["age"]
    assert ages.tolist()[:3] == [people.BLANK, people.OTHER, people.BLANK]
    bands = set(ages) - {people.BLANK, people.OTHER}
    assert bands == {"below 45", "45 to below 62", "62 and over"}
    for row in rows[4:40]:
        row[2] = f"about {row[2]}"
    with pytest.raises(RunError, match="'age' has"):  # too many of them: it is no number
        people.read(write(tmp_path / "b.csv", rows), ["age"], "utf-8", ",")


def test_columns_that_are_no_groups_are_refused_by_name(data, tmp_path):
    with pytest.raises(TableError, match="sexx"):
        people.read(data, ["sexx"], "utf-8", ",")
    rows = patients()
    for i, row in enumerate(rows[1:]):
        row[1] = f"name {i}"
    with pytest.raises(RunError, match="'sex' has 160 different values"):
        people.read(write(tmp_path / "b.csv", rows), ["sex"], "utf-8", ",")
    for row in rows[1:]:
        row[1] = "f"
    with pytest.raises(RunError, match="1 different value;"):
        people.read(write(tmp_path / "c.csv", rows), ["sex"], "utf-8", ",")


def test_results_are_those_of_by_group_and_few_rows_are_not_shown():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"row": np.arange(2, 122)})
    y, p = rng.integers(0, 2, 120), rng.random(120)
    sex = np.array(["f"] * 70 + ["m"] * 46 + ["x"] * 4)
    groups = pd.DataFrame({"sex": sex}, rows["row"]).astype("category")
    found = people.results(groups, rows, y, np.stack([1 - p, p], 1), 0)["sex"]
    table = by_group(y, p, sex)
    for name in "fm":
        assert found[name]["recall"]["value"] == table.loc[(name, "recall"), "value"]
        here = sex == name
        assert found[name]["accuracy"]["value"] == ((p >= 0.5) == y)[here].mean()
    assert found["x"]["rows"] == 4 and np.isnan(found["x"]["accuracy"]["value"])


def test_a_sure_gap_is_a_warning_and_a_chance_gap_is_none():
    def entry(value, low, high):
        return {"accuracy": {"value": value, "low": low, "high": high}}

    sure = {"sex": {"f": entry(0.6, 0.55, 0.65), "m": entry(0.9, 0.87, 0.93)}}
    (text,) = people.warnings(sure)
    assert "'sex': 60% for 'f', 90% for 'm'" in text and "pairs" not in text
    assert not list(
        people.warnings({"sex": {"f": entry(0.8, 0.7, 0.88), "m": entry(0.9, 0.8, 0.95)}})
    )
    assert not list(people.warnings({"sex": {"f": entry(None, None, None), "m": entry(1, 0.9, 1)}}))


@pytest.mark.slow
def test_train_and_evaluate_show_the_groups(data, tmp_path, own_cache):
    out = tmp_path / "run"
    settings = ("--category", "sex", "--groups", "sex,age", "--out", out, "--encoders", "auto")
    status, said, err = call("train", data, "--number", "value", "--ignore", "age", *settings)
    assert status == 0, err
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert set(metrics["groups"]) == {"sex", "age"}
    assert sum(of["rows"] for of in metrics["groups"]["sex"].values()) == metrics["rows"]["test"]
    card, page = ((out / name).read_text("utf-8") for name in ("model_card.md", "report.html"))
    assert "| sex: f |" in card and "Examined here: sex, age" in card
    assert "<h2>Groups</h2>" in page and "false alarms" in page

    new = write(tmp_path / "new.csv", patients(600, seed=5))
    status, said, err = call("evaluate", out, new, "--groups", "sex")
    assert status == 0, err
    assert "Beware: The accuracy differs by 'sex'" in said
    assert call("evaluate", out, new, "--groups", "six", "--force")[0] == 1


def test_without_groups_the_card_says_that_nobody_looked(two_seeds):
    card = (two_seeds.run / "model_card.md").read_text("utf-8")
    assert "They were not examined here (--groups)" in card
    assert "groups" not in two_seeds.metrics


def test_a_wrong_name_stops_before_the_training(data, tmp_path):
    status, said, err = call("train", data, "--groups", "age,sexx", "--out", tmp_path / "run")
    assert status == 1 and "sexx" in err and not (tmp_path / "run" / "model.keras").exists()
    assert "Candidates" not in said
    assert call("train", data, "--groups", ",")[0] == 2
