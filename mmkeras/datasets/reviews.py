"""Rated sentences from four kinds of writing: tweets, film reviews, product reviews, editorials.

At least 15 people rated each sentence from -4 (extremely negative) to 4 (extremely positive);
Hutto & Gilbert (2014), VADER, ICWSM. data/README.md has the card. If sentences were drawn one by
one, three kinds of related sentences would leak, so `split` keeps each of them on one side:
sentences of one review or article, articles that are in the set twice, and tweets that are variants
of one another. Used in chapters 02, 16.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from .. import assets, files
from .splits import hold_out, positions

SOURCES = ("tweets", "films", "products", "editorials")
_FILES = {
    "tweets": "tweets",
    "films": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
}
_ALIKE = 0.6  # from this ratio of shared words to all words on, sentences are near-duplicates
_NO_WORDS = re.compile(r"@anonymous|https?://\S+|'")


@dataclass(frozen=True, eq=False)
class Reviews:
    """Rated sentences, row by row.

    Attributes:
        table: one row per sentence. `source` is one of `SOURCES`; `document` (str) names the
            tweet, snippet, review or article, as in "products 12"; `text` is the text in the file,
            including HTML codes such as `&amp;`; `rating` is the mean over the raters, -4 to 4;
            `spread` is the standard deviation of their ratings (with division by n); `raters` is
            the number of raters; `group` (int) is shared by sentences that a split must not divide.
            The index is the row number in the full set, and `take` and `split` keep it.
    """

    table: pd.DataFrame

    @property
    def text(self) -> np.ndarray:
        """The sentences, object `(rows,)`, as Keras takes them."""
        return self.table["text"].to_numpy(object)

    @property
    def y(self) -> np.ndarray:
        """int32 `(rows,)`: 1 where the mean rating is above 0. See `clear`."""
        return (self.table["rating"].to_numpy() > 0).astype(np.int32)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        sizes = self.table["source"].value_counts()
        parts = ", ".join(f"{sizes[name]} {name}" for name in SOURCES if name in sizes)
        return f"Reviews({len(self)} rated sentences: {parts or 'none'})"

    def take(self, rows: Sequence[int] | np.ndarray) -> "Reviews":
        """The rows at these positions (counted from 0 in this object), or where a mask is True."""
        return Reviews(self.table.iloc[positions(rows)])

    def of(self, source: str) -> "Reviews":
        """The rows of one source.

        Raises:
            ValueError: the table has no rows of this source.
        """
        here = [name for name in SOURCES if (self.table["source"] == name).any()]
        if source not in here:
            raise ValueError(f"source {source!r} is not here; choose one of {', '.join(here)}")
        return self.take((self.table["source"] == source).to_numpy())

    def clear(self, least: float = 0.5) -> "Reviews":
        """The rows whose mean rating is at least this far from 0, on either side.

        This leaves out sentences that people call neutral or disagree on (with 0.5, 18% of all).
        Say so beside any accuracy, since the rest is the easier part.

        Raises:
            ValueError: least is below 0 or above 4.
        """
        if not 0 <= least <= 4:
            raise ValueError(f"least={least!r} must be from 0 to 4, the ends of the scale")
        return self.take((self.table["rating"].abs() >= least).to_numpy())

    def split(
        self,
        held_out_source: str | None = None,
        *,
        test: float = 0.2,
        valid: float = 0.1,
        seed: int = 0,
    ) -> tuple["Reviews", "Reviews", "Reviews"]:
        """Training, validation and test set that share no document and no near-duplicate.

        Groups (see `table["group"]`) are never divided, and drawn stratified by source. With a
        held-out source, the test set keeps only the test rows of *that* source, and the other two
        sets keep the rows of the *other* sources. So the test rows of a source are the same whether
        or not it was trained on, and the remaining rows are in no set. The same seed gives the same
        split.

        Args:
            held_out_source: one of the sources in the table, or None.
            test: share of the groups in the test set, between 0 and 1.
            valid: share of the groups in the validation set; `test + valid` < 1.
            seed: seed of the draw, int from 0.

        Raises:
            ValueError: the source is not in the table, or is the only one; a share is out of range,
                or there are too few groups for it.
        """
        sides = hold_out(
            self.table,
            "group",
            "source",
            held_out_source,
            stratify="source",
            test=test,
            valid=valid,
            seed=seed,
        )
        training, validation, testing = map(self.take, sides)
        return training, validation, testing


def load_reviews() -> Reviews:
    """All 23,703 rated sentences: 4,200 tweets, 10,605 films, 3,708 products, 5,190 editorials.

    The rating is the mean of the single ratings. For 199 constructed tweets the package prints
    another mean beside the text, up to 1.13 away, which does not follow from its own ratings; we
    use the ratings. The archive is fetched once (2.5 MB).

    Raises:
        ValueError: a file is not as expected; the message names the file, the line and the reason.
        mmkeras.assets.AssetError: the data is not in the cache and cannot be fetched.
    """
    folder = assets.fetch("reviews")
    table = pd.concat([_read(folder, source) for source in SOURCES], ignore_index=True)
    table["group"] = _kept_groups(table["document"], table["text"])
    return Reviews(table)


# ---- files ----------------------------------------------------------------------------------


def _read(folder: Path, source: str) -> pd.DataFrame:
    """The table of one source: the texts of one file and the ratings of the other."""
    texts = folder / f"{_FILES[source]}_GroundTruth.txt"
    ratings = folder / f"{_FILES[source]}_anonDataRatings.txt"
    text_of = {key: line[2] for _, key, line in _lines(texts, fields=3)}
    keys, kept, given = [], [], []
    for number, key, line in _lines(ratings, fields=4):
        where = f"{ratings.name}, line {number}"
        given.append(_ratings(line[3], where))
        if key not in text_of:
            raise ValueError(f"{where}: id {key!r} has no text in {texts.name}")
        keys.append(key)
        kept.append(text_of.pop(key))
    if text_of:
        raise ValueError(f"{texts.name}: id {next(iter(text_of))!r} has no rating")
    table = pd.DataFrame({"document": keys, "text": kept})
    table["raters"] = raters = np.array([len(row) for row in given])
    for count in np.unique(raters):  # all rows with as many ratings at once, which saves a second
        rows = np.flatnonzero(raters == count)
        block = np.array([given[i] for i in rows])
        table.loc[rows, "rating"] = block.mean(axis=1)
        table.loc[rows, "spread"] = block.std(axis=1)
    table = table[["document", "text", "rating", "spread", "raters"]]
    table["document"] = [f"{source} {key.partition('_')[0]}" for key in table["document"]]
    table.insert(0, "source", source)
    return table


def _ratings(text: str, where: str) -> list[float]:
    """The ratings, -4 to 4, in a list in JSON; `where` is the file and the line, for messages."""
    try:
        given = [float(rating) for rating in json.loads(text)]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {text[:40]!r} is not a list of ratings") from error
    if not given or not all(-4 <= rating <= 4 for rating in given):
        raise ValueError(f"{where}: ratings must be from -4 to 4, got {text[:40]!r}")
    return given


def _lines(path: Path, fields: int) -> Iterator[tuple[int, str, list[str]]]:
    """(line number, id, fields) of each line of a tab-separated file; ids are unique."""
    seen: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 at byte {error.start}") from error
    for number, line in enumerate(lines, start=1):
        parts = line.split("\t")
        if len(parts) != fields:
            raise ValueError(
                f"{path.name}, line {number}: expected {fields} fields between tabs, got "
                f"{len(parts)}: {line[:40]!r}"
            )
        if parts[0] in seen:
            raise ValueError(
                f"{path.name}, line {number}: id {parts[0]!r} is also on line {seen[parts[0]]}"
            )
        seen[parts[0]] = number
        yield number, parts[0], parts


# ---- what must not be divided ------------------------------------------------------------------


def _kept_groups(document: pd.Series, text: pd.Series) -> np.ndarray:
    """The result of `_groups`, kept in the cache, since comparing the sentences takes seconds."""
    key = json.dumps([_ALIKE, _NO_WORDS.pattern, list(document), list(text)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]

    def read(path: Path) -> np.ndarray | None:
        groups = np.load(path)
        return groups if groups.shape == (len(text),) and groups.dtype.kind == "i" else None

    return files.cached(
        assets.cache_dir() / "groups" / f"reviews-{digest}.npy",
        lambda: _groups(document, text),
        read=read,
        write=np.save,
        what="groups",
    )


def _groups(document: pd.Series, text: pd.Series) -> np.ndarray:
    """A number for each sentence, int `(rows,)`, the same for all that are linked by some path.

    Sentences of one document are linked, and so are near-duplicates from anywhere.
    """
    place, _ = pd.factorize(document)
    a, b = _near_duplicates(text)
    links = sparse.coo_matrix((np.ones(len(a)), (place[a], place[b])), (place.max() + 1,) * 2)
    return connected_components(links, directed=False)[1][place]


def _near_duplicates(text: pd.Series, least: float = _ALIKE) -> tuple[np.ndarray, np.ndarray]:
    """Positions (a, b) of all pairs that share `least` of their words (Jaccard 1901), exactly.

    User names, addresses, case, punctuation and repetitions do not count. Two sets that are so
    similar share a word among their rarest few words, so that only such pairs need to be compared
    (the prefix filter of Chaudhuri, Ganti & Kaushik 2006).
    """
    plain = [_NO_WORDS.sub("", sentence.lower()) for sentence in text]
    counter = CountVectorizer(token_pattern=r"\w+", binary=True, dtype=np.float32)
    words = counter.fit_transform(plain)
    rarest_first = np.argsort(np.asarray(words.sum(axis=0)).ravel(), kind="stable")
    words = words[:, rarest_first].tocsr()
    words.sort_indices()
    size = np.diff(words.indptr)
    nth = np.arange(words.nnz) - np.repeat(words.indptr[:-1], size)
    few = words.copy()
    few.data *= nth < np.repeat(size - np.ceil(least * size) + 1, size)
    few.eliminate_zeros()
    pairs = sparse.triu(few @ few.T, 1).tocoo()
    near = np.minimum(size[pairs.row], size[pairs.col]) >= least * np.maximum(
        size[pairs.row], size[pairs.col]
    )
    a, b = pairs.row[near], pairs.col[near]
    shared = np.asarray(words[a].multiply(words[b]).sum(axis=1)).ravel()
    alike = shared >= least * (size[a] + size[b] - shared)
    return a[alike], b[alike]
