"""A trained run in, files of other programs out: each compared, and refused if it differs."""

import json
import shutil

import numpy as np
import pytest
from command_line import call, orders, read, write

import mmkeras as mm
from mmkeras import formats
from mmkeras.table import export, run

pytestmark = pytest.mark.usefixtures("own_cache")
SIX = list(formats.FORMATS)


def test_the_help_names_the_formats_of_the_package():
    assert list(export.FORMATS) == SIX
    status, said, _ = call("export", "--help")
    assert status == 0 and all(name in said for name in SIX)


# ------------------------------------------------------------------------------ good files


@pytest.fixture(scope="module")
def exported(trained):
    """All formats of a run on texts, pictures, sounds and numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmkeras.table.exported.files.BATCHES", (1,))
        status, said, err = call("export", trained.run, "--out", trained.folder / "files")
    assert status == 0, err + said
    return trained.folder / "files", said


@pytest.mark.slow
def test_every_format_is_compared_on_the_validation_rows(trained, exported):
    folder, said = exported
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*formats.FORMATS.values(), "export.json", "export.html"]
    )
    result = json.loads((folder / "export.json").read_text("utf-8"))
    rows = trained.metrics["rows"]["valid"]
    assert (result["rows"], result["part"]) == (rows, "the validation part")
    assert f"Comparing on {rows} rows of data.csv" in said
    assert (
        list(result["formats"]) == SIX
        and list(result["classes"]) == run.read_settings(trained.run)["classes"]
    )
    for name, entry in result["formats"].items():
        assert entry["refused"] == [] and entry["bytes"] == formats.size_of(folder / entry["file"])
        assert entry["difference"] < (0.1 if "-" in name else 1e-3), name
        assert entry["lost"] == pytest.approx(
            100 * (result["keras"]["accuracy"] - entry["accuracy"])
        )
        assert entry["ms_1"] > 0 and f"{entry['bytes']:,}" in said
    ratios = {name: entry["ratio"] for name, entry in result["formats"].items()}
    assert ratios["litert"] == ratios["onnx"] == 1
    assert ratios["litert-int8"] < 0.5 and 0.45 < ratios["litert-fp16"] < 0.65
    page = (folder / "export.html").read_text("utf-8")
    assert "model-int8.tflite" in page and "<script" not in page


@pytest.mark.slow
def test_the_files_answer_as_the_run_on_rows_with_gaps(trained, exported):
    """On new rows, each alone and all together; some lack a text, a picture or a sound."""
    folder, _ = exported
    model, settings = run.load(trained.run)
    table = mm.load_table(trained.folder / "new.csv", label=None, **settings["table"])
    x = next(iter(table.dataset("all").as_numpy_iterator()))
    x = {t.name: np.asarray(x[t.name], t.dtype) for t in model.inputs}
    none = {**x, "present": np.zeros_like(x["present"])}
    x = {name: np.concatenate([value, none[name][:1]]) for name, value in x.items()}
    assert (x["present"] == 0).any() and (x["present"] == 1).any()
    want = np.asarray(model.predict_on_batch(x))
    for name, file in formats.FORMATS.items():
        answer = formats.loaded(name, folder / file)
        far = 0.1 if "-" in name else 1e-4
        for batch in (1, len(want)):
            got = formats.compare.answers(answer, x, batch)
            np.testing.assert_allclose(got, want, atol=far, err_msg=name)


# ------------------------------------------------------------------------------ bad files


@pytest.mark.slow
def test_a_file_that_answers_otherwise_is_put_aside(two_seeds, tmp_path, monkeypatch):
    """Deliberately: the file is written with the weights of the last layer turned round."""
    real = formats.written

    def spoilt(model, format, path, rows=None):
        kept = model.get_weights()
        model.set_weights([*kept[:-2], -kept[-2], -kept[-1]])
        try:
            return real(model, format, path, rows)
        finally:
            model.set_weights(kept)

    out = tmp_path / "out"
    status, said, err = call("export", two_seeds.run, "--to", "savedmodel", "--out", out)
    assert status == 0, err
    monkeypatch.setattr(formats, "written", spoilt)
    again = ("export", two_seeds.run, "--to", "savedmodel", "--out", out, "--force")
    status, said, err = call(*again)
    assert status == 1, err
    assert "Refused: savedmodel, since a probability differs by" in said
    assert sorted(p.name for p in out.iterdir()) == [
        *("export.html", "export.json", "savedmodel.refused"),
    ]
    entry = json.loads((out / "export.json").read_text("utf-8"))["formats"]["savedmodel"]
    assert entry["file"] == "savedmodel.refused" and entry["difference"] > 1e-3
    assert "Refused: savedmodel" in (out / "export.html").read_text("utf-8")
    monkeypatch.setattr(formats, "written", real)
    assert call(*again)[0] == 0
    assert not (out / "savedmodel.refused").exists() and (out / "savedmodel").is_dir()


def test_what_cannot_be_written_or_run_is_refused_and_the_rest_is_not(
    two_seeds, tmp_path, monkeypatch
):
    def written(model, format, path, rows=None):
        if format == "litert":
            raise formats.Unwritable("it has no operator for this")
        path.write_bytes(b"nonsense")
        return path

    monkeypatch.setattr(formats, "written", written)
    monkeypatch.setattr(
        formats, "lacking", lambda format: "it needs x: install x" if format == "onnx" else None
    )
    status, said, _ = call("export", two_seeds.run, "--to", "onnx,litert,savedmodel", "--out",
                           tmp_path / "out")  # fmt: skip
    assert status == 1
    assert "Refused: onnx, since it needs x: install x" in said
    assert "Refused: litert, since it has no operator for this" in said
    assert "Refused: savedmodel, since it does not run: " in said
    assert "Wrote" in said and not (tmp_path / "out" / "savedmodel").exists()


# ------------------------------------------------------------------------------ rows


def test_a_csv_that_is_gone_or_has_changed_is_told(two_seeds, tmp_path):
    moved = tmp_path / "run"
    shutil.copytree(two_seeds.run, moved)
    settings = json.loads((moved / "settings.json").read_text("utf-8"))
    settings["command"] = "mmkeras train gone.csv"
    (moved / "settings.json").write_text(json.dumps(settings), "utf-8")
    status, _, err = call("export", moved, "--to", "savedmodel")
    assert status == 1 and "the CSV of the training is neither" in err and "--csv" in err
    assert not (moved / "export").exists()
    write(tmp_path / "data.csv", orders(30))
    status, _, err = call("export", moved, "--to", "savedmodel")
    assert status == 1 and "is not the file that the model was trained on" in err
    status, said, err = call("export", moved, "--to", "savedmodel", "--csv", tmp_path / "data.csv",
                             "--rows", 7)  # fmt: skip
    assert status == 0, err
    assert "all rows of a file that the model was not trained on" in said
    result = json.loads((moved / "export" / "export.json").read_text("utf-8"))
    assert result["rows"] == 6  # every fifth of 30
    shutil.rmtree(moved / "export")
    settings["command"] = "mmkeras train data.csv --ignore order"
    (moved / "settings.json").write_text(json.dumps(settings), "utf-8")
    status, said, err = call("export", moved, "--to", "savedmodel", "--csv", two_seeds.data)
    assert status == 0 and "(the validation part)" in said, err


def test_the_parts_are_those_of_the_training(trained):
    """Rows that the model was tested on are none of those that it is compared on."""
    from mmkeras.table.exported import rows

    options = export.parser().parse_args([str(trained.run)])
    settings = run.read_settings(trained.run)
    table = rows._table(options, settings, rows.find(options, settings))
    tested = read(trained.run / "test_predictions.csv")["row"].astype(int)
    assert sorted(table.rows.loc[table.rows["part"] == "test", "row"]) == sorted(tested)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--to", "tflite"], 2, "must be some of savedmodel, litert"),
        (["--to", "onnx,onnx"], 2, "names a format twice"),
        (["--to", "onnx,"], 2, "got ''"),
        (["--rows", 0], 2, "must be 1 or more"),
        (["--tolerance", -1], 2, "must be from 0 to 100"),
        (["--csv", "gone.csv"], 1, "there is no CSV at gone.csv"),
        (["--csv", "."], 1, "there is no CSV at ."),
    ],
)
def test_malformed_use(two_seeds, arguments, status, words):
    found, _, err = call("export", two_seeds.run, *arguments)
    assert found == status and words in err
    assert not (two_seeds.run / "export").exists()


def test_a_folder_that_is_no_run_or_holds_files(two_seeds, tmp_path):
    status, _, err = call("export", tmp_path)
    assert status == 1 and "is not a run of mmkeras train" in err
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    status, _, err = call("export", two_seeds.run, "--out", tmp_path)
    assert status == 1 and "holds files already" in err
    status, _, err = call("export", two_seeds.run, "--out", two_seeds.run)
    assert status == 1 and "holds a run" in err
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
