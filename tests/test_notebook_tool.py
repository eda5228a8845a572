"""The notebook tool: a good course keeps every rule, a broken one fails its rule and no other."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import nbformat
import notebooks
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_page import BOX_OPEN
from notebook_rules import RULES, lint
from notebooks import ROOT

PNG = base64.b64encode(b"\x89PNG not a real picture").decode()
BANNER = "mmkeras 1.0.0 | TensorFlow 2.21.0, Keras 3.15.1 | CPU, 2 cores | seed 0\n"
SETUP = "import mmkeras as mm\nfrom mmkeras.checks import ch05\n\nmm.start(seed=0)"
HEADER = """\
# 5 · A good chapter

**You will learn**

- one thing
- another
- a third

**You need:** chapter 4; no data

**Time:** 10 min to read, 5 s to run on 2 CPU cores

**Previous:** [4 · Before](04_before.ipynb) · **Next:** [6 · After](06_after.ipynb)
"""
STORY = """\
## 1 · The idea

A formula is no link, $f[x](y)$, and neither is `[code](here)`. But [this](../README.md#install-it)
is, and [this](#Exercises), and [this](https://example.org/a/b).

![A single dot](figures/dot.png)
"""
QUESTION = """\
## 2 · The test

Section 1 had the idea, [chapter 4](04_before.ipynb) the data, and sections 1 and 2 are all. In
chapter 21 (planned) it comes back; section 9 of Vaswani et al. has more.

**Predict:** is the loss below 1?
"""
WRONG = "> ⚠ **What goes wrong.** The trap, made visible, and its cure."
BOX = f"{BOX_OPEN}\n\n{WRONG}\n\n</div>"
REFERENCES = """\
## References

- Ngiam et al. (2011). Multimodal deep learning. ISBN 978-1-4503-0619-5.
- Baltrušaitis, Ahuja, Morency (2019). Multimodal machine learning: a survey and taxonomy.
  doi:10.1109/TPAMI.2018.2798607
- Vaswani et al. (2017). Attention is all you need. arXiv:1706.03762

Data: drawn for this test, CC0.
"""


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def code(source: str, *outputs: NotebookNode, tags: tuple[str, ...] = ()) -> NotebookNode:
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def picture(text: str = "<Figure size 640x480 with 1 Axes>") -> NotebookNode:
    return new_output("display_data", data={"image/png": PNG, "text/plain": text})


def count(nb: NotebookNode) -> None:
    """Number the code cells as a run from top to bottom does."""
    run = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
    for n, cell in enumerate(run, start=1):
        cell.execution_count = n


def good_chapter() -> NotebookNode:
    error = new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])
    cells = [
        new_markdown_cell(HEADER),
        code(SETUP, stream(BANNER)),
        new_markdown_cell(STORY),
        new_markdown_cell(QUESTION),
        code("print(loss)", stream("0.123456789\n"), tags=("nbval-ignore-output",)),
        code('print("below 1:", loss < 1)', stream("below 1: True\n")),
        code("plt.plot([1, 2])\nplt.show()", picture()),
        code("1 / 0", error, tags=("raises-exception",)),
        new_markdown_cell(BOX),
        new_markdown_cell("## Recap\n\nOne sentence."),
        new_markdown_cell("## Exercises\n\nAll of them are short."),
    ]
    for n, name in enumerate(("one", "two", "three"), start=1):
        verdict = f"Exercise 5.{n} ✗ not yet: replace the ... in the cell above\n"
        cells += [
            new_markdown_cell(
                f"### Exercise {n} · count to {n}\n\n"
                f"[Solution](solutions/05_good.ipynb#Exercise-{n})"
            ),
            code(f"{name} = ..."),
            code(f"ch05.{name}({name})", stream(verdict)),
        ]
    nb = new_notebook(cells=[*cells, new_markdown_cell(REFERENCES)])
    count(nb)
    return nb


def good_solution() -> NotebookNode:
    cells = [new_markdown_cell("# 5 · Solutions"), code(SETUP, stream(BANNER))]
    for n, name in enumerate(("one", "two", "three"), start=1):
        cells += [new_markdown_cell(f"### Exercise {n}"), code(f"{name} = {n}")]
        cells += [code(f"ch05.{name}({name})", stream(f"Exercise 5.{n} ✓ counted\n"))]
    nb = new_notebook(cells=cells)
    count(nb)
    return nb


class Course:
    """A chapter and its solution in a small repository, to be broken in memory and then written."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "notebooks"
        self.name = "05_good.ipynb"
        self.chapter, self.solution = good_chapter(), good_solution()
        self.texts: dict[Path, str] = {}

    def cell(self, start: str, nb: NotebookNode | None = None) -> NotebookNode:
        """The cell of the chapter (or of `nb`) that starts with this text."""
        found = [c for c in (nb or self.chapter).cells if c.source.startswith(start)]
        assert len(found) == 1, f"{len(found)} cells start with {start!r}"
        return found[0]

    def swap(self, old: str, new: str) -> None:
        """Replace a text that occurs in exactly one cell of the chapter."""
        found = [c for c in self.chapter.cells if old in c.source]
        assert len(found) == 1, f"{old!r} is in {len(found)} cells"
        found[0].source = found[0].source.replace(old, new)

    def drop(self, start: str, nb: NotebookNode | None = None) -> None:
        nb = nb or self.chapter
        nb.cells.remove(self.cell(start, nb))
        count(nb)

    def print(self, start: str, text: str) -> None:
        """Let a cell of the chapter have printed something else."""
        self.cell(start).outputs = [stream(text)]

    def write(self) -> list[Path]:
        files = [self.folder / self.name, self.folder / "solutions" / self.name]
        (self.folder / "figures").mkdir(parents=True)
        (self.folder / "solutions").mkdir()
        (self.folder / "figures" / "dot.png").write_bytes(b"")
        (self.folder.parent / "README.md").write_text("# Read me\n\n## Install it\n", "utf-8")
        for neighbour in ("04_before.ipynb", "06_after.ipynb"):
            (self.folder / neighbour).write_text("{}", "utf-8")
        for file, nb in zip(files, (self.chapter, self.solution), strict=True):
            text = json.dumps(nb)  # as it is: nbformat would mend what a test has broken
            file.write_text(self.texts.get(file, text), "utf-8")
        return [file for file in files if file.exists()]

    def broken_rules(self) -> set[str]:
        return {problem.rule for file in self.write() for problem in lint(file)[1]}


def test_a_good_course_keeps_every_rule(tmp_path: Path) -> None:
    problems = [problem for file in Course(tmp_path).write() for problem in lint(file)[1]]
    assert not problems, "\n".join(map(str, problems))


# --- how the good course is broken


def rename(course: Course) -> None:
    course.name = "05_Good-Chapter.ipynb"
    for cell in course.chapter.cells:
        cell.source = cell.source.replace("05_good.ipynb", course.name)


def no_json(course: Course) -> None:
    course.texts[course.folder / course.name] = '{"cells": ['


def no_outputs(course: Course) -> None:
    del course.cell("one =")["outputs"]


def old_format(course: Course) -> None:
    course.chapter.nbformat_minor = 4


def stripped(course: Course) -> None:
    course.cell("one =").execution_count = None


def out_of_order(course: Course) -> None:
    course.cell("one =").execution_count = 99


def untagged_error(course: Course) -> None:
    course.cell("1 / 0").metadata.tags = []


def tag_without_error(course: Course) -> None:
    course.cell("1 / 0").outputs = []


def with_stderr(course: Course) -> None:
    course.cell("one =").outputs = [stream("a warning\n", "stderr")]


def source(start: str, new: str) -> Callable[[Course], None]:
    def change(course: Course) -> None:
        course.cell(start).source = new

    return change


def swap(old: str, new: str) -> Callable[[Course], None]:
    return lambda course: course.swap(old, new)


def printed(start: str, text: str) -> Callable[[Course], None]:
    return lambda course: course.print(start, text)


def drop(start: str) -> Callable[[Course], None]:
    return lambda course: course.drop(start)


def tag(start: str, name: str) -> Callable[[Course], None]:
    return lambda course: course.cell(start).metadata.tags.append(name)


def empty(course: Course) -> None:
    course.cell("one =").update(source=" ", execution_count=None)
    count(course.chapter)


def no_solution_start(course: Course) -> None:
    course.cell("import", course.solution).source = "from mmkeras.checks import ch05"


def attachment(course: Course) -> None:
    course.swap("figures/dot.png", "attachment:dot.png")


def ignored_without_output(course: Course) -> None:
    course.cell("print(loss)").outputs = []


def picture_alone(course: Course) -> None:
    course.cell("plt.plot").outputs[0].data.pop("text/plain")


def timed(course: Course) -> None:
    course.cell("one =").source = "import time\nprint(time.perf_counter())\none = ..."
    course.cell("import time").outputs = [stream("took 12.3 ms\n")]


def too_big(course: Course) -> None:
    course.cell("## Recap").source += "\n" + "x" * 1_500_000


def widget_state(course: Course) -> None:
    course.chapter.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}


def widget_shown(course: Course) -> None:
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "0%"}
    course.cell("one =").outputs = [new_output("display_data", data=data)]


def forgotten_answer(course: Course) -> None:
    course.drop("ch05.three", course.solution)


def other_check(course: Course) -> None:
    course.swap("ch05.three(three)", "ch05.four(three)")


def failing_solution(course: Course) -> None:
    cell = course.cell("ch05.one", course.solution)
    cell.outputs = [stream("Exercise 5.1 ✗ not yet: the count is off by one\n")]


def ignored_check(course: Course) -> None:
    course.drop("print(loss)")  # or the share of uncompared cells would rise as well
    course.cell("ch05.one").metadata.tags.append("nbval-ignore-output")


def stray_check(course: Course) -> None:
    """Chapter and solution agree on a fourth check, but no exercise asks for it."""
    for nb, before, text in (
        (
            course.chapter,
            "## Exercises",
            "Exercise 5.0 ✗ not yet: replace the ... in the cell above",
        ),
        (course.solution, "one =", "Exercise 5.0 ✓ counted"),
    ):
        nb.cells.insert(nb.cells.index(course.cell(before, nb)), code("ch05.zero(0)", stream(text)))
        count(nb)


def gap(course: Course) -> None:
    course.swap("### Exercise 3", "### Exercise 4")


def box_in_code(course: Course) -> None:
    course.cell(BOX).source = "What goes wrong is told without a box."


def solution_source(start: str, new: str) -> Callable[[Course], None]:
    def change(course: Course) -> None:
        course.cell(start, course.solution).source = new

    return change


def late_picture(course: Course) -> None:
    """The picture of the text goes, and the figure comes after the box."""
    course.swap("![A single dot](figures/dot.png)", "No picture.")
    cells = course.chapter.cells
    figure = course.cell("plt.plot")
    cells.remove(figure)
    cells.insert(cells.index(course.cell(BOX_OPEN)) + 1, figure)
    count(course.chapter)


def text_before_the_answer(course: Course) -> None:
    place = course.chapter.cells.index(course.cell("## 2 · The test")) + 1
    course.chapter.cells.insert(place, new_markdown_cell("It will be."))


def never_taken_up(course: Course) -> None:
    """The box, the only text after the output, goes before the question."""
    cells = course.chapter.cells
    box = course.cell(BOX_OPEN)
    cells.remove(box)
    cells.insert(cells.index(course.cell("## 2 · The test")), box)


BROKEN: dict[str, list[Callable[[Course], None]]] = {
    "file_name": [rename],
    "valid": [no_json, no_outputs, old_format],
    "executed": [stripped, out_of_order],
    "errors": [untagged_error, tag_without_error],
    "stderr": [with_stderr],
    "plain_python": [
        source("one =", "%matplotlib inline\none = ..."),
        source("one =", "%%time\none = ..."),
        source("one =", "!ls\none = ..."),
        source("one =", "one?"),
        source("one =", "one = ...;"),
        source("one =", "one = ...  ;  # hidden"),
        source("one =", 'get_ipython().system("ls")'),
    ],
    "cell_size": [
        source("one =", "\n".join(f"a{n} = {n}" for n in range(26))),
        source("one =", "one = 1  # " + "x" * 100),
        empty,
    ],
    "start": [swap("mm.start(seed=0)", "mm.start()"), no_solution_start],
    "link_targets": [
        swap("README.md#", "READ_ME.md#"),
        swap("#install-it", "#uninstall-it"),
        swap("(#Exercises)", "(#Homework)"),
        swap("figures/dot.png", "figures/dots.png"),
        swap("../README.md#install-it", "../../../../../../../../etc/hosts"),
        swap("![A single dot](figures/dot.png)", "[![Dot](figures/dot.png)](nowhere.md)"),
        swap("![A single dot](figures/dot.png)", '<img src="nowhere.png" alt="A dot">'),
        swap("![A single dot](figures/dot.png)", '<a href="nowhere.md">here</a>'),
        attachment,
    ],
    "alt_text": [
        swap("A single dot", ""),
        swap("A single dot", " "),
        swap("![A single dot](figures/dot.png)", '<img src="figures/dot.png">'),
    ],
    "claims": [drop('print("below 1'), ignored_without_output],
    "uncompared_share": [tag("1 / 0", "nbval-ignore-output")],
    "plots": [swap("\nplt.show()", ""), picture_alone],
    "run_times": [timed],
    "file_size": [too_big],
    "known_tags": [
        tag("one =", "hide-input"),
        tag("one =", "nbval-skip"),
        source("one =", "# NBVAL_IGNORE_OUTPUT\none = ..."),
    ],
    "widgets": [widget_state, widget_shown],
    "machine": [
        printed("one =", "saved to /home/ada/model.keras\n"),
        printed("one =", "saved to C:\\Users\\ada\\model.keras\n"),
        printed("one =", "looking in https://npm.example.org/simple\n"),
        swap("https://example.org/a/b", "https://pypi.example.org/simple"),
    ],
    "addresses": [printed("one =", "<Thing object at 0x7f3a2b1c>\n")],
    "unfinished": [swap("One sentence.", "TODO"), source("one =", "one = ...  # FIXME")],
    "partner": [forgotten_answer, other_check],
    "verdicts": [
        printed("ch05.one", "Exercise 5.1 ✓ counted to one\n"),
        printed("ch05.one", "Exercise 5.1 ✗ not yet: wrong\n"),
        printed("ch05.one", "nothing of the kind\n"),
        failing_solution,
        ignored_check,
    ],
    "header": [
        swap("# 5 · A good chapter", "A good chapter"),
        swap("- a third\n", ""),
        swap("- a third\n", "- c\n- d\n- e\n- f\n"),
        swap("**You need:** chapter 4; no data", ""),
        swap("5 s to run", "quick"),
        swap(" on 2 CPU cores", ""),
        swap("**Previous:** [4 · Before](04_before.ipynb)", ""),
        swap("(06_after.ipynb)", "(04_before.ipynb)"),
    ],
    "sections": [
        drop("## Recap"),
        swap("## Recap", "## Summary"),
        swap("One sentence.", "One sentence.\n\n## References"),
        swap("One sentence.", "One sentence.\n\n## Recap"),
    ],
    "section_numbers": [
        swap("## 2 · The test", "## 2 · The test\n\n## 4 · More"),
        swap("## 2 · The test", "## 2 · The test\n\n## 1 · Again"),
    ],
    "first_picture": [late_picture],
    "predictions": [
        swap("is the loss below 1?", "is the loss below 1?\n\nIt is 0.12."),
        text_before_the_answer,
        never_taken_up,
    ],
    "cross_references": [
        swap("Section 1 had", "Section 3 had"),
        swap("sections 1 and 2", "sections 1 and 3"),
        swap("Section 1 had", "Section 1.1 had"),
        swap("[chapter 4](04_before.ipynb)", "section 1 of chapter 4"),
        swap("[chapter 4](04_before.ipynb)", "[chapter 4](04_before.ipynb), section 2,"),
        swap("[chapter 4]", "[chapter 7]"),
        swap("chapter 21 (planned)", "chapter 21"),
        swap("chapter 21 (planned)", "chapter 23 (planned)"),
        swap("chapter 21 (planned)", "chapter 6 (planned)"),
        source("one =", "one = ...  # as in section 8"),
        solution_source("one =", "one = 1  # as in section 8"),
    ],
    "warnings": [
        swap("## 1 · The idea", "> [!WARNING]\n> Mind the gap.\n\n## 1 · The idea"),
        swap("## 1 · The idea", "> ⚠ **What goes wrong.** A quote and no box.\n\n## 1 · The idea"),
        swap("## 1 · The idea", f"{BOX.replace('⚠ ', '')}\n\n## 1 · The idea"),
        swap("## 1 · The idea", f"{BOX.replace('</div>', '')}\n\n## 1 · The idea"),
    ],
    "what_goes_wrong": [box_in_code],
    "exercises": [
        drop("one ="),
        gap,
        swap("(solutions/05_good.ipynb#Exercise-2)", "(solutions/05_good.ipynb)"),
        swap("### Exercise 3 · count to 3", "Exercise 3 · count to 3"),
        stray_check,
    ],
    "references": [
        swap("arXiv:1706.03762", ""),
        swap("ISBN 978-1-4503-0619-5", ""),
        swap("doi:10.1109/TPAMI.2018.2798607", "a journal"),
        swap("Vaswani et al. (2017).", "Vaswani et al."),
    ],
}


@pytest.mark.parametrize(
    ("rule", "break_it"),
    [
        pytest.param(rule, change, id=f"{rule}-{n}")
        for rule, changes in BROKEN.items()
        for n, change in enumerate(changes, start=1)
    ],
)
def test_a_broken_notebook_fails_its_rule_and_no_other(
    tmp_path: Path, rule: str, break_it: Callable[[Course], None]
) -> None:
    course = Course(tmp_path)
    break_it(course)
    assert course.broken_rules() == {rule}


def test_a_chapter_needs_its_solution(tmp_path: Path) -> None:
    chapter, solution = Course(tmp_path).write()
    solution.unlink()
    rules = [problem.rule for problem in lint(chapter)[1]]
    assert rules == ["link_targets"] * 3 + ["partner"], "three links lead nowhere"


def test_every_rule_has_a_broken_variant() -> None:
    assert set(BROKEN) == set(RULES)


def test_a_problem_names_the_notebook_the_cell_and_the_cure(tmp_path: Path) -> None:
    course = Course(tmp_path)
    course.cell("print(loss)").source += ";"
    chapter = course.write()[0]
    [problem] = lint(chapter)[1]
    assert str(problem) == (
        "notebooks/05_good.ipynb, cell 5: line 1 ends in ';': it hides nothing here, remove it "
        "[plain_python]"
    )


# --- run


def notebook(path: Path, *sources: str, tags: tuple[str, ...] = ()) -> Path:
    """A notebook as an editor writes it: no outputs, metadata of its own, another kernel's name."""
    nb = new_notebook(cells=[code(text, tags=tags) for text in sources])
    nb.metadata = {"kernelspec": {"name": "no-such-kernel", "display_name": "Elsewhere"}}
    for cell in nb.cells:
        cell.metadata["scrolled"] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path


TALK = """\
import sys, time
from pathlib import Path
for n in range(3):
    print("line", n, flush=True)
    print("noise", file=sys.stderr, flush=True)
    time.sleep(0.01)
Path("kernel.txt").write_text(sys.executable)
print(Path.cwd().name)"""
PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
RAISE = "def inverse(x):\n    return 1 / x\n\ninverse(0)"


@pytest.mark.slow
def test_run_executes_cleans_and_repeats_itself(tmp_path: Path) -> None:
    paths = [notebook(tmp_path / f"0{n}_a.ipynb", TALK, TALK, PLOT) for n in (1, 2)]
    results = asyncio.run(notebooks.run(paths, jobs=2))
    assert [result.error for result in results] == ["", ""]
    first, second = (path.read_bytes() for path in paths)
    assert first == second, "two runs of the same notebook must give the same bytes"
    assert b"\r" not in first and first.endswith(b"}\n")
    assert not list(tmp_path.glob("*.part"))

    nb = nbformat.reads(first.decode("utf-8"), as_version=4)
    nbformat.validate(nb)
    talk, again, plot = nb.cells
    assert [(o.name, o.text) for o in talk.outputs] == [
        ("stdout", f"line 0\nline 1\nline 2\n{tmp_path.name}\n")
    ]
    assert [cell.execution_count for cell in nb.cells] == [1, 2, 3]
    assert talk.metadata == {} and talk.id != again.id, "same text, different ids"
    assert plot.outputs[0].data["text/plain"].startswith("<Figure")
    assert nb.metadata.kernelspec.name == "python3" and "version" not in nb.metadata.language_info
    assert Path((tmp_path / "kernel.txt").read_text()) == Path(sys.executable)

    problems = [problem.rule for problem in results[0].problems]
    assert "header" in problems, "a run ends with the lint"
    assert results[0].page is not None and len(results[0].page.with_output) == 3


def test_a_notebook_that_raises_is_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = notebook(tmp_path / "notebooks" / "01_bad.ipynb", "x = 0", "y = 1 / x", "print('later')")
    good = notebook(tmp_path / "notebooks" / "solutions" / "02_good.ipynb", "print('fine')")
    before = bad.read_bytes(), good.read_bytes()
    out = tmp_path / "out"
    status = notebooks.main(["run", "--out", str(out), "-j", "2", str(bad), str(good)])
    printed = capsys.readouterr().out
    assert status == 1
    assert "01_bad.ipynb, cell 2:\n    y = 1 / x\nraised\n" in printed
    assert "ZeroDivisionError: division by zero" in printed and "\x1b" not in printed
    assert (bad.read_bytes(), good.read_bytes()) == before
    written = [file.relative_to(out).as_posix() for file in out.rglob("*.ipynb")]
    assert written == ["solutions/02_good.ipynb"]


def test_an_expected_error_is_kept_without_the_folders_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "module_with_a_bug.py").write_text(RAISE.rpartition("\n\n")[0] + "\n", "utf-8")
    path = notebook(
        tmp_path / "01_a.ipynb",
        "from module_with_a_bug import inverse\ninverse(0)",
        tags=("raises-exception",),
    )
    [result] = asyncio.run(notebooks.run([path]))
    assert result.error == ""
    [output] = nbformat.read(path, as_version=4).cells[0].outputs
    assert (output.ename, output.evalue) == ("ZeroDivisionError", "division by zero")
    traceback = "\n".join(output.traceback)
    assert "module_with_a_bug.py" in traceback and tmp_path.name not in traceback


def test_a_cell_that_never_ends_is_named(tmp_path: Path) -> None:
    path = notebook(tmp_path / "01_a.ipynb", "import time\ntime.sleep(600)")
    with pytest.raises(RuntimeError, match=r"(?s)01_a\.ipynb, cell 1:.*longer than 1 seconds"):
        asyncio.run(notebooks.execute(path, timeout=1))


def test_a_cell_that_kills_its_kernel_is_named(tmp_path: Path) -> None:
    last_words = "import os\nos.write(2, b'out of memory')\nos._exit(1)"
    path = notebook(tmp_path / "01_a.ipynb", "x = 1", last_words)
    words = r"(?s)01_a\.ipynb, cell 2:.*killed the kernel.*out of memory"
    with pytest.raises(RuntimeError, match=words):
        asyncio.run(notebooks.execute(path))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send on Windows")
def test_ctrl_c_stops_the_tool_and_leaves_the_notebook(tmp_path: Path) -> None:
    started = "import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(600)"
    paths = [notebook(tmp_path / f"0{n}_a.ipynb", started) for n in (1, 2)]
    before = [path.read_bytes() for path in paths]
    tool = [sys.executable, str(ROOT / "tools" / "notebooks.py"), "run", *map(str, paths)]
    with subprocess.Popen(tool, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "started").exists():
            assert process.poll() is None, "the tool ended before the cell ran"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "stopped: " in printed and "Traceback" not in printed
    assert [path.read_bytes() for path in paths] == before


# --- the command line


def test_lint_prints_a_table_and_says_how_it_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    course = Course(tmp_path)
    files = [str(file) for file in course.write()]
    assert notebooks.main(["lint", *files]) == 0
    heading, chapter, solution = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        "notebook",
        "run",
        "time",
        "cells",
        "with",
        "output",
        "uncompared",
        "size",
    ]
    assert chapter.split()[:5] == ["notebooks/05_good.ipynb", "21", "8", "1/8", "="]
    assert "12%" in chapter and "0/4 = 0%" in solution

    course.folder.joinpath(course.name).write_text("{}", "utf-8")
    assert notebooks.main(["lint", *files]) == 1
    assert "05_good.ipynb: " in capsys.readouterr().out


def test_unknown_notebooks_and_bad_arguments_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["lint", "nowhere.ipynb"], ["run", "-j", "0", __file__], ["fly"]):
        with pytest.raises(SystemExit) as stop:
            notebooks.main(arguments)
        assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert "no such notebook: nowhere.ipynb" in printed and "-j must be at least 1" in printed


def test_the_default_is_every_chapter_then_every_solution(tmp_path: Path) -> None:
    files = Course(tmp_path).write()
    (tmp_path / "notebooks" / "readme.txt").write_text("", "utf-8")
    names = [
        path.relative_to(tmp_path / "notebooks") for path in notebooks.default_notebooks(tmp_path)
    ]
    wanted = ["04_before.ipynb", files[0].name, "06_after.ipynb", f"solutions/{files[1].name}"]
    assert [name.as_posix() for name in names] == wanted


# --- what nbval compares, with our conftest.py and tests/nbval_sanitize.cfg

FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
STARTED = "print('mmkeras 9.9 | TensorFlow 9.9, Keras 9.9 | NVIDIA H999, MIG 1g | seed {}')"
CASES = {
    # name: (source, committed outputs, must it pass?)
    "the same": ("print(1)", [stream("1\n")], True),
    "another number": ("print(1)", [stream("2\n")], False),
    "stderr appears": ("import sys\nprint('new', file=sys.stderr)", [], True),
    "another machine": (STARTED.format(0), [stream(BANNER)], True),
    "another seed": (STARTED.format(1), [stream(BANNER)], False),
    "another address": ("print('at 0x12ab')", [stream("at 0x7F00\n")], True),
    "no address any more": ("print('at home')", [stream("at 0x7F00\n")], False),
    "other pixels": (FIGURE, [picture()], True),
    "another size of picture": (FIGURE, [picture("<Figure size 64x48 with 1 Axes>")], False),
    "a picture too many": (FIGURE, [], False),
    "a picture missing": ("x = 1", [picture()], False),
    "our package": (
        f"import mmkeras, pathlib\nprint(pathlib.Path(mmkeras.__file__) == "
        f"pathlib.Path({str(ROOT / 'mmkeras' / '__init__.py')!r}))",
        [stream("True\n")],
        True,
    ),
}


@pytest.mark.slow
def test_nbval_compares_what_matters_and_nothing_else(tmp_path: Path) -> None:
    nb = new_notebook(cells=[code(text, *outputs) for text, outputs, _ in CASES.values()])
    count(nb)
    nbformat.write(nb, tmp_path / "01_cases.ipynb")
    report = tmp_path / "report.xml"
    command = [
        *(sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider"),
        *("--nbval", "--nbval-current-env", f"--junitxml={report}"),
        *("--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg"), "01_cases.ipynb"),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    tests = list(ET.parse(report).iter("testcase"))
    assert len(tests) == len(CASES), done.stdout
    passed = {name: test.find("failure") is None for name, test in zip(CASES, tests, strict=True)}
    assert passed == {name: case[2] for name, case in CASES.items()}, done.stdout
