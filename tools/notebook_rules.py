"""The rules for committed notebooks: one small function per rule, and a list of them at the end.

chapter_rules.py has the rules that hold only for chapters.

A rule takes a `Page` and yields problems as pairs: the number of the cell (from 1, all cells
counted; None for the whole notebook) and a message that says what to do. Rules read the file as
committed and run nothing; nbval proves that the outputs are true.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import nbformat
from chapter_rules import (
    cross_references,
    exercises,
    first_picture,
    header,
    predictions,
    references,
    section_numbers,
    sections,
    what_goes_wrong,
)
from notebook_page import (
    BOX_LEAD,
    BOX_OPEN,
    IGNORE,
    RAISES,
    SLIDE,
    Findings,
    Page,
    anchors,
    boxes,
    check_calls,
    images,
    links,
    read,
    shows_text,
    tags,
    text_of,
)

MAX_LINES, MAX_COLUMNS = 25, 100
MAX_BYTES = 1_500_000
MAX_UNCOMPARED = 0.10
RUN = "run tools/notebooks.py run"


class Problem(NamedTuple):
    """One broken rule: where, which, and what to do."""

    path: Path
    rule: str
    cell: int | None
    message: str

    def __str__(self) -> str:
        where = "" if self.cell is None else f", cell {self.cell}"
        return f"{'/'.join(self.path.parts[-2:])}{where}: {self.message} [{self.rule}]"


# --- rules for every notebook -----------------------------------------------------------------


def file_name(page: Page) -> Findings:
    if not re.fullmatch(r"\d\d_[a-z0-9]+(_[a-z0-9]+)*\.ipynb", page.path.name):
        yield None, "name the file NN_slug.ipynb: two digits, then lower-case words joined by _"


def valid(page: Page) -> Findings:
    version = (page.nb.get("nbformat", 0), page.nb.get("nbformat_minor", 0))
    if version < (4, 5):
        yield None, f"is nbformat {version[0]}.{version[1]}, must be 4.5 or newer: {RUN}"
        return
    try:
        nbformat.validate(page.nb)
    except nbformat.ValidationError as error:
        yield None, f"is no valid notebook: {str(error).splitlines()[0]}: {RUN}"


def executed(page: Page) -> Findings:
    expected = 1
    for n, cell in page.code:
        if cell.source.strip():
            if cell.execution_count != expected:
                yield n, f"has execution count {cell.execution_count}, expected {expected}: {RUN}"
                return
            expected += 1


def errors(page: Page) -> Findings:
    for n, cell in page.code:
        raised = [output.ename for output in cell.outputs if output.output_type == "error"]
        if raised and RAISES not in tags(cell):
            yield n, f"ends in {raised[0]}: mend it, or tag it {RAISES} if the error is the lesson"
        elif not raised and RAISES in tags(cell):
            yield n, f"is tagged {RAISES} but raises nothing: remove the tag or mend the cell"


def stderr(page: Page) -> Findings:
    for n, cell in page.code:
        if any(o.output_type == "stream" and o.name == "stderr" for o in cell.outputs):
            yield n, f"holds a stderr stream: {RUN}, which drops it"


def plain_python(page: Page) -> Findings:
    for n, cell in page.code:
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            line = (error.text or "").strip()
            yield n, f"is not plain Python at {line!r}: no magics (%), shell (!) or help (?)"
            continue
        if "get_ipython" in cell.source:
            yield n, "calls get_ipython: a cell must be plain Python, without magics"
        found = list(tokenize.generate_tokens(io.StringIO(cell.source).readline))
        for token, after in zip(found, found[1:], strict=False):
            if token.string == ";" and after.type in (tokenize.NEWLINE, tokenize.COMMENT):
                yield n, f"line {token.start[0]} ends in ';': it hides nothing here, remove it"


def cell_size(page: Page) -> Findings:
    for n, cell in page.code:
        lines = cell.source.splitlines()
        if not cell.source.strip():
            yield n, "is empty: delete it"
        if len(lines) > MAX_LINES:
            yield n, f"has {len(lines)} lines, at most {MAX_LINES}: split it"
        for row, line in enumerate(lines, start=1):
            if len(line) > MAX_COLUMNS:
                yield n, f"line {row} has {len(line)} columns, at most {MAX_COLUMNS}: break it"


def start(page: Page) -> Findings:
    first, source = (page.code[0][0], page.code[0][1].source) if page.code else (None, "")
    for wanted in ("import mmkeras as mm", "mm.start(seed="):
        if wanted not in source:
            yield first, f"the first code cell must contain {wanted!r}"


def link_targets(page: Page) -> Findings:
    root = page.home.resolve().parent
    for n, cell in page.markdown:
        for link in links(cell.source):
            if re.match(r"(https?|mailto):", link):
                continue
            if link.startswith("attachment:"):
                if unquote(link[len("attachment:") :]) not in cell.get("attachments", {}):
                    yield n, f"{link!r} is not attached to this cell"
                continue
            name, _, anchor = unquote(link).partition("#")
            file = (page.path.resolve().parent / name) if name else page.path.resolve()
            if name and not (file.exists() and file.resolve().is_relative_to(root)):
                yield n, f"{link!r} leads to no file of the repository: mend the path"
            elif anchor and anchor not in _anchors_of(file, page):
                yield n, f"{link!r} names no heading: write #Title-of-it, spaces as hyphens"


def _anchors_of(file: Path, page: Page) -> set[str]:
    if file.suffix != ".ipynb":
        return anchors(file.read_text(encoding="utf-8"))
    target = page if file == page.path.resolve() else read(file)
    return anchors("\n\n".join(cell.source for _, cell in target.markdown))


def alt_text(page: Page) -> Findings:
    for n, cell in page.markdown:
        for alt, target in images(cell.source):
            if not alt.strip():
                yield n, f"the picture {target!r} has no alternative text: ![what it shows](…)"


def warnings(page: Page) -> Findings:
    """A box looks like a warning in JupyterLab, VS Code and Colab, and like a quote on GitHub."""
    for n, cell in page.markdown:
        if found := re.search(r"(?m)^\s*>\s*(\[!\w+\])", cell.source):
            yield n, f"{found[1]} is shown as these very letters in JupyterLab: remove the line"
        inside = "".join(boxes(cell.source))
        for line in re.findall(r"(?m)^>.*What goes wrong.*", cell.source):
            if not (line in inside and line.startswith(BOX_LEAD)):
                yield n, f"write the box as {BOX_OPEN}, an empty line, '{BOX_LEAD} …', and </div>"


def claims(page: Page) -> Findings:
    for n, cell in page.code:
        if IGNORE not in tags(cell):
            continue
        if not cell.outputs:
            yield n, f"is tagged {IGNORE} but shows nothing: remove the tag"
            continue
        after = next((c for m, c in page.with_output if m > n), None)
        if after is None or IGNORE in tags(after) or not shows_text(after):
            message = (
                f"is tagged {IGNORE}: the next cell with output must print a claim, rounded or "
                "True/False, that is compared"
            )
            yield n, message


def uncompared_share(page: Page) -> Findings:
    if len(page.ignored) > 1 and page.share > MAX_UNCOMPARED:
        message = (
            f"{len(page.ignored)} of {len(page.with_output)} cells with output are not compared "
            f"({page.share:.0%}, at most {MAX_UNCOMPARED:.0%}): print claims instead of digits"
        )
        yield None, message


def plots(page: Page) -> Findings:
    for n, cell in page.code:
        pictures = [o.data for o in cell.outputs if "image/png" in o.get("data", {})]
        if any("text/plain" not in data for data in pictures):
            yield n, "has a picture without text/plain: nbval could not tell if it went missing"
        figure = any(str(data.get("text/plain", "")).startswith("<Figure") for data in pictures)
        if figure and not cell.source.rstrip().endswith("plt.show()"):
            yield n, "draws a figure: its last line must be plt.show()"


def run_times(page: Page) -> Findings:
    clock = re.compile(r"\b(perf_counter|process_time|monotonic|timeit|time\.time)\b")
    for n, cell in page.code:
        text = "".join(text_of(output) for output in cell.outputs)
        if clock.search(cell.source) and IGNORE not in tags(cell):
            shown = re.search(r"\d+(\.\d+)?\s?(ms|µs|us|s|seconds?|min)\b", text)
            if shown:
                message = (
                    f"prints a run time ({shown[0]}) that nbval compares: tag it {IGNORE} and "
                    "print the ratio or the order in a claim cell"
                )
                yield n, message


def file_size(page: Page) -> Findings:
    if page.size > MAX_BYTES:
        message = (
            f"has {page.size / 1e6:.2f} MB, at most {MAX_BYTES / 1e6} MB: fewer or smaller pictures"
        )
        yield None, message


def known_tags(page: Page) -> Findings:
    for n, cell in page.cells:
        unknown = sorted(set(tags(cell)) - {IGNORE, RAISES, SLIDE})
        if unknown:
            known = f"only {IGNORE}, {RAISES} and {SLIDE} are known"
            yield n, f"has the tag {', '.join(unknown)}: {known}"
        if cell.cell_type == "code" and re.search(r"(?m)^\s*#.*\b(NBVAL|PYTEST)_\w+", cell.source):
            yield n, f"steers nbval by a comment: use the tag {IGNORE} or {RAISES}"


def widgets(page: Page) -> Findings:
    if "widgets" in page.nb.metadata:
        yield None, f"stores widget state: {RUN}, which drops it"
    for n, cell in page.code:
        if any("widget-view" in kind for o in cell.outputs for kind in o.get("data", {})):
            yield n, "shows a widget, which is dead on paper and on GitHub: print or plot instead"


def machine(page: Page) -> Findings:
    path = re.compile(r"(?<![\w/.:<~\-])(?:/[A-Za-z][\w.\-]*/[\w.\-]+|[A-Z]:\\\w+)")
    host = re.compile(r"https?://[^/\s\"')]*(pypi|pythonhosted|npm|conda|debian|ubuntu|mirror)")
    for n, cell in page.cells:
        shown = "\n".join(text_of(output) for output in cell.get("outputs", []))
        if found := path.search(shown):
            yield n, f"shows the path {found[0]}… of one machine: print the name or a relative path"
        if host.search(shown) or host.search(cell.source):
            yield n, "names the address of a package registry: name the package instead"


def addresses(page: Page) -> Findings:
    for n, cell in page.code:
        if any(re.search(r"\bat 0x[0-9a-fA-F]+", text_of(output)) for output in cell.outputs):
            yield n, "shows an object's address, different in every run: print what matters"


def unfinished(page: Page) -> Findings:
    for n, cell in page.cells:
        if found := re.search(r"\b(TODO|FIXME)\b", cell.source):
            yield n, f"says {found[0]}: finish it (the stub of an exercise is ...)"


def partner(page: Page) -> Findings:
    """A chapter and its solution call the same checks, in the same order."""
    other = (page.home if page.is_solution else page.home / "solutions") / page.path.name
    kind = "chapter" if page.is_solution else "solution"
    if not other.is_file():
        yield None, f"has no {kind} {other.parent.name}/{other.name}"
        return
    try:
        theirs = read(other).checks
    except ValueError:
        return  # `valid` reports this for the other file
    if page.checks != theirs:
        message = (
            f"calls the checks {', '.join(page.checks) or 'none'}; "
            f"its {kind} calls {', '.join(theirs) or 'none'}: they must agree"
        )
        yield None, message


def verdicts(page: Page) -> Findings:
    """Each check fails usefully on the stub of a chapter, and passes in the solution."""
    mark, advice = "✗", "fail on the stub, with a hint of 5 words or more,"
    if page.is_solution:
        mark, advice = "✓", "pass"
    for n, cell in page.code:
        calls = check_calls(cell.source, page.number)
        if not calls:
            continue
        name = ", ".join(calls)
        printed = "".join(text_of(output) for output in cell.outputs)
        lines = re.findall(r"(?m)^Exercise \d+\.\d+ ([✗✓]) (?:not yet: )?(.*)$", printed)
        good = [line for line in lines if line[0] == mark]
        if not (len(lines) == len(good) == len(calls)):
            yield n, f"the check {name} must {advice} in one line; it printed {printed.strip()!r}"
        elif mark == "✗" and any(len(text.split()) < 5 for _, text in good):
            yield n, f"the check {name} must {advice}; it printed {printed.strip()!r}"
        if IGNORE in tags(cell):
            yield n, f"the check {name} must be compared: remove the tag {IGNORE}"


# --- the list ---------------------------------------------------------------------------------

Rule = Callable[[Page], Findings]
EVERYWHERE: tuple[Rule, ...] = (
    file_name, valid, executed, errors, stderr, plain_python, cell_size, start, link_targets,
    alt_text, warnings, claims, uncompared_share, plots, run_times, file_size, known_tags, widgets,
    machine, addresses, unfinished, partner, verdicts, cross_references,
)  # fmt: skip
CHAPTERS_ONLY: tuple[Rule, ...] = (
    header, sections, section_numbers, first_picture, predictions, what_goes_wrong, exercises,
    references,
)  # fmt: skip
RULES: dict[str, Rule] = {rule.__name__: rule for rule in EVERYWHERE + CHAPTERS_ONLY}


def problems_of(page: Page, name: str) -> list[Problem]:
    """The problems that one rule finds on a page. Rules for chapters find none in a solution."""
    if page.is_solution and RULES[name] in CHAPTERS_ONLY:
        return []
    return [Problem(page.path, name, cell, message) for cell, message in RULES[name](page)]


def lint(file: Path, place: Path | None = None) -> tuple[Page | None, list[Problem]]:
    """Check a notebook against every rule; an invalid file against `valid` alone."""
    try:
        page = read(file, place)
    except ValueError as error:
        return None, [Problem(place or file, "valid", None, str(error))]
    broken = problems_of(page, "valid")
    return page, broken or [p for name in RULES for p in problems_of(page, name)]
