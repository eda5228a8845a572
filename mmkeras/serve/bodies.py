"""The body of a request as rows: JSON with files in base64, or a form as browsers send it."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

FILES = ("image", "audio")
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.ASCII)
_INDEX = re.compile(r"(?P<column>.*)\[(?P<row>[0-9]{1,6})\]", re.DOTALL)


class BadBody(Exception):
    """The body cannot be read; the message says what was expected."""

    status = 400


class BadType(BadBody):
    """The body has a type that is not read."""

    status = 415


class TooMany(BadBody):
    """The body has more rows or parts than allowed."""

    status = 413


def rows_of(
    body: bytes, content_type: str, kinds: Mapping[str, str], most: int
) -> list[dict[str, str | bytes]]:
    """The rows of a body: column → cell (str) or content of a file (bytes).

    Args:
        body: the whole body.
        content_type: its header Content-Type.
        kinds: column → kind, as `Reader.kinds`; files are columns of "image" and "audio".
        most: most rows.

    Raises:
        BadBody: it is malformed; BadType and TooMany are two kinds of it.
    """
    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        rows = _form(body, options.get(b"boundary", b""), most)
    elif kind == b"application/json":
        rows = _json(body, kinds, most)
    else:
        said = repr(content_type[:80]) if content_type else "none"
        raise BadType(
            f"the Content-Type must be application/json or multipart/form-data, got {said}"
        )
    return rows


# ---- JSON -----------------------------------------------------------------------------------


def _json(body: bytes, kinds: Mapping[str, str], most: int) -> list[dict[str, str | bytes]]:
    try:
        found = json.loads(body.decode("utf-8"))
    except RecursionError:
        raise BadBody("the JSON is nested too deeply") from None
    except ValueError as error:  # of JSON, of UTF-8, or of an integer with too many digits
        raise BadBody(f"the body is not JSON in UTF-8: {error}") from None
    rows = found["rows"] if isinstance(found, dict) and set(found) == {"rows"} else [found]
    if not isinstance(rows, list) or not rows:
        raise BadBody('the body must be an object of columns, or {"rows": [object, …]}')
    _check_count(len(rows), most)
    return [_json_row(row, i, kinds) for i, row in enumerate(rows, start=1)]


def _json_row(row: Any, at: int, kinds: Mapping[str, str]) -> dict[str, str | bytes]:
    if not isinstance(row, dict):
        raise BadBody(f"row {at} must be an object, column → value; got {type(row).__name__}")
    return {column: _value(value, column, at, kinds) for column, value in row.items()}


def _value(value: Any, column: str, at: int, kinds: Mapping[str, str]) -> str | bytes:
    if value is None:
        return ""
    place = f"row {at}, column {column[:80]!r}"
    if kinds.get(column) in FILES:
        if not isinstance(value, str):
            raise BadBody(f"{place}: expected a file in base64 as a string")
        try:
            return base64.b64decode(_DATA_URL.sub("", value, count=1), validate=True)
        except (binascii.Error, ValueError):
            raise BadBody(f"{place}: the file is not in base64") from None
    if isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise BadBody(f"{place}: holds half a character (a lone surrogate)")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadBody(f"{place}: expected text or a number, got {type(value).__name__}")
    return repr(value)


# ---- a form ---------------------------------------------------------------------------------


class _Part:
    """One part of a form: its headers while they arrive, and its content."""

    def __init__(self) -> None:
        self.header, self.value, self.headers = bytearray(), bytearray(), dict[bytes, bytes]()
        self.data = bytearray()

    def end_header(self) -> None:
        self.headers[bytes(self.header).lower()] = bytes(self.value)
        self.header, self.value = bytearray(), bytearray()


def _form(body: bytes, boundary: bytes, most: int) -> list[dict[str, str | bytes]]:
    if not boundary:
        raise BadBody("the Content-Type of a form must name its boundary")
    parts = _parts(body, boundary, limit=1000 * most)
    rows: dict[int, dict[str, str | bytes]] = {}
    for part in parts:
        _, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise BadBody("a part of the form has no name")
        column, at = options[b"name"].decode("utf-8", "replace"), 0
        if indexed := _INDEX.fullmatch(column):
            column, at = indexed["column"], int(indexed["row"])
        row = rows.setdefault(at, {})
        if column in row:
            raise BadBody(f"the form has two parts {column[:80]!r}; several rows are sent as "
                          "column[0], column[1], …")  # fmt: skip
        data = bytes(part.data)
        if b"filename" in options:
            row[column] = data
        else:
            try:
                row[column] = data.decode("utf-8")
            except UnicodeDecodeError:
                raise BadBody(f"part {column[:80]!r} is not text in UTF-8") from None
    if not rows:
        raise BadBody("the form has no parts; send one per column")
    _check_count(len(rows), most)
    if sorted(rows) != list(range(len(rows))):
        raise BadBody("the rows of the form must be numbered 0, 1, 2 … without a gap; got "
                      f"{', '.join(map(str, sorted(rows)[:8]))}")  # fmt: skip
    return [rows[at] for at in sorted(rows)]


def _parts(body: bytes, boundary: bytes, limit: int) -> list[_Part]:
    """The parts, kept in memory: nothing of a request is written to a disk."""
    parts: list[_Part] = []
    ended: list[bool] = []

    def begin() -> None:
        if len(parts) >= limit:
            raise TooMany(f"the form has more than {limit} parts")
        parts.append(_Part())

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_header_field": lambda data, a, b: parts[-1].header.extend(data[a:b]),
            "on_header_value": lambda data, a, b: parts[-1].value.extend(data[a:b]),
            "on_header_end": lambda: parts[-1].end_header(),
            "on_part_data": lambda data, a, b: parts[-1].data.extend(data[a:b]),
            "on_end": lambda: ended.append(True),
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except MultipartParseError as error:
        raise BadBody(f"the form is malformed: {error}") from None
    if not ended:
        raise BadBody("the form is malformed: it ends before its last boundary")
    return parts


def _check_count(rows: int, most: int) -> None:
    if rows > most:
        raise TooMany(f"the request has {rows} rows, more than the {most} allowed")
