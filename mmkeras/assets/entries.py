"""The entries of catalogue.toml, and where their files are kept."""

import difflib
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path


class AssetError(RuntimeError):
    """An asset cannot be fetched, or is damaged. The message says what to do."""


@dataclass(frozen=True)
class Asset:
    """One entry of the catalogue; data/catalogue.toml explains the fields."""

    name: str
    title: str
    client: str
    package: str
    version: str
    sha256: str
    size: int
    licence: str
    citation: str
    keep: list[str]
    kept_size: int
    root: str = ""
    inner: str = ""
    default: bool = False

    @property
    def folder(self) -> Path:
        """Where the kept files are, or will be."""
        return cache_dir() / f"{self.name}-{self.version}"


def catalogue_path() -> Path:
    """catalogue.toml beside this module (in an installed package), else that of the checkout."""
    beside = Path(__file__).with_name("catalogue.toml")
    return beside if beside.is_file() else Path(__file__).parents[2] / "data" / "catalogue.toml"


def catalogue() -> dict[str, Asset]:
    """All assets by name, in the order of the catalogue; AssetError if it cannot be read."""
    path = catalogue_path()
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: Asset(name=name, **fields) for name, fields in entries.items()}
    except (OSError, ValueError, TypeError) as error:
        raise AssetError(
            f"cannot read the catalogue {path}: {error}. Reinstall mmkeras."
        ) from error


def find(name: str) -> Asset:
    """The asset of this name; AssetError, with similar names, if there is none."""
    known = catalogue()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(known)}."
        raise AssetError(f"unknown asset {name!r}. {hint}")
    return known[name]


def cache_dir() -> Path:
    """The cache folder: $MMKERAS_CACHE, else data/cache of a checkout, else ~/.cache/mmkeras."""
    if moved := os.environ.get("MMKERAS_CACHE"):
        return Path(moved).expanduser().absolute()
    data = Path(__file__).absolute().parents[2] / "data"
    if (data / "catalogue.toml").is_file():
        return data / "cache"
    return Path.home() / ".cache" / "mmkeras"
