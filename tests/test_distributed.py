"""Training on several devices and by several workers, against one process on the same batches."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf
from command_line import call, contents, orders, write

import mmkeras as mm
from mmkeras.table import cluster, run, weather
from mmkeras.training import distributed, loopback
from mmkeras.training.distributed import Share

LIMIT = 400  # seconds until a process that should have ended is given up
unreachable = pytest.mark.skipif(
    bool(sys.platform != "linux" or loopback.allowed()),
    reason="the workers would listen on every address: no network of their own is allowed here",
)


# ------------------------------------------------------------------------------ shares


@pytest.mark.parametrize("of, count", [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4)])
@pytest.mark.parametrize("rows", [1, 5, 64])
def test_every_row_of_a_batch_is_in_one_piece(of, count, rows):
    batch = np.arange(rows)
    shares = [Share(first, count, of) for first in range(0, of, count)]
    pieces = [piece for share in shares for piece in share.pieces(batch)]
    assert len(pieces) == of
    np.testing.assert_array_equal(np.concatenate(pieces), batch)
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_divided_batches_are_the_pieces_of_each_process():
    data = tf.data.Dataset.from_tensor_slices(({"a": np.arange(14)}, np.arange(14.0))).batch(5)
    for first in (0, 2):
        share = Share(first, 2, 4)
        pieces = distributed.divided(data, share)
        want = [p for s in (0, 5, 10) for p in share.pieces(np.arange(s, min(s + 5, 14)))]
        found = list(pieces.as_numpy_iterator())
        assert int(pieces.cardinality()) == len(found) == 6
        for (x, y), piece in zip(found, want, strict=True):
            np.testing.assert_array_equal(x["a"], piece)
            np.testing.assert_array_equal(y, piece)
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer rows than the 5 devices"):
        list(distributed.divided(data, Share(0, 1, 5)))


def test_a_table_is_divided_without_loss_or_doubling(tmp_path):
    csv = write(tmp_path / "data.csv", orders(37))
    table = mm.load_table(csv, numbers=["degrees"], categories=["cup"], label="label", cache=False)
    order = list(table.dataset("all", 1, shuffle=True, seed=3).unbatch().as_numpy_iterator())
    parts = [
        list(table.dataset("all", 12, True, 3, share=Share(i, 1, 3)).as_numpy_iterator())
        for i in range(3)
    ]
    assert [len(part) for part in parts] == [3, 3, 3] and len(order) == 37
    read = [piece for step in zip(*parts, strict=True) for piece in step]
    np.testing.assert_array_equal(np.concatenate([y for _, y in read]), [y for _, y in order])
    for name in order[0][0]:
        found = np.concatenate([x[name] for x, _ in read])
        np.testing.assert_array_equal(found, [x[name] for x, _ in order])
    assert [len(y) for _, y in parts[0]] == [4, 4, 5], "the last row is not alone in a batch"
    with pytest.raises(ValueError, match="each of the 3 devices needs a row .* but there are 2"):
        table.dataset("all", 2, share=Share(0, 1, 3))


def test_without_a_strategy_nothing_is_divided():
    data = tf.data.Dataset.range(3)
    assert distributed.share(None) == Share(0, 1, 1) and distributed.fed(None, data) is data
    assert distributed.number(None) == 0
    assert distributed.of(keras.Sequential([keras.layers.Dense(1)])) is None


# ------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    "options, why",
    [
        (["--devices", "2"], "must be all, or cpu:2"),
        (["--cluster", "local:1"], "at least 2 workers"),
        (["--cluster", "local:2", "--worker", "0"], "leave out --worker"),
        (["--cluster", "none.json"], "local:N, or a file with the addresses"),
        (["--worker", "0"], "add --cluster"),
        (["--cluster", "local:2", "--devices", "all"], "leave out --devices"),
        (["--cluster", "local:2", "--time-limit", "1m"], "needs one clock"),
        (["--cluster", "local:2", "--encoders", "pretrained"], "trained from scratch"),
        (["--devices", "all", "--fine-tune"], "leave one of them out"),
        (["--cluster", "far.json"], "--worker says which of the 2"),
        (["--cluster", "far.json", "--worker", "2"], "has the workers 0 to 1"),
        (["--cluster", "bad.json"], "local:N, or a file with the addresses"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, monkeypatch, options, why):
    monkeypatch.chdir(tmp_path)
    Path("far.json").write_text('{"worker": ["a:1", "b:1"]}', "utf-8")
    Path("bad.json").write_text('{"worker": ["a:1", "b"]}', "utf-8")
    csv = write("data.csv", orders())
    status, _, err = call("train", csv, *options)
    assert status == 2 and why in err, err
    assert not Path("run").exists()


def test_tf_config_makes_a_worker_or_is_refused(tmp_path, monkeypatch):
    csv = write(tmp_path / "data.csv", orders())
    several = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(several))
    for more, why in (
        (["--cluster", "local:2"], "leave out --cluster"),
        (["--encoders", "pretrained"], "TF_CONFIG with several workers is for networks"),
    ):
        status, _, err = call("train", csv, *more)
        assert status == 2 and why in err, err
    monkeypatch.setenv("TF_CONFIG", "{}")
    status, _, err = call("train", csv)
    assert status == 2 and "TF_CONFIG must be such as" in err, err

    class Options:
        cluster = worker = devices = time_limit = None
        network: list[str] = []

    with_chief = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": several["task"]}
    with_chief["task"] = {"type": "worker", "index": 0}
    for config, want in ((several, (("a:1", "b:1"), 1)), (with_chief, (("a:1", "b:1"), 1))):
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        task = cluster.task_of(Options(), pytest.fail)
        assert (task.addresses, task.index) == want
    lonely = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(lonely))
    assert cluster.task_of(Options(), pytest.fail) is None


def test_addresses_and_versions_are_checked_before_anything_waits(monkeypatch):
    for addresses, index, why in (
        (["a:1", "b"], 0, "must be host:port"),
        (["a:1", "a:1"], 0, "an address of its own"),
        (["a:1", "b:1"], 2, "from 0 to 1, got 2"),
    ):
        with pytest.raises(ValueError, match=why):
            distributed.worker(addresses, index)
    with pytest.raises(ValueError, match="'all' or such as 'cpu:2'"):
        distributed.devices("gpu")
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    with pytest.raises(RuntimeError, match="this is Keras 3.99.0"):
        distributed.worker(["a:1", "b:1"], 0)


def test_the_mend_is_for_the_keras_that_is_here():
    """If this fails, Keras is another: run the slow tests here with its version in MENDED."""
    assert keras.__version__ in distributed.MENDED


# ------------------------------------------------------------------------------ the proof


def in_one_network(commands, folder):
    """Processes that reach each other at 127.0.0.1, and that nobody else reaches."""
    running = []
    for i, command in enumerate(commands):
        into = loopback.beside(running[0].pid) if running else loopback.alone
        with open(folder / f"said-{i}.txt", "wb") as said:
            running.append(subprocess.Popen([sys.executable, *map(str, command)], stdout=said,
                                            stderr=said, preexec_fn=into, env=ENV))  # fmt: skip
    return running


ENV = {**os.environ, "PYTHONPATH": str(Path(mm.__file__).parent.parent), "OMP_NUM_THREADS": "1",
       "TF_NUM_INTRAOP_THREADS": "1"}  # fmt: skip
SCRIPT = Path(replicas.__file__)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """What one process, two logical CPUs and two workers have learned from the same batches."""
    folder = tmp_path_factory.mktemp("replicas")
    csv = weather.write(folder / "set", rows=replicas.WRITTEN)
    table = replicas.load(csv)
    assert len(table) == replicas.ROWS and replicas.ROWS % replicas.BATCH == 3
    found = {"one": {f"run/{name}": v for name, v in replicas.run(table, None).items()}}
    addresses = "127.0.0.1:2222,127.0.0.1:2223"
    jobs = [["worker", csv, folder / f"worker-{i}", addresses, i] for i in (0, 1)]
    running = in_one_network([[SCRIPT, *job] for job in jobs], folder)
    try:
        ended = [process.wait(LIMIT) for process in running]
    finally:
        for process in running:
            process.kill()
    assert ended == [0, 0], "".join((folder / f"said-{i}.txt").read_text() for i in (0, 1))
    subprocess.run([sys.executable, SCRIPT, "devices", csv, folder / "devices"],
                   env=ENV, check=True, timeout=LIMIT)  # fmt: skip
    for name in ("devices", "worker-0", "worker-1"):
        with np.load(folder / f"{name}.npz") as values:
            found[name] = dict(values)
        found[name]["told"] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return found


def gap(one, other):
    return np.abs(one - other).max() / np.abs(one).max()


@pytest.mark.slow
@unreachable
@pytest.mark.parametrize("kind", ["devices", "worker-0"])
def test_several_learn_what_one_process_learns(learned, kind):
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        np.testing.assert_allclose(
            learned[kind][f"run/{name}"], learned["one"][f"run/{name}"], rtol=1e-4
        )
    weights = [name for name in learned["one"] if name.startswith("run/weight")]
    gaps = {name: gap(learned["one"][name], learned[kind][name]) for name in weights}
    assert len(weights) > 20 and max(gaps.values()) < 1e-4, gaps


@pytest.mark.slow
@unreachable
def test_all_workers_have_the_same_bits(learned):
    names = [name for name in learned["worker-0"] if name != "told" and "own" not in name]
    assert len(names) > 20
    for name in names:
        np.testing.assert_array_equal(learned["worker-0"][name], learned["worker-1"][name])


@pytest.mark.slow
@unreachable
@pytest.mark.parametrize("kind", ["devices", "worker-0"])
def test_batch_normalisation_of_its_own_rows_is_another_model(learned, kind):
    want, found = learned["one"]["run/loss"][:1], learned[kind]["own norm/loss"]
    assert gap(want, found) > 1e-3, (want, found)


@pytest.mark.slow
@unreachable
def test_keras_still_needs_the_mend(learned):
    """If this fails, this Keras can do without `distributed.mend`: delete it."""
    for name in ("worker-0", "worker-1"):
        assert learned[name]["told"]["unmended"], "fit works without the mend"


@pytest.mark.slow
@unreachable
def test_the_chief_sends_and_all_know_who_differs(learned):
    for name in ("worker-0", "worker-1"):
        assert learned[name]["told"]["sent"] == "abc"
        assert learned[name]["told"]["differing"] == [1]


# ------------------------------------------------------------------------------ the command


def train(folder, *more):
    """`mmkeras train` with two workers, in a process of its own."""
    command = [sys.executable, "-m", "mmkeras", "train", folder.parent / "data.csv", "--cluster",
               "local:2", "--epochs", "6", "--batch-size", "6", "--ignore", "order",
               "--out", folder, *more]  # fmt: skip
    with open(f"{folder}.txt", "wb") as said:
        return subprocess.Popen([*map(str, command)], env=ENV, stdout=said, stderr=said,
                                start_new_session=True)  # fmt: skip


def children(pid):
    """The processes that process `pid` has started and that are there."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, parent = status.parent.name, status.read_text().rpartition(")")[2].split()[1]
            found += [int(name)] if int(parent) == pid else []
    return sorted(found)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of two workers, and one whose second worker was killed, and that was started again."""
    folder = tmp_path_factory.mktemp("cluster")
    write(folder / "data.csv", orders(256))
    killed = train(folder / "killed")
    state, until = folder / "killed" / "training" / "seed-0" / "state.npz", time.monotonic() + LIMIT
    while not state.exists():
        assert killed.poll() is None and time.monotonic() < until, Path(f"{folder}/killed.txt")
        time.sleep(0.02)
    workers = children(killed.pid)
    os.kill(workers[1], signal.SIGKILL)
    status = killed.wait(LIMIT)
    left = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    said = (folder / "killed.txt").read_text()
    before = contents(folder / "killed")
    assert train(folder / "killed", "--resume").wait(LIMIT) == 0
    assert train(folder / "whole").wait(LIMIT) == 0, (folder / "whole.txt").read_text()
    return SimpleNamespace(folder=folder, status=status, left=left, said=said, before=before,
                           count=len(workers))  # fmt: skip


@pytest.mark.slow
@unreachable
def test_a_killed_worker_ends_all_and_the_state_is_kept(runs):
    assert runs.count == 2 and runs.status == 1 and not runs.left, runs.said
    assert "worker 1 was ended by SIGKILL, so all 2 workers were ended" in runs.said
    assert "Traceback" not in runs.said
    assert "--resume" in runs.said and "Nothing trained is lost" in runs.said
    assert Path("training/seed-0/state.npz") in runs.before


@pytest.mark.slow
@unreachable
def test_a_run_whose_worker_was_killed_ends_like_one_that_was_not(runs):
    whole, killed = (
        json.loads((runs.folder / name / "metrics.json").read_text("utf-8"))
        for name in ("whole", "killed")
    )
    assert len(whole["training"]["history"]["loss"]) == 6
    for name, values in whole["training"]["history"].items():
        np.testing.assert_allclose(killed["training"]["history"][name], values, rtol=1e-6)
    one, other = (run.load(runs.folder / name)[0].get_weights() for name in ("whole", "killed"))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@unreachable
def test_evaluate_and_predict_use_the_run_of_workers(runs, tmp_path):
    data = runs.folder / "data.csv"
    for command, out in (("evaluate", tmp_path / "tested"), ("predict", tmp_path / "told.csv")):
        status, _, err = call(command, runs.folder / "whole", data, "--out", out)
        assert status == 0 and out.exists(), err
    files = {path.name for path in (runs.folder / "whole").iterdir()}
    assert files - {"training"} == set(run.FILES), "no worker wrote into the run"
