"""What a chapter must have: its head, its sections, a warning, exercises, references.

The rules have the same form as those in notebook_rules.py, which lists all of them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from notebook_page import (
    BOX_LEAD,
    Block,
    Findings,
    Page,
    boxes,
    check_calls,
    images,
    links,
    prose,
    read,
)

BEFORE = "before the first code cell"
SECTIONS = ("Recap", "Exercises", "References")
PICTURE_WITHIN = 5  # cells after the first code cell
CHAPTERS = 22  # number of the last chapter when the course is complete


def header(page: Page) -> Findings:
    first_code = page.code[0][0] if page.code else len(page.cells) + 1
    text = "\n".join(cell.source for n, cell in page.markdown if n < first_code)
    if not re.match(r"# \S", text):
        yield 1, "must begin with the title: '# Title'"
    learn = re.search(r"(?ms)^\*\*You will learn:?\*\*:?(.*?)(?=^\*\*|^#|\Z)", text)
    points = len(re.findall(r"(?m)^[-*] \S", learn[1])) if learn else 0
    if not 3 <= points <= 5:
        yield 1, f"needs **You will learn** with 3 to 5 points '- …' {BEFORE}, has {points}"
    if not re.search(r"(?m)^\*\*You need:?\*\*:?[ \n]*\S", text):
        yield 1, f"needs '**You need:** chapters, data sets' {BEFORE}"
    time = re.search(r"(?m)^\*\*Time:?\*\*:?(.*)$", text)
    if not (time and all(re.search(p, time[1]) for p in (r"\d.*read", r"\d.*run", "2 CPU cores"))):
        yield 1, f"needs '**Time:** 25 min to read, 40 s to run on 2 CPU cores' {BEFORE}"
    names = sorted({p.name for p in page.home.glob("[0-9][0-9]_*.ipynb")} | {page.path.name})
    here = names.index(page.path.name)
    for word, i in (("Previous", here - 1), ("Next", here + 1)):
        if 0 <= i < len(names):
            link = rf"\*\*{word}:?\*\*:?[^*\n]*\]\({re.escape(names[i])}\)"
            if not re.search(link, text):
                yield 1, f"needs '**{word}:** [title]({names[i]})' {BEFORE}"


def sections(page: Page) -> Findings:
    found = [b.text for b in page.blocks if b.level == 2 and b.text in SECTIONS]
    if tuple(found) != SECTIONS:
        wanted = ", ".join(f"'## {title}'" for title in SECTIONS)
        has = ", ".join(found) or "none"
        yield None, f"must end with the sections {wanted}, once each; has {has}"


def what_goes_wrong(page: Page) -> Findings:
    if not any("What goes wrong" in box for _, cell in page.markdown for box in boxes(cell.source)):
        yield None, f"needs a box '{BOX_LEAD} …' that shows the trap and its cure"


def exercises(page: Page) -> Findings:
    parts: list[list[Block]] = []
    for block in page.section("Exercises"):
        if block.level == 3 and block.text.startswith("Exercise"):
            parts.append([])
        if parts:
            parts[-1].append(block)
    if not 3 <= len(parts) <= 5:
        message = (
            f"needs 3 to 5 headings '### Exercise 1 · title' under '## Exercises', has {len(parts)}"
        )
        yield None, message
    for expected, part in enumerate(parts, start=1):
        n, _, title = part[0]
        if not re.match(rf"Exercise ({int(page.number)}\.)?{expected}\b(?!\.\d)", title):
            yield n, f"is {title!r}, expected '### Exercise {expected} · title'"
        told = [link for b in part if b.level == 0 for link in links(b.text)]
        if not any(link.startswith(f"solutions/{page.path.name}#") for link in told):
            wanted = f"[Solution](solutions/{page.path.name}#Exercise-{expected}-·-title)"
            yield n, f"exercise {expected} needs a link {wanted}"
        cells = [bool(check_calls(b.text, page.number)) for b in part if b.level == -1]
        if len(cells) < 2 or not cells[-1] or any(cells[:-1]):
            message = (
                f"exercise {expected} needs a code cell with the stub, then a last code cell with "
                f"the check: ch{page.number}.name(…)"
            )
            yield n, message
    inside = {b.cell for part in parts for b in part}
    for n, cell in page.code:
        if n not in inside and check_calls(cell.source, page.number):
            yield n, "calls a check outside of an exercise: put it under '### Exercise N'"


def references(page: Page) -> Findings:
    identifier = r"\b10\.\d{4,9}/\S+|\barXiv[:.\s/]\S*\d{4}\.\d{4,5}|\bISBN[:\s]*[\dX-]{10,17}"
    blocks = page.section("References")
    items = [
        (block.cell, item)
        for block in blocks
        for item in re.split(r"(?m)^(?:[-*]|\d+\.) ", block.text)[1:]
        if block.level == 0
    ]
    if not items:
        yield None, "'## References' lists nothing: '- Authors (year). Title. doi:10.…'"
    for n, item in items:
        if not re.search(identifier, item, re.IGNORECASE):
            yield n, f"the reference {item[:60].strip()!r} has no DOI, arXiv id or ISBN"
        elif not re.search(r"\b(1[89]|20)\d\d\b", re.sub(identifier, "", item, flags=re.I)):
            yield n, f"the reference {item[:60].strip()!r} has no year"


def section_numbers(page: Page) -> Findings:
    """`## 1 · Title`, `## 2 · Title` and so on, without a gap."""
    numbered = [(b.cell, re.match(r"(\d+) · ", b.text)) for b in page.blocks if b.level == 2]
    found = [(cell, int(match[1])) for cell, match in numbered if match]
    for expected, (cell, number) in enumerate(found, start=1):
        if number != expected:
            yield cell, f"is section {number}, expected {expected}: number the sections anew"
            return


def first_picture(page: Page) -> Findings:
    """There is a figure, or a picture in the text, among the first cells after the head."""
    start = page.code[0][0] if page.code else 0
    for _, cell in page.cells[start : start + PICTURE_WITHIN]:
        drawn = any("image/png" in o.get("data", {}) for o in cell.get("outputs", []))
        if drawn or (cell.cell_type == "markdown" and images(cell.source)):
            return
    message = f"no picture in the {PICTURE_WITHIN} cells after the first code cell: show one early"
    yield start or None, message


def predictions(page: Page) -> Findings:
    """After `**Predict` the cell ends, the next cell is code, and a later text says what it shows.

    A person must check that no earlier text gives the answer away.
    """
    last = next((b.cell for b in page.blocks if (b.level, b.text) == (2, "Recap")), None)
    for n, cell in page.markdown:
        if "**Predict" not in cell.source or (last and n >= last):
            continue
        after = re.split(r"\n\s*\n", cell.source.partition("**Predict")[2])[1:]
        if any(part.strip() and "</div>" not in part for part in after):
            yield n, "goes on after **Predict**: end the cell with the question, answer it later"
        answer = next((m for m, _ in page.with_output if m > n), None)
        if answer is None or dict(page.cells)[n + 1].cell_type != "code":
            yield n, "asks to **Predict**: the next cell must be code, whose output answers"
        elif not _taken_up(page, answer):
            yield n, "asks to **Predict**: let a text after the output say what came out"


def _taken_up(page: Page, answer: int) -> bool:
    """Whether a text follows this cell before the next section begins."""
    for block in page.blocks:
        if block.cell > answer and 0 < block.level <= 2:
            return False
        if block.cell > answer and block.level == 0 and block.text.strip():
            return True
    return False


def cross_references(page: Page) -> Findings:
    """Every "section N" and "chapter N" exists; a future chapter is marked "(planned)"."""
    cited = {block.text for block in page.section("References")}
    texts = [(b.cell, prose(b.text)) for b in page.blocks if b.level >= 0 and b.text not in cited]
    for n, text in texts + [(n, cell.source) for n, cell in page.code]:
        for number, _, end in _numbers("chapter", text):
            exists = _file_of(page, number) is not None
            planned = re.match(r"(\]\([^)]*\))?,? \(?planned", text[end:]) is not None
            if planned and exists:
                yield n, f"says that chapter {number} is planned, but it is there"
            elif not exists and not (planned and int(number) <= CHAPTERS):
                yield n, f"names chapter {number}, which is not there: mend it, or add '(planned)'"
        for number, start, end in _numbers("section", text):
            before = re.search(r"chapter (\d+)(\]\([^)]*\))?, (in )?$", text[:start], re.IGNORECASE)
            there = before or re.match(r" of \[?chapter (\d+)", text[end:], re.IGNORECASE)
            if not there and re.match(r" of (?!this chapter)", text[end:]):
                continue  # of an article
            chapter = f"{int(there[1]):02d}" if there else page.number
            headings = _sections_of(page, chapter)
            if headings is not None and number not in headings:
                yield n, f"names section {number} of chapter {int(chapter)}, which is not there"


def _numbers(word: str, text: str) -> Iterator[tuple[str, int, int]]:
    """Every number after "section" or "sections", and where the mention starts and ends."""
    one, more = r"\d+(?:\.\d+)?", r"(?:(?:,| and| or| to|, and)\s\d+(?:\.\d+)?)*"
    for found in re.finditer(rf"\b{word}(?:\s({one})|s\s({one}{more}))", text, re.IGNORECASE):
        for number in re.findall(one, found[1] or found[2]):
            yield number.lstrip("0") or "0", found.start(), found.end()


def _file_of(page: Page, chapter: str) -> Path | None:
    name = page.path.name if int(chapter) == int(page.number) else f"{int(chapter):02d}_*.ipynb"
    return next(iter(page.home.glob(name)), None)


def _sections_of(page: Page, chapter: str) -> set[str] | None:
    """Numbers of the sections of a chapter, such as {"1", "1.1", "2"}; None if it has no file."""
    other = page
    if page.is_solution or chapter != page.number:
        file = _file_of(page, chapter)
        if file is None:
            return None
        try:
            other = read(file)
        except ValueError:
            return set()
    matches = [re.match(r"(\d+(?:\.\d+)?) · ", b.text) for b in other.blocks if b.level in (2, 3)]
    return {match[1] for match in matches if match}
