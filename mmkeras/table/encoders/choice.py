"""Which encoders a run may take: what `--encoders` says, what the cache holds, what they read."""

import argparse
from collections.abc import Iterator, Sequence

from ...assets import AssetError
from ...assets.cache import faults
from ...assets.entries import find
from ..command import RunError

DEFAULT = "auto"
ASSETS = {"text": "minilm-l6", "image": "efficientnet-lite0", "audio": "whisper-tiny-en"}
NAMES = {"text": "MiniLM-L6", "image": "EfficientNet-Lite0", "audio": "Whisper, layer 2"}
WITH_WORDS = f"{NAMES['text']} + TF-IDF"  # of the same pieces
AS_THEY_ARE = "as they are"  # numbers and categories
LANGUAGES = {"text": " (reads English)", "audio": " (hears English)"}
SMALLEST = 32  # pixels that EfficientNet-Lite0 takes


def here(modality: str) -> bool:
    """Is the pretrained encoder of this modality in the cache? Nothing is fetched."""
    try:
        return not faults(find(ASSETS[modality]), thorough=False)
    except AssetError:
        return False


def resolved(options: argparse.Namespace, modalities: Sequence[str]) -> str:
    """What `--encoders` comes to: "scratch", "auto" or "pretrained".

    Options of a network from scratch ask for one. Without a pretrained encoder, pictures have no
    features of another kind, so that auto comes to scratch.

    Raises:
        RunError: an encoder that must be there is not in the cache.
    """
    asked = options.encoders or ("scratch" if options.network else DEFAULT)
    if asked == "scratch":
        return asked
    missing = [m for m in modalities if m in ASSETS and not here(m)]
    small = _small(options, modalities)
    if small and options.encoders:
        raise RunError(
            f"--image-size {options.image_size} is too small for {NAMES['image']}, which takes "
            f"{SMALLEST} pixels and more: raise it, or take --encoders scratch"
        )
    if asked == "pretrained" and missing:
        names = " ".join(ASSETS[m] for m in missing)
        raise RunError(
            f"--encoders pretrained needs what is not in the cache, for {' and '.join(missing)}: "
            f"mmkeras data fetch {names}; or take what is there: --encoders auto"
        )
    return "scratch" if small or "image" in missing else asked


def _small(options: argparse.Namespace, modalities: Sequence[str]) -> bool:
    """Are the pictures too small for the pretrained encoder?"""
    return "image" in modalities and (options.image_size or SMALLEST) < SMALLEST


def told(
    options: argparse.Namespace, asked: str | None, modalities: Sequence[str]
) -> Iterator[str]:
    """Lines: what encodes the data, and what would be added by fetching it.

    Args:
        options: with `encoders` from `resolved`.
        asked: what it was before.
    """
    if asked == "scratch" or options.network:
        return
    if options.encoders != "scratch":
        found = [f"{NAMES[m]} for {m}" for m in modalities if m in ASSETS and here(m)]
        yield (
            f"Encoders: {', '.join(found)}; frozen, with small heads" if found else
            "Encoders: no pretrained ones; simple features with small heads"
        )  # fmt: skip
    elif _small(options, modalities):
        yield (
            f"Encoders: trained from scratch, since --image-size {options.image_size} is too small "
            f"for {NAMES['image']}, which takes {SMALLEST} pixels and more"
        )
        return  # what would be added would not be used
    else:
        yield "Encoders: trained from scratch, for want of a pretrained one for these pictures"
    yield from (f"  {line}" for line in lacking(modalities))


SCRATCH = (
    "A network from scratch takes no part: on the four tables of docs/results.md it was behind or "
    "not shown to be better, and cost 10 to 35 s of processor time on top. To compare, add "
    "--encoders scratch --out scratch to the command."
)


def lacking(modalities: Sequence[str]) -> Iterator[str]:
    """A line on what could be fetched for these modalities, if anything."""
    if missing := [m for m in modalities if m in ASSETS and not here(m)]:
        size = sum(find(ASSETS[m]).size for m in missing) / 1e6
        yield (
            f"mmkeras data fetch {' '.join(ASSETS[m] for m in missing)} ({size:.0f} MB) would "
            f"add {' and '.join(NAMES[m] + LANGUAGES.get(m, '') for m in missing)}; nothing is "
            "fetched unasked"
        )
