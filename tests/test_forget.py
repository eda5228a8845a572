"""`mmkeras data forget`: what it deletes to the last byte, and what it names and leaves alone."""

import json
import os
import shutil
import sqlite3

import numpy as np
import pytest
from command_line import call, change, contents
from PIL import Image

from mmkeras import load_table
from mmkeras.files import sha256
from mmkeras.table import evaluate, store


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tables"


@pytest.fixture
def data(tmp_path):
    """Nine rows of five patients with a picture each; patient 007 has rows 2 and 7."""
    folder = tmp_path / "visits"
    folder.mkdir()
    rows = []
    for i in range(9):
        Image.new("RGB", (8, 8), (40 + i, 0, 0)).save(folder / f"{i}.png")
        rows.append(f"{i % 5 + 7:03},{i}.png,Note {i},{'ab'[i % 2]}\n")
    head = "patient,image,text,label\n"
    (folder / "data.csv").write_text(head + "".join(rows), encoding="utf-8")
    return folder / "data.csv"


def kept(data, sizes=(8,), features=True):
    """Load the table as a training does, in several sizes; the folder of what is kept of it."""
    for size in sizes:
        table = load_table(data, image="image", label="label", image_size=(size, size))
    if features:
        (table.kept.folder / "features").mkdir(exist_ok=True)
        np.savez(table.kept.folder / "features" / "a.npz", features=np.zeros(3))
    return table.kept.folder


def forget(data, *arguments):
    return call("data", "forget", data, *arguments)


def pixels(i, size=8):
    return bytes((40 + i, 0, 0)) * size**2


def records(folder):
    (path,) = folder.glob("image-*.sqlite")
    return {data[0] - 40 for (data,) in sqlite3.connect(path).execute("SELECT data FROM records")}


# ---- a whole table --------------------------------------------------------------------------


def test_a_table_is_forgotten_and_no_other(data, cache):
    other = kept(shutil.copy(data, data.with_name("other.csv")))
    same_name = data.parent / "deeper" / "data.csv"
    same_name.parent.mkdir()
    shutil.copy(data, same_name)
    change(same_name, lambda rows: [row.__setitem__(1, f"../{row[1]}") for row in rows[1:]])
    load_table(same_name, image="image", label="label", allow_outside=True)
    mine = kept(data, sizes=(8, 4))
    before = contents(data.parent)
    status, out, err = forget(data)
    assert (status, err) == (0, "")
    assert f"Forgotten: 18 decoded image files, 1 files of features, in {mine}" in out
    assert not mine.exists() and other.exists() and len(list(cache.iterdir())) == 2
    assert contents(data.parent) == before and "itself is unchanged" in out
    status, out, _ = forget(data)
    assert status == 0 and f"mmkeras keeps nothing of {data} in its cache" in out


def test_a_table_that_is_deleted_already_can_be_forgotten_but_not_its_rows(data):
    mine = kept(data)
    data.unlink()
    status, _, err = forget(data, "--rows", 2)
    assert status == 1 and "its rows cannot be told any more" in err and mine.exists()
    status, out, _ = forget(data)
    assert status == 0 and not mine.exists() and "itself" not in out


def test_a_dry_run_deletes_nothing(data, cache):
    mine = kept(data)
    before = contents(cache)
    for more in ((), ("--rows", "2-3")):
        status, out, _ = forget(data, "--dry-run", *more)
        assert status == 0 and "Would forget: " in out and contents(cache) == before
    assert forget(data)[1].count("Forgotten: ") == 1 and not mine.exists()


def test_copies_of_earlier_versions_go_since_nobody_knows_whose_they_are(data, cache):
    cache.mkdir(parents=True)
    (cache / "data-image-0a1b2c3d4e5f.sqlite").write_bytes(b"x")
    status, out, _ = forget(data)
    assert status == 0 and "of an earlier version" in out and not list(cache.glob("*.sqlite"))


# ---- rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("which", "gone"),
    [
        (("--rows", "3,9-10"), {1, 7, 8}),
        (("--id-column", "patient", "--id", "007"), {0, 5}),
        (("--id-column", "patient", "--id", " 008", "--id", "011"), {1, 6, 4}),
    ],
)
def test_rows_are_forgotten_to_the_last_byte(data, which, gone):
    mine = kept(data)
    (file,) = mine.glob("image-*.sqlite")
    assert all(pixels(i) in file.read_bytes() for i in range(9))
    status, out, err = forget(data, *which)
    assert (status, err) == (0, "")
    assert records(mine) == set(range(9)) - gone
    assert [pixels(i) in file.read_bytes() for i in range(9)] == [i not in gone for i in range(9)]
    assert f"{len(gone)} decoded image files, in {file}" in out
    assert not list(mine.rglob("*.npz")), "features of all rows are in one file"
    table = load_table(data, image="image", label="label", image_size=(8, 8))
    assert len(table) == 9 and records(mine) == set(range(9)), "a cache can be made again"


def test_a_row_whose_file_is_gone_or_changed_leaves_no_copy_either(data):
    mine = kept(data)
    (data.parent / "1.png").unlink()
    Image.new("RGB", (9, 9), "blue").save(data.parent / "2.png")
    assert forget(data, "--rows", "3")[0] == 0
    assert records(mine) == {0, 3, 4, 5, 6, 7, 8}


def test_copies_for_other_tables_go_too(data):
    """The same person may be in the table of the training and in one that was predicted."""
    other = kept(shutil.copy(data, data.with_name("other.csv")))
    kept(data)
    status, out, _ = forget(data, "--id-column", "patient", "--id", "007")
    assert status == 0 and records(other) == {1, 2, 3, 4, 6, 7, 8}
    assert f"2 decoded image files of {data.with_name('other.csv')}" in out
    assert not list(other.rglob("*.npz"))


def test_a_file_that_two_rows_share_is_forgotten_with_either(data):
    change(data, lambda rows: rows[5].__setitem__(1, "0.png"))
    mine = kept(data)
    assert forget(data, "--rows", "2")[0] == 0
    assert records(mine) == {1, 2, 3, 5, 6, 7, 8}


@pytest.mark.parametrize(
    ("which", "says"),
    [
        (("--rows", "11"), "data.csv has no row 11; the header is row 1"),
        (("--id-column", "patient", "--id", "7"), "so that 7 is not 007"),
        (("--id-column", "Patient", "--id", "007"), "no column 'Patient'; did you mean 'patient'?"),
        (("--rows", "2", "--look", "nowhere"), "--look nowhere: there is no such folder"),
        (("--rows", "2", "--encoding", "utf-16"), "data.csv: 1 problem"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_deleted(data, cache, which, says):
    kept(data)
    before = contents(cache)
    status, _, err = forget(data, *which)
    assert status == 1 and says in err and contents(cache) == before
    assert "008" not in err, "nobody else is named"


@pytest.mark.parametrize(
    ("which", "says"),
    [
        (("--id", "7"), "--id-column and --id belong together"),
        (("--id-column", "a"), "--id-column and --id belong together"),
        (("--id-column", "a", "--id", "1", "--rows", "2"), "give one of them"),
        (("--rows", "1"), "the header is row 1"),
    ],
)
def test_wrong_usage(data, which, says):
    status, out, err = forget(data, *which)
    assert (status, out) == (2, "") and says in err


def test_a_store_that_is_in_use_is_named(data, monkeypatch):
    mine = kept(data)
    monkeypatch.setattr(store, "LOCKED", 0.05)
    (file,) = mine.glob("image-*.sqlite")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    status, _, err = forget(data, "--rows", "2")
    other.close()
    assert status == 1 and str(file) in err and "end what uses it" in err


def test_a_damaged_store_goes_as_a_whole(data):
    mine = kept(data)
    (file,) = mine.glob("image-*.sqlite")
    file.write_bytes(b"no database at all " * 999)
    assert forget(data, "--rows", "2")[0] == 0 and not file.exists()


# ---- traces ---------------------------------------------------------------------------------


def a_run(folder, data_sha256, name="data.csv", more=("test_predictions.csv",)):
    folder.mkdir(parents=True)
    settings = {"format": 2, "data": name, "data_sha256": data_sha256,
                "table": {"vocabulary": ["", "[UNK]", "note"]}}  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings), "utf-8")
    for file in more:
        (folder / file).touch()
    return folder


def test_everything_that_still_holds_traces_is_named_once_and_kept(data, tmp_path):
    mine, here = sha256(data), data.parent
    wanted = {
        a_run(here / "run", mine): "trained on this table: its weights, 3 words of its texts",
        a_run(here / "deep" / "er" / "old", "0" * 64): "of this name with other content",
        here / "stopped": "trained on this table",
        here / "elsewhere": "an evaluation",
        here / "data.evaluation": "an evaluation",
        here / "x.csv.blocks": "a prediction that was stopped",
        here / "data.predicted.csv": "predictions",
        here / "data.predicted.1-of-2.csv": "predictions",
        here / "data.explained": "explanations",
        here / "secret.locked": "a locked run, perhaps of this table",
    }
    a_run(here / "run" / "training" / "seed-0", mine)
    a_run(here / "stopped" / "training" / "seed-0", mine, more=())
    a_run(here / "stopped" / "training" / "seed-1", mine, more=())
    a_run(here / "another", "0" * 64, "other.csv")
    for name, note in (("elsewhere", {"data": {"sha256": mine}}), ("data.evaluation", {}),
                       ("not-mine", {"data": {"sha256": "0" * 64}})):  # fmt: skip
        (here / name).mkdir()
        (here / name / "metrics.json").write_text(json.dumps(note), "utf-8")
    for name, digest in (("x.csv.blocks", mine), ("y.csv.blocks", "0" * 64)):
        (here / name).mkdir()
        (here / name / "job.json").write_text(json.dumps({"the table": digest}), "utf-8")
    (here / "data.explained").mkdir()
    (here / ".vscode").mkdir()
    for name in ("data.predicted.csv", "data.predicted.1-of-2.csv", "other.predicted.csv",
                 "secret.locked", "data.explained/index.html"):  # fmt: skip
        (here / name).touch()
    (here / "settings.json").write_text("[" * 100_000, "utf-8")  # of another program
    before = contents(here)

    status, out, err = forget(data)
    assert (status, err) == (3, "") and contents(here) == before
    named = dict(line[2:].split(": ", 1) for line in out.splitlines() if line.startswith("  /"))
    assert named.keys() == {str(path) for path in wanted}
    for path, words in wanted.items():
        assert words in named[str(path)], path
    assert "Not known to mmkeras: backups" in out and f"Looked for traces in {here}" in out


def test_other_folders_are_looked_through_where_that_is_asked(data, tmp_path):
    elsewhere = a_run(tmp_path / "models" / "a" / "run", sha256(data))
    assert forget(data)[0] == 0
    status, out, _ = forget(
        data, "--look", tmp_path / "models", "--look", tmp_path / "models" / "a"
    )
    assert status == 3 and out.count(f"{elsewhere}: a run that was trained on this table") == 1


def test_an_evaluation_knows_its_table(two_seeds, tmp_path, short_page):
    data = shutil.copy(two_seeds.data, tmp_path / "new.csv")
    assert call("evaluate", two_seeds.run, data, "--out", tmp_path / "e")[0] == 0
    assert set(evaluate.FILES) == set(os.listdir(tmp_path / "e"))
    status, out, _ = forget(data)
    assert status == 3 and f"{tmp_path / 'e'}: an evaluation" in out


def test_a_real_run_and_its_traces_are_found(trained):
    """The run of a training, and what the tests of other commands wrote beside it."""
    status, out, _ = forget(trained.data, "--dry-run")
    assert status == 3
    assert f"  {trained.run}: a run that was trained on this table: its weights, " in out
    assert "an answer to each row of the test part in test_predictions.csv" in out
