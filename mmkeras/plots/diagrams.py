"""Pictures in a grid, and the flow of data through a model."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import INK, PAPER, SHADE


def gallery(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    rows: Sequence[str] | None = None,
    size: float = 1.1,
) -> Figure:
    """Pictures in a grid, row by row.

    Args:
        images: (n, height, width, 3), integers from 0 to 255, or floats from 0 to 1.
        titles: the text above each picture, of one or several lines.
        columns: number of pictures in a row.
        rows: the label on the left of each row.
        size: width of a picture in inches.

    Raises:
        ValueError: there is no picture, or the titles or row labels are not as many as the pictures
            or rows.
    """
    images = np.asarray(images)
    if len(images) == 0:
        raise ValueError("there is no picture to show")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(images)} pictures need {len(images)} titles, got {len(titles)}")
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    if rows is not None and len(rows) != lines:
        raise ValueError(f"{lines} rows of pictures need {lines} labels, got {len(rows)}")
    deepest = max((str(t).count("\n") + 1 for t in titles), default=0) if titles is not None else 0
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(size * columns, (size + 0.17 * deepest) * lines),
        squeeze=False,
        layout="constrained",
    )
    for i, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if i < len(images):
            ax.imshow(images[i])
            if titles is not None:
                ax.set_title(titles[i], fontsize=8)
        if rows is not None and i % columns == 0:
            ax.set_ylabel(rows[i // columns], rotation=0, ha="right", va="center", fontsize=9)
    return figure


def flow(
    lanes: Mapping[str, Sequence[str]],
    joint: Sequence[str],
    *,
    stages: Sequence[str] | None = None,
    shaded: Collection[int] | None = None,
    box: tuple[float, float] = (1.55, 0.62),
) -> Figure:
    """The data flow of a multimodal model: a lane of boxes per modality, then joint boxes.

    Args:
        lanes: modality → the words in its boxes, step by step; all lanes have the same length.
        joint: the words in the boxes after the lanes have met; the first of them is the fusion.
        stages: a heading for each column.
        shaded: the columns whose boxes are shaded, counted from 0; by default the last column of
            the lanes and the fusion.
        box: width and height of a box in inches.

    Raises:
        ValueError: the lanes differ in length, or the headings are not as many as the columns.
    """
    steps = {len(lane) for lane in lanes.values()}
    if len(steps) != 1:
        raise ValueError(f"all lanes need the same length, got {[len(v) for v in lanes.values()]}")
    depth = steps.pop()
    columns = depth + len(joint)
    shaded = {depth - 1, depth} if shaded is None else shaded
    if stages is not None and len(stages) != columns:
        raise ValueError(f"{columns} columns need {columns} headings, got {len(stages)}")
    (width, height), gap = box, 0.42
    right = columns * (width + gap) - gap / 2  # in inches, like all that follows
    top = len(lanes) * (height + gap) - gap + (0.45 if stages else gap / 4)
    figure = plt.figure(figsize=(right + gap / 2, top + gap / 4))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-gap / 2, right), ylim=(-gap / 4, top))
    ax.axis("off")
    middle = (len(lanes) - 1) / 2

    def corner(column: float, lane: float) -> tuple[float, float]:
        return column * (width + gap), (len(lanes) - 1 - lane) * (height + gap)

    def draw(column: int, lane: float, words: str) -> None:
        x, y = corner(column, lane)
        face = SHADE if column in shaded else PAPER
        ax.add_patch(plt.Rectangle((x, y), width, height, fc=face, ec=INK, lw=1.2))
        ax.text(
            x + width / 2, y + height / 2, words, ha="center", va="center", fontsize=9, color=INK
        )

    def arrow(column: int, start: float, end: float) -> None:
        x0, y0 = corner(column, start)
        x1, y1 = corner(column + 1, end)
        line = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (x1, y1 + height / 2), (x0 + width, y0 + height / 2), arrowprops=line)

    for lane, steps_of_lane in enumerate(lanes.values()):
        for column, words in enumerate(steps_of_lane):
            draw(column, lane, words)
            arrow(column, lane, lane if column < depth - 1 else middle)
    for j, words in enumerate(joint):
        draw(depth + j, middle, words)
        if j + 1 < len(joint):
            arrow(depth + j, middle, middle)
    for column, words in enumerate(stages or ()):
        x, y = corner(column, 0)
        ax.text(x + width / 2, y + height + gap / 2, words, ha="center", fontsize=9, style="italic")
    return figure


def diagram(ax: Axes, title: str, stations: str, arrows: str) -> Axes:
    """A data flow from two lines of text: boxes column by column, and arrows between them.

    Args:
        ax: where to draw; its frame is taken away.
        stations: the boxes of a column with spaces between, the columns with " | " between, as in
            "x₁ x₂ | h₁ h₂ | sum". An underscore is drawn as a space. The last column is dark.
        arrows: "from>to", with spaces between; "~" before bends an arrow upwards, "~~" downwards.

    Raises:
        ValueError: an arrow from or to a box that is not there.
    """
    columns = [part.split() for part in stations.split("|")]
    place = {
        name: (1.5 * column, (len(names) - 1) / 2 - k)
        for column, names in enumerate(columns)
        for k, name in enumerate(names)
    }
    for name, (x, y) in place.items():
        last = name in columns[-1]
        box = {"boxstyle": "round", "fc": INK if last else PAPER, "ec": INK}
        words: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "zorder": 3}
        ax.text(x, y, name.replace("_", " "), bbox=box, color=PAPER if last else "black", **words)
    for arrow in arrows.split():
        start, _, end = arrow.lstrip("~").partition(">")
        if missing := {start, end} - set(place):
            raise ValueError(f"arrow {arrow!r}: no box {', '.join(missing)}; there are {[*place]}")
        bend = {0: 0.0, 1: -0.3, 2: 0.3}[len(arrow) - len(arrow.lstrip("~"))]
        style = {
            "arrowstyle": "-|>", "color": "0.4", "connectionstyle": f"arc3,rad={bend}",
            "shrinkA": 9 + 2 * len(start), "shrinkB": 9 + 2 * len(end),
        }  # fmt: skip
        ax.annotate("", place[end], place[start], arrowprops=style, zorder=1)
    ax.set(xlim=(-0.7, 1.5 * len(columns) - 0.8), ylim=(-1.8, 1.8))
    ax.set_title(title, fontsize=10, loc="left")
    ax.axis("off")
    return ax
