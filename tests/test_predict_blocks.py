"""mmkeras predict on tables of any size: blocks that are kept, shards, Dask, Parquet, features."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from command_line import call, orders, read, write

from mmkeras.table import answers, blocks, engines

pytestmark = pytest.mark.usefixtures("own_cache")
ROWS = 70


def assert_same(answers, expected):
    """Batches of other sizes are added up in another order: the last of six decimals may differ."""
    found, wanted = (
        {name: table.pop(name) for name in [*table] if name.startswith("probability")}
        for table in (answers, expected.copy())
    )
    for name, values in wanted.items():
        pd.testing.assert_series_equal(
            pd.to_numeric(found[name]), pd.to_numeric(values), rtol=0, atol=2e-6
        )
    pd.testing.assert_frame_equal(answers, expected.drop(columns=[*wanted]))


@pytest.fixture(scope="module")
def table(two_seeds, tmp_path_factory):
    """A table with a gap and a cell that is no number, and its answers in one block."""
    folder = tmp_path_factory.mktemp("big")
    rows = [record[:3] for record in orders(ROWS)]
    rows[5][1], rows[9][2], rows[64][1] = "", "bowl", "warm"
    data, out = write(folder / "big.csv", rows), folder / "whole.csv"
    status, said, err = call("predict", two_seeds.run, data, "--out", out, "--skip-bad-rows")
    assert status == 0, err
    return data, read(out)


def test_blocks_give_what_one_block_gives(two_seeds, table, tmp_path):
    data, whole = table
    out = tmp_path / "out.csv"
    options = ("--out", out, "--skip-bad-rows", "--block-rows", "16")
    status, said, err = call("predict", two_seeds.run, data, *options)
    assert status == 0, err
    assert_same(read(out), whole)
    assert "69 rows answered, 1 with problems left empty" in said
    assert "rows 2 to 17: column 'cup'" in err and "'bowl' (1)" in err
    assert not blocks.Job(out).folder.exists()


def test_a_problem_is_told_when_it_is_met_and_an_error_in_the_end(two_seeds, table, tmp_path):
    out = tmp_path / "out.csv"
    status, said, err = call("predict", two_seeds.run, table[0], "--out", out, "--block-rows", "16")
    assert status == 1 and not out.exists()
    assert "Row 65, column 'degrees': " in err and "blocks are kept" in err
    options = ("--resume", "--skip-bad-rows", "--block-rows", "16")
    status, said, err = call("predict", two_seeds.run, table[0], "--out", out, *options)
    assert status == 0 and "5 blocks are done already" in said
    assert_same(read(out), table[1])


def test_a_killed_job_goes_on_where_it_was(two_seeds, table, tmp_path, monkeypatch):
    data, whole = table
    out, done = tmp_path / "out.csv", []
    true = engines.answer_block

    def dies(work, records):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(records[1][0])
        return true(work, records)

    options = ("--out", out, "--skip-bad-rows", "--block-rows", "16")
    monkeypatch.setattr(engines, "answer_block", dies)
    status, said, err = call("predict", two_seeds.run, data, *options)
    assert status == 130 and "2 blocks are kept" in err and "--resume" in err and not out.exists()
    status, said, err = call("predict", two_seeds.run, data, *options)
    assert status == 1 and "add --resume, or --force" in err

    seen = []
    monkeypatch.setattr(engines, "answer_block", lambda w, r: seen.append(r[1][0]) or true(w, r))
    status, said, err = call("predict", two_seeds.run, data, *options, "--resume")
    assert status == 0, err
    assert done == [2, 18] and seen == [34, 50, 66]
    assert_same(read(out), whole)
    status, said, err = call("predict", two_seeds.run, data, *options, "--resume")
    assert status == 1 and "nothing to resume" in err


def test_a_job_does_not_go_on_with_something_else(two_seeds, table, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    options = ("predict", two_seeds.run, table[0], "--out", out)
    assert call(*options, "--block-rows", "16")[0] == 1  # row 65
    status, said, err = call(*options, "--block-rows", "8", "--resume")
    assert status == 1 and "--block-rows was 16 and is now 8" in err
    other = write(tmp_path / "other.csv", [record[:3] for record in orders(40)])
    job = ("predict", two_seeds.run, other, "--out", out, "--block-rows", "16", "--resume")
    status, said, err = call(*job)
    assert status == 1 and "the table was" in err


def test_shards_are_disjoint_and_complete(two_seeds, table, tmp_path):
    data, whole = table
    parts = []
    for i in (1, 2, 3):
        out = tmp_path / f"{i}.csv"
        shard = ("--shard", f"{i}/3", "--out", out, "--skip-bad-rows")
        assert call("predict", two_seeds.run, data, *shard)[0] == 0
        parts.append(read(out))
    assert [len(part) for part in parts] == [23, 23, 24]
    assert_same(pd.concat(parts, ignore_index=True), whole)
    for wrong in ("0/3", "4/3", "2", "a/b"):
        assert call("predict", two_seeds.run, data, "--shard", wrong)[0] == 2


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
def test_every_record_is_in_one_part(n):
    ends = [blocks.part(ROWS, (i, n)) for i in range(1, n + 1)]
    assert ends[0][0] == 0 and ends[-1][1] == ROWS
    assert all(a[1] == b[0] for a, b in zip(ends, ends[1:], strict=False))


def test_parquet_in_and_out_gives_the_same(two_seeds, table, tmp_path):
    data, whole = table
    given = pd.read_csv(data)
    given["degrees"] = pd.to_numeric(given["degrees"], errors="coerce")  # "warm" becomes a gap
    given.to_parquet(tmp_path / "big.parquet")
    status, said, err = call("predict", two_seeds.run, tmp_path / "big.parquet", "--block-rows", 16)
    assert status == 0, err
    found = pd.read_parquet(tmp_path / "big.predicted.parquet")
    assert found["order"].dtype == np.int64 and len(found) == ROWS
    good = whole["prediction"] != ""
    assert (found["prediction"][good] == whole["prediction"][good]).all()
    numbers = [c for c in found if c.startswith("probability_")]
    want = whole.loc[good, numbers].astype(float)
    np.testing.assert_allclose(found.loc[good, numbers], want, atol=1e-5)
    (tmp_path / "no.parquet").write_bytes(b"PAR1 and then nothing")
    status, said, err = call("predict", two_seeds.run, tmp_path / "no.parquet")
    assert status == 1 and "cannot be read as a Parquet file" in err


def test_a_text_column_of_parquet_has_the_mark_of_the_whole_table(tmp_path):
    cells = {"a": ["1,5", "2,5", "1,234"], "b": [1.5, 2.5, 1.234]}  # the last alone tells nothing
    pd.DataFrame(cells).to_parquet(tmp_path / "t.parquet")
    learned = {name: {"decimal": "", "sign": ""} for name in cells}
    settings = {"table": {"numbers": {"numbers": learned, "categories": {}}}}
    source = blocks.Source(tmp_path / "t.parquet", "utf-8", ";")
    found = blocks.known(source, settings, optional=False).table["numbers"]["numbers"]
    assert {name: of["decimal"] for name, of in found.items()} == {"a": ",", "b": "."}


def test_features_are_what_the_answer_is_computed_from(two_seeds, table, tmp_path):
    import keras

    out = tmp_path / "out.csv"
    vectors = tmp_path / "vectors.npy"
    options = ("--out", out, "--skip-bad-rows", "--block-rows", "16", "--features", vectors)
    status, said, err = call("predict", two_seeds.run, table[0], *options)
    if status == 1:
        assert "leave out --features" in err
        pytest.skip("this run mixes the answers of its modalities")
    assert status == 0, err
    found = np.load(vectors)
    assert len(found) == ROWS and np.isnan(found[63]).all() and not np.isnan(found[62]).any()
    model = keras.saving.load_model(two_seeds.run / "model.keras")
    last = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][-1]
    logit = found @ last.kernel.numpy() + last.bias.numpy()
    said = table[1].filter(like="probability_").iloc[:, -1]
    good = said != ""
    p = 1 / (1 + np.exp(-logit[:, -1])) if logit.shape[1] == 1 else None
    if p is not None:
        np.testing.assert_allclose(p[good], said[good].astype(float), atol=1e-5)


def test_wrong_usage_is_named(two_seeds, table, tmp_path):
    run, data = two_seeds.run, table[0]
    assert call("predict", run, data, "--workers", "2")[0] == 2
    status, said, err = call("predict", run, data, "--features", tmp_path / "v.txt")
    assert status == 1 and ".npy or .parquet" in err
    taken = write(
        tmp_path / "t.csv", [["order", "degrees", "cup", "prediction"], ["1", "70", "", ""]]
    )
    status, said, err = call("predict", run, taken)
    assert status == 1 and "already has a column 'prediction'" in err


def test_answers_are_kept_as_they_were(tmp_path):
    problems = answers.Problems()
    problems.add(3, "cup", "x", "is odd")
    kept = answers.Answers(np.array([2, 4]), np.eye(2), problems.frame(), np.ones((2, 3)), ["hm"])
    with open(tmp_path / "a.npz", "wb") as file:
        kept.write(file)
    found = answers.Answers.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.p, kept.p)
    np.testing.assert_array_equal(found.vectors, kept.vectors)
    assert found.rows.tolist() == [2, 4] and list(found.told) == ["hm"]
    assert found.problems.iloc[0].tolist() == [3, "cup", "x", "is odd"]


@pytest.mark.slow
def test_dask_gives_the_same_and_a_killed_worker_loses_nothing(two_seeds, table, tmp_path):
    data, whole = table
    out = tmp_path / "out.csv"
    command = [sys.executable, "-m", "mmkeras", "predict", str(two_seeds.run), str(data), "--out",
               str(out), "--skip-bad-rows", "--block-rows", "8", "--engine", "dask",
               "--workers", "2"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    job, killed = blocks.Job(out), False
    while process.poll() is None and not killed:
        time.sleep(0.05)
        if job.folder.exists() and job.done():
            workers = _workers(process.pid)
            if workers:
                os.kill(workers[0], signal.SIGKILL)
                killed = True
    said, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert killed, "the job was over before a worker could be killed"
    assert_same(read(out), whole)


def _workers(parent):
    """Process ids of the Dask workers: spawned children that are no resource tracker."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
            line = Path("/proc", entry, "cmdline").read_text()
        except OSError:
            continue
        if int(stat[1]) == parent and "spawn_main" in line:
            found.append(int(entry))
    return found


@pytest.mark.slow
def test_a_killed_process_leaves_blocks_and_no_output(two_seeds, table, tmp_path):
    data, whole = table
    out = tmp_path / "out.csv"
    command = [sys.executable, "-m", "mmkeras", "predict", str(two_seeds.run), str(data), "--out",
               str(out), "--skip-bad-rows", "--block-rows", "4"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    job = blocks.Job(out)
    while process.poll() is None and not (job.folder.exists() and len(job.done()) > 2):
        time.sleep(0.01)
    process.kill()
    process.wait()
    if out.exists():
        pytest.skip("the job was over before it could be killed")
    assert json.loads((job.folder / blocks.JOB).read_text("utf-8"))["--block-rows"] == 4
    assert call(*command[3:], "--resume")[0] == 0
    assert_same(read(out), whole)


# ------------------------------------------------------------------------------ a cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Dask scheduler and two workers on 127.0.0.1: address and process of the scheduler."""
    folder = tmp_path_factory.mktemp("cluster")
    here = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    worker = ["worker", "--nthreads", "1", "--no-nanny", "--local-directory", folder]
    running = []
    with open(folder / "said.txt", "wb") as said:
        for command in (["scheduler", "--port", "0"], worker, worker):
            file = ["--scheduler-file", folder / "scheduler.json"]
            words = [sys.executable, "-m", "dask", *command, *here, *file]
            running.append(subprocess.Popen([*map(str, words)], stdout=said, stderr=said))
            until = time.monotonic() + 60
            while not (folder / "scheduler.json").exists():
                assert time.monotonic() < until, (folder / "said.txt").read_text()
                time.sleep(0.05)
    address = json.loads((folder / "scheduler.json").read_text())["address"]
    yield SimpleNamespace(address=address, scheduler=running[0])
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_cluster_that_is_there_answers_and_may_die(
    two_seeds, table, tmp_path, cluster, monkeypatch
):
    out = tmp_path / "out.csv"
    options = ("predict", two_seeds.run, table[0], "--out", out, "--skip-bad-rows",
               "--block-rows", "8", "--engine", "dask")  # fmt: skip
    status, said, err = call(*options, "--scheduler", cluster.address)
    assert status == 0, err
    assert_same(read(out), table[1])

    true = blocks.Job.write

    def write_and_kill(job, number, answers):
        true(job, number, answers)
        if len(job.done()) == 3:
            cluster.scheduler.kill()

    monkeypatch.setattr(blocks.Job, "write", write_and_kill)
    status, said, err = call(*options, "--scheduler", cluster.address, "--force")
    assert status == 1 and "scheduler is gone" in err and "Traceback" not in err, err
    assert "blocks are kept in" in err and "--resume goes on" in err
    monkeypatch.undo()
    kept = len(blocks.Job(out).done())
    assert 3 <= kept < 9
    status, said, err = call(*options[:-2], "--resume", "--force")
    assert status == 0 and f"{kept} blocks are done already" in said, err
    assert_same(read(out), table[1])


def test_no_scheduler_is_an_error_that_names_the_address(two_seeds, table, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "WAIT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
    out = tmp_path / "out.csv"
    options = ("predict", two_seeds.run, table[0], "--out", out, "--engine", "dask")
    for wrong in (address, "nonsense://"):
        status, said, err = call(*options, "--scheduler", wrong)
        assert status == 1 and f"no Dask scheduler answers at {wrong!r}" in err, err
        assert not out.exists() and not blocks.Job(out).folder.exists()
    for more in (["--workers", "2", "--scheduler", address], ["--scheduler"]):
        assert call(*options, *more)[0] == 2
