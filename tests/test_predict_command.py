"""A trained run and a CSV in, answers out."""

import codecs
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import call, change, read, write

from mmkeras.__main__ import main
from mmkeras.table.joined import write_csv

pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_csv_of_answers_holds_what_the_reloaded_model_says(trained, tmp_path):
    import keras

    from mmkeras.table import load_table

    out = tmp_path / "answers.csv"
    assert call("predict", trained.run, trained.folder / "new.csv", "--out", out)[0] == 0
    got, given = read(out), read(trained.folder / "new.csv")
    pd.testing.assert_frame_equal(got[given.columns], given)
    table = load_table(
        trained.folder / "new.csv", label=None, cache=False, **trained.settings["table"]
    )
    model = keras.saving.load_model(trained.run / "model.keras")
    p = model.predict(table.dataset("all"), verbose=0)
    names = trained.settings["classes"]
    written = got[[f"probability_{name}" for name in names]].to_numpy(float)
    np.testing.assert_allclose(written, p, atol=2e-6)
    assert got["prediction"].tolist() == [names[k] for k in p.argmax(axis=1)]
    assert "problem" not in got


def test_a_column_that_is_gone_counts_as_blank_in_every_row(trained, tmp_path):
    new = trained.folder / "new.csv"

    def blank(rows):
        for row in rows[1:]:
            row[2] = ""
            row[0] = row[0] or "words"

    def drop(rows):
        blank(rows)
        for row in rows:
            del row[2]

    answers = []
    for name, edit in (("blank", blank), ("gone", drop)):
        path = change(new, edit, trained.folder / f"{name}.csv")
        to = tmp_path / f"{name}.csv"
        if name == "gone":
            status, _, err = call("predict", trained.run, path, "--out", to)
            assert status == 1 and "no such column" in err and not to.exists()
            assert "--allow-missing-columns" in err
        arguments = ["--allow-missing-columns"] if name == "gone" else []
        status, out, _ = call("predict", trained.run, path, "--out", to, *arguments)
        assert status == 0
        assert ("no column 'audio': every row goes without it" in out) == (name == "gone")
        answers.append(read(tmp_path / f"{name}.csv").drop(columns="audio", errors="ignore"))
    pd.testing.assert_frame_equal(*answers)


def test_rows_that_cannot_be_read_are_an_error_or_stay_without_an_answer(trained, tmp_path):
    def spoil(rows):
        rows[2][1] = "pictures/none.png"
        rows[4] = [""] * len(rows[4])
        for i, row in enumerate(rows):
            row.append(f"id {i}")
        rows.append([""] * 6)  # as spreadsheets write it

    path = change(trained.folder / "new.csv", spoil, trained.folder / "bad.csv")
    out = tmp_path / "answers.csv"
    status, _, err = call("predict", trained.run, path, "--out", out)
    assert status == 1 and not out.exists()
    assert "row 3, column 'image': 'pictures/none.png': " in err and "row 5: are all blank" in err
    assert "--skip-bad-rows" in err
    status, said, _ = call("predict", trained.run, path, "--out", out, "--skip-bad-rows")
    assert status == 0 and "7 rows answered, 3 with problems left empty" in said
    got, given = read(out), read(path)
    pd.testing.assert_frame_equal(got[given.columns], given)
    assert (got["prediction"] == "").tolist() == [i in (1, 3, 9) for i in range(10)]
    assert (got["probability_sun"] == "").tolist() == [i in (1, 3, 9) for i in range(10)]
    assert got["problem"][1].startswith("image: ") and "blank" in got["problem"][3]
    assert got["problem"][9] == "all cells are blank"
    assert (got["problem"] == "").sum() == 7


def test_predict_from_another_folder_and_never_over_a_file(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained.run)
    new = Path("..") / "new.csv"
    assert main(["predict", ".", str(new)]) == 0
    written = trained.folder / "new.predicted.csv"
    before = written.read_bytes()
    assert len(read(written)) == 9
    assert main(["predict", ".", str(new)]) == 1
    assert "new.predicted.csv exists" in capsys.readouterr().err
    assert main(["predict", ".", str(new), "--out", str(new), "--force"]) == 1
    assert "is the input itself" in capsys.readouterr().err
    assert main(["predict", ".", str(written)]) == 1
    assert "already has a column 'prediction'" in capsys.readouterr().err
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda run: (run / "settings.json").unlink(), "is not a run of mmkeras train"),
        (
            lambda run: (run / "settings.json").write_text("{}"),
            "settings.json is damaged: it lacks the key 'format'",
        ),
        (lambda run: (run / "settings.json").write_text('{"format": 99}'), "has format 99"),
        (lambda run: (run / "model.keras").write_bytes(b"PK"), "model.keras cannot be loaded"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(trained, tmp_path, spoil, says):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("settings.json", "model.keras"):
        (run / name).write_bytes((trained.run / name).read_bytes())
    spoil(run)
    status, _, err = call("predict", run, trained.folder / "new.csv", "--out", tmp_path / "o.csv")
    assert status == 1 and says in err and not (tmp_path / "o.csv").exists()


def test_settings_that_lack_a_key_are_named_before_anything_is_loaded(trained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.keras").write_bytes(b"PK")
    settings = json.loads((trained.run / "settings.json").read_text("utf-8"))
    del settings["classes"]
    (run / "settings.json").write_text(json.dumps(settings))
    status, _, err = call("predict", run, trained.folder / "new.csv", "--out", tmp_path / "o.csv")
    assert status == 1 and "settings.json is damaged: it lacks the key 'classes'" in err


def test_an_output_that_cannot_be_written_is_said_before_predicting(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("mmkeras.table.run.load", None)  # would fail if it were reached
    new = trained.folder / "new.csv"
    status, _, err = call("predict", trained.run, new, "--out", tmp_path / "nowhere" / "x.csv")
    assert status == 1 and f"there is no folder {tmp_path / 'nowhere'}" in err
    status, _, err = call("predict", trained.run, new, "--out", tmp_path)
    assert status == 1 and "is a folder; name a file" in err


def test_a_misspelt_column_is_told_the_right_one(trained, tmp_path):
    path = change(
        trained.folder / "new.csv", lambda rows: rows[0].__setitem__(1, "Image"),
        trained.folder / "misspelt.csv",
    )  # fmt: skip
    status, _, err = call("predict", trained.run, path, "--out", tmp_path / "o.csv")
    assert status == 1 and "did you mean 'Image'?" in err and "--allow-missing-columns" in err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_the_output_is_encoded_as_the_input_is(two_seeds, tmp_path, encoding):
    rows = [["degrees", "cup", "note"], ["71.5", "mug", "thé noir"], ["97", "pot", "café au lait"]]
    path = write(tmp_path / "new.csv", rows, encoding)
    codec = [] if encoding.startswith("utf-8") else ["--encoding", encoding]
    status, _, err = call("predict", two_seeds.run, path, *codec)
    assert status == 0, err
    data = (tmp_path / "new.predicted.csv").read_bytes()
    assert data.startswith(codecs.BOM_UTF8) == (encoding == "utf-8-sig")
    header, one, two = data.decode(encoding).splitlines()
    assert header.endswith("degrees,cup,note,prediction,probability_coffee,probability_tea")
    assert "mug,thé noir," in one and "pot,café au lait," in two


def test_categories_that_the_training_had_not_are_named_with_their_counts(two_seeds, tmp_path):
    cups = ["mug", "jar", "jar", "tin", "", "pot"]
    path = write(tmp_path / "new.csv", [["degrees", "cup"], *(["71.5", cup] for cup in cups)])
    status, out, err = call("predict", two_seeds.run, path)
    assert status == 0 and "6 rows answered" in out
    assert err == (
        "Beware: column 'cup': 3 cells with what was absent in training, taken for blank: "
        "'jar' (2), 'tin' (1)\n"
    )


def test_classes_that_the_encoding_of_the_input_lacks_make_it_utf_8(tmp_path):
    rows = [["text", "prediction"], ["thé", "чай"]]
    used = write_csv(tmp_path / "o.csv", lambda: iter(rows), "cp1252", ",")
    assert used == "utf-8-sig"
    assert (tmp_path / "o.csv").read_text(used).splitlines() == ["text,prediction", "thé,чай"]


def test_a_run_of_version_0_1_0_still_answers(tmp_path):
    """tests/data/run_of_0_1_0 was written by `mmkeras train` of that version."""
    old = Path(__file__).parent / "data" / "run_of_0_1_0"
    out = tmp_path / "o.csv"
    assert call("predict", old, old / "new.csv", "--out", out)[0] == 0
    expected = read(old / "new.predicted.csv")
    got = read(out)
    assert got["prediction"].tolist() == expected["prediction"].tolist()
    for name in ("probability_coffee", "probability_tea"):
        np.testing.assert_allclose(got[name].astype(float), expected[name].astype(float), atol=1e-4)
