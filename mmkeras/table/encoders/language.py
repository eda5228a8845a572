"""Does MiniLM, which has read English, read the texts of a table? Judged by the whole words."""

from collections.abc import Iterable, Sequence

from ...pretrained.wordpiece import WordPiece, words

# Shares of whole words: below the first MiniLM is not tried, below the second it is not English.
UNREAD, FOREIGN = 0.06, 0.65
ENGLISH = "of the words of English texts it is 79 to 94%"


def whole_words(tokenizer: WordPiece, texts: Iterable[str]) -> float:
    """The share of the words that are one piece of the vocabulary, in [0, 1]; 0 without words.

    A word is made of letters alone. A single letter counts if it is one of ASCII, so that Chinese,
    which is cut into characters, has nearly no whole words. Of six kinds of English texts the share
    was 0.79 (what packages say of themselves) to 0.94 (messages); of names and messages in 50 other
    languages with Latin letters it was 0.08 (Lithuanian) to 0.52 (French), and in 30 with other
    letters 0.01 to 0.13. Told by 20 texts, `FOREIGN` was wrong in at most 1 of 400 tables of each
    kind, and told by 10 in at most 4 (benchmarks/languages.py).

    `UNREAD` is far below, since the pieces of a word help a little with languages that are not
    English: beside counted words, on the names of 1,000 emoji and in the mean of five splits,
    German (0.24) +5.6 points of accuracy, Dutch (0.25) +4.9, French (0.38) +4.3, Finnish (0.10)
    +3.9, Italian (0.32) +0.9, Spanish (0.34) +0.7, Polish (0.16) -3.3, and English +21.6. So these
    compete, and the user is told.
    """
    known, every = map(sum, zip((0, 0), *(counted(tokenizer, text) for text in texts), strict=True))
    return known / every if every else 0.0


def counted(tokenizer: WordPiece, text: str) -> tuple[int, int]:
    """How many words of a text are whole, and how many there are."""
    found = [word for word in words(text) if word.isalpha()]
    known = (word in tokenizer.ids and (len(word) > 1 or word.isascii()) for word in found)
    return sum(known), len(found)


def judged(tokenizer: WordPiece, texts: Sequence[str]) -> tuple[bool, str]:
    """Whether MiniLM may be tried on these texts, and what is said about their language, or ""."""
    share = whole_words(tokenizer, texts)
    found = f"its vocabulary has {share:.0%} of their words as a whole, {ENGLISH}"
    if share < UNREAD:
        return False, f"it does not read this language: {found}"
    if share < FOREIGN:
        return True, f"it reads English, and these texts do not look like it: {found}"
    return True, ""
