"""The workers of a training: who they are, and one process that starts and ends them all.

Nothing heavy is imported here before it is needed, so that `--help` appears at once.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import run as runs
from .command import RunError, exit_status

PARENT = "MMKERAS_SUPERVISOR"  # in the environment of a worker: the process that started it
PORT = 2222  # of the first worker in a network of their own, where all ports are free
GRACE = 10.0  # seconds in which workers may end by themselves


@dataclass(frozen=True)
class Task:
    """The workers of a training, and which of them this process is.

    Attributes:
        addresses: host:port of each; the first is the chief, which alone writes the run.
        index: the number of this process; None for the one that starts and ends them all.
        alone: whether they get a network of their own, in which nobody else can reach them.
    """

    addresses: tuple[str, ...]
    index: int | None = None
    alone: bool = False


# ------------------------------------------------------------------------------ options


def task_of(options: argparse.Namespace, wrong: Callable[[str], Any]) -> Task | None:
    """What `--cluster`, `--worker` and TF_CONFIG ask for; None for a training of one process.

    Args:
        options: those of `mmkeras train`.
        wrong: called with a message if they do not fit together.
    """
    given = os.environ.get("TF_CONFIG", "")
    task = None
    if options.cluster and given and PARENT not in os.environ:
        wrong("TF_CONFIG in the environment names the workers already: leave out --cluster, or "
              "unset TF_CONFIG")  # fmt: skip
    if given:
        task = _of_environment(given, wrong)
    elif options.cluster:
        task = _of_option(options, wrong)
    elif options.worker is not None:
        wrong("--worker says which worker of a cluster this is: add --cluster cluster.json")
    if task and options.devices:
        wrong("each worker uses all its GPUs: leave out --devices, or --cluster")
    if task and options.time_limit:
        wrong("--time-limit needs one clock, and workers have several: leave it out, and choose "
              "--epochs")  # fmt: skip
    if task and not options.network:
        options.network = ["TF_CONFIG with several workers"]
    return task


def _of_environment(text: str, wrong: Callable[[str], Any]) -> Task | None:
    try:
        told = json.loads(text)
        jobs, task = told["cluster"], told["task"]
        addresses = [*jobs.get("chief", ()), *jobs["worker"]]
        index = int(task["index"]) + (len(jobs.get("chief", ())) if task["type"] == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        wrong('TF_CONFIG must be such as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
              f'"task": {{"type": "worker", "index": 0}}}}; got {text!r}')  # fmt: skip
    return Task(tuple(addresses), index) if len(addresses) > 1 else None


def _of_option(options: argparse.Namespace, wrong: Callable[[str], Any]) -> Task:
    if found := re.fullmatch(r"local:(\d{1,2})", options.cluster):
        if options.worker is not None:
            wrong(f"--cluster {options.cluster} starts all workers: leave out --worker")
        if int(found[1]) < 2:
            wrong(f"a cluster has at least 2 workers, got {options.cluster}")
        return Task(tuple(f"127.0.0.1:{PORT + i}" for i in range(int(found[1]))), alone=True)
    try:
        addresses = json.loads(Path(options.cluster).read_text("utf-8"))["worker"]
        if len(addresses) < 2 or not all(re.fullmatch(r"[^\s:/]+:\d+", a) for a in addresses):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        wrong(f"--cluster must be local:N, or a file with the addresses of two or more workers, "
              f'{{"worker": ["host0:2222", "host1:2222"]}}; got {options.cluster}')  # fmt: skip
    if options.worker is None:
        if any(address.split(":")[0] not in ("127.0.0.1", "localhost") for address in addresses):
            wrong(f"--worker says which of the {len(addresses)} workers in {options.cluster} this "
                  "is, from 0")  # fmt: skip
        return Task(tuple(addresses))
    if options.worker >= len(addresses):
        wrong(f"{options.cluster} has the workers 0 to {len(addresses) - 1}, got --worker "
              f"{options.worker}")  # fmt: skip
    return Task(tuple(addresses), options.worker)


# ------------------------------------------------------------------------------ all workers


def supervise(
    task: Task, arguments: Sequence[str], options: argparse.Namespace, kept: Callable[[], str]
) -> int:
    """Start all workers on this machine, and end all when one has ended; the exit status.

    A worker that waits for one that is gone would wait for ever: so none is left.

    Args:
        task: the workers.
        arguments: the command line of `mmkeras train`, which each of them gets.
        options: its options.
        kept: what is kept of a training that did not finish, as for `exit_status`.
    """

    def work() -> None:
        try:
            _run_all(task, arguments)
        finally:
            if options.out.exists():  # what a killed chief could not tidy
                with contextlib.suppress(RunError), runs.opened(options.out, resume=True):
                    pass
            options.begun = runs.best_kept(options.out) is not None

    return exit_status(work, stopped="the workers were ended", kept=kept)


def _run_all(task: Task, arguments: Sequence[str]) -> None:
    from ..training import loopback

    if task.alone and (why := loopback.allowed()):
        raise RunError(
            f"the workers cannot be given a network of their own ({why}), and TensorFlow's server "
            "listens on every address of this machine without a password. Behind a firewall, name "
            'the ports: --cluster cluster.json with {"worker": ["127.0.0.1:2222", '
            '"127.0.0.1:2223"]}'
        )
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="mmkeras-") as folder:
        try:
            for index in range(len(task.addresses)):
                into = None
                if task.alone:
                    into = loopback.beside(running[0].pid) if running else loopback.alone
                running.append(_started(task, index, arguments, Path(folder), into))
            failed = _first_failed(running)
        finally:
            _end(running)
        if failed is None:
            return
        status = running[failed].returncode
        if failed == 0 and status > 0:
            raise SystemExit(status)  # the chief has said why
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else (
            f"ended with status {status}"
        )  # fmt: skip
        said = Path(folder) / f"worker-{failed}.txt"
        last = "\n".join(said.read_text("utf-8", "replace").splitlines()[-12:]) if failed else ""
        raise RunError(f"worker {failed} {how}, so all {len(running)} workers were ended"
                       f"{': ' if last else ''}{last}")  # fmt: skip


def _started(
    task: Task,
    index: int,
    arguments: Sequence[str],
    folder: Path,
    into: Callable[[], None] | None,
) -> subprocess.Popen[bytes]:
    own = {"type": "worker", "index": index}
    environment = {
        **os.environ,
        "TF_CONFIG": json.dumps({"cluster": {"worker": task.addresses}, "task": own}),
        "TMPDIR": str(folder),
        PARENT: str(os.getpid()),
    }
    command = [sys.executable, "-m", "mmkeras", "train", *arguments]
    with open(folder / f"worker-{index}.txt", "wb") as said:
        into_file = said if index else None  # the chief speaks for all
        return subprocess.Popen(command, env=environment, start_new_session=True,
                                preexec_fn=into, stdout=into_file, stderr=into_file)  # fmt: skip


def _first_failed(running: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """The worker that failed, as soon as one has; None when all have ended well.

    Where all find the same fault, the chief, which says it, is named.
    """
    while any(process.poll() is None for process in running):
        ended = [i for i, process in enumerate(running) if process.returncode]
        if ended and running[ended[0]].returncode > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running[0].wait(GRACE)
        if ended:
            break
        time.sleep(0.1)
    failed = [i for i, process in enumerate(running) if process.returncode]
    failed.sort(key=lambda i: running[i].returncode > 0)  # who was ended made the others fail
    return failed[0] if failed else None


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """End all that are left: gently, then, where one waits for another, by force."""
    for process in running:
        if process.poll() is None:
            process.terminate()
    until = time.monotonic() + GRACE
    for process in running:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
