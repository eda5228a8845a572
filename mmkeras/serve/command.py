"""The command `mmkeras serve`: answer over HTTP with a trained run.

mmkeras serve weather/run
"""

import argparse
import contextlib
import importlib.util
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from ..table import run as runs
from ..table.command import RunError, at_least, exit_status, file_size, seconds
from ..usage import Parser

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras serve",
        description="Answer over HTTP with a model that mmkeras train made: a page for people at "
        "/, and for programs POST /predict and /explain, with files as browsers send them or with "
        "JSON. /docs tells how. Needs the packages of: pip install 'mmkeras[serve]'",
        epilog="Example: mmkeras serve weather/run, then open http://127.0.0.1:8000. SIGTERM and "
        "Ctrl-C answer what was asked and stop; SIGHUP loads the run again, if it was trained "
        "anew, without losing a request. Exit status: 0 done, 1 it could not start, 2 wrong "
        "usage.",
    )
    p.add_argument("run", type=Path, metavar="RUN", help="folder that mmkeras train wrote")
    p.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen at "
                   "(default: 127.0.0.1, which only this machine can reach)")  # fmt: skip
    p.add_argument("--port", type=at_least(0, most=65535), default=8000, metavar="N",
                   help="port (default: 8000; 0: a free one, which is printed)")  # fmt: skip
    p.add_argument("--key-file", type=Path, metavar="FILE", help="file of keys, one per line as in "
                   "'name: key'; clients send theirs in the header X-API-Key")  # fmt: skip
    p.add_argument("--without-key", action="store_true", help="listen to other machines although "
                   "there is no --key-file")  # fmt: skip
    p.add_argument("--workers", type=at_least(1, most=64), default=1, metavar="N",
                   help="processes, each with a copy of the model (default: 1)")  # fmt: skip
    p.add_argument("--rate", type=at_least(0.1, float), metavar="N", help="requests per second of "
                   "each key, or of each address without keys (default: no limit)")  # fmt: skip
    p.add_argument("--max-body", type=file_size, default=32 * 1024**2, metavar="SIZE",
                   help="larger requests, such as over 8M, are refused (default: 32M)")  # fmt: skip
    p.add_argument("--max-rows", type=at_least(1, most=1024), default=64, metavar="N",
                   help="most rows of a request (default: 64)")  # fmt: skip
    p.add_argument("--max-audio-seconds", type=at_least(0.05, float), default=600.0, metavar="S",
                   help="longer recordings are refused (default: 600)")  # fmt: skip
    p.add_argument("--queue", type=at_least(1, most=100_000), default=256, metavar="N",
                   help="rows that may wait; then the status is 503 (default: 256)")  # fmt: skip
    p.add_argument("--timeout", type=seconds, default=30.0, metavar="TIME", help="longest time of "
                   "a request, such as 10s (default: 30s)")  # fmt: skip
    p.add_argument("--no-log", action="store_true", help="write no line per request")
    p.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a socket that another process made
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `parser`."""
    p = parser()
    options = p.parse_args(argv)
    if not _inside(options.host) and not options.key_file and not options.without_key:
        p.error(f"--host {options.host} can be reached by other machines: give --key-file, or "
                "--without-key if everybody may ask")  # fmt: skip
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        p.error(f"the package {lacking[0]} is not installed: pip install 'mmkeras[serve]'")
    words = list(sys.argv[2:] if argv is None else argv)
    return exit_status(lambda: _serve(options, words), stopped="nothing is served")


def _inside(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _serve(options: argparse.Namespace, words: Sequence[str]) -> None:
    from .gate import read_keys
    from .workers import end_with_parent, supervise

    keys = read_keys(options.key_file) if options.key_file else {}
    runs.read_settings(options.run)  # its faults are reported before anything listens
    if options.fd is not None:
        listening = socket.socket(fileno=options.fd)
        end_with_parent(os.getppid())
    else:
        listening = _listen(options.host, options.port)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"Serving {options.run} at http://{shown}:{port} (Ctrl-C stops)", flush=True)
        if options.key_file and os.name == "posix" and options.key_file.stat().st_mode & 0o077:
            print(f"Beware: others on this machine may read {options.key_file}; "
                  f"chmod 600 {options.key_file}", file=sys.stderr)  # fmt: skip
    if options.workers > 1 and options.fd is None:
        supervise(words, listening, options.workers)
        return
    _answer(options, keys, listening)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        RunError: the address does not exist, or the port is taken or not allowed.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
        return listening
    except OSError as error:
        raise RunError(f"nothing can listen at {host}, port {port}: {error.strerror}; name "
                       "others with --host and --port") from None  # fmt: skip


def _answer(options: argparse.Namespace, keys: dict[str, bytes], listening: socket.socket) -> None:
    """Answer in this process until it is told to stop."""
    import uvicorn

    from .app import make_app
    from .discreet import discreet
    from .gate import Rate, log
    from .heads import patient
    from .service import Limits

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.WARNING if options.no_log else logging.INFO)
    limits = Limits(
        max_body=options.max_body,
        max_rows=options.max_rows,
        queue=options.queue,
        timeout=options.timeout,
        max_audio_seconds=options.max_audio_seconds,
    )
    rate = Rate(options.rate) if options.rate else None
    failures: list[str] = []

    def failed(why: str) -> None:
        failures.append(why)
        server.should_exit = True

    app = make_app(options.run, limits=limits, keys=keys, rate=rate, failed=failed,
                   wait=options.fd is not None)  # fmt: skip  # other workers answer meanwhile
    config = uvicorn.Config(
        app,
        http=patient(options.timeout),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=max(1, round(options.timeout)),
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt, _stopped()), discreet():
        server.run(sockets=[listening])
    if failures:
        raise RunError(failures[0])


def _stopped() -> type[BaseException]:
    """What `exit_status` makes of SIGTERM; here it is the ordinary end."""
    from ..table.command import Terminated

    return Terminated
