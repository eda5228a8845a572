"""The data card of a run: right numbers, no row, no markup, and no small group of people."""

import hashlib
import html
import re

import numpy as np
import pytest
import soundfile
from command_line import call, contents, orders, write
from PIL import Image
from test_report import HOSTILE

from mmkeras.table import measure, report, run, train
from mmkeras.table.report import facts, headers
from mmkeras.table.report.data_card import BLANK

pytestmark = pytest.mark.usefixtures("own_cache")


class Card:
    """The data card that `mmkeras train` would write, with the facts behind it."""

    def __init__(self, settings, table):
        counts = measure._counts(table.rows, table.classes, None)
        classes = {name: counts.loc[name].to_dict() for name in table.classes}
        found = report.Run(settings, {"classes": classes, "duplicates": table.duplicates}, 0, 0)
        self.text, self.facts = report.data_card(found), settings["facts"]

    def section(self, title):
        """What stands under a heading, up to the next one."""
        return re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", self.text, re.M | re.S)[1]

    def rows(self, title):
        """First cell → the other cells, of the table under a heading."""
        lines = re.findall(r"^\| (.*) \|$", self.section(title), re.M)
        return {first: rest for first, *rest in (line.split(" | ") for line in lines[2:])}


@pytest.fixture
def card(monkeypatch):
    """Of a table and options; nothing is trained."""

    def made(data, *options):
        seen = []

        def stop(options, table, settings, *_):
            seen.append(Card(settings, table))

        with monkeypatch.context() as patch:
            patch.setattr(train, "frozen", stop)
            patch.setattr(train, "_networks", stop)
            patch.setattr(run, "opened", lambda *_, **__: _nothing())
            patch.setattr(run, "begin", lambda *_: None)
            status, _, err = call("train", data, *options)
        assert status == 0, err
        return seen[0]

    return made


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


def people(rows=60):
    """Records of people with an age, a ward and a sex; every tenth age is missing."""
    body = []
    for i in range(rows):
        age = ("", "NA")[i // 10 % 2] if i % 10 == 0 else str(30 + i)
        body.append([age, "abc"[i % 3], "f" if i % 5 == 0 else "m", ("healthy", "ill")[i % 2]])
    return [["age", "ward", "sex", "label"], *body]


# ---- the numbers ----------------------------------------------------------------------------


def test_rows_columns_labels_and_parts_are_counted(card, tmp_path):
    data = write(tmp_path / "people.csv", people())
    made = card(data, "--seed", 1)
    assert made.text.startswith("# Data card: people.csv\n") and str(tmp_path) not in made.text
    assert f"| SHA-256 | `{hashlib.sha256(data.read_bytes()).hexdigest()}` |" in made.text
    for line in ("rows in the file | 60", "rows used | 60", "rows left out | 0"):
        assert f"| {line} |" in made.text
    columns = made.rows("Columns")
    assert columns["age"][:2] == ["number", "number"] and columns["age"][3:] == ["10%", "55"]
    assert columns["ward"][:2] == ["category", "category"] and columns["ward"][3:] == ["0%", "3"]
    assert columns["label"][0] == "label"
    assert made.rows("Labels") == {"healthy": ["30", "50%"], "ill": ["30", "50%"]}
    parts = {part: int(cells[0]) for part, cells in made.rows("Split").items()}
    assert list(parts) == ["train", "valid", "test"] and sum(parts.values()) == 60
    assert parts["train"] == 42 and "stratified by class (seed 1)" in made.section("Split")
    ages = [30 + i for i in range(60) if i % 10]
    mean, spread = map(float, made.rows("Numbers")["age"])
    assert abs(mean - np.mean(ages)) < 6 and 10 < spread < 25, "of the training rows"
    assert made.section("Rows left out").strip() == "None."
    assert "They were not counted (--groups)" in made.section("Groups of people")


def test_what_only_a_person_knows_is_a_blank_and_the_blanks_are_counted(card, tmp_path):
    made = card(write(tmp_path / "{blanks}.csv", people()))
    asked = re.findall(rf"^{re.escape(BLANK)} (.*)$", made.text, re.M)
    assert f"**{len(asked)} questions" in made.text and len(asked) == 14
    for about in ("which purpose", "agree", "licence", "missing", "gave the labels", "collected",
                  "deleted", "groups of people"):  # fmt: skip
        assert sum(about in question for question in asked) >= 1, about
    headings = re.findall(r"^## (.+)$", made.text, re.M)
    assert headings == ["Motivation", "Composition", "Collection", "Preprocessing, cleaning, "
                        "labelling", "Uses", "Distribution", "Maintenance"]  # fmt: skip


def test_rows_that_are_left_out_are_counted_by_reason_and_show_nothing(card, tmp_path):
    rows = people()
    rows[3][0], rows[5][0], rows[7][3] = "Anna", "Bert 17", ""
    rows[9].append("one more")
    rows += [["50", "a", "m", "dead"], ["51", "b", "m", "dead"]]
    data = write(tmp_path / "people.csv", rows)
    made = card(data, "--skip-bad-rows", "--least-rows", 5, "--number", "age")
    assert "| rows in the file | 62 |" in made.text and "| rows left out | 6 |" in made.text
    told = made.section("Rows left out")
    assert "2 rows of 1 classes with few rows (--least-rows)" in told
    assert "4 rows with problems (--skip-bad-rows)" in told
    assert "| label | blank label | 1 |" in told
    assert "| – | has n cells, but the header has n | 1 |" in told
    assert sum(n for column, _, n in made.facts["rows"]["reasons"] if column == "age") == 2
    assert not re.search("Anna|Bert|one more", made.text)


def test_equal_rows_are_told_with_what_became_of_them(card, tmp_path):
    rows = people(30)
    data = write(tmp_path / "people.csv", [*rows, *rows[1:]])
    told = card(data).section("Equal rows")
    assert told.startswith("\n30 rows equal an earlier one (the same cells: 30). Equal rows were")
    told = card(data, "--allow-duplicates").section("Equal rows")
    assert "outside the training part equal one in it, as --allow-duplicates asked**" in told
    one = card(write(tmp_path / "few.csv", rows), "--number", "age").section("Equal rows")
    assert "No row equals another one." in one


def test_groups_that_stay_together_are_counted_and_groups_of_one_row_are_told(card, tmp_path):
    rows = orders(60)
    for i, row in enumerate(rows[1:]):
        row[0] = f"p{i // 3}" if i < 57 else ""
    split = card(write(tmp_path / "a.csv", rows), "--group", "order")
    groups = {part: int(cells[2]) for part, cells in split.rows("Split").items()}
    assert sum(groups.values()) == 19 and "the largest such group has 3 rows, and 3 rows have no" \
        in split.section("Split")  # fmt: skip
    alone = card(write(tmp_path / "b.csv", orders(40)), "--group", "order").section("Split")
    assert "No two rows share a value of order, so it keeps nothing together." in alone
    assert "(--group)" in card(tmp_path / "b.csv", "--ignore", "order").section("Split")


# ---- texts and files ------------------------------------------------------------------------


def test_texts_pictures_and_sounds_are_described(card, tmp_path):
    rows = [["text", "image", "audio", "label"]]
    place = Image.Exif()
    place.get_ifd(headers.GPS)[1] = "N"
    for i in range(40):
        name, sound = f"{i}.{'jpg' if i % 2 else 'png'}", f"{i}.wav"
        picture = Image.effect_noise((20 + i % 3, 30), 60 + i).convert("RGB")
        picture.save(tmp_path / name, **({"exif": place} if i == 1 else {}))
        wave = np.sin(np.arange(1000 * (1 + i % 2)) / (i + 1.5))
        soundfile.write(tmp_path / sound, wave, 8000 if i % 4 else 16_000)
        rows.append([f"{'Дождь' if i % 4 == 0 else 'Rain'} number {i}", name if i else "", sound,
                     "ab"[i % 2]])  # fmt: skip
    made = card(write(tmp_path / "data.csv", rows))
    pictures, sounds = made.facts["image"], made.facts["audio"]
    assert (pictures["files"], pictures["looked_at"]) == (39, 39)
    assert pictures["formats"] == {"JPEG": 20, "PNG": 19} and pictures["width"] == [20, 21, 22]
    assert pictures["height"] == [30, 30, 30]
    assert (pictures["exif"], pictures["places"]) == (1, 1)
    assert "where they were taken: 1." in made.section("Pictures")
    assert sounds["rates"] == {"8000": 30, "16000": 10} and sounds["channels"] == {"1": 40}
    assert sounds["seconds"] == [0.0625, 0.125, 0.25]
    assert "8,000 Hz (30), 16,000 Hz (10)" in made.section("Recordings")
    texts = made.facts["text"]
    assert texts["texts"] == 40 and texts["words"] == [3, 3, 3]
    cyrillic = 10 * 5 / (40 * len("number") + 10 * 5 + 30 * 4)
    assert texts["scripts"] == pytest.approx({"Latin": 1 - cyrillic, "Cyrillic": cyrillic})
    assert texts["english"] is None and "English" not in made.section("Texts")


def test_a_file_that_is_gone_or_damaged_by_now_is_not_looked_at(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.new("RGB", (3, 4)).save(tmp_path / "b.png")
    seen = headers.pictures([str(tmp_path / f"{name}.png") for name in "abc"])
    assert (seen["files"], seen["looked_at"], seen["width"]) == (3, 1, [3, 3, 3])
    assert headers.sounds([str(tmp_path / "a.png")])["seconds"] is None
    assert headers.pictures([])["width"] is None


def test_an_english_vocabulary_is_asked_where_there_is_one(card, tmp_path, tiny):
    rows = [["text", "label"], *([f"rain sun zzz {'ab'[i % 2]}", "cd"[i % 2]] for i in range(30))]
    made = card(write(tmp_path / "data.csv", rows), "--allow-duplicates")
    assert made.facts["text"]["english"] == 0.75
    assert "An English vocabulary has 75% of their words" in made.section("Texts")


# ---- groups of people -----------------------------------------------------------------------


def test_groups_of_people_are_counted_by_class_and_small_ones_are_hidden(card, tmp_path):
    rows = people(80)
    for row in rows[1:4]:
        row[1] = "rare"
    made = card(write(tmp_path / "people.csv", rows), "--groups", "sex,ward")
    told = made.section("Groups of people")
    assert "| sex | healthy | ill | rows |" in told
    assert "| f | 8 | 8 | 16 |\n| m | 32 | 32 | 64 |" in told
    shown = made.facts["people"]["columns"]["ward"]
    assert shown["rare"] == [None] * 3
    assert all(sum(n is None for n in column) > 1 for column in zip(*shown.values(), strict=True))
    assert "| rare | · | · | · |" in told and "A · hides a count below 5" in told
    assert re.search(r"Of the \d combinations of these columns that occur, \d have fewer", told)


def test_a_hidden_count_cannot_be_found_by_subtraction():
    counts = np.array([[20, 0], [20, 40]])
    assert facts.hidden(np.c_[counts, counts.sum(1)]) == [[None, None, 20], [None, None, 60]]
    assert facts.hidden(np.array([[3], [30], [40]])) == [[None], [None], [40]]
    assert facts.hidden(np.array([[30], [40]])) == [[30], [40]]
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = rng.integers(2, 6, 2)
        counts = rng.integers(0, rng.integers(6, 60), shape)
        whole = np.c_[counts, counts.sum(1)]
        shown = np.array(facts.hidden(whole), float)  # None becomes NaN
        gone = np.isnan(shown)
        assert (shown[~gone] == whole[~gone]).all() and gone[whole < facts.SMALL].all()
        assert not (gone.sum(0) == 1).any() and not (gone.sum(1) == 1).any()
    rich = np.full((3, 4), 9)
    assert facts.hidden(rich) == rich.tolist(), "nothing is hidden without need"


# ---- hostile and poor tables ----------------------------------------------------------------


def test_hostile_names_stay_text_and_do_not_break_a_table(card, tmp_path):
    names = [*HOSTILE, "# a\n\n## Motivation\n- ☐ **To fill in:** no"]
    rows = [[*names, ""]]
    for i in range(60):
        rows.append([f"{i % 7}.5", HOSTILE[i % 3], names[3] if i % 2 else "b", HOSTILE[i % 2], "x"])
    data = write(tmp_path / "$a|b`c_[d](e).csv", rows)
    groups = names[2]
    made = card(data, "--label", names[3], "--groups", groups)
    assert "<script" not in made.text and "<img" not in made.text
    asked = re.findall(rf"^{re.escape(BLANK)}", made.text, re.M)
    assert made.text.count("## Motivation") == 1 and f"**{len(asked)} questions" in made.text
    bars = re.compile(r"(?<!\\)\|")
    tables = re.findall(r"(?:^\|.*\n)+", made.text, re.MULTILINE)
    assert len(tables) >= 5
    for lines in map(str.splitlines, tables):
        assert len({len(bars.findall(line)) for line in lines}) == 1, lines
    assert "| (no name) | not used |" in made.text


def test_an_empty_column_and_a_column_of_one_value_are_told(card, tmp_path):
    rows = people(40)
    for i, row in enumerate(rows[1:]):
        row[0], row[1], row[2] = str(i % 7), "", "m"
    columns = card(write(tmp_path / "people.csv", rows)).rows("Columns")
    assert columns["ward"] == ["not used", "blank", "no cell is filled", "100%", "0"]
    assert columns["sex"][0] == "not used" and "every cell is the same" in columns["sex"][2]


# ---- whole runs -----------------------------------------------------------------------------


def test_a_run_has_its_card_without_a_row_and_forget_names_it(trained, two_seeds):
    text = (trained.run / "data_card.md").read_text("utf-8")
    assert "| rows in the file | 61 |" in text and "| rows left out | 1 |" in text
    assert "| image | no such file | 1 |" in text and "gone.png" not in text
    assert html.unescape(text).count("<script") == 0, "--show-rows does not reach the card"
    assert "data_card.md" in trained.out
    assert "see model_card.md" in text
    assert "data_card.md" in (trained.run / "model_card.md").read_text("utf-8")
    status, said, _ = call("data", "forget", two_seeds.data, "--dry-run")
    assert status == 3 and "counts of its rows and columns in data_card.md" in said


@pytest.mark.usefixtures("eager")
def test_a_resumed_run_writes_its_card_anew_and_a_locked_one_holds_it(
    two_seeds, tmp_path, short_page
):
    pytest.importorskip("cryptography")
    out = tmp_path / "run"
    line = ["train", two_seeds.data, "--epochs", 1, "--ignore", "order", "--out", out]
    assert call(*line)[0] == 0
    first = (out / "data_card.md").read_text("utf-8")
    (out / "data_card.md").write_text("old", "utf-8")
    key = tmp_path / "key"
    key.write_text("0f" * 32 + "\n", "ascii")
    key.chmod(0o600)
    status, _, err = call(*line[:2], "--epochs", 2, *line[4:], "--resume", "--encrypt-with", key)
    assert status == 0, err
    file = run.locked(out)
    assert not out.exists() and b"Data card" not in file.read_bytes()
    assert call("data", "unlock", file, "--key-file", key)[0] == 0
    assert (out / "data_card.md").read_text("utf-8") == first
    assert set(map(str, contents(out))) >= set(run.FILES)
