"""What a chapter must have: its head, its sections, a warning, exercises, references.

The rules have the form of those in notebook_rules.py, where all of them are listed.
"""

import re

from notebook_page import BOX_LEAD, Block, Findings, Page, boxes, check_calls, links

BEFORE = "before the first code cell"
SECTIONS = ("Recap", "Exercises", "References")


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
