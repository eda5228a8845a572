"""Invisible characters, which are removed from cells so that cells that look equal are equal, and
words that mean a missing number."""

import re
import unicodedata

# Format characters (Unicode's Cf) that are invisible: soft hyphen, zero-width spaces and joiners,
# writing directions, byte-order mark, interlinear marks; without visible ones (Arabic numbers).
_FORMAT = (
    "\u00ad\u061c\u070f\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
)
# The joiners connect emoji (a family) and letters of Persian and Indic words, where they are kept.
_INVISIBLE = re.compile(
    f"[{_FORMAT}]|(?<![^\\x00-\\x7f\\s])[\u200c\u200d]|[\u200c\u200d](?![^\\x00-\\x7f\\s])"
)
# Words for a missing number, as R, pandas, spreadsheets and the UCI repository write it.
ABSENT = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "-", "–", "?"})
_ENDS = re.compile(f"^[\\s{_FORMAT}\u200c\u200d]+|[\\s{_FORMAT}\u200c\u200d]+$")


def trimmed(cell: str) -> str:
    """The cell without whitespace and invisible characters at its ends; "" if nothing is left."""
    return cell.strip() if cell.isascii() else _ENDS.sub("", cell)


def visible(cell: str) -> str:
    """The cell without invisible characters, and composed (NFC): one é, not e and an accent."""
    if cell.isascii():
        return cell
    return unicodedata.normalize("NFC", trimmed(_INVISIBLE.sub("", cell)))
