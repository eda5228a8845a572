"""What the package writes of a user's data can be read by this user alone."""

import os
import shutil
import stat

import keras
import numpy as np
import pytest
from command_line import call
from PIL import Image

from mmkeras import files, load_table
from mmkeras.pretrained import cached_features
from mmkeras.table import blocks
from mmkeras.table.command import RunError
from mmkeras.table.encoders import sources

pytestmark = [
    pytest.mark.usefixtures("own_cache"),
    pytest.mark.skipif(os.name != "posix", reason="on Windows, folders inherit who can read them"),
]


@pytest.fixture(autouse=True)
def generous():
    """A umask with which others may read everything, and write it."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(path):
    """Whatever in a folder, itself included, others may read, write or enter; not empty locks."""
    found = [p for p in (path, *path.rglob("*")) if p.suffix != ".lock" or p.stat().st_size]
    return [str(p) for p in found if stat.S_IMODE(p.lstat().st_mode) & 0o077]


def test_the_check_itself_finds_what_is_open(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").touch(mode=0o604)
    tmp_path.chmod(0o700)
    assert len(open_to_others(tmp_path)) == 2


# ---- the commands ---------------------------------------------------------------------------


def test_a_run_is_its_owners(trained, two_seeds, frozen):
    for run in (trained.run, two_seeds.run, frozen.run):
        assert open_to_others(run) == [] and (run / "settings.json").exists()


def test_a_folder_that_is_there_stays_as_it_is_and_its_new_files_are_the_owners(
    two_seeds, tmp_path, short_page
):
    shutil.copytree(two_seeds.run, tmp_path / "run")
    (tmp_path / "run").chmod(0o755)
    for path in (tmp_path / "run").iterdir():
        path.chmod(0o755)
    status, _, err = call(*two_seeds.arguments, "--out", tmp_path / "run", "--resume")
    assert status == 0, err
    (tmp_path / "run" / "training").chmod(0o700)
    assert open_to_others(tmp_path / "run") == [str(tmp_path / "run")]


def test_answers_evaluations_and_explanations_are_their_owners(two_seeds, tmp_path, short_page):
    data = shutil.copy(two_seeds.data, tmp_path / "new.csv")
    for command, more in (
        ("predict", ("--features", tmp_path / "features.npy")),
        ("evaluate", ()),
        ("explain", ("--rows", "2", "--method", "occlusion")),
    ):
        status, _, err = call(command, two_seeds.run, data, *more)
        assert status == 0, err
    made = {path.name: path for path in tmp_path.iterdir() if path.name != "new.csv"}
    names = {"new.predicted.csv", "features.npy", "new.evaluation", "new.explained"}
    assert made.keys() == names
    assert [open_to_others(path) for path in made.values()] == [[]] * 4
    assert os.umask(0) == 0, "the umask of the process is as it was"


def test_blocks_of_a_prediction_that_stopped_are_their_owners(two_seeds, tmp_path, monkeypatch):
    data = shutil.copy(two_seeds.data, tmp_path / "new.csv")
    real, done = blocks.Job.write, []

    def write(self, number, answers):
        if number == 2:
            raise RunError("no more")
        real(self, number, answers)
        done.append(number)

    monkeypatch.setattr(blocks.Job, "write", write)
    assert call("predict", two_seeds.run, data, "--block-rows", 10)[0] == 1
    folder = tmp_path / "new.predicted.csv.blocks"
    assert done == [0, 1] and len(list(folder.glob("*.npz"))) == 2
    assert open_to_others(folder) == []


def test_files_for_other_programs_are_as_the_umask_says(two_seeds, tmp_path, monkeypatch):
    """They hold no row, and a server runs under another name."""
    monkeypatch.setattr("mmkeras.table.export._run", lambda o: (tmp_path / "made").touch() or [])
    assert call("export", two_seeds.run)[0] == 0
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o666


# ---- caches ---------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    for i in range(9):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(9))
    (tmp_path / "data.csv").write_text(f"image,label\n{rows}", encoding="utf-8")
    return tmp_path / "data.csv"


def tiny():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))


def test_copies_and_features_of_a_table_are_their_owners(data, tmp_path, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))
    table = load_table(data, image="image", label="label", image_size=(8, 8))
    sources.dense(table, "image", "tiny", tiny(), ())
    kept = table.kept.folder
    assert kept.parent == tmp_path / "cache" / "tables"
    kinds = {path.suffix for path in kept.rglob("*") if path.is_file()}
    assert kinds >= {".txt", ".sqlite", ".npz"}
    assert open_to_others(kept.parent) == []
    assert (kept / "table.txt").read_text() == str(data.resolve())
    for path in (kept.parent, kept, *kept.rglob("*")):  # as an earlier version left them
        path.chmod(0o777)
    load_table(data, image="image", label="label", image_size=(8, 8))
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (kept, kept.parent))


def test_without_a_cache_nothing_is_kept(data, tmp_path, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))
    table = load_table(data, image="image", label="label", image_size=(8, 8), cache=False)
    source = sources.dense(table, "image", "tiny", tiny(), ())
    assert source.features[:, 0].tolist() == list(range(9))
    assert table.kept is None and not (tmp_path / "cache").exists()


def test_a_folder_of_ones_own_keeps_its_rights(data, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o755)
    load_table(data, image="image", label="label", cache=tmp_path / "mine")
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o755
    (kept,) = (tmp_path / "mine").iterdir()
    assert open_to_others(kept) == []


def test_cached_features_are_their_owners(tmp_path, monkeypatch):
    monkeypatch.setenv("MMKERAS_CACHE", str(tmp_path / "cache"))
    model, x = tiny(), np.zeros((3, 8, 8, 3), np.float32)
    cached_features(model, x)
    cached_features(model, x, cache=tmp_path / "mine")
    for folder in (tmp_path / "cache" / "features", tmp_path / "mine"):
        assert not stat.S_IMODE(folder.stat().st_mode) & 0o077
        assert [open_to_others(path) for path in folder.glob("*.npz")] == [[]]


def test_what_another_person_keeps_for_themselves_is_made_anew(tmp_path, monkeypatch):
    """In a shared cache, a file that cannot be read costs time and no answer."""

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "is_file", refuse)
    made = files.cached(
        tmp_path / "x", lambda: 7, read=lambda path: 8, write=lambda file, n: None, what="numbers"
    )
    assert made == 7
