"""Workers that can be reached from nowhere but each other.

TensorFlow's server listens on every address of its host, has no password, and runs what it is sent.
On Linux, processes can be given a network of their own, which has no address but 127.0.0.1 (a
network namespace, as in a container; see namespaces(7)). Derived in chapter 20 (what it is for).
"""

import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

NEWUSER, NEWNET = 0x10000000, 0x40000000  # of <linux/sched.h>
GETFLAGS, SETFLAGS, UP = 0x8913, 0x8914, 1  # of <linux/sockios.h> and <linux/if.h>


def alone() -> None:
    """Give the process that calls it, and its children, a network that has only 127.0.0.1.

    For `preexec_fn` of `subprocess.Popen`. Raises OSError where the system does not allow it.
    """
    import fcntl  # not on Windows

    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", NEWNET)
    except PermissionError:  # who may not, may in a namespace of users of its own
        _call("unshare", NEWUSER | NEWNET)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        _, flags = struct.unpack_from("16sh", fcntl.ioctl(handle, GETFLAGS, _request(0)))
        fcntl.ioctl(handle, SETFLAGS, _request(flags | UP))


def beside(pid: int) -> Callable[[], None]:
    """As `alone`, for a process that shares the network of process `pid`."""

    def join() -> None:
        with contextlib.ExitStack() as files:
            user, net = (
                files.enter_context(open(f"/proc/{pid}/ns/{name}", "rb")).fileno()
                for name in ("user", "net")
            )
            if os.fstat(user).st_ino != os.stat("/proc/self/ns/user").st_ino:
                _call("setns", user, NEWUSER)
            _call("setns", net, NEWNET)

    return join


def allowed() -> str:
    """Why processes cannot be given a network of their own on this machine; "" if they can."""
    if sys.platform != "linux":
        return "that needs Linux"
    try:
        command = [sys.executable, "-S", "-c", ""]
        subprocess.run(command, preexec_fn=alone, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return "this system does not allow it, as in many containers"
    return ""


def _request(flags: int) -> bytes:
    """struct ifreq for the loopback interface."""
    return struct.pack("16sh22x", b"lo", flags)


def _call(name: str, *arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
