"""A locked run: opened by its key alone, every change noticed, and never lost on the way."""

import io
import json
import os
import shutil
import stat

import pytest
from command_line import call, contents

from mmkeras.table import run as runs
from mmkeras.table import train
from mmkeras.table.command import RunError
from mmkeras.table.privacy import lock, sealed

KEY = bytes.fromhex("0f" * 32)
MARK = b"Umbrella, and still wet shoes. " * 9


@pytest.fixture
def key(tmp_path):
    return key_file(tmp_path / "key", KEY.hex())


@pytest.fixture
def run(tmp_path):
    """What `mmkeras train` leaves, as far as files go."""
    folder = tmp_path / "set" / "run"
    kept = folder / "training" / "seed-0"
    kept.mkdir(parents=True)
    settings = {name: {} for name in runs.NEEDED} | {"format": runs.FORMAT}
    (folder / "settings.json").write_text(json.dumps(settings), "utf-8")
    (folder / "model.keras").write_bytes(os.urandom(2 * sealed.PIECE + 5))
    (folder / "metrics.json").write_bytes(b"")
    (folder / "report of é.html").write_bytes(MARK)
    (kept / "state.npz").write_bytes(MARK)
    return folder


def key_file(path, text, mode=0o600):
    path.write_text(text + "\n", "ascii")
    path.chmod(mode)
    return path


def test_there_and_back(run, key):
    before = contents(run)
    status, out, err = call("data", "lock", run, "--key-file", key)
    file = run.with_name("run.locked")
    assert (status, err) == (0, "") and not run.exists() and str(file) in out
    sealed_bytes = file.read_bytes()
    assert not any(word in sealed_bytes for word in (MARK[:31], b"settings", b"report", b"format"))
    assert os.name != "posix" or stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in run.parent.iterdir()] == ["run.locked"]
    status, out, err = call("data", "unlock", file, "--key-file", key)
    assert (status, err) == (0, "") and contents(run) == before and not file.exists()
    made = [p for p in run.rglob("*")]
    assert os.name != "posix" or not any(p.stat().st_mode & 0o077 for p in (run, *made))


def test_two_locked_copies_have_no_piece_in_common(run, key, tmp_path):
    shutil.copytree(run, tmp_path / "b")
    one, two = (lock.lock(folder, key).read_bytes() for folder in (run, tmp_path / "b"))
    begin = len(sealed.MAGIC)
    assert one[:begin] == two[:begin] and len(one) == len(two)
    equal = sum(a == b for a, b in zip(one[begin:], two[begin:], strict=True))
    assert equal < 2 * len(one) / 256


def opened(data):
    reader = sealed.Reader(io.BytesIO(data), KEY, "x.locked")
    found = b""
    while some := reader.read(10_000):
        found += some
    return found


def stream(content):
    file = io.BytesIO()
    writer = sealed.Writer(file, KEY)
    for i in range(0, len(content), 70_000):
        writer.write(content[i : i + 70_000])
    writer.end()
    return file.getvalue()


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_every_length_comes_back(size):
    content = os.urandom(size)
    assert opened(stream(content)) == content


def test_the_pieces_are_those_of_a_plain_aes_256_gcm():
    """Read by hand: the key of the file, the nonces, what is authenticated."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    content = os.urandom(2**20 + 9)
    data = stream(content)
    m = len(b"mmkeras locked run 1\n")
    wrap, wrapped, prefix = data[m : m + 12], data[m + 12 : m + 60], data[m + 60 : m + 67]
    own = AESGCM(KEY).decrypt(wrap, wrapped, data[:m])
    head, body = data[: m + 67], data[m + 67 :]
    first = AESGCM(own).decrypt(prefix + b"\0\0\0\0\0", body[: 2**20 + 16], head)
    last = AESGCM(own).decrypt(prefix + b"\0\0\0\1\1", body[2**20 + 16 :], head)
    assert first + last == content


def test_every_flipped_bit_is_noticed():
    data = stream(b"some words of somebody")
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(RunError, match="changed|another key|no locked run"):
            opened(bytes(changed))


P = sealed.PIECE + sealed.TAG


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head, body: head + body[P:],  # without the first
        lambda head, body: head + body[P : 2 * P] + body[:P] + body[2 * P :],  # two swapped
        lambda head, body: head + body[: 2 * P],  # cut between pieces
        lambda head, body: head + body[:-1],  # cut within one
        lambda head, body: head + body[:P] + body[P : 2 * P] + body[P:],  # one twice
        lambda head, body: head,
        lambda head, body: head + body + b"\0",
        lambda head, body: stream(bytes(3 * 2**20))[: sealed.HEAD] + body,  # of another file
        lambda head, body: head + stream(bytes(3 * 2**20))[sealed.HEAD :][:P] + body[P:],
    ],
)
def test_pieces_that_are_cut_swapped_repeated_or_of_another_file_are_noticed(spoil):
    data = stream(bytes(2 * 2**20 + 99))
    with pytest.raises(RunError, match="was changed or cut short"):
        opened(spoil(data[: sealed.HEAD], data[sealed.HEAD :]))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:-1], "changed or cut short at or after byte 2,"),
        (lambda data: data[:90], "changed or cut short at or after byte 88"),
        (lambda data: data[:40], "is no locked run"),
        (lambda data: b"PK\3\4" + data, "is no locked run"),
    ],
)
def test_a_damaged_file_stays_and_nothing_of_it_is_written(run, key, spoil, says):
    file = lock.lock(run, key)
    file.write_bytes(spoil(file.read_bytes()))
    before = contents(run.parent)
    status, out, err = call("data", "unlock", file, "--key-file", key)
    assert (status, out) == (1, "") and says in err and "Traceback" not in err
    assert contents(run.parent) == before and not run.exists()


# ---- keys -----------------------------------------------------------------------------------


def test_another_key_opens_nothing(run, key, tmp_path):
    file = lock.lock(run, key)
    other = key_file(tmp_path / "other", "e0" * 32)
    status, _, err = call("data", "unlock", file, "--key-file", other)
    assert status == 1 and "locked with another key" in err and file.exists() and not run.exists()


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        pytest.param("0f" * 32, 0o640, "others on this machine may read the key file",
                     marks=pytest.mark.skipif(os.name != "posix", reason="no such modes")),
        ("correct horse battery staple", 0o600, "must hold 64 hexadecimal digits, not a password"),
        ("0f" * 31, 0o600, "must hold 64 hexadecimal digits"),
        ("", 0o600, "openssl rand -hex 32"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused_before_anything_happens(run, tmp_path, text, mode, says):
    before = contents(run)
    bad = key_file(tmp_path / "bad", text, mode)
    status, _, err = call("data", "lock", run, "--key-file", bad)
    assert status == 1 and says in err and contents(run) == before
    assert "0f0f" not in err
    assert "there is no key file" in call("data", "lock", run, "--key-file", tmp_path / "no")[2]


def test_a_key_is_not_locked_in_with_what_it_opens(run):
    inside = key_file(run / "key", "0f" * 32)
    status, _, err = call("data", "lock", run, "--key-file", inside)
    assert status == 1 and "would be locked in with it" in err and inside.exists()


def test_without_the_package_it_says_what_to_install(run, key, monkeypatch):
    monkeypatch.setattr(sealed.importlib.util, "find_spec", lambda name: None)
    status, _, err = call("data", "lock", run, "--key-file", key)
    assert status == 1 and "pip install 'mmkeras[privacy]'" in err and run.exists()


# ---- never neither --------------------------------------------------------------------------


class Killed(BaseException):
    """What no command catches: to the files it is what SIGKILL is."""


def killed(*_, **__):
    raise Killed


STEPS = ("os.fsync", "tarfile.open", "mmkeras.files.os.replace",
         "mmkeras.table.privacy.lock._entries", "shutil.rmtree",
         "pathlib.Path.unlink", "mmkeras.table.privacy.lock._sync")  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("way", ["lock", "unlock"])
def test_killed_anywhere_the_folder_or_the_file_is_whole(run, key, monkeypatch, way, step):
    before = contents(run)
    file = lock.lock(run, key) if way == "unlock" else run.with_name("run.locked")
    with monkeypatch.context() as patch:
        patch.setattr(step, killed)
        try:
            lock.lock(run, key) if way == "lock" else lock.unlock(file, key)
        except Killed:
            stopped = True
        else:
            stopped = False
    assert stopped or (way, step) == ("unlock", "shutil.rmtree"), "the step was not reached"
    if file.exists():  # then it is whole
        shutil.rmtree(run, ignore_errors=True)
        lock.unlock(file, key)
    assert contents(run) == before


def test_a_full_disk_changes_nothing(run, key, monkeypatch):
    before = contents(run.parent)

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealed.Writer, "write", full)
    status, _, err = call("data", "lock", run, "--key-file", key)
    assert status == 1 and "No space left on device" in err
    assert contents(run.parent) == before


def test_nothing_is_written_over(run, key, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    file = lock.lock(run, key)
    shutil.move(copy, run)
    before = contents(run.parent)
    for command, path in (("lock", run), ("unlock", file)):
        status, _, err = call("data", command, path, "--key-file", key)
        assert status == 1 and "exists" in err and contents(run.parent) == before


def test_a_run_that_is_written_right_now_is_left_alone(run, key):
    with runs.held(run):
        status, _, err = call("data", "lock", run, "--key-file", key)
        assert status == 1 and "another mmkeras is writing into" in err
        assert run.exists() and not run.with_name("run.locked").exists()


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_links_are_not_followed(run, key, tmp_path):
    (run / "link").symlink_to(tmp_path)
    with pytest.raises(RunError, match="neither a file nor a folder"):
        lock.lock(run, key)
    assert run.exists()


def test_what_is_no_run_is_not_locked(tmp_path, key):
    (tmp_path / "photos").mkdir()
    status, _, err = call("data", "lock", tmp_path / "photos", "--key-file", key)
    assert status == 1 and "is not a run of mmkeras train" in err
    status, _, err = call("data", "unlock", tmp_path / "photos", "--key-file", key)
    assert status == 1 and "there is no locked run" in err


# ---- the other commands ---------------------------------------------------------------------


@pytest.mark.parametrize("named", ["run", "run.locked"])
@pytest.mark.parametrize("command", ["predict", "evaluate", "explain", "export", "serve"])
def test_every_command_says_how_to_open_a_locked_run(run, key, tmp_path, command, named):
    lock.lock(run, key)
    (tmp_path / "new.csv").write_text("a\n1\n", "utf-8")
    more = [] if command in ("export", "serve") else [tmp_path / "new.csv"]
    status, _, err = call(command, run.with_name(named), *more)
    assert status == 1 and f"mmkeras data unlock {run}.locked --key-file KEYFILE" in err


def test_the_current_folder_can_be_named_by_a_dot(run, key, monkeypatch):
    monkeypatch.chdir(run)
    assert runs.locked(runs.Path(".")) == run.with_name("run.locked")
    with pytest.raises(RunError, match="lacks the key"):
        runs.read_settings(runs.Path("."), ("nothing of the kind",))


def test_a_training_ends_locked(run, key, tmp_path, monkeypatch):
    (tmp_path / "data.csv").write_text("a,label\n1,x\n", "utf-8")
    out = tmp_path / "new"
    line = ["train", tmp_path / "data.csv", "--out", out, "--encrypt-with", key]
    monkeypatch.setattr(train, "train", lambda o: shutil.copytree(run, out, dirs_exist_ok=True))
    status, said, err = call(*line)
    assert (status, err) == (0, "") and not out.exists()
    assert f"mmkeras data unlock {out}.locked --key-file {key}" in said
    assert contents(lock.unlock(runs.locked(out), key)) == contents(run)

    trained = []
    monkeypatch.setattr(train, "train", trained.append)
    key_file(key, "a password")
    status, _, err = call(*line, "--force")
    assert status == 1 and "64 hexadecimal digits" in err and not trained


def test_a_training_does_not_go_beside_a_locked_run(run, key, tmp_path, monkeypatch):
    lock.lock(run, key)
    (tmp_path / "data.csv").write_text("a,label\n1,x\n", "utf-8")
    monkeypatch.setattr(train, "train", None)
    status, _, err = call("train", tmp_path / "data.csv", "--out", run, "--force")
    assert status == 1 and "holds a run of this name; unlock or delete it" in err
