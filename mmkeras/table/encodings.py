"""A guess at the encoding of a text that is not UTF-8, for messages only: it is never used."""

import re
from collections.abc import Callable
from pathlib import Path

SAMPLE = 1 << 20  # bytes that are examined
ENOUGH = 0.7  # share of the characters beyond ASCII that must be common ones
_HIGH = re.compile(rb"[\x80-\xff]")


def likely_encoding(path: Path) -> str | None:
    """The likeliest of the encodings that spreadsheets use besides UTF-8, or None.

    Each encoding decodes the bytes. Its score is the share of the characters beyond ASCII that are
    common in its script: everyday characters or syllables for gb18030, big5 and cp949, kana for
    shift_jis, whole words of Cyrillic for cp1251. If none of them fits, the answer is cp1252 if it
    can decode the bytes.
    """
    with path.open("rb") as stream:
        data = stream.read(SAMPLE)
    data = data[: data.rfind(b"\n") + 1] or data  # whole lines
    if not _HIGH.search(data):
        return None
    scores = {name: _score(data, name, common) for name, common in _COMMON.items()}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= ENOUGH:
        return best
    return "cp1252" if _decoded(data, "cp1252") is not None else None


def _decoded(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return None


def _score(data: bytes, name: str, common: Callable[[str], float]) -> float:
    text = _decoded(data, name)
    return 0.0 if text is None else common(text) / sum(c > "\x7f" for c in text)


def _in_rows(name: str, first: int, last: int) -> Callable[[str], float]:
    """A function that counts the common characters: those in these rows (lead bytes)."""

    def is_common(c: str) -> bool:
        code = c.encode(name, "ignore")
        return len(code) == 2 and (first <= code[0] <= last or 0xA1 <= code[0] <= 0xA3)

    return lambda text: sum(is_common(c) for c in text if c > "\x7f")


_COMMON: dict[str, Callable[[str], float]] = {
    # Before gb18030, which could decode these bytes, too.
    "cp949": _in_rows("euc_kr", 0xB0, 0xC8),
    "gb18030": _in_rows("gb2312", 0xB0, 0xD7),
    "big5": _in_rows("big5", 0xA4, 0xC6),
    "shift_jis": lambda text: 2 * len(re.findall("[\u3001-\u30ff]", text)),  # half is kanji
    "cp1251": lambda text: sum(map(len, re.findall("[А-яЁё]{3,}", text))),
}
