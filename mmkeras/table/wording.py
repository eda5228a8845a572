"""The form of numbers in the report, in the model card and on the console."""

from collections.abc import Mapping

ROUNDING = 1e-9  # a smaller number is 0 except for the rounding of sums


def percent(share: float | None) -> str:
    """0.75 → 75%, 0.996 → 99.6%; only exactly 1 becomes 100%, and only exactly 0 becomes 0%."""
    if share is None:
        return "undefined"
    if 0.9995 <= share < 1 - ROUNDING:
        return ">99.9%"
    if ROUNDING < share < 0.0005:
        return "<0.1%"
    edge = ROUNDING < share < 0.01 or 0.99 < share < 1 - ROUNDING
    return f"{100 * share:.{1 if edge else 0}f}%"


def number(value: float | None, digits: int = 3) -> str:
    """0.75 → 0.750, 0.99999 → >0.999, 0.00001 → <0.001; an undefined number becomes a dash."""
    if value is None:
        return "–"
    least = 10.0**-digits
    if 1 - least / 2 <= value < 1 - ROUNDING:
        return f">{1 - least:.{digits}f}"
    return f"<{least:.{digits}f}" if ROUNDING < value < least / 2 else f"{value:.{digits}f}"


def with_interval(entry: Mapping[str, float | None], digits: int = 3) -> str:
    """A value or difference with its 95% interval, if it has one: 0.750 (0.500 to 0.917).

    There are as many digits as are needed to distinguish the ends, but at most 6.
    """
    value, low, high = entry.get("value", entry.get("difference")), entry["low"], entry["high"]
    if value is None or low is None:
        return number(value, digits)
    while digits < 6 and number(low, digits) == number(high, digits):
        digits += 1
    return f"{number(value, digits)} ({number(low, digits)} to {number(high, digits)})"
