"""Emoji: the same things drawn by four independent artists, with names in two languages.

The pictures are rendered from vector drawings (Noto, Twemoji, OpenMoji, Fluent); labels, tags
and groups come from emojibase. data/README.md has the cards. Two things can be held out: the
*concept* (what is drawn) and the *artist* (who draws).

Used in chapters 00, 02, 03, 05, 06, 07, 08, 13, 15, 16, 18.
"""

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from ..arguments import check_integer
from .emoji_drawings import ARTISTS, asset_json, drawings_of, icons_of, plain
from .emoji_families import families
from .splits import hold_out, positions

DEFAULT_GROUPS = (
    "smileys-emotion",
    "animals-nature",
    "food-drink",
    "travel-places",
    "activities",
    "objects",
)
_SIZES = (16, 512)
_FAMILIES: dict[tuple[str, ...], np.ndarray] = {}  # by the concepts that were compared already


@dataclass(frozen=True, eq=False)
class Emoji:
    """Pictures with their texts, row by row.

    Attributes:
        table: one row per picture, with the columns `artist`, `hexcode` (code points, as in
            "1F431"), `character`, `label_en`, `tags_en`, `label_zh`, `tags_zh` (str; tags are
            joined by one space), `group`, `subgroup` and `family` (int; shared by concepts that
            look nearly the same or have nearly the same name). The index is the row number in the
            full set, and `take` and `split` keep it. Keras accepts texts as
            `table["label_en"].to_numpy(object)`.
        drawings: the pictures of the full set, in its order, shared by all parts of it.
        groups: the class names, in the order of the class numbers `y`.
    """

    table: pd.DataFrame
    drawings: np.ndarray
    groups: tuple[str, ...]

    @functools.cached_property
    def images(self) -> np.ndarray:
        """uint8 `(rows, size, size, 3)`, RGB on white, in the order of the table.

        They are copied from the full set at the first access, so that a split copies nothing.
        """
        rows = self.table.index.to_numpy()
        whole = np.array_equal(rows, np.arange(len(self.drawings)))
        return self.drawings if whole else self.drawings[rows]

    @property
    def y(self) -> np.ndarray:
        """Class numbers, int32 `(rows,)`: `groups[y[i]]` is the group of row i."""
        return pd.Categorical(self.table["group"], categories=self.groups).codes.astype(np.int32)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        artists = ", ".join(self.table["artist"].unique())
        concepts, size = self.table["hexcode"].nunique(), self.drawings.shape[1]
        kind = type(self).__name__
        return f"{kind}({len(self)} pictures {size}x{size} of {concepts} concepts by {artists})"

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """The rows at these positions (counted from 0 in this object), or where a mask is True."""
        return replace(self, table=self.table.iloc[positions(rows)])

    def split(
        self,
        held_out_artist: str | None,
        *,
        test: float = 0.25,
        valid: float = 0.1,
        seed: int = 0,
    ) -> tuple[Self, Self, Self]:
        """Training, validation and test set that share no concept and no near-duplicate.

        Families of concepts (see `table["family"]`) are never divided. They are drawn stratified by
        group: a share `test` of them for the test set, and a share `valid` for the validation set.
        With a held-out artist, the test set has the test concepts as drawn by *that* artist, and
        the other two sets have their concepts as drawn by the *others*. With None, every artist is
        in all three sets, and only the concepts are held out. The same seed gives the same split of
        the concepts for every artist and every picture size.

        Args:
            held_out_artist: one of the artists in the table, or None.
            test: share of the families in the test set, between 0 and 1.
            valid: share of the families in the validation set; `test + valid` < 1.
            seed: seed of the draw, int from 0.

        Raises:
            ValueError: the artist is not in the table, a share is out of range, or a set would be
                empty.
        """
        sides = hold_out(
            self.table,
            "family",
            "artist",
            held_out_artist,
            stratify="group",
            test=test,
            valid=valid,
            seed=seed,
        )
        training, validation, testing = map(self.take, sides)
        return training, validation, testing


def load_emoji(
    size: int = 48,
    *,
    artists: Sequence[str] = ARTISTS,
    groups: Sequence[str] | None = DEFAULT_GROUPS,
    only: Collection[str] | None = None,
) -> Emoji:
    """All concepts that every chosen artist draws: with the defaults 1,021, in 4,084 pictures.

    The drawings are fetched once (7 MB, and 7 MB of names) and rendered once per size, which
    takes about 2 ms per picture; both stay in the cache. Skin tones are not separate concepts. The
    26 regional indicator letters belong to no group and are left out.

    Args:
        size: side of the square pictures in pixels, 16 to 512.
        artists: some of "noto", "twemoji", "openmoji", "fluent"; the rows are in this order.
        groups: the groups to load, by emojibase's names; None for all. The default leaves out
            people, symbols, flags and components. Class numbers follow the emoji keyboard.
        only: hexcodes, with or without variation selectors: all other concepts are left out, and
            near-duplicates are looked for among these. None leaves nothing out.

    Returns:
        An `Emoji`, with `table`, `images` uint8 `(rows, size, size, 3)` and `groups`.

    Raises:
        ValueError: a size out of range; an unknown, repeated or missing artist or group.
        mmkeras.assets.AssetError: the data is not in the cache and cannot be fetched.
    """
    size = check_integer("size", size, *_SIZES)
    _check_choice("artists", artists, ARTISTS)
    names, known = _names()
    _check_choice("groups", known if groups is None else groups, known)
    chosen = tuple(group for group in known if groups is None or group in groups)
    drawn = {artist: icons_of(artist) for artist in ARTISTS}
    by_all = set.intersection(*(set(drawn[artist]) for artist in artists))
    if only is not None:
        by_all &= set(map(plain, only))
    rows = names["hexcode"].map(plain).isin(by_all) & names["group"].isin(chosen)
    concepts = names[rows].reset_index(drop=True)
    chosen = tuple(group for group in chosen if (concepts["group"] == group).any())
    if concepts.empty:
        raise ValueError(f"{', '.join(artists)} have no concept in common in groups={groups}")

    codes = list(concepts["hexcode"])
    if tuple(codes) not in _FAMILIES:  # this takes seconds, and depends on neither size nor artists
        _FAMILIES[tuple(codes)] = families(concepts, drawn)
    concepts["family"] = _FAMILIES[tuple(codes)]
    table = pd.concat([concepts.assign(artist=artist) for artist in artists], ignore_index=True)
    table.insert(0, "artist", table.pop("artist"))
    images = np.empty((len(table), size, size, 3), np.uint8)
    for number, artist in enumerate(artists):
        images[number * len(codes) :][: len(codes)] = drawings_of(artist, codes, size)
    return Emoji(table, images, chosen)


def _check_choice(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(given, str):
        raise ValueError(f"{what}={given!r} must be a tuple or a list, as in ({given!r},)")
    wrong = [item for item in given if item not in known]
    if wrong or not given or len(set(given)) < len(given):
        fault = f"unknown: {', '.join(map(repr, wrong))}" if wrong else "one or more, each once"
        raise ValueError(f"{what}={tuple(given)!r}: {fault}; choose from {', '.join(known)}")


def _names() -> tuple[pd.DataFrame, tuple[str, ...]]:
    """All concepts with their texts, and the names of the groups, both in keyboard order."""
    meta = asset_json("emoji-names", "meta/groups.json")
    groups, subgroups = meta["groups"], meta["subgroups"]
    chinese = {entry["hexcode"]: entry for entry in asset_json("emoji-names", "zh/data.json")}
    entries = (e for e in asset_json("emoji-names", "en/data.json") if "group" in e)
    table = pd.DataFrame(
        {
            "hexcode": entry["hexcode"],
            "character": entry["emoji"],
            "label_en": entry["label"],
            "tags_en": " ".join(entry["tags"]),
            "label_zh": chinese[entry["hexcode"]]["label"],
            "tags_zh": " ".join(chinese[entry["hexcode"]]["tags"]),
            "group": groups[str(entry["group"])],
            "subgroup": subgroups[str(entry["subgroup"])],
        }
        for entry in sorted(entries, key=lambda entry: entry["order"])
    )
    return table, tuple(groups.values())
