"""Links from the first use of each term of the glossary in a chapter to its row; only in the book.

The committed notebooks stay as they are. Nothing is linked in headings, tables, code, formulas,
links and references, nor in the first cell, which only names what will be learned.
"""

import re
from collections.abc import Iterable

# What a link may not stand in, in the order in which it is looked for
PROTECTED = (
    r"```.*?```",
    r"`+[^`]+`+",
    r"\$\$.*?\$\$",
    r"(?<!\\)\$[^$]+\$",
    r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\](?:\([^()\s]*\))?",
    r"<[a-zA-Z/!][^>]*>",
    r"https?://\S+",
    r"^(?:> ?)*(?:\#|\||    ).*?$",
)
# These also have an everyday meaning. They are linked only where they are set off, as in "**leak**"
EVERYDAY = set(
    "baseline block class head hub id leak loss negative phase proxy scale shape signature slot "
    "split student teacher unit utilisation weight".split()
)
# By chapter: terms that at their first use there do not mean what the glossary says
OTHERWISE = {
    "01": {"rival"},
    "07": {"cascade"},
    "14": {"cascade"},
    "16": {"block"},
    "18": {"calibration"},
}
WHOLE = {"training, validation, test set": ("training set", "validation set", "test set")}


def names(term: str) -> list[str]:
    """The names in a row: "modality, multimodal" has two; what stands in brackets explains."""
    if term in WHOLE:
        return list(WHOLE[term])
    return re.sub(r" \([^)]*\)", "", re.sub(r"[*`$]", "", term)).split(", ")


def anchor(term: str) -> str:
    """The id of a row of the glossary."""
    return "term-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def forms(name: str) -> str:
    """A pattern for a name and its plural; a name with capitals keeps them."""
    if name in EVERYDAY:
        return rf"(?<=\*){name}(?=\*)"
    end = f"(?:{re.escape(name[:-1])}ies|{re.escape(name)})" if name[-1] == "y" else None
    plural = end or re.escape(name) + ("(?:es)?" if re.search("(s|x|ch|sh)$", name) else "s?")
    plural = plural.replace(r"\ ", r"\s+")  # a line may end inside a name
    return plural if name != name.lower() else f"(?i:{plural})"


class Linker:
    """Links the first use of each term in the cells of one chapter, which are given in order."""

    def __init__(self, terms: Iterable[str], chapter: str = "") -> None:
        left_out = OTHERWISE.get(chapter, set())
        self.rows = {name: term for term in terms for name in names(term) if name not in left_out}
        self.seen: set[str] = set()
        longest = sorted(self.rows, key=lambda name: (-len(name), name))
        self.names = {f"n{number}": name for number, name in enumerate(longest)}
        words = "|".join(f"(?P<{key}>{forms(name)})" for key, name in self.names.items())
        kept = "|".join(PROTECTED)
        self.pattern = re.compile(rf"(?sm){kept}|(?<![\w-])(?:{words})(?![\w-])")

    def __call__(self, text: str) -> str:
        """The Markdown of the next cell, with links as in the chapters."""
        if re.match(r"# |## References", text):
            return text
        return self.pattern.sub(self._link, text)

    def _link(self, found: re.Match[str]) -> str:
        if found.lastgroup is None:
            return found[0]
        term = self.rows[self.names[found.lastgroup]]
        if term in self.seen:
            return found[0]
        self.seen.add(term)
        return f"[{found[0]}](glossary.md#{anchor(term)})"
