"""Files that are whole or not at all, locks, caches; and the one check of whole numbers."""

import re
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from mmkeras import files
from mmkeras.arguments import check_integer, check_positive

ROOT = Path(__file__).resolve().parents[1]


# ---- whole ------------------------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with files.whole(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("new\n")
        file.flush()
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_bytes() == b"new\n" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), files.whole(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.bin"]


def test_two_writers_in_one_process_do_not_mix(tmp_path):
    path = tmp_path / "a.bin"
    with files.whole(path) as one:
        one.write(b"one")
        with files.whole(path) as two:
            two.write(b"another")
        assert path.read_bytes() == b"another"
    assert path.read_bytes() == b"one" and names(tmp_path) == ["a.bin"]


def test_no_module_writes_and_renames_by_hand():
    """One place for it. Besides, an unpacked asset and a refused export get another name, and the
    folder of a run is locked for as long as the training takes.
    """
    found = {
        path.relative_to(ROOT / "mmkeras").as_posix()
        for path in (ROOT / "mmkeras").rglob("*.py")
        if re.search(r"os\.replace\(|\.rename\(|FileLock\(", path.read_text(encoding="utf-8"))
    }
    assert found == {"files.py", "assets/cache.py", "table/run.py", "table/exported/files.py"}


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_what_a_library_writes_takes_the_place_of_what_was_there(tmp_path, folder):
    path = tmp_path / "model.keras"
    path.mkdir()
    (path / "old").touch()
    with files.whole_path(path) as part:
        assert part.suffix == ".keras" and path.is_dir()
        if folder:
            part.mkdir()
            (part / "new").touch()
        else:
            part.write_bytes(b"new")
    assert names(tmp_path) == ["model.keras"]
    assert names(path) == ["new"] if folder else path.read_bytes() == b"new"


def test_the_files_of_a_folder_come_together_and_others_stay(tmp_path):
    for name in ("kept.txt", "a.txt", "page-7.html"):
        (tmp_path / name).write_text("old", encoding="utf-8")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "old").touch()
    with files.whole_folder(tmp_path, old=lambda name: name.startswith("page")) as part:
        (part / "a.txt").write_text("new", encoding="utf-8")
        (part / "saved").mkdir()
        assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old"
        assert (tmp_path / "page-7.html").exists()
    assert names(tmp_path) == ["a.txt", "kept.txt", "saved"]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "new"
    assert not names(tmp_path / "saved")


def test_a_folder_that_fails_is_as_it_was_or_not_there(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    for folder in (there, tmp_path / "new" / "er"):
        with pytest.raises(KeyboardInterrupt), files.whole_folder(folder) as part:
            (part / "half").touch()
            raise KeyboardInterrupt
        with pytest.raises(FileNotFoundError), files.whole_folder(folder, ["b"]) as part:
            (part / "a").touch()
    assert not names(there) and not (tmp_path / "new" / "er").exists()


# ---- one at a time ----------------------------------------------------------------------------


def test_threads_take_turns(tmp_path):
    inside, most = [], []

    def work():
        with files.one_at_a_time(tmp_path / "new" / "file"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_waiting_has_an_end_where_one_is_asked_for(tmp_path):
    with (
        FileLock(tmp_path / ".file.lock"),
        pytest.raises(Timeout),
        files.one_at_a_time(tmp_path / "file", timeout=0.1),
    ):
        pass


@pytest.mark.parametrize("error", [OSError(30, "Read-only file system"), NotImplementedError()])
def test_where_no_lock_can_be_had_work_goes_on(tmp_path, monkeypatch, error):
    def refuse(self, **options):
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with files.one_at_a_time(tmp_path / "file"):
        reached = True
    assert reached


# ---- caches -----------------------------------------------------------------------------------


def cached(path, made):
    def make():
        made.append(1)
        return np.arange(3)

    def read(path):
        array = np.load(path)
        return array if array.shape == (3,) else None

    return files.cached(path, make, read=read, write=np.save, what="numbers")


def test_made_once_and_anew_when_damaged_or_of_another_shape(tmp_path):
    path, made = tmp_path / "deep" / "n.npy", []
    for _ in range(2):
        assert cached(path, made).tolist() == [0, 1, 2]
    assert len(made) == 1
    for number, content in enumerate([b"", path.read_bytes()[:-1], b"no array"], start=2):
        path.write_bytes(content)
        assert cached(path, made).tolist() == [0, 1, 2] and len(made) == number
    np.save(path, np.zeros(4))
    assert cached(path, made).tolist() == [0, 1, 2] and len(made) == 5


def test_a_cache_that_is_there_needs_no_lock(tmp_path, monkeypatch):
    cached(tmp_path / "n.npy", made := [])
    monkeypatch.setattr(files, "one_at_a_time", None)
    cached(tmp_path / "n.npy", made)
    assert len(made) == 1


def test_a_folder_that_cannot_be_written_costs_the_cache_not_the_content(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"numbers cannot be cached in .*file"):
        assert cached(tmp_path / "file" / "n.npy", []).tolist() == [0, 1, 2]


def test_an_error_while_making_is_not_hidden(tmp_path):
    def make():
        raise ValueError("bad data")

    with pytest.raises(ValueError, match="bad data"):
        files.cached(tmp_path / "n", make, read=np.load, write=np.save, what="numbers")
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_waiters_read_what_the_first_one_made(tmp_path):
    made = []
    threads = [threading.Thread(target=cached, args=(tmp_path / "n.npy", made)) for _ in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(made) == 1


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # the example of FIPS 180-4
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(tmp_path / "a") == digest


# ---- whole numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_every_kind_of_integer_is_taken(value):
    number = check_integer("k", value, least=3, most=3)
    assert number == 3 and type(number) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float32(3), "3", None, [3], np.ones(2)])
def test_what_is_no_integer_is_refused_with_its_value(value):
    with pytest.raises(ValueError, match=re.escape(f"k must be a positive integer, got {value!r}")):
        check_positive("k", value)


@pytest.mark.parametrize(
    ("value", "least", "most", "words"),
    [
        (0, 1, None, "k must be a positive integer, got 0"),
        (-1, 0, None, "k must be an integer from 0, got -1"),
        (1, 2, 9, "k must be an integer from 2 to 9, got 1"),
        (10, 2, 9, "k must be an integer from 2 to 9, got 10"),
        (False, 0, None, "k must be an integer from 0, got False"),
    ],
)
def test_the_range_is_named(value, least, most, words):
    with pytest.raises(ValueError, match=words):
        check_integer("k", value, least, most)
