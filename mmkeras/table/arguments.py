"""The arguments of `load_table`, which are checked before anything is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arguments import check_integer, check_seed
from .columns import MODALITIES
from .problems import HEADER, Problems
from .words import TOKENS, UNKNOWN

FILES = ("image", "audio")


@dataclass(frozen=True)
class Options:
    """The arguments of `load_table`, whose docstring explains them.

    Raises:
        ValueError: an argument is out of range.
        FileNotFoundError: the CSV does not exist.
    """

    path: str | Path
    text: str | None
    image: str | None
    audio: str | None
    numbers: Sequence[str] | Mapping[str, Any] | None
    categories: Sequence[str] | None
    label: str | None
    split: str | None
    fractions: Sequence[float]
    group: str | None
    seed: int
    classes: Sequence[str] | None
    words: int
    tokens: str
    ngrams: int
    vocabulary: Sequence[str] | None
    vocabulary_size: int
    image_size: Sequence[int]
    audio_rate: int
    audio_seconds: float
    on_error: str
    allow_missing_columns: bool
    allow_duplicates: bool
    allow_outside: bool
    least_rows: int
    max_pixels: int
    max_file_bytes: int
    max_audio_seconds: float
    encoding: str
    delimiter: str
    cache: str | Path | bool | None

    def __post_init__(self) -> None:
        self._check_columns()
        self._check_choices()
        self._check_sizes()
        if not self.csv.is_file():
            raise FileNotFoundError(f"there is no CSV at {self.csv}")

    @property
    def csv(self) -> Path:
        """The path of the CSV."""
        return Path(self.path)

    @property
    def trained(self) -> Mapping[str, Any] | None:
        """What another table has learned about its numbers and categories, or None."""
        return self.numbers if isinstance(self.numbers, Mapping) else None

    @property
    def number_columns(self) -> list[str]:
        """The names of the columns of numbers."""
        return list(self.trained["numbers"] if self.trained else self.numbers or ())

    @property
    def category_columns(self) -> list[str]:
        """The names of the columns of categories."""
        return list(self.trained["categories"] if self.trained else self.categories or ())

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of pictures in pixels."""
        return self.image_size[0], self.image_size[1]

    @property
    def inputs(self) -> dict[str, list[str]]:
        """Modality → its columns, in the order of `MODALITIES`."""
        columns = {m: [] if (c := getattr(self, m)) is None else [c] for m in MODALITIES[:3]}
        columns["numbers"] = [*self.number_columns, *self.category_columns]
        return {modality: of for modality, of in columns.items() if of}

    @property
    def used(self) -> dict[str, list[str]]:
        """Role → its columns; the roles have the names of the arguments."""
        roles = {**{m: of for m, of in self.inputs.items() if m != "numbers"},
                 "numbers": self.number_columns, "categories": self.category_columns}  # fmt: skip
        for role in ("label", "split", "group"):
            roles[role] = [] if (name := getattr(self, role)) is None else [name]
        return {role: of for role, of in roles.items() if of}

    @property
    def optional(self) -> tuple[str, ...]:
        """Roles whose columns the file may lack."""
        roles = ("text", "image", "audio", "numbers", "categories")
        return roles if self.allow_missing_columns else ()

    def _check_columns(self) -> None:
        for name in ("numbers", "categories"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise ValueError(f"{name} must be a list of columns, such as [{given!r}]")
        if self.trained is not None:
            if set(self.trained) != {"numbers", "categories"}:
                raise ValueError(
                    'numbers must be a list of columns, or settings["numbers"] of a table; got '
                    f"a dict with {sorted(self.trained)}"
                )
            if self.categories:
                raise ValueError(
                    "numbers= of another table brings its categories with it; leave out categories="
                )
        if not self.inputs:
            raise ValueError(
                'name at least one column, such as text="text", image="image" or numbers=["age"]'
            )

    def _check_choices(self) -> None:
        fractions, classes, vocabulary = self.fractions, self.classes, self.vocabulary
        if self.on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {self.on_error!r}")
        if self.tokens not in TOKENS:
            raise ValueError(
                f"tokens must be {', '.join(map(repr, TOKENS[:-1]))} or {TOKENS[-1]!r}, "
                f"got {self.tokens!r}"
            )
        if self.tokens == "wordpiece" and self.ngrams != 1:
            raise ValueError("ngrams are of words or characters: leave it out for 'wordpiece'")
        if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
            raise ValueError(
                "fractions must be three shares (train, valid, test) that add up to 1, "
                f"got {fractions}"
            )
        if classes is not None and (isinstance(classes, str) or len(set(classes)) < 2):
            raise ValueError(f"classes must be at least two different names, got {classes!r}")
        if classes is not None and len(set(classes)) < len(classes):
            raise ValueError(f"classes must not repeat a name, got {classes!r}")
        unlearned = [m for m, known in (("text", vocabulary), ("numbers", self.trained))
                     if m in self.inputs and not known]  # fmt: skip
        if self.label is None and unlearned:
            what = "the vocabulary" if unlearned[0] == "text" else 'settings["numbers"]'
            raise ValueError(
                f"without a label there is no training part to learn {unlearned[0]} from: pass "
                f"{what} of the table that the model was trained on"
            )
        if self.tokens == "wordpiece":
            return  # its vocabulary is checked by `WordPiece`
        if vocabulary and (vocabulary[0] != "" or len(set(vocabulary)) < max(2, len(vocabulary))):
            raise ValueError(
                f"vocabulary must start with '' and {UNKNOWN!r} and not repeat a word, as "
                "Table.vocabulary does"
            )

    def _check_sizes(self) -> None:
        if len(self.image_size) != 2:
            raise ValueError(f"image_size must be (height, width), got {self.image_size}")
        sides = [check_integer(f"image_size[{i}]", n) for i, n in enumerate(self.image_size)]
        # Any integer type is accepted; Python's int is kept, which suits JSON and Keras.
        object.__setattr__(self, "image_size", tuple(sides))
        for name, least in (("words", 1), ("ngrams", 1), ("vocabulary_size", 3),
                            ("audio_rate", 1000), ("least_rows", 1)):  # fmt: skip
            object.__setattr__(self, name, check_integer(name, getattr(self, name), least))
        object.__setattr__(self, "seed", check_seed(self.seed))
        seconds = self.audio_seconds
        if not 0 < seconds < math.inf or round(self.audio_rate * seconds) < 1:
            raise ValueError(f"audio_seconds must be a length above 0, got {seconds!r}")


def check_used_once(used: Mapping[str, Sequence[str]], problems: Problems) -> None:
    """Add a problem for each column with two roles; only a group may also be an input's column."""
    pairs = [(role, name) for role, names in used.items() for name in names]
    for name in dict.fromkeys(name for _, name in pairs):
        roles = [f"{role}=" for role, other in pairs if other == name and role != "group"]
        if len(roles) > 1:
            reason = f"the column is used for {' and '.join(roles)}; each needs its own"
            problems.add(HEADER, name, "", reason)
    for role in ("label", "split"):
        if role in used and used.get("group") == used[role]:
            problems.add(HEADER, used[role][0], "", f"the column is used for group= and {role}=")
