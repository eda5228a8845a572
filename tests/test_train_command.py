"""From a CSV to a tested model and its report, and back to a CSV of answers."""

import contextlib
import csv
import html
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mmkeras.table import columns, fit, predict, report, run, train
from mmkeras.table import weather as rendered
from mmkeras.table.wording import number, with_interval

HOSTILE = "<script>alert(1)</script>"


def read(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def change(path, edit, to=None):
    """Rewrites a CSV: `edit` gets its records, header first."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    edit(rows)
    with open(to or path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return to or path


def call(main, *arguments):
    """(exit status, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


# ------------------------------------------------------------------------------ one real run


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Decoded copies go where they vanish again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMKERAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def weather(tmp_path_factory, cache):
    """A sample set with one bad row and one hostile text, trained on for a few epochs."""
    folder = tmp_path_factory.mktemp("data") / "weather"
    data = rendered.write(folder, rows=61, new=9)

    def spoil(rows):
        rows[3][0] = HOSTILE  # row 4
        rows[61][1] = "pictures/gone.png"  # row 62

    change(data, spoil)
    status, out, err = call(
        train.main,
        *(data, "--label", "label", "--epochs", 6, "--image-encoder", "small", "--no-cache"),
        *("--skip-bad-rows", "--seed", 3),
    )
    assert status == 0, err
    run = folder / "run"
    loaded = {
        n: json.loads((run / f"{n}.json").read_text("utf-8")) for n in ("settings", "metrics")
    }
    html = (run / "report.html").read_text("utf-8")
    return SimpleNamespace(folder=folder, data=data, run=run, out=out, html=html, **loaded)


def test_the_run_is_complete_and_tells_what_it_does(weather):
    kept = ["training"]  # the last epoch was the best, or near it: it can be trained on
    assert sorted(p.name for p in weather.run.iterdir()) == sorted([*run.FILES, *kept])
    assert not list(weather.folder.glob(".*")), "scratch is left behind"
    for words in (
        "image    'image': ",
        "Skipped 1 row with problems:\n  row 62, image: ",
        "Beware: The test part has 9 rows only",
        "whole model",
        "majority class",
        f"Next: open {weather.run / 'report.html'}",
    ):
        assert words in weather.out, words
    epochs = re.findall(r"^epoch +(\d+)/6  loss \d", weather.out, re.MULTILINE)
    assert epochs == [str(i) for i in range(1, 7)]
    history = weather.metrics["training"]["history"]
    assert len(history["val_loss"]) == 6 and history["loss"][-1] < history["loss"][0]
    best = weather.metrics["training"]["best_epoch"]
    assert history["val_loss"][best - 1] == min(history["val_loss"])


def test_the_csv_of_answers_holds_what_the_reloaded_model_says(weather, tmp_path):
    import keras

    from mmkeras.table import load_table

    out = tmp_path / "answers.csv"
    assert call(predict.main, weather.run, weather.folder / "new.csv", "--out", out)[0] == 0
    got, given = read(out), read(weather.folder / "new.csv")
    pd.testing.assert_frame_equal(got[given.columns], given)
    table = load_table(
        weather.folder / "new.csv", label=None, cache=False, **weather.settings["table"]
    )
    model = keras.saving.load_model(weather.run / "model.keras")
    p = model.predict(table.dataset("all"), verbose=0)
    names = weather.settings["classes"]
    written = got[[f"probability_{name}" for name in names]].to_numpy(float)
    np.testing.assert_allclose(written, p, atol=2e-6)
    assert got["prediction"].tolist() == [names[k] for k in p.argmax(axis=1)]
    assert "problem" not in got


def test_the_metrics_are_those_of_the_answers_to_the_test_rows(weather, tmp_path):
    """The confusion matrix anew: by predict, on the rows that a second load puts into the test."""
    from mmkeras.table import load_table

    good = change(weather.data, lambda rows: rows.pop(61), weather.folder / "good.csv")
    out = tmp_path / "answers.csv"
    assert call(predict.main, weather.run, good, "--out", out)[0] == 0
    s = weather.settings
    table = load_table(
        weather.data, on_error="skip", cache=False, seed=s["seed"], **s["table"]
    )  # fmt: skip
    rows = table.rows.loc[table.rows["part"] == "test", "row"]
    answers = read(out).iloc[rows.to_numpy() - 2]
    names = s["classes"]
    counts = pd.crosstab(answers["label"], answers["prediction"])
    counts = counts.reindex(index=names, columns=names, fill_value=0).to_numpy()
    told = pd.DataFrame(weather.metrics["confusion"]).T.reindex(index=names, columns=names)
    assert counts.tolist() == told.fillna(0).astype(int).to_numpy().tolist()
    accuracy = weather.metrics["models"]["whole model"]["accuracy"]
    assert accuracy["value"] == pytest.approx(counts.trace() / counts.sum())
    assert weather.metrics["rows"] == table.parts and counts.sum() == table.parts["test"]


def test_the_report_holds_the_numbers_and_no_markup_from_cells(weather):
    for name, of in weather.metrics["models"].items():
        assert f'<th scope="row">{name}</th>' in weather.html
        for key in report.COLUMNS:
            assert html.escape(number(of[key]["value"])) in weather.html
    assert "<script" not in weather.html and "pictures/gone.png" in weather.html
    assert "default-src &#x27;none&#x27;" in weather.html or "default-src 'none'" in weather.html
    links = re.findall(r'(?:src|href)="(.{5})', weather.html)
    assert links and set(links) == {"data:"}, "the page loads something"
    assert weather.settings["command"].startswith("mmkeras train ")
    assert "seed" in weather.html and weather.settings["versions"]["keras"] in weather.html
    card = (weather.run / "model_card.md").read_text("utf-8")
    headings = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert headings == [
        *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data"),
        *("Training data", "Quantitative analyses", "Ethical considerations"),
        "Caveats and recommendations",
    ]
    accuracy = weather.metrics["models"]["whole model"]["accuracy"]
    assert with_interval(accuracy) in card and "TODO" not in card


def test_a_column_that_is_gone_counts_as_blank_in_every_row(weather, tmp_path):
    new = weather.folder / "new.csv"

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
        path = change(new, edit, weather.folder / f"{name}.csv")
        to = tmp_path / f"{name}.csv"
        if name == "gone":
            status, _, err = call(predict.main, weather.run, path, "--out", to)
            assert status == 1 and "no such column" in err and not to.exists()
            assert "--allow-missing-columns" in err
        arguments = ["--allow-missing-columns"] if name == "gone" else []
        status, out, _ = call(predict.main, weather.run, path, "--out", to, *arguments)
        assert status == 0
        assert ("no column 'audio': every row goes without audio" in out) == (name == "gone")
        answers.append(read(tmp_path / f"{name}.csv").drop(columns="audio", errors="ignore"))
    pd.testing.assert_frame_equal(*answers)


def test_rows_that_cannot_be_read_are_an_error_or_stay_without_an_answer(weather, tmp_path):
    def spoil(rows):
        rows[2][1] = "pictures/none.png"
        rows[4][:3] = ["", "", ""]
        for i, row in enumerate(rows):
            row.append(f"id {i}")
        rows.append([""] * 4)  # as spreadsheets write it

    path = change(weather.folder / "new.csv", spoil, weather.folder / "bad.csv")
    out = tmp_path / "answers.csv"
    status, _, err = call(predict.main, weather.run, path, "--out", out)
    assert status == 1 and not out.exists()
    assert "row 3, column 'image': 'pictures/none.png': " in err and "row 5: are all blank" in err
    assert "--skip-bad-rows" in err
    status, said, _ = call(predict.main, weather.run, path, "--out", out, "--skip-bad-rows")
    assert status == 0 and "7 rows answered, 3 with problems left empty" in said
    got, given = read(out), read(path)
    pd.testing.assert_frame_equal(got[given.columns], given)
    assert (got["prediction"] == "").tolist() == [i in (1, 3, 9) for i in range(10)]
    assert (got["probability_sun"] == "").tolist() == [i in (1, 3, 9) for i in range(10)]
    assert got["problem"][1].startswith("image: ") and "blank" in got["problem"][3]
    assert got["problem"][9] == "all cells are blank"
    assert (got["problem"] == "").sum() == 7


def test_predict_from_another_folder_and_never_over_a_file(weather, monkeypatch, capsys):
    monkeypatch.chdir(weather.run)
    new = Path("..") / "new.csv"
    assert predict.main([".", str(new)]) == 0
    written = weather.folder / "new.predicted.csv"
    before = written.read_bytes()
    assert len(read(written)) == 9
    assert predict.main([".", str(new)]) == 1
    assert "new.predicted.csv exists" in capsys.readouterr().err
    assert predict.main([".", str(new), "--out", str(new), "--force"]) == 1
    assert "is the input itself" in capsys.readouterr().err
    assert predict.main([".", str(written)]) == 1
    assert "has a column 'prediction' already" in capsys.readouterr().err
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
def test_a_run_that_is_not_whole_is_refused(weather, tmp_path, spoil, says):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("settings.json", "model.keras"):
        (run / name).write_bytes((weather.run / name).read_bytes())
    spoil(run)
    status, _, err = call(
        predict.main, run, weather.folder / "new.csv", "--out", tmp_path / "o.csv"
    )
    assert status == 1 and says in err and not (tmp_path / "o.csv").exists()


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_is_not_replaced_unless_asked_and_ctrl_c_leaves_it_alone(weather, monkeypatch):
    before = contents(weather.run)
    status, _, err = call(train.main, weather.data)
    assert status == 1 and "holds a run that can go on: add --resume" in err

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "fit", stop)
    monkeypatch.setattr(run, "TRAINING", "of_this_test")
    status, _, err = call(train.main, weather.data, "--force", "--skip-bad-rows", "--no-cache")
    assert status == 130 and "nothing was written" in err
    assert contents(weather.run) == before


def test_a_write_that_fails_leaves_the_earlier_run_whole(weather, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    best = folder / "training" / "seed-0"
    best.mkdir(parents=True)
    for name, text in {"model.keras": "old", "mine.txt": "mine"}.items():
        (folder / name).write_text(text)
    for name in ("model.keras", "state.npz"):
        (best / name).write_text("new")
    before = contents(folder)

    def no_space(*_):
        raise OSError("No space left on device")

    settings = {"label": "l", "data": "d"}
    made = report.Run(settings, {}, None, None), pd.DataFrame({"row": [2]})
    monkeypatch.setattr(report, "write", no_space)
    with pytest.raises(OSError, match="No space"), run.opened(folder, resume=True):
        run.finish(folder, best, *made, more=False)
    assert contents(folder) == before


# ------------------------------------------------------------------------------ errors


@pytest.fixture
def data(tmp_path):
    return rendered.write(tmp_path / "set", rows=12, new=1)


@pytest.mark.parametrize(
    "edit, arguments, says",
    [
        (None, ["--label", "lable"], "no such column (label=); did you mean 'label'?"),
        (None, ["--image", "photo"], "there is no column 'photo' (--image)"),
        (None, ["--without", "text", "--without", "image", "--without", "audio"], "no column"),
        (None, ["--fusion", "magic"], "unknown fusion 'magic'"),
        (lambda rows: rows[2].__setitem__(2, "../x.wav"), [], "row 3, column 'audio': '../x.wav'"),
        (lambda rows: rows.clear(), [], "the file is empty"),
        (
            lambda rows: rows.__setitem__(
                slice(1, None), [[*rows[1][:3], f"{i / 7:.3f}"] for i in range(90)]
            ),
            [],
            "learns classes, not quantities",
        ),
        (
            lambda rows: [row.insert(0, f"some words for row {i}") for i, row in enumerate(rows)],
            ["--without", "audio"],
            "several columns may be the text: 'some words for row 0', 'note'",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words_and_nothing_is_written(data, edit, arguments, says):
    if edit:
        change(data, edit)
    if "'note'" in says:  # a column called "text" would be taken without asking
        change(data, lambda rows: rows[0].__setitem__(1, "note"))
    status, _, err = call(train.main, data, "--epochs", 1, "--no-cache", *arguments)
    assert status == 1 and err.startswith("error: ") and says in err, err
    assert "Traceback" not in err and not (data.parent / "run").exists()


def test_a_csv_or_an_output_that_cannot_be(tmp_path, data):
    status, _, err = call(train.main, tmp_path / "no.csv")
    assert status == 1 and "there is no CSV at" in err
    status, _, err = call(train.main, data, "--out", data)
    assert status == 1 and "is a file" in err
    status, _, err = call(train.main, data, "--out", data.parent)
    assert status == 1 and "holds files already" in err
    status, _, err = call(predict.main, tmp_path, tmp_path / "no.csv")
    assert status == 1 and "there is no CSV at" in err
    wrongs = "--epochs 0", "--seed -1", "--words many", "--encoding utf-9", "--delimiter ;;", ""
    for wrong in map(str.split, wrongs):
        with pytest.raises(SystemExit) as stopped:
            call(train.main, *wrong, *([str(data)] if wrong else []))
        assert stopped.value.code == 2


@pytest.mark.parametrize("command", ["sample", "train", "predict"])
def test_help_has_an_example_and_works_from_anywhere(command, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "mmkeras", command, "--help"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"Example: mmkeras {command}" in " ".join(ran.stdout.split())


# ------------------------------------------------------------------------------ columns

SENTENCES = [f"the patient came in on day {i} with a cough" for i in range(30)]


@pytest.mark.parametrize(
    "cells, kind",
    [
        (SENTENCES, "text"),
        (["", *SENTENCES, ""], "text"),
        (["今天天气很好", "昨天下雨了", "他说不太舒服"] * 3, "text"),
        ([f"p/{i}.png" for i in range(9)] + ["x.JPG"], "image"),
        ([f"p/{i}.PNG" for i in range(8)] + ["lost", "n/a"], "image"),
        (["a.wav", "b.flac", "c.OGG", ""], "audio"),
        (["a.wav", "b.png"] * 5, "mixed"),
        (["1", "2.5", "-3", "1e4", "2,5"], "number"),
        (["red", "green", "blue"] * 5, "category"),
        (["New York", "San Francisco"] * 10, "category"),
        ([f"id{i:05d}" for i in range(40)], "identifier"),
        (["2024-01-02 10:00", "2024-01-03 11:30"] * 5, "mixed"),
        (["", "", ""], "blank"),
        ([], "blank"),
    ],
)
def test_what_a_column_holds(cells, kind):
    found = columns.kind_of(cells)
    assert found.name == kind, found


@pytest.mark.parametrize(
    "cells, named, without, expected",
    [
        ({"a": SENTENCES, "b": ["1.png"] * 30}, {}, (), {"text": "a", "image": "b"}),
        ({"a": SENTENCES, "b": ["1.png"] * 30}, {}, ("text",), {"image": "b"}),
        ({"b": ["1.wav"] * 3, "a": SENTENCES}, {}, (), {"text": "a", "audio": "b"}),
        ({"Text": SENTENCES, "more": SENTENCES}, {}, (), {"text": "Text"}),
        ({"a": SENTENCES, "more": SENTENCES}, {"text": "more"}, (), {"text": "more"}),
        ({"a": ["x", "y"] * 9}, {"text": "a"}, (), {"text": "a"}),
        ({"a": SENTENCES, "more": SENTENCES}, {}, (), "several columns may be the text: 'a', 'm"),
        ({"a": ["1"] * 9}, {}, (), "no column looks like text"),
        ({"a": ["1"] * 9}, {"audio": "z"}, (), "there is no column 'z' (--audio)"),
    ],
)
def test_the_choice_of_columns(cells, named, without, expected):
    cells = {**cells, "label": SENTENCES}  # looks like text, but is taken
    if isinstance(expected, str):
        with pytest.raises(columns.ColumnError, match=re.escape(expected)) as error:
            columns.choose(cells, named, without=without, taken={"label": "label"})
        assert "'label': the label; text" in str(error.value)
        return
    choice = columns.choose(cells, named, without=without, taken={"label": "label"})
    assert choice.columns == expected and list(choice.why) == list(choice.columns)
    assert set(choice.unused) == set(cells) - set(expected.values()) - {"label"}


def test_sizes_and_scripts_of_texts():
    assert columns.least_words(["one two"] * 99) == 8
    assert columns.least_words(["w " * 50] * 9 + [""] * 90) == 50
    assert columns.least_words(["w " * 999] * 9) == 200
    assert columns.unspaced(["今天天气很好 ok"]) and not columns.unspaced(["a sentence", ""])


# ------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    "counts, choice, expected",
    [
        ([10, 10], "auto", None),
        ([29, 10], "auto", None),
        ([30, 10], "auto", [2 / 3, 2]),
        ([30, 10], "none", None),
        ([10, 10], "balanced", [1, 1]),
    ],
)
def test_class_weights(counts, choice, expected):
    weights = fit.class_weights(counts, choice)
    if expected is None:
        assert weights is None
    else:
        assert weights == pytest.approx(expected)
        assert np.dot(weights, counts) == pytest.approx(sum(counts))
