"""The sources of the book, as tools/book.py lays them out for Sphinx; nothing is built here.

tests/test_site.py looks at the finished site in a browser.
"""

import functools
import json
import re
from pathlib import Path

import book_alt
import book_colab
import book_glossary
import book_slides
import book_source
import pytest
import symbols
from book_source import ABOUT, PARTS, Book, slug, stage
from notebook_page import boxes, prose, split_headings
from notebooks import ROOT

REPOSITORY = "https://github.com/owner/name"


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """The whole book, without the API pages, which need the book's environment."""
    out = tmp_path_factory.mktemp("book")
    stage(ROOT, out)
    return out


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def text(path):
    if path.suffix == ".ipynb":
        cells = load(path)["cells"]
        return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return path.read_text(encoding="utf-8")


@functools.cache
def anchors(file):
    """What a link to a staged file may name."""
    said = text(file)
    titles = {slug(title) for level, title in split_headings(said) if level}
    return titles.union(*re.findall(r'(?m)^\(([\w-]+)\)=$|<span id="([\w-]+)">', said))


def test_every_chapter_and_page_has_its_place_in_the_contents(staged):
    names = re.findall(r"(?m)^([\w/.-]+\.(?:md|ipynb))$", text(staged / "index.md"))
    pages = {p.relative_to(staged).as_posix() for p in staged.rglob("*.md")}
    chapters = [p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob("notebooks/*.ipynb"))]
    assert [n for n in names if n.endswith(".ipynb") and n.startswith("notebooks/")] == chapters
    assert len(names) == len(set(names))
    assert pages - {"index.md"} == {n for n in names if n.endswith(".md")} - {"api/index.md"}
    assert set(ABOUT) < set(names)
    assert [n for _, numbers in PARTS for n in numbers] == [*range(23)]


def test_every_link_leads_to_a_heading_of_the_book(staged):
    count = 0
    for page in [*staged.rglob("*.md"), *staged.rglob("*.ipynb")]:
        for target in re.findall(r"\]\(([^()\s]+)\)", prose(text(page))):
            if re.match(r"https?:|mailto:|attachment:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if file.suffix == ".md" and "api" in file.parts:
                continue
            assert file.is_file(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(file), f"{page.name}: {target}"
                count += 1
    assert count > 300


def test_a_notebook_keeps_its_code_and_its_outputs(staged):
    for path in sorted(ROOT.glob("notebooks/**/[0-9]*.ipynb")):
        kept = load(staged / path.relative_to(ROOT))["cells"]
        for old, new in zip(load(path)["cells"], kept, strict=True):
            if old["cell_type"] == "code":
                assert {**old, "metadata": {}} == {**new, "metadata": {}}


def test_every_figure_has_a_text_of_its_own(staged):
    ids, count = set(), 0
    for path in sorted(staged.glob("notebooks/**/*.ipynb")):
        texts = []
        for cell in load(path)["cells"]:
            ids.add(cell["id"])
            if found := book_alt.figures(cell):
                count += len(found)
                texts.append(cell["metadata"]["mystnb"]["image"]["alt"])
                assert 25 < len(texts[-1]) < 900, f"{path.name}, cell {cell['id']}"
                assert not re.search(r"\]\(|<\w|\*\*|`", texts[-1]), texts[-1]
        assert len(texts) == len(set(texts)), path.name
    assert count > 300, "figures"
    assert len(set(book_alt.written()) & ids) > 30  # a cell that was changed has another id


def cell(kind, source, figure=False):
    shown = {"image/png": "", "text/plain": "<Figure size 9x9 with 2 Axes>"}
    outputs = [{"data": shown}] if figure else []
    return {"cell_type": kind, "id": "a", "source": source, "outputs": outputs}


def test_an_alternative_text_says_what_the_figure_and_the_chapter_say():
    code = 'ax.set(xlabel=f"time, {unit}", title="two\\nwaves")\nax.plot(x, label="noisy")'
    cells = [cell("markdown", "## 3 · Waves\n\nHere they are:"), cell("code", code, figure=True)]
    here = "Figure of 2 panels in “3 · Waves”; titles: two waves; "
    here += "horizontally: time, …; legend: noisy."
    assert book_alt.alt_text(cells, 1) == here
    after = cell("markdown", "**One** wave leads ([1](a.ipynb)). More.")
    assert book_alt.alt_text([*cells, after], 1) == here + " One wave leads (1)."
    before = cell("markdown", "Both waves have 3 Hz.\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    assert book_alt.alt_text([before, cells[1]], 1).endswith("Both waves have 3 Hz.")


def test_links_of_a_page(tmp_path):
    (tmp_path / "notebooks").mkdir()
    chapter = tmp_path / "notebooks" / "03_x.ipynb"
    heads = [cell("markdown", '# A\n\n## 2 · *Big* `code`\n\n<a id="s"></a>\n')]
    chapter.write_text(json.dumps({"cells": heads}), encoding="utf-8")
    page = tmp_path / "README.md"
    page.write_text("# Read\n", encoding="utf-8")
    for book, code in ((Book(tmp_path), "code"), (Book(tmp_path, REPOSITORY), None)):
        say = lambda target: book.markdown(f"[code]({target})", page)  # noqa: B023, E731
        assert (
            say("notebooks/03_x.ipynb#2-·-Big-code") == "[code](notebooks/03_x.ipynb#2--big-code)"
        )
        assert say("notebooks/03_x.ipynb#s") == "[code](notebooks/03_x.ipynb#s)"
        assert say("#Read") == "[code](#read)"
        assert say("https://a.b/c") == "[code](https://a.b/c)"
        assert say("tools/x.py") == (code or f"[code]({REPOSITORY}/blob/main/tools/x.py)")
        assert book.markdown("`[a](b.py)`", page) == "`[a](b.py)`"
        anchors = '<a id="s"></a><a id="t"></a>\n\n## S'
        assert book.markdown(anchors, page) == "(s)=\n(t)=\n\n## S"


def test_a_copy_for_colab_installs_the_course_and_keeps_the_rest():
    name = "notebooks/solutions/01_mathematics.ipynb"
    before = load(ROOT / name)
    after = book_colab.copy(ROOT / name, name, REPOSITORY)
    first, second, *rest = after["cells"]
    assert f"git clone --quiet --depth 1 {REPOSITORY} course" in first["source"]
    assert "%cd course/notebooks/solutions" in first["source"] and '"../..[' in first["source"]
    link = "https://colab.research.google.com/github/owner/name/blob/gh-pages/colab/notebooks/"
    assert f"]({link}01_mathematics.ipynb)" in second["source"]
    code = [c for c in before["cells"][1:] if c["cell_type"] == "code"]
    assert [c for c in rest if c["cell_type"] == "code"] == code
    assert book_colab.address("https://example.org/owner/name", name) == ""


def test_without_a_repository_nothing_names_one(staged, tmp_path):
    said = "".join(p.read_text("utf-8") for p in staged.rglob("*.md"))
    assert not re.findall(r"\]\(https://(?:github\.com|colab\.)[^)]*\)", said)
    book_colab.write({"notebooks/01_mathematics.ipynb": Path()}, tmp_path / "colab", "")
    assert not (tmp_path / "colab").exists()


def test_the_anchors_of_headings_are_those_of_github():
    assert slug("Exercise 1 · *Ties* in `recall_at`") == "exercise-1--ties-in-recall_at"
    assert book_source.slug("什么是模态?") == "什么是模态"


# ---- pages that are made from the chapters ---------------------------------------------------


def test_the_glossary_has_every_term_once(staged):
    page = re.sub(r"</?span[^>]*>", "", text(staged / "notebooks" / "glossary.md"))
    rows = re.findall(r"(?m)^\| (.*?) \| .* \|$", page)[1:]
    welcome = text(ROOT / "notebooks" / "00_welcome.ipynb")
    assert len(rows) > 120 and "aliasing" in rows and "softmax" in rows
    assert all(f"| {term} |" in welcome for term in rows)
    assert [r.lower()[0] for r in rows if r[0].isalpha()] == sorted(
        r.lower()[0] for r in rows if r[0].isalpha()
    )


def test_the_first_use_of_a_term_leads_to_the_glossary(staged):
    count = 0
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        name = path.relative_to(ROOT)
        found = re.findall(r"\]\(glossary\.md#([\w-]+)\)", text(staged / name))
        assert len(found) == len(set(found)) > 5, path.name  # each row once
        count += len(found)
        for old, new in zip(load(path)["cells"], load(staged / name)["cells"], strict=True):
            if re.match("# |## References", "".join(old["source"])):
                assert "glossary.md" not in "".join(new["source"])
    assert count > 400
    said = text(staged / "notebooks" / "04_audio.ipynb")
    assert "[Nyquist frequency](glossary.md#term-nyquist-frequency)" in said
    solution = text(staged / "notebooks" / "solutions" / "04_audio.ipynb")
    assert "glossary.md" not in solution


def test_what_is_linked_to_the_glossary_and_what_is_not():
    rows = ["LSTM", "batch", "critical batch size", "leak", "label bias", "bias", "id, vocabulary"]
    link = book_glossary.Linker(rows)
    assert link("# Batches\n\nA batch.") == "# Batches\n\nA batch."
    kept = "## A batch\n\n`batch` $batch$ [a batch](x.md) | \n> | batch |\n\n```\nbatch\n```\n"
    assert link(kept) == kept
    assert link("A critical batch\nsize, two Batches.") == (
        "A [critical batch\nsize](glossary.md#term-critical-batch-size), "
        "two [Batches](glossary.md#term-batch)."
    )
    assert link("A batch, an lstm, batch-wise. LSTMs") == (
        "A batch, an lstm, batch-wise. [LSTMs](glossary.md#term-lstm)"
    )
    assert link("It leaks: a leak, a **leak**") == (
        "It leaks: a leak, a **[leak](glossary.md#term-leak)**"
    )
    vocabularies = "[vocabularies](glossary.md#term-id-vocabulary)"
    assert link("ids; vocabularies; vocabulary") == f"ids; {vocabularies}; vocabulary"
    assert book_glossary.Linker(["rival"], "01")("a rival") == "a rival"


def test_the_indexes_name_every_box_and_every_formula(staged):
    traps = text(staged / "notebooks" / "traps.md")
    chapters = [text(p) for p in sorted(ROOT.glob("notebooks/*.ipynb"))]
    assert len(re.findall(r"(?m)^- ", traps)) == sum(len(boxes(t)) for t in chapters) > 35
    assert "- **Zeros that vote.** Without the mask" in traps
    formulas = text(staged / "notebooks" / "formulas.md")
    assert len(re.findall(r"(?m)^\| \[\d", formulas)) > 45
    assert re.search(r"\[9\.3 · InfoNCE.*\(13_joint_embedding\.ipynb\)", formulas)
    rows = text(staged / "notebooks" / "data.md")
    assert re.search(r"`load_scenes`.*\[14\]\(14_", rows)
    cards = re.findall(r"README\.md#([\w-]+)", rows)
    titles = {slug(t) for level, t in split_headings(text(ROOT / "data" / "README.md")) if level}
    assert len(cards) == 11 and set(cards) <= titles


def test_the_exam_asks_and_the_key_answers(staged):
    asked, key = (text(staged / "notebooks" / f"{name}.md") for name in ("exam", "exam_key"))
    heads = [re.findall(r"(?m)^## \[(.*?)\].* \(chapter (\d\d)\)$", t) for t in (asked, key)]
    assert heads[0] == heads[1] and len(heads[0]) > 12
    assert "Solution" not in asked and "wrong currency" in asked
    assert "pays in the *wrong currency*" in key and not re.search(r"(?m)^ch\d\d\.", key)


def test_the_page_of_symbols_agrees_with_the_tables_of_the_chapters():
    assert symbols.problems(ROOT) == []


def test_what_the_page_of_symbols_leaves_out_is_found(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "docs").mkdir()
    for number in ("02", "03", "04"):
        rows = "| symbol | meaning |\n|---|---|\n| $x$, $y$ | both |\n"
        cells = {"cells": [cell("markdown", rows)]}
        (tmp_path / "notebooks" / f"{number}_a.ipynb").write_text(json.dumps(cells), "utf-8")
    page = tmp_path / "docs" / "symbols.md"
    page.write_text("| $x$ | input | 02, 03 | 09 |\n| $z$ | joint | 03 |  |\n", encoding="utf-8")
    found = symbols.problems(tmp_path)
    assert found == [
        "$y$ is in the tables of 02, 03, 04: add a row",
        "$x$: say what it means in chapter 04",
    ]


def test_the_numbers_of_the_page_on_articles_are_those_of_the_chapters():
    page = (ROOT / "docs" / "articles.md").read_text(encoding="utf-8")
    rows = [r for r in page.splitlines() if r.startswith("| ") and "notebooks/" in r]
    count = 0
    for row in rows:
        where, said = row.split(" | ")[1:3]
        names = set(re.findall(r"notebooks/(\w+\.ipynb)", where))
        there = "".join(everything(ROOT / "notebooks" / name) for name in names)
        for number in re.findall(r"-?\d+(?:\.\d+)?", said):
            assert re.search(rf"(?<![\d.]){number}(?!\d)", there), f"{number}: {row[:80]}"
            count += 1
    assert len(rows) > 20 and count >= 25


def everything(path):
    """All that a notebook says, its outputs included."""
    parts = []
    for cell in load(path)["cells"]:
        parts.append("".join(cell["source"]))
        for output in cell.get("outputs", []):
            plain = output.get("data", {}).get("text/plain", "")
            parts += ["".join(output.get("text", "")), "".join(plain)]
    return "\n".join(parts).replace("\u2212", "-")


def test_a_translated_chapter_leads_to_what_there_is(staged):
    page = staged / "zh" / "notebooks" / "00_welcome.ipynb"
    said = text(page)
    assert "多模态" in said and "(../../notebooks/01_mathematics.ipynb#softmax)" in said
    assert "(#zh-glossary)" in said and "(zh-glossary)=" in said
    assert "](../../data/README.md#the-emoji-set)" in said
    assert "### 8.2 · Terms that later chapters explain" in said  # not translated: in English
    assert "zh/notebooks/00_welcome.ipynb" in text(staged / "index.md")


# ---- slides ----------------------------------------------------------------------------------


def test_which_cells_become_slides():
    heads = "# 1 · Waves\n\nWhy.\n\n**You will learn**\n\n- to see\n\n**You need:** no"
    section = "## 1 · Sea\n\nIt is $x$.\n\n$$x = 1$$\n\nMore."
    box = '<div class="alert alert-warning" style="color: black; background: #ffe0b2">\n\n'
    box += "> ⚠ **What goes wrong: foam.** It hides.\n\n</div>"
    cells = [
        cell("markdown", heads),
        cell("code", "a", figure=True),
        cell("markdown", section),
        cell("code", "b", figure=True),
        cell("code", "c", figure=True),  # the second figure of the section
        cell("markdown", "Said.\n\n**Predict:** is\nit?"),
        cell("code", "d", figure=True),
        cell("markdown", box),
        cell("markdown", "Tagged.") | {"metadata": {"tags": ["slide"]}},
        cell("markdown", "Not tagged."),
        cell("markdown", "## Recap\n\n- this"),
        cell("markdown", "## Exercises\n\nDo.\n\n### Exercise 1 · Row\n\nRow it."),
        cell("markdown", "### Exercise 2 · Swim\n\nSwim."),
        cell("markdown", "## References\n\n- A (2000)"),
    ]
    cells = [{"metadata": {}} | c for c in cells]
    said = [(s.title, "|".join(s.text).strip(), len(s.outputs)) for s in book_slides.slides(cells)]
    assert said == [
        ("1 · Waves", "- to see", 0),
        ("1 · Waves", "", 1),
        ("1 · Sea", "It is $x$.|$$x = 1$$", 0),
        ("1 · Sea", "", 1),
        ("1 · Sea", "**Predict:** is\nit?", 0),
        ("1 · Sea", "", 1),
        ("What goes wrong", "⚠ **What goes wrong: foam.** It hides.", 0),
        ("1 · Sea", "Tagged.", 0),
        ("Recap", "- this", 0),
        ("Exercises", "- Exercise 1 · Row|- Exercise 2 · Swim", 0),
    ]


def test_the_slides_of_every_chapter_stand_alone(staged, tmp_path):
    made = book_slides.write(staged, tmp_path)
    assert len(made) == 23
    for path in made:
        said = path.read_text(encoding="utf-8")
        assert said.count("<section") == said.count("</section>") > 8, path.name
        assert not re.search(r'(?:src|href)="(?!data:image|\.\./(?:_static|notebooks)/)', said)
        assert not re.search(
            r"FORMULA\d|\]\(", re.sub(r"(?s)<pre.*?</pre>|<span.*?</span>", "", said)
        )
