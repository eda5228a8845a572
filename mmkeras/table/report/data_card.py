"""The data card of a run, in Markdown: what was computed of the data, and what a person must say.

Its headings are those of Gebru et al., *Datasheets for Datasets* (2021).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..encoders.language import ENGLISH
from ..wording import percent
from .card import line, more_than, most, plain
from .facts import SMALL
from .outcome import Run

BLANK = "- ☐ **To fill in:**"
REASONS = 20  # largest number of reasons in the card
COLUMNS = 200  # and of columns
KINDS = {
    "cells": "the same cells",
    "file bytes": "copies of files",
    "pictures": "pictures in other files",
    "recordings": "recordings in other files",
}

CARD = """# Data card: {data}

Written by `mmkeras train` on {day} from what it read, under the headings of Gebru et al.,
*Datasheets for Datasets* (2021, doi:10.1145/3458723), with groups and gaps as in Pushkarna et al.,
*Data Cards* (2022, doi:10.1145/3531146.3533231). It holds counts and names of columns, classes and
groups, and no row. A line that begins with ☐ asks what no program can know: **{blanks} questions
are open** until a person answers them, and an open one means "not known", never "no". The next
training into this folder replaces this file, so keep a filled-in card elsewhere.

| | |
|---|---|
| file | {data} |
| SHA-256 | `{sha256}` |
| rows in the file | {file:,} |
| rows used | {used:,} |
| rows left out | {left_out:,} |

## Motivation

{blank} for which purpose was this data made, by whom, and who paid for it?

## Composition

{blank} what is one row: a person, a visit, a picture? Can several rows be of one person?
{blank} is it all there is, or a sample? Of what, and drawn how?
{blank} who or what is missing, compared with those on whom a model shall be used?
{blank} does it hold personal or sensitive content (health, origin, faces, voices), and could a
  person be recognised, also by combining columns?

### Columns

{columns}

Missing is the share of the file's rows without a value; rows that were left out count, too.
{modalities}
### Labels

The column is {label}. {how_many}

{labels}
{people}

### Equal rows

{equal}

## Collection

{blank} where does the data come from, when was it collected, how, and with which instruments?
{blank} did the people in it agree, to what, and how can they withdraw? If not: on which legal basis
  is it used, and which board has reviewed that?

## Preprocessing, cleaning, labelling

{blank} who gave the labels, by which rule, from what evidence, and how often do two of them agree?
{blank} what was changed, removed or filled in before this file was made?

{cleaning}

### Rows left out

{reasons}

### Split

{split}

## Uses

- A model was trained on this file to tell {label}: see model_card.md beside this card.

{blank} for which purposes may the data be used, and for which not?

## Distribution

{blank} under which licence or agreement may it be passed on, and to whom?

## Maintenance

{blank} who answers for the data, and how can they be reached?
{blank} how does a person get their rows corrected or deleted, until when are they kept, and who
  tells those who have trained on them? (`mmkeras data forget` names what is known on one computer.)
"""


def data_card(run: Run) -> str:
    """The data card of a training, in Markdown; its numbers are the "facts" of settings.json."""
    s, m = run.settings, run.metrics
    facts = s["facts"]
    rows, classes = facts["rows"], m["classes"]
    text = CARD.format(
        data=plain(s["data"]),
        sha256=s["data_sha256"],
        day=s["day"],
        blank=BLANK,
        blanks="\0",  # which no name of a file holds
        file=rows["file"],
        used=rows["used"],
        left_out=rows["file"] - rows["used"],
        columns="\n".join(_columns(facts["columns"])),
        modalities="".join(f"\n### {title}\n\n{words}\n" for title, words in _contents(facts)),
        label=plain(s["label"]),
        how_many=f"There are {len(classes)} classes.",
        labels="\n".join(_labels(classes)),
        people="\n".join(_people(facts)),
        equal=_equal(m.get("duplicates"), s["parameters"]),
        cleaning="\n".join(f"- {text}" for text in _cleaning(s)),
        reasons="\n".join(_reasons(rows)),
        split="\n".join(_split(facts["split"], s)),
    )
    return text.replace("\0", str(text.count(BLANK)), 1)


def _columns(columns: list[dict[str, Any]]) -> Iterator[str]:
    yield line(["column", "used as", "looks like", "because", "missing", "different values"])
    yield line(["---"] * 6)
    for of in columns[:COLUMNS]:
        missing = "–" if of["missing"] is None else percent(of["missing"])
        different = "very many" if of["different"] is None else f"{of['different']:,}"
        name, used = plain(of["name"]) or "(no name)", ", ".join(of["used_as"]) or "not used"
        yield line([name, used, of["kind"], plain(of["why"]), missing, different])
    if len(columns) > COLUMNS:
        yield line([f"and {len(columns) - COLUMNS} more, in settings.json", *[""] * 5])


def _contents(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and text on each kind of content."""
    if of := facts.get("text"):
        yield "Texts", _texts(of)
    if of := facts.get("image"):
        yield "Pictures", _pictures(of)
    if of := facts.get("audio"):
        yield "Recordings", _sounds(of)
    if of := facts.get("numbers"):
        lines = [line(["column", "mean", "standard deviation"]), line(["---"] * 3)]
        lines += [line([plain(name), f"{one['mean']:.4g}", f"{one['spread']:.4g}"])
                  for name, one in of.items()]  # fmt: skip
        yield "Numbers", "Of the training rows:\n\n" + "\n".join(lines)


def _texts(of: Mapping[str, Any]) -> str:
    said = [f"{of['texts']:,} texts; nine of ten have {_from_to(of['words'], 'words')} and "
            f"{_from_to(of['characters'], 'characters')}."]  # fmt: skip
    if of["scripts"]:
        said.append(f"Letters of {of['looked_at']:,} texts: {_shares(of['scripts'])}.")
    if of["english"] is not None:
        said.append(f"An English vocabulary has {percent(of['english'])} of their words as a "
                    f"whole; {ENGLISH}.")  # fmt: skip
    return " ".join(said) + f"\n\n{BLANK} which languages and dialects are these, and whose?"


def _pictures(of: Mapping[str, Any]) -> str:
    said = [f"{_headers(of)}: {_counts(of['formats'])}; modes {_counts(of['modes'])}."]
    if of["width"]:
        said.append(f"Nine of ten are {_from_to(of['width'], 'pixels')} wide and "
                    f"{_from_to(of['height'], 'pixels')} high.")  # fmt: skip
    said.append(f"With Exif data, which may name camera and time: {of['exif']:,}; with the place "
                f"where they were taken: {of['places']:,}.")  # fmt: skip
    return " ".join(said)


def _sounds(of: Mapping[str, Any]) -> str:
    rates = _counts({f"{int(rate):,} Hz": n for rate, n in of["rates"].items()})
    said = [f"{_headers(of)}: {_counts(of['formats'])}; {rates}; channels "
            f"{_counts(of['channels'])}."]  # fmt: skip
    if of["seconds"]:
        said.append(f"Nine of ten last {_from_to(of['seconds'], 's', 2)}.")
    return " ".join(said)


def _headers(of: Mapping[str, Any]) -> str:
    return f"{of['files']:,} different files; the headers of {of['looked_at']:,} of them say"


def _from_to(spread: list[float] | None, unit: str, digits: int = 0) -> str:
    """Such as "3 to 40 words (median 12)"."""
    low, middle, high = (f"{value:,.{digits}f}" for value in spread or [0.0] * 3)
    return f"{low} to {high} {unit} (median {middle})"


def _counts(of: Mapping[str, int]) -> str:
    return ", ".join(f"{plain(name)} ({n:,})" for name, n in of.items()) or "none"


def _shares(of: Mapping[str, float]) -> str:
    return ", ".join(f"{plain(name)} {percent(share)}" for name, share in of.items())


def _labels(classes: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    total = sum(sum(of.values()) for of in classes.values())
    yield line(["class", "rows", "share"])
    yield line(["---"] * 3)
    for name, of in most(classes.items()):
        n = sum(of.values())
        yield line([plain(name), f"{n:,}", percent(n / total)])
    if more := more_than(classes):
        yield line([more.strip(), "", ""])


def _people(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "\n### Groups of people\n"
    if not (of := facts.get("people")):
        yield "They were not counted (--groups).\n"
        yield f"{BLANK} which groups of people are in the data, and how many of each?"
        return
    for column, groups in of["columns"].items():
        yield line([plain(column), *map(plain, of["classes"]), "rows"])
        yield line(["---"] * (len(of["classes"]) + 2))
        for name, counts in groups.items():
            yield line([plain(name), *("·" if n is None else f"{n:,}" for n in counts)])
        yield ""
    yield (f"A · hides a count below {SMALL}, or one that would tell such a count by subtraction. "
           "Other tables about the same people may tell it all the same.")  # fmt: skip
    if len(of["columns"]) > 1:
        yield (f"Of the {of['combinations']:,} combinations of these columns that occur, "
               f"{of['small_combinations']:,} have fewer than {SMALL} rows.")  # fmt: skip


def _equal(of: Mapping[str, Any] | None, parameters: Mapping[str, Any]) -> str:
    if not of or not of["rows"]:
        return "No row equals another one."
    kinds = ", ".join(f"{KINDS.get(kind, kind)}: {n:,}" for kind, n in of["kinds"].items() if n)
    words = f"{of['rows']:,} rows equal an earlier one ({kinds})."
    if not of["crossing"]:
        return f"{words} None of them was on both sides of the split."
    if of["together"]:
        return f"{words} Equal rows were put into one part; else {of['crossing']:,} would have " \
               "been in another part than the training row that they equal."  # fmt: skip
    why = ", as --allow-duplicates asked" if parameters.get("equal rows on both sides") else ""
    return f"{words} **{of['crossing']:,} rows outside the training part equal one in it{why}**: " \
           "the results on them are too good."  # fmt: skip


def _cleaning(settings: Mapping[str, Any]) -> Iterator[str]:
    """What the training has done to each kind of content."""
    s, there = settings["table"], settings["modalities"]
    if "text" in there:
        yield f"Texts: composed (NFC), in lower case, cut after {s['words']} {s['tokens']}s."
    if "image" in there:
        height, width = s["image_size"]
        yield (f"Pictures: turned by their Exif, shrunk or enlarged to {width}×{height} pixels, "
               "with black at the sides.")  # fmt: skip
    if "audio" in there:
        yield (f"Recordings: channels averaged, resampled to {s['audio_rate']:,} Hz, cut or padded "
               f"to {s['audio_seconds']:g} s.")  # fmt: skip
    if "numbers" in there:
        yield ("Numbers: standardised by the training rows, with the mean for a missing one; rare "
               "categories became \"other\".")  # fmt: skip


def _reasons(rows: Mapping[str, Any]) -> Iterator[str]:
    if rows["file"] == rows["used"]:
        yield "None."
        return
    if rows["rare"]:
        yield (f"- {sum(rows['rare'].values()):,} rows of {len(rows['rare'])} classes with few "
               "rows (--least-rows)")  # fmt: skip
    if rows["skipped"]:
        yield f"- {rows['skipped']:,} rows with problems (--skip-bad-rows), some with several:\n"
        yield line(["column", "problem", "times"])
        yield line(["---"] * 3)
        for column, reason, n in rows["reasons"][:REASONS]:
            yield line([plain(column) or "–", plain(reason), f"{n:,}"])
        if (more := len(rows["reasons"]) - REASONS) > 0:
            yield line([f"and {more} more kinds", "", ""])
    yield ("\nRows that are left out are seldom a random part: look whether they are of certain "
           "groups.")  # fmt: skip


def _split(of: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    yield f"The rows were dealt like this: {plain(settings['how_split'])}.\n"
    total = sum(of["rows"].values())
    grouped = "groups" in of
    yield line(["part", "rows", "share", *(["groups"] if grouped else [])])
    yield line(["---"] * (3 + grouped))
    for part, n in of["rows"].items():
        yield line([part, f"{n:,}", percent(n / total), *([of["groups"][part]] if grouped else [])])
    if grouped:
        column = plain(settings["group"])
        yield (f"\nRows with the same value of {column} are in one part; the largest such group "
               f"has {of['largest_group']:,} rows, and {of['without_group']:,} rows have no value."
               )  # fmt: skip
        if of["largest_group"] == 1:
            yield f"No two rows share a value of {column}, so it keeps nothing together."
    else:
        yield ("\nNo column keeps rows of one person together (--group): if several rows are of "
               "one person, the test rows are not of new people.")  # fmt: skip
