"""A stream of bytes that only a key opens, and in which every change is noticed.

    head     magic, then the key of this file alone, encrypted by the user's key
    pieces   of 1 MiB, each encrypted by the key of the file, and authenticated

The cipher is AES-256-GCM. A piece alone cannot be changed without notice; that none is left out,
moved, or taken from another file is due to its nonce, which holds its number and whether it is the
last one, and to the head, which is authenticated with each piece. The construction is STREAM (V. T.
Hoang, R. Reyhanitabar, P. Rogaway, D. Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015).
"""

import importlib.util
import os
import re
import secrets
import struct
from pathlib import Path
from typing import IO, Any

from ..command import RunError

MAGIC = b"mmkeras locked run 1\n"
PIECE = 1024**2  # bytes of a piece, before it is encrypted
TAG, NONCE, PREFIX = 16, 12, 7  # bytes
HEAD = len(MAGIC) + NONCE + 32 + TAG + PREFIX
MAKE = "make one with: (umask 077; openssl rand -hex 32 > {})"


def check_installed() -> None:
    """Raise RunError if the cipher is not installed."""
    if importlib.util.find_spec("cryptography") is None:
        raise RunError("the package cryptography is not installed: pip install 'mmkeras[privacy]'")


def read_key(path: Path) -> bytes:
    """The 32 bytes in a key file, 64 hexadecimal digits.

    Raises:
        RunError: there is no such file, others may read it, or it holds something else.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise RunError(f"there is no key file {path}; {MAKE.format(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"the key file {path} cannot be read: {error}") from None
    if os.name == "posix" and mode & 0o077:
        raise RunError(f"others on this machine may read the key file {path}, so that it is no "
                       f"secret; if nobody has: chmod 600 {path}")  # fmt: skip
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise RunError(f"the key file {path} must hold 64 hexadecimal digits, not a password; "
                       f"{MAKE.format(path)}")  # fmt: skip
    return bytes.fromhex(text)


class Writer:
    """Encrypts what is written to it into a file; `end` writes the last piece."""

    def __init__(self, file: IO[bytes], key: bytes) -> None:
        own, wrap, self._prefix = (secrets.token_bytes(n) for n in (32, NONCE, PREFIX))
        wrapped = _cipher(key).encrypt(wrap, own, MAGIC)
        self._file, self._cipher, self._number = file, _cipher(own), 0
        self._head = MAGIC + wrap + wrapped + self._prefix
        self._waiting = bytearray()
        file.write(self._head)

    def write(self, data: bytes) -> int:
        """As that of a file."""
        self._waiting += data
        while len(self._waiting) > PIECE:
            self._put(self._waiting[:PIECE], last=False)
            del self._waiting[:PIECE]
        return len(data)

    def end(self) -> None:
        """Write the last piece; without it the file is refused as cut short."""
        self._put(self._waiting, last=True)

    def _put(self, data: bytearray, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, last)
        self._file.write(self._cipher.encrypt(nonce, bytes(data), self._head))
        self._number += 1


class Reader:
    """What a `Writer` encrypted. No byte of a piece is given before all of it is found genuine.

    Raises:
        RunError: the key is another one, or the file was changed or cut short.
    """

    def __init__(self, file: IO[bytes], key: bytes, name: str) -> None:
        from cryptography.exceptions import InvalidTag

        self._file, self._name, self._number = file, name, 0
        self._head = head = file.read(HEAD)
        if len(head) < HEAD or not head.startswith(MAGIC):
            raise RunError(f"{name} is no locked run of mmkeras, or of a newer version")
        wrap, wrapped = head[len(MAGIC) : -PREFIX][:NONCE], head[len(MAGIC) + NONCE : -PREFIX]
        try:
            own = _cipher(key).decrypt(wrap, wrapped, MAGIC)
        except InvalidTag:
            raise RunError(f"{name} was locked with another key, or its first bytes were "
                           "changed") from None  # fmt: skip
        self._cipher, self._left = _cipher(own), bytearray()
        self._next: bytes | None = file.read(PIECE + TAG)

    def read(self, size: int) -> bytes:
        """As that of a file: fewer bytes only at the end."""
        while self._next is not None and len(self._left) < size:
            self._left += self._piece()
        taken = bytes(self._left[:size])
        del self._left[: len(taken)]
        return taken

    def _piece(self) -> bytes:
        from cryptography.exceptions import InvalidTag

        piece, after = self._next or b"", self._file.read(PIECE + TAG)
        nonce = _nonce(self._head[-PREFIX:], self._number, last=not after)
        try:
            data = self._cipher.decrypt(nonce, piece, self._head)
        except (InvalidTag, ValueError):
            raise RunError(f"{self._name} was changed or cut short at or after byte "
                           f"{HEAD + self._number * (PIECE + TAG):,}; nothing of it is used, "
                           "restore it from a copy") from None  # fmt: skip
        self._next, self._number = after or None, self._number + 1
        return bytes(data)


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    """12 bytes that no other piece of the file has."""
    return prefix + struct.pack(">IB", number, last)
