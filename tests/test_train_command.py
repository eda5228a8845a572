"""From a CSV to a tested model and its report, and back to a CSV of answers."""

import contextlib
import csv
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

from mmkeras.table import columns, fit, measure, predict, report, run, train
from mmkeras.table import weather as rendered

# One of each kind of thing that a page, a plot or a table of Markdown could take for markup.
HOSTILE = ["<script>alert(1)</script>", 'a"><img src=x onerror=alert(1)>', "$\\frac{$ | `b` [c](d)"]


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
        rows[3][0] = HOSTILE[0]  # row 4
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
    assert counts.tolist() == weather.metrics["confusion"]
    accuracy = weather.metrics["models"]["whole model"]["accuracy"]
    assert accuracy["value"] == pytest.approx(counts.trace() / counts.sum())
    assert weather.metrics["rows"] == table.parts and counts.sum() == table.parts["test"]


def test_the_report_holds_the_numbers_and_no_markup_from_cells(weather):
    for name, of in weather.metrics["models"].items():
        assert f'<th scope="row">{name}</th>' in weather.html
        for key in report.COLUMNS:
            assert report.number(of[key]["value"]) in weather.html
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
    assert report.with_interval(accuracy) in card and "TODO" not in card


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


def fake(counts, modalities=("text",), **rows):
    """A table without files: counts is part → number of rows of each class."""
    classes = [f"c{k}" for k in range(len(counts["test"]))]
    labels = [(part, c) for part, ns in counts.items() for c, n in zip(classes, ns, strict=True)
              for _ in range(n)]  # fmt: skip
    frame = pd.DataFrame(labels, columns=["part", "label"])
    frame["row"] = np.arange(2, len(frame) + 2)
    for modality in modalities:
        frame[modality] = "something"
    for name, values in rows.items():
        frame[name] = values
    parts = {part: sum(ns) for part, ns in counts.items()}
    return SimpleNamespace(
        rows=frame, classes=classes, modalities=modalities, parts=parts, report=pd.DataFrame()
    )


def certain(y, classes):
    return np.eye(classes)[y] * 0.8 + 0.2 / classes


def test_a_modality_alone_is_seen_with_the_others_absent_and_no_row_gets_what_it_has_not():
    present = np.array([[1, 1], [0, 1], [1, 0]], np.float32)
    x = {"text": np.ones((3, 4)), "image": np.ones((3, 2, 2, 3)), "present": present}
    table = SimpleNamespace(
        modalities=("text", "image"),
        classes=["a", "b", "c"],
        dataset=lambda part, shuffle: SimpleNamespace(
            as_numpy_iterator=lambda: iter([(x, np.array([0, 1, 2]))] * 2)
        ),
    )

    def told(batch):  # a model that answers what it is told is there
        there = np.concatenate([batch["present"], np.full((3, 1), 0.5)], axis=1)
        return there / there.sum(axis=1, keepdims=True)

    y, answers = measure.answer(SimpleNamespace(predict_on_batch=told), table, "test")
    assert y.tolist() == [0, 1, 2, 0, 1, 2]
    seen = {name: (p[:3, :2] > 0).tolist() for name, p in answers.items()}
    assert seen == {
        report.ALL: [[True, True], [False, True], [True, False]],
        "text alone": [[True, False], [False, False], [True, False]],
        "image alone": [[False, True], [False, True], [False, False]],
    }
    assert measure.subsets_of(("audio",)) == {report.ALL: ("audio",)}


def test_a_binary_head_gives_two_columns():
    model = SimpleNamespace(predict_on_batch=lambda x: np.float32([[0.25], [1.0]]))
    assert measure.probabilities(model, {}, 2).tolist() == [[0.75, 0.25], [0, 1]]


def test_measures_against_a_count_by_hand():
    table = fake({"train": [30, 10], "valid": [5, 5], "test": [6, 4]})
    y = np.repeat([0, 1], [6, 4])
    said = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 0])  # 8 of 10
    metrics = measure.measure(table, y, {report.ALL: certain(said, 2)}, seed=0)
    whole, base = (metrics["models"][name]["accuracy"] for name in (report.ALL, "majority class"))
    assert whole["value"] == pytest.approx(0.8) and base["value"] == pytest.approx(0.6)
    assert whole["low"] < 0.8 < whole["high"]
    gap = metrics["differences"]["majority class"]["accuracy"]
    assert gap["difference"] == pytest.approx(0.2) and gap["low"] < 0 < gap["high"]
    assert metrics["confusion"] == [[5, 1], [1, 3]] and metrics["majority"] == "c0"
    assert [c["recall"] for c in metrics["per_class"]] == pytest.approx([5 / 6, 3 / 4])
    assert [c["precision"] for c in metrics["per_class"]] == pytest.approx([5 / 6, 3 / 4])
    # Wilson (1927): (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    z, n, p = 1.959964, 10, 0.8
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n * n))
    middle = p + z**2 / (2 * n)
    expected = [(middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert metrics["accuracy_wilson"] == pytest.approx(expected, abs=1e-5)
    assert any("not shown that the model beats" in text for text in metrics["warnings"])


def test_a_class_without_test_rows_is_said_and_fits_json():
    table = fake({"train": [20, 20, 4], "valid": [9, 9, 9], "test": [60, 60, 0]})
    y = np.repeat([0, 1], [60, 60])
    metrics = measure.measure(table, y, {report.ALL: certain(y, 3)}, seed=0)
    assert metrics["models"][report.ALL]["recall"]["value"] is None
    assert metrics["per_class"][2]["recall"] is None
    json.dumps(metrics, allow_nan=False)
    assert any("No test row of: 'c2'" in text for text in metrics["warnings"])
    assert any("Fewer than 10 training rows of: 'c2'" in text for text in metrics["warnings"])
    assert any("Every test row is right" in text for text in metrics["warnings"])
    assert not any("rows only" in text and "test part" in text for text in metrics["warnings"])


def test_intervals_over_groups_are_wider_than_over_rows():
    counts = {"train": [50, 50], "valid": [10, 10], "test": [60, 60]}
    y = np.repeat([0, 1], [60, 60])
    said = np.where(np.arange(120) // 10 % 2, y, 1 - y)  # groups of ten are all right or all wrong
    group = [""] * 120 + [f"g{i // 10}" for i in range(120)]
    width = []
    for extra in ({}, {"group": group}):
        metrics = measure.measure(fake(counts, **extra), y, {report.ALL: certain(said, 2)}, seed=0)
        a = metrics["models"][report.ALL]["accuracy"]
        width.append(a["high"] - a["low"])
    assert width[1] > 2 * width[0]


def test_the_worst_mistakes_are_the_surest_and_hold_the_right_row():
    table = fake({"train": [2, 2], "valid": [1, 1], "test": [3, 3]}, ("text", "image", "audio"))
    table.settings = {"audio_rate": 8000}
    y = np.repeat([0, 1], [3, 3])
    confidence = np.array([0.9, 0.6, 0.7, 0.55, 0.99, 0.8])
    wrong = np.array([True, True, False, True, True, False])
    said = np.where(wrong, 1 - y, y)
    p = np.where(np.arange(2) == said[:, None], confidence[:, None], 1 - confidence[:, None])
    image = np.arange(6)[:, None, None, None] * np.ones((6, 4, 4, 3))
    present = np.ones((6, 3))
    present[4] = [1, 0, 1]

    def batches(part, shuffle):
        assert (part, shuffle) == ("test", False)
        x = {"text": y, "image": image, "audio": np.zeros((6, 80)), "present": present}
        cut = [({k: v[i : i + 4] for k, v in x.items()}, y[i : i + 4]) for i in (0, 4)]
        return SimpleNamespace(as_numpy_iterator=lambda: iter(cut))

    table.dataset = batches
    found = measure.worst_mistakes(table, y, p, most=3)
    assert [round(e.probability, 2) for e in found] == [0.99, 0.9, 0.6]
    assert [e.row for e in found] == [12, 8, 9]  # 6 rows before the test, and the header
    assert [(e.truth, e.predicted) for e in found] == [("c1", "c0"), ("c0", "c1"), ("c0", "c1")]
    assert found[0].picture is None and (found[2].picture == 1).all()


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


# ------------------------------------------------------------------------------ the page


def hostile_run():
    """A run in which every text that comes from the data or the user is hostile."""
    table = fake({"train": [9, 9, 9], "valid": [9, 9, 9], "test": [5, 5, 5]})
    table.classes = HOSTILE
    table.rows["label"] = np.repeat(HOSTILE * 3, [9, 9, 9, 9, 9, 9, 5, 5, 5])
    y = np.repeat([0, 1, 2], 5)
    p = certain((y + 1) % 3, 3)
    metrics = measure.measure(table, y, {report.ALL: p, "text alone": p}, seed=0)
    history = {"loss": [2.0, 1.0], "accuracy": [0.1, 0.2]}
    history |= {f"val_{name}": values for name, values in history.items()}
    metrics["training"] = {
        "epochs": 2, "best_epoch": 2, "class_weight": dict.fromkeys(HOSTILE, 1.0),
        "history": history,
    }  # fmt: skip
    bad = HOSTILE[1]
    settings = {
        "label": bad, "data": bad, "split": None, "group": None, "columns": {"text": bad},
        "columns_chosen": {"text": [bad, bad]}, "how_split": bad, "fusion": "concatenate",
        "seed": 0, "weights": 1, "training": "1 s", "day": "2024-01-01", "device": "CPU",
        "command": f"python {bad} `x`", "versions": {"keras": "3"},
    }  # fmt: skip
    example = report.Example(5, HOSTILE[0], HOSTILE[1], 0.9, text=HOSTILE[0] * 99)
    skipped = pd.DataFrame([[7, bad, bad, bad]], columns=["row", "column", "value", "reason"])
    return report.Run(settings, metrics, y, p, [example], skipped)


def test_hostile_text_stays_text():
    run = hostile_run()
    html = report.page(run)
    assert "<script" not in html and "<img src=x" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    tags = set(re.findall(r"<(\w+)", html))
    assert "img" in tags and not tags & {"script", "iframe", "object", "a", "link", "form", "b"}
    assert not re.search(r"<[^>]*\son\w+=", html), "an event handler"
    card = report.card(run)
    assert "<script" not in card and "<img" not in card
    for line in card.splitlines():
        if line.startswith("| ") and "class" not in line and "accuracy" not in line:
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 7), line


def test_a_page_with_many_classes_lists_the_confusions_and_hides_rows_on_request():
    n = 25
    table = fake({part: [4] * n for part in ("train", "valid", "test")})
    y = np.repeat(np.arange(n), 4)
    said = np.where(np.arange(len(y)) == 3, 17, y)
    metrics = measure.measure(table, y, {report.ALL: certain(said, n)}, seed=0)
    run = hostile_run()
    run.metrics = {**metrics, "training": run.metrics["training"]}
    run.y, run.probabilities, run.mistakes = y, certain(said, n), None
    html = report.page(run)
    assert '<th scope="row">c0</th><td class="left">c17</td><td>1</td>' in html
    assert "Rows of the data are not shown" in html
