"""Who answers the blocks: this process, or the workers of a Dask cluster.

Only the main process writes. A Dask worker that dies takes nothing with it: what it was answering
is answered by another one.
"""

import contextlib
import importlib.util
import itertools
import os
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from . import store
from .answers import Answers, Record, Work, answer_block
from .command import RunError

NEEDED = ("dask", "distributed")
WAIT = 60  # seconds until a scheduler or a first worker that does not come is given up
AHEAD = 2  # blocks that wait for each thread of a worker
Block = tuple[int, list[Record]]  # its number, and its records, of which the first is the header
GONE = "the Dask scheduler is gone: start it and its workers again, and go on with --resume"
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def here(work: Work, blocks: Iterable[Block]) -> Generator[tuple[int, Answers], None, None]:
    """Number and answers of each block, one after the other."""
    for number, records in blocks:
        yield number, answer_block(work, records)


def _in_worker(work: Work, records: list[Record]) -> Answers:
    """As `answer_block`, in a process that has one core for itself."""
    for name in THREADS:  # read when TensorFlow loads, with the first block
        os.environ.setdefault(name, "1")
    store.WORKERS = 1
    return answer_block(work, records)


def check_dask() -> None:
    """Raise RunError if Dask is not installed."""
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise RunError(f"--engine dask: the package {lacking[0]} is not installed: "
                       "pip install 'mmkeras[scale]'")  # fmt: skip


def dask(
    work: Work, blocks: Iterable[Block], address: str | None, workers: int | None
) -> Generator[tuple[int, Answers], None, None]:
    """Number and answers of each block, in the order in which they are done.

    Args:
        address: of a running scheduler; None: a cluster of processes on 127.0.0.1, which ends
            with the iterator.
        workers: processes of that cluster; None: one per core.

    Raises:
        RunError: no scheduler or no worker answers, the scheduler is gone, or a block has ended its
            workers.
    """
    from distributed import CancelledError, as_completed
    from distributed.scheduler import KilledWorker

    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(stack, address, workers))
        running: dict[str, Block] = {}
        waiting, blocks = as_completed(), iter(blocks)
        while True:
            try:
                room = max(1, AHEAD * sum(client.nthreads().values())) - len(running)
            except OSError:
                raise RunError(GONE) from None
            for number, records in itertools.islice(blocks, max(room, 0)):
                future = client.submit(_in_worker, work, records, pure=False)
                running[future.key] = (number, records)
                waiting.add(future)
            if not running:
                return
            future = next(waiting)
            number, records = running.pop(future.key)
            try:
                yield number, future.result()
            except CancelledError:
                raise RunError(GONE) from None
            except KilledWorker:
                rows = f"rows {records[1][0]} to {records[-1][0]}"
                raise RunError(f"several workers died one after the other over {rows}: is their "
                               "memory too small? Try fewer --workers or --block-rows, and "
                               "--resume") from None  # fmt: skip
            except ImportError as error:
                raise RunError(f"a worker lacks a package: {error}; install mmkeras there, in the "
                               "version of this machine") from None  # fmt: skip
            del future


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _client(stack: contextlib.ExitStack, address: str | None, workers: int | None) -> Iterator[Any]:
    """A client of the scheduler, or of a new cluster that listens on 127.0.0.1 only."""
    from distributed import Client, LocalCluster

    if address is None:
        address = stack.enter_context(
            LocalCluster(
                n_workers=workers or cores(),
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=0,  # blocks bound it; Dask would end workers that load TensorFlow
            )
        )
    try:
        client = Client(address, timeout=WAIT)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"no Dask scheduler answers at {address!r} ({error}); it prints its address "
                       "when it starts, such as tcp://10.0.0.5:8786") from None  # fmt: skip
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT)
        except TimeoutError:
            raise RunError(
                f"the Dask scheduler at {address!r} has no worker, also after {WAIT} s: start "
                "some, as in: dask worker ADDRESS --nthreads 1"
            ) from None
        yield client
