"""What was exported, as lines for a terminal and as a page."""

from collections.abc import Iterator
from typing import Any

HEADER = ("format", "bytes", "ratio", "difference", "agreement", "accuracy", "points lost",
          "ms at 1", "ms at 64")  # fmt: skip
WORDS = (
    "ratio: of the bytes to the float32 file of the same kind. difference: the largest one of any "
    "probability from the model's. agreement: the share of rows with the same class. points lost: "
    "of accuracy, in percentage points. ms: milliseconds of one call with 1 and with 64 rows, the "
    "median of 15 calls on this machine; LiteRT and ONNX Runtime use one thread, TensorFlow all."
)


def cells(result: dict[str, Any]) -> Iterator[list[str]]:
    """A row for the model itself, and one for each format; "-" for what is not known."""
    yield ["model.keras", *_numbers(result["keras"])]
    for name, entry in result["formats"].items():
        yield [name, *_numbers(entry)]


def _numbers(entry: dict[str, Any]) -> list[str]:
    styles = {"bytes": "{:,}", "ratio": "{:.3f}", "difference": "{:.4f}", "agreement": "{:.3f}",
              "accuracy": "{:.3f}", "lost": "{:.1f}", "ms_1": "{:.2f}",
              "ms_64": "{:.1f}"}  # fmt: skip
    return [style.format(entry[key]) if entry.get(key) is not None else "-"
            for key, style in styles.items()]  # fmt: skip


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The table in columns."""
    table = [list(HEADER), *cells(result)]
    wide = [max(len(row[i]) for row in table) for i in range(len(HEADER))]
    for first, *rest in table:
        yield "  ".join([first.ljust(wide[0]),
                         *(c.rjust(w) for c, w in zip(rest, wide[1:], strict=True))])  # fmt: skip


def page(result: dict[str, Any]) -> str:
    """The whole HTML file."""
    from ..report.markup import document, table, tag

    refused = [
        tag("p", f"Refused: {name}, since {'; '.join(entry['refused'])}", class_="warning")
        for name, entry in result["formats"].items() if entry["refused"]
    ]  # fmt: skip
    inputs = [
        [i["name"], " × ".join(str(n or "rows") for n in i["shape"]), i["dtype"]]
        for i in result["inputs"]
    ]
    runtimes = [
        [name, entry["file"] or "-", entry.get("runtime", "-")]
        for name, entry in result["formats"].items()
    ]
    title = f"Export of the run {result['run']} on {result['data']}"
    shown = f"{result['rows']} rows of {result['data']} ({result['part']})"
    return document(
        title,
        [
            tag("h1", title),
            tag("p", f"Each file was loaded again and compared with the model on {shown}."),
            *refused,
            table(HEADER, cells(result)),
            tag("p", WORDS),
            tag("h2", "Files"),
            table(("format", "file", "run by"), runtimes, left=(1, 2)),
            tag("h2", "What the files take"),
            tag("p", "One array for each input, in any order, by name. The output is a probability "
                f"for each of the classes {', '.join(result['classes'])} (of two classes, that of "
                "the second). settings.json of the run says how text becomes ids."),
            table(("input", "shape", "type"), inputs, left=(1, 2)),
        ],
    )  # fmt: skip
