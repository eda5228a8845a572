"""The drawings of emoji as pixels: four artists' vector icons, rendered once per size."""

import hashlib
import io
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .. import assets, files

ARTISTS = ("noto", "twemoji", "openmoji", "fluent")


def asset_json(asset: str, file: str) -> Any:
    return json.loads((assets.fetch(asset) / file).read_text(encoding="utf-8"))


def plain(hexcode: str) -> str:
    """The key of a concept in the icon sets: lower case, without variation selectors."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def icons_of(artist: str) -> dict[str, str]:
    """The icons of an artist: plain hexcode → name of the icon."""
    return asset_json(f"emoji-{artist}", "chars.json")


def drawings_of(artist: str, hexcodes: list[str], size: int) -> np.ndarray:
    """uint8 `(len(hexcodes), size, size, 3)`, from the cache or rendered into it."""
    asset = assets.catalogue()[f"emoji-{artist}"]
    key = " ".join([asset.sha256, version("resvg-py"), *hexcodes])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    name = f"{artist}-{asset.version}-{size}px-{digest}.npy"
    shape = (len(hexcodes), size, size, 3)

    def read(path: Path) -> np.ndarray | None:
        pictures = np.load(path, mmap_mode="r")
        return pictures if pictures.shape == shape and pictures.dtype == np.uint8 else None

    return files.cached(
        assets.cache_dir() / "rendered" / name,
        lambda: _render_all(artist, hexcodes, size),
        read=read,
        write=np.save,
        what="pictures",
    )


def _render_all(artist: str, hexcodes: list[str], size: int) -> np.ndarray:
    from tqdm import tqdm  # imported here, like resvg_py, because a second run needs neither

    icons, drawn = asset_json(f"emoji-{artist}", "icons.json"), icons_of(artist)
    bar = tqdm(hexcodes, desc=f"drawing {artist} at {size}x{size}", delay=2, leave=False)
    return np.stack([_render(icons, drawn[plain(code)], size) for code in bar])


def _render(icons: dict[str, Any], name: str, size: int) -> np.ndarray:
    """One icon on white; a drawing that is not square is centred."""
    import resvg_py

    icon = icons["icons"][name]
    width, height = icon.get("width", icons["width"]), icon.get("height", icons["height"])
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{size}" height="{size}" viewBox="{box}">{icon["body"]}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, background="white", skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
