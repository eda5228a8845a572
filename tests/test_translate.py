"""Translations of chapters: what is out of date, what the lint refuses, what a notebook shows."""

import json

import pytest
import translate
from notebooks import ROOT
from translate import Cell, accept, differences, load, outdated, save

ENGLISH = (
    "## 2 · Ties\n\nAt $k = 3$, `rank` [counts](a.ipynb#x) 1,280 rows; 5 tie.\n\n| a |\n|---|\n"
)
CHINESE = "## 2 · 并列\n\n$k = 3$ 时，`rank` 对 1,280 行[计](a.ipynb#x)，5 并。\n\n| 甲 |\n|-|\n"


def write(folder, texts):
    """A chapter with these Markdown cells."""
    cells = [{"cell_type": "code", "id": "code", "source": "1", "outputs": []}]
    cells += [{"cell_type": "markdown", "id": name, "source": text} for name, text in texts.items()]
    path = folder / "notebooks" / "07_x.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


def test_a_faithful_translation_passes():
    assert differences(Cell("a", ENGLISH, CHINESE)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("$k = 3$", "$k = 4$", "formulas: $k = 3$ is missing"),
        ("`rank`", "`Rank`", "code: `Rank` is not in the English"),
        ("a.ipynb#x", "b.ipynb#x", "links: a.ipynb#x is missing"),
        ("1,280", "1,208", "numbers: 1,280 is missing"),
        ("5 并", "五并", "numbers: 5 is missing"),
        ("## 2", "2", "headings: 0, not 1"),
        ("| 甲 |\n", "", "rows of tables: 1, not 2"),
    ],
)
def test_what_differs_is_named(old, new, problem):
    assert problem in differences(Cell("a", ENGLISH, CHINESE.replace(old, new)))


def test_a_file_is_read_as_it_was_written(tmp_path):
    cells = [Cell("a", ENGLISH.strip(), CHINESE.strip()), Cell("b", "New text.")]
    file = tmp_path / "zh" / "07_x.md"
    save(file, cells)
    assert load(file) == cells
    assert load(tmp_path / "nothing.md") == []
    file.write_text(file.read_text("utf-8").replace("cell a zh", "cell c zh"), encoding="utf-8")
    with pytest.raises(ValueError, match="cell a: expected its English, then its translation"):
        load(file)


def test_a_changed_cell_is_out_of_date_until_its_translation_is_accepted(tmp_path):
    kept = [Cell("a", ENGLISH, CHINESE), Cell("b", "Nothing alike here", "别的")]
    now = [Cell("a2", ENGLISH.replace("1,280", "1,281")), Cell("c", "And one more.")]
    assert outdated(now, kept) == [(kept[0], now[0]), (kept[1], None)]

    cells, problems = accept(now, kept)  # the translation still has the old number
    assert problems[0] == "cell a2: numbers: 1,281 is missing"
    assert cells == [kept[0], Cell("c", "And one more.")]  # nothing is lost

    kept[0].translated = CHINESE.replace("1,280", "1,281")
    cells, problems = accept(now, kept)
    assert problems == []
    assert cells == [Cell("a2", now[0].english, kept[0].translated), Cell("c", "And one more.")]


def test_what_is_out_of_date_or_refused_is_shown_in_english(tmp_path):
    notebook = write(tmp_path, {"a": "One is 1.", "b": "Two is 2.", "c": "Three is 3."})
    cells = [Cell("a", "One is 1.", "一是 1。"), Cell("b", "Two is 2.", "二是 3。")]
    save(
        translate.file(tmp_path, "zh", notebook),
        [*cells, Cell("old", "Three was 3.", "三曾是 3。")],
    )
    shown = [c["source"] for c in translate.translated(notebook, tmp_path, "zh")["cells"]]
    assert shown == ["1", "一是 1。", "Two is 2.", "Three is 3."]
    (line,) = translate.status(tmp_path)
    assert line == "zh 07_x: 2 of 3 cells, 1 out of date, 1 refused b"
    said = "\n".join(translate.changes(tmp_path, "zh", "07"))
    assert "cell old is now c:" in said and "-Three was 3." in said and "+Three is 3." in said


def test_the_translations_of_the_course_can_be_read_and_pass_the_lint():
    assert "zh" in translate.languages(ROOT)
    for line in translate.status(ROOT):
        assert line.endswith(" 0 refused"), line
    texts = translate.texts(translate.chapter(ROOT, "00"), ROOT, "zh")
    assert any("什么是*模态*" in text for text in texts.values())
