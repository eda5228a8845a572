"""Several processes that answer at one address."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence

from ..table.command import RunError

QUICK = 10.0  # seconds; a worker that ends sooner again and again cannot start


def supervise(words: Sequence[str], listening: socket.socket, workers: int) -> None:
    """Start workers, start those anew that die, and end when all have ended.

    All workers accept connections from one socket, so that none is refused while one of them
    starts anew. SIGTERM and Ctrl-C are passed on as SIGTERM, SIGHUP as SIGHUP.

    Args:
        words: the command line, without the name of the command.
        listening: the socket.
        workers: number of processes.

    Raises:
        RunError: the workers end as soon as they have started.
    """
    from prometheus_client import multiprocess

    number = listening.fileno()
    command = [sys.executable, "-m", "mmkeras", "serve", *words, f"--fd={number}"]
    running: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
    stopping = failures = 0

    def pass_on(number: int, _: object) -> None:
        nonlocal stopping
        stopping += number != getattr(signal, "SIGHUP", None)
        for process, _begun in [*running.values()]:
            process.send_signal(signal.SIGTERM if stopping else number)

    with tempfile.TemporaryDirectory(prefix="mmkeras-") as counts:
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": counts}
        names = [name for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
        before = {name: signal.signal(getattr(signal, name), pass_on) for name in names}
        try:
            while running or not stopping:
                while len(running) < workers and not stopping:
                    process = subprocess.Popen(command, env=environment, pass_fds=[number],
                                               start_new_session=True)  # fmt: skip
                    running[process.pid] = (process, time.monotonic())
                time.sleep(0.1)
                for pid, (process, begun) in [*running.items()]:
                    if process.poll() is not None:
                        del running[pid]
                        multiprocess.mark_process_dead(pid, counts)
                        failures = failures + 1 if time.monotonic() - begun < QUICK else 0
                        if not stopping:
                            print(f"worker {pid} ended with status {process.returncode}; another "
                                  "starts", file=sys.stderr, flush=True)  # fmt: skip
                        if failures > 2 * workers:
                            raise RunError("the workers end as soon as they start; the reason "
                                           "stands above")  # fmt: skip
        finally:
            for process, _begun in running.values():
                process.terminate()
            for process, _begun in running.values():
                process.wait()
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)


def end_with_parent(parent: int) -> None:
    """Stop this process, as after SIGTERM, when its parent is gone: killed, it could not say so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent").start()
