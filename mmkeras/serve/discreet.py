"""What libraries print while they read what was sent: it may quote it, so it is not printed."""

import contextlib
import faulthandler
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .gate import log


@contextlib.contextmanager
def discreet() -> Iterator[None]:
    """In this block, warnings lose their message, and what C libraries print is lost.

    mpg123 ("Illegal Audio-MPEG-Header 0x4d61726b") and libtiff print bytes of damaged files on
    stderr, past Python. So the file of that number leads nowhere, and what Python prints takes
    another one. After a crash, the lines of Python's source where it happened are printed.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.showwarning = _place
        if _is_stderr(sys.stderr):
            stack.enter_context(_moved())
        yield


def _place(message: Warning | str, category: type[Warning], *place: Any, **_: Any) -> None:
    """Log a warning without its message."""
    file, line = place[:2]
    told = {"event": "warning", "type": category.__name__, "where": f"{Path(file).name}:{line}"}
    log.info(json.dumps(told))


def _is_stderr(stream: Any) -> bool:
    """Whether it is the stderr of the process, not something that stands in for it."""
    try:
        return bool(stream.fileno() == 2)
    except (AttributeError, OSError, ValueError):  # io.UnsupportedOperation is both
        return False


@contextlib.contextmanager
def _moved() -> Iterator[None]:
    before, number, nowhere = sys.stderr, os.dup(2), os.open(os.devnull, os.O_WRONLY)
    before.flush()
    raw = io.FileIO(number, "w", closefd=False)
    moved = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
    os.dup2(nowhere, 2)
    try:
        sys.stderr = moved
        faulthandler.enable(moved)
        yield
    finally:
        faulthandler.disable()
        os.dup2(number, 2)
        sys.stderr = before
        os.close(nowhere)
        os.close(number)
