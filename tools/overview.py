"""Draw the picture at the top of the README: one concept, four artists, two modalities, one model.

python tools/overview.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import mmkeras as mm
from mmkeras.plots import INK, SHADE

TARGET = Path(__file__).resolve().parent.parent / "docs" / "overview.png"
CONCEPT = "red apple"


def main() -> None:
    emoji = mm.datasets.load_emoji(size=96)
    rows = emoji.table.index[emoji.table["label_en"] == CONCEPT]
    figure = plt.figure(figsize=(10, 3.1))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10), ylim=(0, 3.1))
    ax.axis("off")

    def box(x: float, y: float, words: str, shaded: bool = False) -> None:
        face = SHADE if shaded else "white"
        ax.add_patch(plt.Rectangle((x, y), 1.7, 0.7, fc=face, ec=INK, lw=1.4))
        ax.text(x + 0.85, y + 0.35, words, ha="center", va="center", fontsize=11, color=INK)

    def arrow(x0: float, y0: float, x1: float, y1: float) -> None:
        line = {"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=line)

    for place, row in enumerate(rows):
        x = 0.2 + 0.62 * place
        ax.imshow(emoji.images[row], extent=(x, x + 0.56, 1.82, 2.38), aspect="auto", zorder=2)
        artist = emoji.table.loc[row, "artist"]
        ax.text(x + 0.28, 2.46, artist, ha="center", va="bottom", fontsize=8, color="0.3")
    ax.text(1.42, 0.85, f"“{CONCEPT}”", ha="center", va="center", fontsize=15, color=INK)
    for y, words in ((1.75, "image branch"), (0.5, "text branch")):
        arrow(2.75, y + 0.35, 3.2, y + 0.35)
        box(3.2, y, words, shaded=True)
        arrow(4.9, y + 0.35, 5.5, 1.475)
    box(5.5, 1.125, "fusion", shaded=True)
    arrow(7.2, 1.475, 7.7, 1.475)
    box(7.7, 1.125, "food-drink")
    headings = ((1.42, "raw modalities"), (4.05, "encoders"), (6.35, "one vector"), (8.55, "heads"))
    for x, words in headings:
        ax.text(x, 0.16, words, ha="center", va="center", fontsize=10, style="italic", color="0.3")
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=110, metadata={"Software": None})
    print(TARGET.name, TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
