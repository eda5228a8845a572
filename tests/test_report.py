"""The page and the model card: what they show, and that data never becomes markup."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from test_measure import answers_of, certain, fake

from mmkeras import evaluate
from mmkeras.table import measure, report
from mmkeras.table.report import examples, scores, sections
from mmkeras.table.wording import number

# One of each kind of thing that a page, a plot or a table of Markdown could take for markup.
HOSTILE = ["<script>alert(1)</script>", 'a"><img src=x onerror=alert(1)>', "$\\frac{$ | `b` [c](d)"]


# ------------------------------------------------------------------------------ the page


def hostile_run():
    """A run in which every text that comes from the data or the user is hostile."""
    table = fake({"train": [9, 9, 9], "valid": [9, 9, 9], "test": [5, 5, 5]})
    table.classes = HOSTILE
    table.rows["label"] = np.repeat(HOSTILE * 3, [9, 9, 9, 9, 9, 9, 5, 5, 5])
    y = np.repeat([0, 1, 2], 5)
    p = certain((y + 1) % 3, 3)
    metrics = measure.measure(table, y, {(): p, ("text",): p}, seed=0)
    history = {"loss": [2.0, 1.0], "accuracy": [0.1, 0.2]}
    history |= {f"val_{name}": values for name, values in history.items()}
    metrics["training"] = {
        "epochs": 2, "best_epoch": 2, "class_weight": dict.fromkeys(HOSTILE, 1.0),
        "history": history,
    }  # fmt: skip
    bad = HOSTILE[1]
    settings = {
        "label": bad, "data": bad, "split": None, "group": None, "columns": {"text": bad},
        "columns_chosen": {"text": [bad, bad]}, "how_split": bad, "fusion": "concatenate",
        "seed": 0, "weights": 1, "training": "1 s", "day": "2024-01-01", "device": "CPU",
        "command": f"python {bad} `x`", "versions": {"keras": "3"},
        "parameters": {"words": 32, "tokens": bad},
    }  # fmt: skip
    example = examples.Example(5, HOSTILE[0], HOSTILE[1], 0.9, text=HOSTILE[0] * 99)
    skipped = pd.DataFrame([[7, bad, bad, bad]], columns=["row", "column", "value", "reason"])
    return report.Run(settings, metrics, y, p, [example], skipped)


def test_hostile_text_stays_text():
    run = hostile_run()
    page = report.page(run)
    assert "<script" not in page and "<img src=x" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    tags = set(re.findall(r"<(\w+)", page))
    assert "img" in tags and not tags & {"script", "iframe", "object", "a", "link", "form", "b"}
    assert not re.search(r"<[^>]*\son\w+=", page), "an event handler"
    card = report.card(run)
    assert "<script" not in card and "<img" not in card
    bars = re.compile(r"(?<!\\)\|")
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    assert len(tables) == 4
    for lines in map(str.splitlines, tables):
        assert len(lines) > 2 and len({len(bars.findall(line)) for line in lines}) == 1, lines


def told(counts=(40, 40), modalities=("text", "image"), wrong=(3, 44), **rows):
    """A run without hostile text: binary, or of as many classes as counts."""
    table = fake({part: list(counts) for part in ("train", "valid", "test")}, modalities, **rows)
    y = np.repeat(np.arange(len(counts)), counts)
    said = y.copy()
    said[list(wrong)] = (y[list(wrong)] + 1) % len(counts)
    answers = {
        subset: certain(said if subset else 0 * y, len(counts))
        for subset in evaluate.subsets(modalities)
    }
    p = answers[tuple(modalities)]
    run = hostile_run()
    run.metrics = measure.measure(table, y, answers, seed=0)
    run.y, run.probabilities = y, p
    run.settings |= {"label": "kind", "data": "some.csv", "command": "mmkeras train some.csv"}
    run.settings["columns_chosen"] = {m: [m, "named"] for m in modalities}
    run.examples = [
        examples.Example(int(i) + 2, table.classes[y[i]], table.classes[said[i]], 0.9, f"row {i}")
        for i in (*wrong, 7, 8)
    ]
    run.skipped = run.skipped.head(0)
    return run


def headings(page):
    return [html.unescape(words) for words in re.findall(r"<h2>(.*?)</h2>", page)]


def test_a_training_an_evaluation_and_seeds_have_their_sections():
    run = told()
    there = headings(report.page(run))
    assert "Learning curves" not in there and "Other seeds" not in there
    run.metrics["training"] = hostile_run().metrics["training"]
    run.metrics["seeds"] = {
        "seed": [3, 4], "accuracy": [0.625, 0.75], "log_loss": [0.5, 0.25],
        "mean": {"accuracy": 0.6875, "log_loss": 0.375}, "sd": {"accuracy": 0.088, "log_loss": 0.1},
    }  # fmt: skip
    page = report.page(run)
    assert set(headings(page)) - set(there) == {"Learning curves", "Other seeds"}
    assert '<tr><th scope="row">4</th><td>0.750</td><td>0.250</td></tr>' in page
    assert "over 2 seeds the accuracy is 0.688" in report.card(run)


def test_the_page_is_one_file_that_loads_and_runs_nothing_and_describes_its_pictures():
    page = report.page(told())
    assert "default-src 'none'" in html.unescape(page) and "<script" not in page
    assert set(re.findall(r'(?:src|href)="(.{5})', page)) == {"data:"} and "url(" not in page
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) == 6  # accuracy, importance, ROC, precision, threshold, calibration
    alts = [re.search(r'alt="([^"]*)"', tag)[1] for tag in pictures]
    assert len(set(alts)) == 6 and min(map(len, alts)) > 20
    assert page.count("<table") == page.count("<thead") and "prefers-color-scheme: dark" in page


def test_curves_are_those_of_the_classes_that_have_test_rows():
    def page(*counts, **options):
        return html.unescape("".join(scores.curves(told(counts, **options))))

    two, three = page(40, 40), page(20, 20, 20, 0)
    assert "Positive is 'c1'." in two and "over the threshold" in two
    assert (
        "Each curve is of one class against the rest." in three
        and "over the threshold" not in three
    )
    assert '<tr><th scope="row">class 3</th><td class="left">c2</td></tr>' in three
    assert '<th scope="row">class 4</th>' not in three  # no row of it
    assert "not drawn: more than 6 classes" in page(*[7] * 7)
    assert "not drawn: test rows of one class only" in page(40, 0, wrong=(3,))


def test_importance_is_shown_with_the_numbers_it_is_made_from():
    run = told()
    page = "".join(scores.importance(run))
    for m, of in run.metrics["importance"].items():
        assert f'<tr><th scope="row">{m}</th><td>{number(of["accuracy"])}<br>' in page
    assert '<tr><th scope="row">nothing</th><td>0.500</td>' in page
    assert '<tr><th scope="row">text + image</th><td>0.975</td>' in page
    run.metrics["importance"] = None
    assert "too many rows times classes" in "".join(scores.importance(run))


def test_all_settings_are_shown():
    run = told()
    run.settings["parameters"] = {
        "words": 12, "time limit (s)": None, "equal rows on both sides": False,
        "largest file (bytes)": 268435456,
    }  # fmt: skip
    page = "".join(sections.making(run))
    for name, value in (("words", "12"), ("time limit (s)", "none"), ("largest file (bytes)",
                        "268,435,456"), ("equal rows on both sides", "no")):  # fmt: skip
        assert f'<tr><th scope="row">{name}</th><td class="left">{value}</td></tr>' in page


@pytest.mark.parametrize(
    ("found", "allowed", "words"),
    [
        ({"rows": 0, "crossing": 0, "kinds": {}}, False, "no row equals another one"),
        ({"rows": 9, "crossing": 0, "kinds": {"cells": 9, "pictures": 0}}, False,
         "9 rows equal another one (cells: 9).<"),
        ({"rows": 9, "crossing": 4, "kinds": {"cells": 9}}, False,
         "4 of them would have been on both sides"),
        ({"rows": 9, "crossing": 4, "kinds": {"cells": 9}}, True,
         'class="warning">9 rows equal another one (cells: 9). 4 of them are on both sides'),
    ],
)  # fmt: skip
def test_equal_rows_are_told(found, allowed, words):
    run = told()
    assert "Equal rows" not in "".join(sections.data(run))  # a table that did not look for them
    run.metrics["duplicates"] = found
    run.settings["parameters"] = {"equal rows on both sides": allowed}
    assert words in "".join(sections.data(run))


def test_right_answers_stand_beside_mistakes():
    page = html.unescape("".join(sections.examples(told())))
    wrong, right = page.split("Right answers, from sure to unsure")
    wrong = wrong.split("Mistakes, the surest first")[1]
    assert (
        wrong.count("taken for") == 2 and "is 'c0', taken for 'c1' with probability 0.90" in wrong
    )
    assert right.count("found with probability") == 2 and "taken for" not in right
    assert "<em>row 7</em>" in right and "<em>row 3</em>" in wrong


def test_skipped_rows_are_listed_without_what_they_held_unless_rows_are_shown():
    run = told()
    both = "both ' and \" of Anna"
    reasons = ["no such file; there is 'Anna.png' (capitals matter)", "it starts with b'Anna\\n'",
               'is in "Anna\'s", not a number', "Anna's column isn't told",
               f"there is {both!r}"]  # fmt: skip
    run.skipped = pd.DataFrame({"row": range(2, 7), "column": "c", "value": "Anna K.",
                                "reason": reasons})  # fmt: skip
    page = html.unescape("".join(sections.problems(run)))
    assert page.count("Anna") == 10 and ">value<" in page
    run.examples = None
    page = html.unescape("".join(sections.problems(run)))
    assert page.count("Anna") == 1 and ">value<" not in page
    assert "no such file; there is … (capitals matter)" in page and "it starts with …" in page
    assert sections.NOT_SHOWN in html.unescape("".join(sections.examples(run)))


def test_without_intervals_the_page_says_why_and_prints_none():
    run = told(group=["one"] * 240)
    page = report.page(run)
    assert "There are no intervals: all test rows are of one group." in page
    assert "is right in 98%. To always" in page and "<small>" not in page
    run.metrics["training"] = hostile_run().metrics["training"]
    assert "No intervals: all test rows are of one group." in report.card(run)


@pytest.mark.parametrize(
    ("winner", "says", "says_not"),
    [
        (None, "120 rows to learn from, 120 to stop on.", "coders,"),
        ("linear", "to choose a candidate by. The head that was taken has then learned", "stop on"),
        ("gated", "120 to choose a candidate by. Classes", "has then learned"),
        ("fine-tuned", "its head and the last blocks of its pretrained", "then learned"),
    ],
)
def test_the_card_says_what_was_learned_and_from_which_rows(winner, says, says_not):
    run = told((60, 60), wrong=())
    run.settings.update(
        encoders={"text": "MiniLM-L6", "numbers": "as they are"} if winner else None
    )
    run.metrics["training"] = {"class_weight": None, **({"race": {"winner": winner}} if winner else
                               {"history": {}})}  # fmt: skip
    card = report.card(run)
    assert says in card and says_not not in card
    assert ("data: its head. What the head reads: text by MiniLM-L6, numbers as they are." in card
            ) == (winner in ("linear", "gated"))  # fmt: skip


def test_a_page_of_many_classes_is_short():
    n = 1200
    run = told([1] * n, ("text",), wrong=range(30))
    page = report.page(run)
    assert len(page) < 500_000 and page.count("<tr") < 150
    assert len(json.dumps(run.metrics, indent=1)) < 1_000_000
    assert "there are more than 1,000 classes" in page
    assert "These 20 of 1200 classes have the lowest recall" in page
    assert "The most frequent 20 of 30 kinds of mistakes" in page
    run.metrics["training"] = hostile_run().metrics["training"]
    assert "and 1150 more, in metrics.json" in report.card(run)
    assert len(report.card(run).splitlines()) < 200


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FRAMES = """<body style="margin:0"><script>const told = [];
for (const width of [360, 1200]) {{
  const f = document.createElement("iframe");
  f.style = `border:0;width:${{width}}px;height:900px`;
  f.onload = () => {{ const page = f.contentDocument.documentElement;
    told.push(`${{page.scrollWidth - page.clientWidth}} of ${{f.clientWidth}}`);
    document.title = told.sort().join(", "); }};
  f.srcdoc = {page};
  document.body.append(f); }}</script>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs a browser")
def test_nothing_is_wider_than_the_window(tmp_path):
    """Wide tables scroll by themselves; the page does not, on a phone neither."""
    run = told([8] * 6, ("text", "image", "audio", "numbers"))
    run.settings["command"] = "x" * 300
    run.examples[0].text = "y" * 300
    run.examples[0].picture = np.zeros((8, 400, 3))
    text = json.dumps(report.page(run)).replace("</", "<\\/")
    (tmp_path / "frames.html").write_text(FRAMES.format(page=text), "utf-8")
    done = subprocess.run(
        [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
         f"file://{tmp_path / 'frames.html'}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "<title>0 of 1200, 0 of 360</title>" in done.stdout, done.stderr[-500:]


def test_a_page_with_many_classes_lists_the_confusions_and_hides_rows_on_request():
    n = 25
    table = fake({part: [4] * n for part in ("train", "valid", "test")})
    y = np.repeat(np.arange(n), 4)
    said = np.where(np.arange(len(y)) == 3, 17, y)
    metrics = measure.measure(table, y, answers_of(y, said, n), seed=0)
    run = hostile_run()
    run.metrics = {**metrics, "training": run.metrics["training"]}
    run.y, run.probabilities, run.examples = y, certain(said, n), None
    page = report.page(run)
    assert '<th scope="row">c0</th><td class="left">c17</td><td>1</td>' in page
    assert "This report holds no content of a row" in page
