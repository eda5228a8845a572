"""A trained run and labelled rows in, a report on them out."""

import json

import numpy as np
import pytest
from command_line import call, change, contents, orders, read, write

from mmkeras.table import evaluate, run

pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_report_on_new_rows_is_what_predict_says_of_them(trained, tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    for name in ("pictures", "sounds"):
        (rows / name).symlink_to(trained.folder / name)
    data = change(trained.data, lambda all_rows: all_rows.__delitem__(61), rows / "march.csv")
    status, said, err = call("evaluate", trained.run, data, "--allow-outside")
    assert status == 0, err
    out = rows / "march.evaluation"
    assert sorted(p.name for p in out.iterdir()) == [
        *("metrics.json", "predictions.csv", "report.html"),
    ]
    assert f"Next: open {out / 'report.html'}" in said and "Test, 60 rows" in said
    found = read(out / "predictions.csv")
    answers = tmp_path / "answers.csv"
    assert call("predict", trained.run, data, "--out", answers, "--allow-outside")[0] == 0
    predicted = read(answers)
    assert found["prediction"].tolist() == predicted["prediction"].tolist()
    assert found["truth"].tolist() == predicted["label"].tolist()
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    right = (predicted["label"] == predicted["prediction"]).mean()
    assert metrics["models"]["whole model"]["accuracy"]["value"] == pytest.approx(right)
    assert metrics["rows"] == {"train": trained.metrics["rows"]["train"], "test": 60}
    assert metrics["majority"] == trained.metrics["majority"] and "training" not in metrics
    page = (out / "report.html").read_text("utf-8")
    assert "march.csv" in page and "mmkeras evaluate" in page


@pytest.fixture
def labelled(tmp_path):
    return write(tmp_path / "new.csv", [orders(1)[0], *orders(60)[41:]])


def test_the_csv_of_the_training_is_told_to_be_no_test(two_seeds, labelled, tmp_path):
    status, said, err = call("evaluate", two_seeds.run, two_seeds.data, "--out", tmp_path / "a")
    assert status == 0, err
    assert said.count("Beware: This is the file that the model was trained on") == 1
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text("utf-8"))
    assert metrics["warnings"][0].startswith("This is the file that the model")
    status, said, err = call("evaluate", two_seeds.run, labelled)
    assert status == 0, err
    assert "This is the file" not in said
    for path, data in contents(tmp_path / "new.evaluation").items():
        assert not any(row[1].encode() in data for row in orders(60)[41:]), path
    status, said, err = call("evaluate", two_seeds.run, labelled, "--force", "--show-rows")
    assert status == 0, err
    shown = [path.name for path, data in contents(tmp_path / "new.evaluation").items()
             if any(row[1].encode() in data for row in orders(60)[41:])]  # fmt: skip
    assert sorted(shown) == ["predictions.csv", "report.html"]


def test_another_label_column_groups_and_the_rows_that_cannot_be_judged(
    two_seeds, labelled, short_page
):
    def spoil(rows):
        rows[0][3] = "truth"
        rows[2][3] = "cocoa"
        for i, row in enumerate(rows):
            row.append(f"g{i // 6}" if i else "patient")

    change(labelled, spoil)
    status, _, err = call("evaluate", two_seeds.run, labelled)
    assert status == 1 and "no such column (--label)" in err and "the label: --label" in err
    arguments = ["evaluate", two_seeds.run, labelled, "--label", "truth", "--group", "patient"]
    status, _, err = call(*arguments)
    assert status == 1 and "'cocoa': unknown label" in err and "--skip-bad-rows" in err
    assert not labelled.with_suffix(".evaluation").exists()
    assert "the classes of the training" in err and "--classes" not in err
    status, said, err = call(*arguments, "--skip-bad-rows")
    assert status == 0, err
    assert "Skipped 1 row with problems:" in said and "unknown label" in said
    assert "the classes of the training" in said and "classes=" not in said
    metrics = json.loads((labelled.with_suffix(".evaluation") / "metrics.json").read_text("utf-8"))
    assert metrics["interval"]["unit"] == "groups" and metrics["skipped"] == 1
    assert metrics["rows"]["test"] == 19


def test_what_cannot_be_is_said_before_anything_is_computed(two_seeds, labelled, monkeypatch):
    monkeypatch.setattr(run, "load", None)  # would fail if it were reached
    folder = labelled.parent
    for arguments, says in (
        ([two_seeds.run, folder / "no.csv"], "there is no CSV at"),
        ([folder, labelled], "is not a run of mmkeras train"),
        ([two_seeds.run, labelled, "--out", labelled], "is a file; name a folder"),
        ([two_seeds.run, labelled, "--out", folder], "holds files already"),
        ([two_seeds.run, labelled, "--out", two_seeds.run, "--force"], "holds a run"),
        ([two_seeds.run, labelled, "--out", folder / "a" / "b"], f"no folder {folder / 'a'}"),
    ):
        status, _, err = call("evaluate", *arguments)
        assert status == 1 and says in err, err


def test_a_run_of_version_0_1_0_is_judged_by_its_own_training_rows(tmp_path, short_page):
    from pathlib import Path

    old = Path(__file__).parent / "data" / "run_of_0_1_0"
    rows = [["text", "label"], ["a pot of tea", "tea"], ["strong coffee", "coffee"]]
    data = write(tmp_path / "rows.csv", rows)
    status, _, err = call("evaluate", old, data)
    assert status == 0, err
    metrics = json.loads((tmp_path / "rows.evaluation" / "metrics.json").read_text("utf-8"))
    learned = json.loads((old / "metrics.json").read_text("utf-8"))["rows"]["train"]
    assert metrics["rows"] == {"train": learned, "test": 2}
    assert np.isfinite(metrics["models"]["whole model"]["log_loss"]["value"])


def test_settings_that_lack_what_the_report_tells(two_seeds, labelled, tmp_path):
    whole = json.loads((two_seeds.run / "settings.json").read_text("utf-8"))
    damaged = tmp_path / "run"
    damaged.mkdir()
    (damaged / "model.keras").write_bytes((two_seeds.run / "model.keras").read_bytes())
    for key in evaluate.NEEDED:
        some = {name: value for name, value in whole.items() if name != key}
        (damaged / "settings.json").write_text(json.dumps(some), encoding="utf-8")
        status, _, err = call("evaluate", damaged, labelled)
        assert status == 1 and f"it lacks the key {key!r}" in err
