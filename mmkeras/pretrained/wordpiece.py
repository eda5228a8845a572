"""WordPiece: text -> the ids that BERT and its descendants take.

A text is cleaned and parted into words and punctuation; a word that the vocabulary lacks becomes
the longest pieces that it has, from left to right: "unfriendly" -> "un", "##fr", "##ien", "##dly".
The rules, written out here in a page, are those of the `tokenizers` package, which the tests
compare with. The two differ in rare characters that are newer than Unicode 8, which `tokenizers`
does not know.

Sources: Y. Wu et al., "Google's Neural Machine Translation System", 2016, arXiv:1609.08144, section
4.1 (the pieces). J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
Language Understanding", NAACL 2019, arXiv:1810.04805 (the cleaning and the special pieces).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..arguments import check_integer

PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
LONGEST = 100  # characters of a word that is looked up
# Chinese characters, which are written without spaces: each is a word. Kana and Hangul are not.
# (0x2B920 is what `tokenizers` has; the block of Unicode begins at 0x2B820.)
IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class _Clean(dict):
    """For `str.translate`: what is no text goes, spaces become " ", ideographs stand apart."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in "\t\n\r" or unicodedata.category(character)[0] == "Z":
            new = " "
        elif unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs") or code == 0xFFFD:
            new = ""
        else:
            apart = any(first <= code <= last for first, last in IDEOGRAPHS)
            new = f" {character} " if apart else character
        self[code] = new
        return new


class _Split(dict):
    """For `str.translate`: accents go, punctuation stands apart."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if kind == "Mn":
            new = ""
        elif kind[0] == "P" or character in "$+<=>^`|~":  # all that ASCII has besides
            new = f" {character} "
        else:
            new = character
        self[code] = new
        return new


_CLEAN, _SPLIT = _Clean(), _Split()


def words(text: str) -> list[str]:
    """Lower-case words without accents, single punctuation marks and ideographs."""
    text = unicodedata.normalize("NFD", text.translate(_CLEAN)).translate(_SPLIT)
    return text.replace("Σ", "σ").lower().split()  # lower() would write ς at the end of a word


class WordPiece:
    """Texts -> ids, `tokenizer(texts, length)`.

    Args:
        vocabulary: the pieces; the id of each is its place. "[PAD]" is the first, since 0 is
            padding everywhere in this package; "[UNK]", "[CLS]" and "[SEP]" are among them. A piece
            that goes on within a word begins with "##".

    Raises:
        ValueError: one of the four is missing, "[PAD]" is not the first, a piece is there twice.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self.ids = {piece: i for i, piece in enumerate(self.vocabulary)}
        if missing := [piece for piece in (PAD, UNKNOWN, START, END) if piece not in self.ids]:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}")
        if self.ids[PAD] != 0 or len(self.ids) < len(self.vocabulary):
            raise ValueError(f"{PAD} must come first, and no piece twice: an id is a place")
        self.unknown = self.ids[UNKNOWN]

    def __call__(self, texts: Iterable[str], length: int) -> np.ndarray:
        """int32 (n, length): [CLS], the pieces, [SEP], then 0.

        A text with more than `length` - 2 pieces is cut. The name of a special piece within a text
        is text like any other.

        Raises:
            ValueError: a length below 2.
            TypeError: one string instead of several; something that is no string, with its row.
        """
        length = check_integer("length", length, least=2)
        if isinstance(texts, str):
            raise TypeError(f"texts must be several strings, got one; give [{texts[:20]!r}]")
        rows = []
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"texts must be strings, but row {row} is {text!r:.80}")
            found = self._found(text, length - 2)
            rows.append([self.ids[START], *found, self.ids[END]] + [0] * (length - 2 - len(found)))
        return np.array(rows, "int32").reshape(-1, length)

    def pieces(self, text: str) -> list[str]:
        """The pieces of a text, without [CLS] and [SEP]."""
        return [self.vocabulary[i] for word in words(text) for i in self._word(word)]

    def _found(self, text: str, most: int) -> list[int]:
        found: list[int] = []
        for word in words(text):
            if len(found) >= most:
                break
            found += self._word(word)
        return found[:most]

    def _word(self, word: str) -> Iterator[int] | list[int]:
        """The longest pieces from left to right; where one is missing, the word is unknown."""
        if word in self.ids:
            return [self.ids[word]]
        if len(word) > LONGEST:
            return [self.unknown]
        found, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if prefix + word[start:e] in self.ids), None)
            if end is None:
                return [self.unknown]
            found.append(self.ids[prefix + word[start:end]])
            start = end
        return found
