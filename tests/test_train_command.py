"""From a CSV to a tested model and its report: what is written, what is kept, what is refused."""

import html
import json
import re
import shutil
import signal

import keras
import numpy as np
import pandas as pd
import pytest
from command_line import call, change, contents, orders, read, write

from mmkeras.table import columns, fit, kinds, report, run, train, weather
from mmkeras.table.media import Files
from mmkeras.table.report import sections
from mmkeras.table.wording import number, with_interval

pytestmark = pytest.mark.usefixtures("own_cache")


# ------------------------------------------------------------------------------ one real run


def test_the_run_is_complete_and_tells_what_it_does(trained):
    kept = ["training"]  # the last epoch was the best, or near it: it can be trained on
    assert sorted(p.name for p in trained.run.iterdir()) == sorted([*run.FILES, *kept])
    assert not list(trained.folder.glob(".*")), "scratch is left behind"
    for words in (
        "image    'image': ",
        "Skipped 1 row with problems:\n  row 62, image: ",
        "Beware: The test part has 9 rows only",
        "whole model",
        "majority class",
        f"Next: open {trained.run / 'report.html'}",
    ):
        assert words in trained.out, words
    epochs = re.findall(r"^epoch +(\d+)/6  loss \d", trained.out, re.MULTILINE)
    assert epochs == [str(i) for i in range(1, 7)]
    history = trained.metrics["training"]["history"]
    assert len(history["val_loss"]) == 6 and history["loss"][-1] < history["loss"][0]
    best = trained.metrics["training"]["best_epoch"]
    assert history["val_loss"][best - 1] == min(history["val_loss"])


def test_the_metrics_are_those_of_the_answers_to_the_test_rows(trained, tmp_path):
    """The confusion matrix anew: by predict, on the rows that a second load puts into the test."""
    from mmkeras.table import load_table

    good = change(trained.data, lambda rows: rows.pop(61), trained.folder / "good.csv")
    out = tmp_path / "answers.csv"
    assert call("predict", trained.run, good, "--out", out)[0] == 0
    s = trained.settings
    table = load_table(
        trained.data, on_error="skip", cache=False, seed=s["seed"], **s["table"]
    )  # fmt: skip
    rows = table.rows.loc[table.rows["part"] == "test", "row"]
    answers = read(out).iloc[rows.to_numpy() - 2]
    names = s["classes"]
    counts = pd.crosstab(answers["label"], answers["prediction"])
    counts = counts.reindex(index=names, columns=names, fill_value=0).to_numpy()
    told = pd.DataFrame(trained.metrics["confusion"]).T.reindex(index=names, columns=names)
    assert counts.tolist() == told.fillna(0).astype(int).to_numpy().tolist()
    accuracy = trained.metrics["models"]["whole model"]["accuracy"]
    assert accuracy["value"] == pytest.approx(counts.trace() / counts.sum())
    assert trained.metrics["rows"] == table.parts and counts.sum() == table.parts["test"]


def test_the_report_holds_the_numbers_and_no_markup_from_cells(trained):
    for name, of in trained.metrics["models"].items():
        assert f'<th scope="row">{name}</th>' in trained.html
        for key in report.COLUMNS:
            assert html.escape(number(of[key]["value"])) in trained.html
    assert "<script" not in trained.html and "pictures/gone.png" in trained.html
    assert "default-src &#x27;none&#x27;" in trained.html or "default-src 'none'" in trained.html
    links = re.findall(r'(?:src|href)="(.{5})', trained.html)
    assert links and set(links) == {"data:"}, "the page loads something"
    assert trained.settings["command"].startswith("mmkeras train ")
    assert "seed" in trained.html and trained.settings["versions"]["keras"] in trained.html
    card = (trained.run / "model_card.md").read_text("utf-8")
    headings = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert headings == [
        *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data"),
        *("Training data", "Quantitative analyses", "Ethical considerations"),
        "Caveats and recommendations",
    ]
    accuracy = trained.metrics["models"]["whole model"]["accuracy"]
    assert with_interval(accuracy) in card and "TODO" not in card


def test_the_predictions_of_the_test_rows_are_those_that_were_measured(trained):
    found = read(trained.run / "test_predictions.csv")
    given = read(trained.data).iloc[found["row"].astype(int) - 2].reset_index(drop=True)
    assert len(found) == trained.metrics["rows"]["test"]
    assert found["truth"].tolist() == given["label"].tolist()
    assert found["text"].tolist() == given["text"].tolist()
    right = (found["truth"] == found["prediction"]).mean()
    assert right == pytest.approx(trained.metrics["models"]["whole model"]["accuracy"]["value"])
    p = found[[f"probability_{name}" for name in trained.settings["classes"]]].astype(float)
    assert p.max(axis=1).tolist() == found["probability"].astype(float).tolist()


@pytest.mark.slow
def test_the_lines_beside_the_model_load_it_in_a_plain_process(trained, forks):
    """model.keras alone is refused by Keras: its layers are ours."""
    text = (trained.run / "README.txt").read_text("utf-8")
    code = "\n".join(line[4:] for line in text.split("In Python,")[1].splitlines()
                     if line.startswith("    ")).replace("new.csv", "../new.csv")  # fmt: skip
    told = "\nprint(model.count_params(), probabilities.shape)"
    ran = forks.run(f"{code}{told}", cwd=trained.run)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == f"{trained.settings['weights']} (9, 3)"


def test_the_settings_are_complete(trained):
    told = trained.settings["parameters"]
    assert told["image encoder"] == "small" and told["epochs, at most"] == 6 and told["seed"] == 3
    assert told["vocabulary"] == len(trained.settings["table"]["vocabulary"])
    assert all(not isinstance(value, dict | list) for value in told.values())
    assert sum(trained.settings["learned"].values()) == trained.metrics["rows"]["train"]


@pytest.mark.slow
def test_no_row_is_in_a_run_unless_that_is_asked(two_seeds, tmp_path):
    """Marked cells of every kind, a skipped row among them, are in no file that people look at."""
    data = weather.write(tmp_path / "set", rows=40, new=1)
    mark = "Wilhelmine 0151-7741"

    def spoil(rows):
        for i, row in enumerate(rows[1:]):
            row[0] = f"{mark} said {row[0]}" if row[0] else ""
            row[1] = row[1] and row[1].replace("pictures/", "./pictures//") if i else mark

    change(data, spoil)
    line = ["train", data, "--without", "image", "--without", "audio", "--epochs", 1]
    line += ["--skip-bad-rows", "--no-cache", "--encoders", "scratch"]
    status, _, err = call(*line)
    assert status == 0, err
    out = data.parent / "run"
    for path, content in contents(out).items():
        text = html.unescape(content.decode("utf-8", "replace"))
        assert mark not in text and "./pictures//" not in text, path
    assert html.escape(sections.NOT_SHOWN) in (out / "report.html").read_text("utf-8")
    columns = list(read(out / "test_predictions.csv"))
    assert columns[:4] == ["row", "truth", "prediction", "probability"]
    assert all(name.startswith("probability_") for name in columns[4:])
    status, _, err = call(*line, "--resume", "--epochs", 2, "--show-rows")
    assert status == 0, err
    shown = html.unescape((out / "report.html").read_text("utf-8"))
    assert mark in shown and "as --show-rows asked" in shown
    assert read(out / "test_predictions.csv")["text"].str.contains(mark).any()


# ------------------------------------------------------------------------------ kept


def test_several_seeds_are_one_run_of_the_best_and_their_spread_is_told(two_seeds):
    seeds = two_seeds.metrics["seeds"]
    assert seeds["seed"] == [0, 1] and "Seed 1, 2 of 2" in two_seeds.out
    for name in ("accuracy", "log_loss"):
        assert seeds["mean"][name] == pytest.approx(np.mean(seeds[name]))
        assert seeds["sd"][name] == pytest.approx(np.std(seeds[name], ddof=1))
    losses = [np.load(folder / run.STATE)["history"] for folder in two_seeds.seeds]
    losses = [min(epoch["val_loss"] for epoch in json.loads(str(one))) for one in losses]
    best = int(np.argmin(losses))
    assert min(two_seeds.metrics["training"]["history"]["val_loss"]) == losses[best]
    kept = (two_seeds.seeds[best] / "model.keras").read_bytes()
    assert (two_seeds.run / "model.keras").read_bytes() == kept
    settings = json.loads((two_seeds.run / "settings.json").read_text("utf-8"))
    assert settings["seed"] == best


class Killed(BaseException):
    """What no command catches: to the files it is what SIGKILL is."""


def at_epoch(monkeypatch, epoch, act):
    """Call `act` when this epoch (of the first seed, from 1) has ended and is on file."""
    real = fit._Stop.on_epoch_end

    def ended(self, number, logs=None):
        if number + 1 == epoch:
            act()
        real(self, number, logs)

    monkeypatch.setattr(fit._Stop, "on_epoch_end", ended)


def arrays(folder):
    with np.load(folder / run.STATE) as state:
        return {name: state[name] for name in state.files}


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_result_of_one_that_was_not(
    two_seeds, tmp_path, monkeypatch, short_page
):
    out = tmp_path / "run"
    arguments = ["train", two_seeds.data, "--epochs", 3, "--ignore", "order", "--out", out]

    def kill():
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_epoch(patch, 2, kill)
        call(*arguments)
    kept = run.seed_folder(out, 0)
    assert not (out / "settings.json").exists()
    predicted = tmp_path / "o.csv"
    assert call("predict", kept, two_seeds.data, "--out", predicted)[0] == 0
    assert len(read(predicted)) == 40, "the best model so far is a run"
    status, _, err = call("predict", out, two_seeds.data, "--out", predicted, "--force")
    assert status == 1 and f"is a run as well: {kept}" in err

    status, said, err = call(*arguments, "--resume")
    assert status == 0, err
    lines = [line[:9] for line in said.splitlines() if line.startswith("epoch")]
    assert lines == ["epoch   3"]
    ours, theirs = arrays(kept), arrays(two_seeds.seeds[0])
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert (out / "model.keras").read_bytes() == (kept / "model.keras").read_bytes()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_keep_what_is_there(two_seeds, tmp_path, monkeypatch, number, status):
    out = tmp_path / "run"
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            at_epoch(patch, 1, lambda: signal.raise_signal(number))
            ended, _, err = call(*two_seeds.arguments, "--out", out)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == status
    kept = run.seed_folder(out, 0)
    assert f"the best model so far is in {kept}" in err and "--resume" in err
    assert {p.name for p in kept.iterdir()} == {"model.keras", "settings.json", run.STATE}
    assert sorted(p.name for p in out.iterdir()) == [run.TRAINING]


@pytest.mark.usefixtures("eager")
def test_a_full_disk_keeps_every_epoch_before_it(two_seeds, tmp_path, monkeypatch):
    """A limit on the size of files fails as a full disk does: in the middle of a write."""
    resource = pytest.importorskip("resource")  # Windows has none
    out = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        full = (1000, limits[1])
        at_epoch(patch, 1, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, full))
        try:
            status, _, err = call(*two_seeds.arguments, "--out", out)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1 and "File too large" in err and "Nothing trained is lost" in err
    kept = run.seed_folder(out, 0)
    assert len(json.loads(str(arrays(kept)["history"]))) == 1
    assert {p.name for p in kept.iterdir()} == {"model.keras", "settings.json", run.STATE}
    assert keras.saving.load_model(kept / "model.keras").count_params() > 0


@pytest.mark.usefixtures("eager")
def test_a_report_that_fails_loses_nothing_and_is_made_later(
    two_seeds, tmp_path, monkeypatch, short_page
):
    out = tmp_path / "run"
    arguments = [*two_seeds.arguments[:4], "--out", out]

    def fail(*_):
        raise ZeroDivisionError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(report, "write", fail)
        with pytest.raises(ZeroDivisionError):
            call(*arguments)
    before = arrays(run.seed_folder(out, 0))
    status, said, err = call(*arguments, "--resume")
    assert status == 0, err
    assert "\nepoch" not in said, "nothing is trained again"
    after = arrays(run.seed_folder(out, 0))
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.usefixtures("eager")
def test_a_loss_that_is_not_finite_stops_with_advice(two_seeds, tmp_path):
    arguments = ["train", two_seeds.data, "--epochs", 3, "--out", tmp_path / "run"]
    status, _, err = call(*arguments, "--learning-rate", "1e30")
    assert status == 1 and "no finite number" in err and "Lower --learning-rate" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("eager")
def test_training_ends_in_time_and_can_go_on(two_seeds, tmp_path, short_page):
    out = tmp_path / "run"
    arguments = ["train", two_seeds.data, "--out", out, "--ignore", "order"]
    status, said, err = call(*arguments, "--time-limit", ".01s", "--epochs", 40)
    assert status == 0, err
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert metrics["training"]["ended_by"] == "time" and metrics["training"]["epochs"] == 1
    assert "Stopped by --time-limit in epoch 1" in said and "--resume" in said
    status, said, _ = call(*arguments, "--resume", "--epochs", 2)
    assert status == 0 and [line[:9] for line in said.splitlines() if line[:5] == "epoch"] == [
        "epoch   2"
    ]


def test_a_file_that_goes_in_mid_training_is_named(tmp_path, monkeypatch):
    data = weather.write(tmp_path / "set", rows=30, new=1)
    at_epoch(monkeypatch, 1, lambda: shutil.rmtree(tmp_path / "set" / "pictures"))
    change(data, lambda rows: [row.__setitem__(0, row[0] or "words") for row in rows[1:]])
    monkeypatch.setattr(Files, "open_store", lambda *_: None)  # as where no disk can keep copies
    status, _, err = call(
        *("train", data, "--without", "audio", "--without", "text", "--image-size", 16),
        *("--image-encoder", "small", "--epochs", 3),
    )
    assert status == 1 and re.search(
        r"was deleted or changed after it was checked: row \d+, image: \S+/pictures/\d+....: "
        r"no such file",
        err,
    ), err
    assert "Nothing trained is lost" in err and "Traceback" not in err


def test_a_run_is_not_replaced_unless_asked_and_ctrl_c_leaves_it_alone(trained, monkeypatch):
    before = contents(trained.run)
    status, _, err = call("train", trained.data)
    assert status == 1 and "holds a run that can be resumed: add --resume" in err

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "fit", stop)
    monkeypatch.setattr(run, "TRAINING", "of_this_test")
    status, _, err = call("train", trained.data, "--force", "--skip-bad-rows", "--no-cache")
    assert status == 130 and "nothing was written" in err
    assert contents(trained.run) == before


def told_before_training(monkeypatch, *arguments):
    """What `mmkeras train` says of a table, and the table; nothing is trained."""
    seen = []

    def stop(options, table):
        seen.append(table)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "_class_weights", stop)
    status, said, err = call("train", *arguments)
    assert status == 130, err
    return said, seen[0]


def test_a_column_that_names_parts_is_suggested_as_such(tmp_path, monkeypatch):
    rows = orders(40)
    for i, row in enumerate(rows):
        row.append(("train", "train", "valid", "test")[i // 2 % 4] if i else "part")
    data = write(tmp_path / "data.csv", rows)
    said, table = told_before_training(monkeypatch, data)
    assert "add --split part" in said and table.parts["train"] != 20
    said, table = told_before_training(monkeypatch, data, "--split", "part")
    assert "add --split" not in said and table.parts == {"train": 20, "valid": 10, "test": 10}


def test_columns_are_numbers_or_categories_as_they_are_named(tmp_path, monkeypatch):
    rows = orders(40)
    for i, row in enumerate(rows):
        row.append(str(i % 4) if i else "day")
    data = write(tmp_path / "data.csv", rows)
    said, table = told_before_training(monkeypatch, data)
    assert "number   'degrees': 40 of 40" in said and "category 'cup': " in said
    assert "not used 'order': identifier" in said and "number   'day': " in said
    assert table.modalities == ("numbers",) and "with numbers" in said
    said, table = told_before_training(
        monkeypatch, data, "--category", "day", "--number", "order", "--ignore", "cup"
    )
    assert "number   'order': named" in said and "category 'day': named" in said
    assert "not used 'cup': category, to be ignored" in said
    assert table.number_names[:2] == ["order", "degrees"]
    assert not any("cup" in name for name in table.number_names)
    status, _, err = call("train", data, "--number", "dgrees")
    assert status == 1 and "there is no column 'dgrees' (--number)" in err


def test_rare_classes_are_left_out_only_where_that_is_asked(tmp_path, monkeypatch):
    rows = [*orders(40), ["40", "30", "mug", "water"], ["41", "60", "pot", "cocoa"]]
    data = write(tmp_path / "data.csv", rows)
    status, _, err = call("train", data)
    assert status == 1 and "class 'cocoa' has 1 row, too few" in err and "--least-rows 3" in err
    status, _, err = call("train", data, "--least-rows", "100")
    assert status == 1 and "fewer rows than --least-rows 100: none is left" in err
    said, table = told_before_training(monkeypatch, data, "--least-rows", "3")
    assert "with fewer than 3 rows: 'cocoa' (1 row), 'water' (1 row)" in said
    assert table.classes == ["coffee", "tea"] and len(table) == 40 and not len(table.report)
    said, table = told_before_training(
        monkeypatch, data, "--classes", "tea,coffee", "--skip-bad-rows"
    )
    assert table.classes == ["tea", "coffee"] and "Skipped 2 rows" in said


def test_classes_that_differ_in_capitals_are_kept_where_they_are_named(tmp_path, monkeypatch):
    rows = orders(60)
    for row in rows[40:]:
        row[3] = "Tea"
    data = write(tmp_path / "data.csv", rows)
    status, _, err = call("train", data)
    assert status == 1 and "--classes A,a" in err
    _, table = told_before_training(monkeypatch, data, "--classes", "tea,Tea,coffee")
    assert table.classes == ["tea", "Tea", "coffee"]


def test_limits_of_files_can_be_raised(tmp_path, monkeypatch):
    data = weather.write(tmp_path / "set", rows=30, new=1)
    for option, value, words in (
        ("--max-file-bytes", "1K", "--max-file-bytes"),
        ("--max-audio-seconds", "0.5", "--max-audio-seconds"),
    ):
        status, _, err = call("train", data, option, value, "--no-cache")
        assert status == 1 and words in err, err
    _, table = told_before_training(
        monkeypatch, data, "--max-audio-seconds", "1.5", "--max-file-bytes", "100K", "--no-cache"
    )
    assert len(table) == 30


def test_equal_rows_are_told_and_stay_together_unless_asked(tmp_path, monkeypatch):
    rows = orders(40)
    data = write(tmp_path / "data.csv", [*rows, *rows[1:]])
    said, table = told_before_training(monkeypatch, data)
    assert "Equal rows: 40 equal an earlier one (40 by cells), kept in one part" in said
    sides = table.rows.groupby("numbers")["part"].nunique()
    assert (sides == 1).all()
    said, table = told_before_training(monkeypatch, data, "--allow-duplicates")
    assert "in several parts" in said and "Beware: " in said
    assert (table.rows.groupby("numbers")["part"].nunique() > 1).any()


@pytest.mark.slow
def test_several_steps_at_once_change_no_bit(two_seeds, tmp_path, monkeypatch, short_page):
    out = tmp_path / "run"
    monkeypatch.setattr(fit, "_steps_at_once", lambda *_: 3)
    arguments = [*two_seeds.arguments[:4], "--ignore", "order", "--out", out]
    assert call(*arguments)[0] == 0
    ours, theirs = arrays(run.seed_folder(out, 0)), arrays(two_seeds.seeds[0])
    names = [name for name in theirs if name != "history"]
    assert all(np.array_equal(ours[name], theirs[name]) for name in names)


# ------------------------------------------------------------------------------ errors


@pytest.fixture
def data(tmp_path):
    return weather.write(tmp_path / "set", rows=12, new=1)


@pytest.mark.parametrize(
    "edit, arguments, says",
    [
        (None, ["--label", "lable"], "no such column (--label); did you mean 'label'?"),
        (None, ["--image", "photo"], "there is no column 'photo' (--image)"),
        (None, [f"--without={m}" for m in columns.MODALITIES], "no column"),
        (lambda rows: rows[2].__setitem__(2, "../x.wav"), [], "row 3, column 'audio': '../x.wav'"),
        (lambda rows: rows.clear(), [], "the file is empty"),
        (
            lambda rows: rows.__setitem__(
                slice(1, None), [[*rows[1][:-1], f"{i / 7:.3f}"] for i in range(90)]
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
    status, _, err = call("train", data, "--epochs", 1, "--no-cache", *arguments)
    assert status == 1 and err.startswith("error: ") and says in err, err
    assert "Traceback" not in err and not (data.parent / "run").exists()


def test_a_csv_or_an_output_that_cannot_be(tmp_path, data):
    status, _, err = call("train", tmp_path / "no.csv")
    assert status == 1 and "there is no CSV at" in err
    status, _, err = call("train", data, "--out", data)
    assert status == 1 and "is a file" in err
    status, _, err = call("train", data, "--out", data.parent)
    assert status == 1 and "holds files already" in err
    status, _, err = call("predict", tmp_path, tmp_path / "no.csv")
    assert status == 1 and "there is no CSV at" in err


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
    assert kinds.least_words(["one two"] * 99) == 8
    assert kinds.least_words(["w " * 50] * 9 + [""] * 90) == 50
    assert kinds.least_words(["w " * 999] * 9) == 200
    assert kinds.unspaced(["今天天气很好 ok"]) and not kinds.unspaced(["a sentence", ""])


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
