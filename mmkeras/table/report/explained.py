"""The pages of `mmkeras explain`: one for each row, and one that lists them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ..cuts import Cut
from ..explained import Explained
from ..wording import number
from .drawn import FAINT, STYLE, bar, over_picture, over_time, scale_of, signed, words
from .markup import document, side_by_side, sound, table, tag

TOP, CLASSES = 12, 10  # lines of a table that are shown
TITLES = {"text": "The text", "image": "The picture", "audio": "The sound",
          "numbers": "Numbers and categories"}  # fmt: skip
NAMES = {"text": "text", "image": "picture", "audio": "sound", "numbers": "number or category"}
STANDS_IN = {
    "text": "A word is removed by cutting it out of the text.",
    "image": "A patch is removed by filling it with the mean colour of the picture.",
    "audio": "A stretch is removed by silencing it.",
    "numbers": "A number is removed by putting the mean of the training rows in its place, and a "
    "category by putting their most frequent one.",
}
METHODS = {
    "occlusion": "The effect of a part is the log-odds of the whole row minus the log-odds without "
    "this part, while all else stays (occlusion). What two parts say alike is counted in neither.",
    "shapley": "The effect of a part is what it adds to the log-odds, averaged over orders in "
    "which the parts of its modality are added (Shapley values{}). Parts that say the same share "
    "it.",
}
LIMITS = (
    "This page tells what the model reacted to. It does not tell whether the answer is right.",
    "It does not tell what causes what: a model may react to something that only goes together "
    "with the class, such as a stamp on a scan.",
    "Log-odds are log(p / (1 − p)): 0 is a probability of 0.5, 1 is 0.73, 2 is 0.88, 3 is 0.95.",
    "What stands in for a removed part is a choice. Another choice gives other numbers, and a row "
    "with something removed may be one such as the model has never met.",
    "Small effects may be noise: train with another seed and compare, before you rely on them.",
)


def page(one: Explained, classes: Sequence[str], about: dict[str, Any], links: Markup) -> str:
    """The page of one row.

    Args:
        classes: their names.
        about: "data", "run", "method", "permutations", "command".
        links: to other pages.
    """
    said = classes[int(one.p.argmax())]
    title = f"Row {one.row}: {said!r} with probability {number(float(one.p.max()), 2)}"
    parts = [links, tag("h1", title), _lead(one, classes), *_modalities(one, classes)]
    for cut, effects, together in one.parts:
        parts += [tag("h2", TITLES[cut.modality]), *_section(one, cut, effects, classes)]
        parts.append(tag("p", _sum(effects, together, about["method"])))
    parts += [*_classes(one, classes), *_limits(one, about)]
    return document(title, parts, STYLE)


def _lead(one: Explained, classes: Sequence[str]) -> Markup:
    target = classes[one.chosen]
    text = f"Explained are the log-odds of {target!r}, {signed(one.odds)}"
    if one.chosen != int(one.p.argmax()):
        text += f" (a probability of {number(float(one.p[one.chosen]), 2)})"
    return tag(
        "p", f"{text}. ", tag("span", f"for {target}", class_="for"), " raises them, ",
        tag("span", f"against {target}", class_="against"), " lowers them.", class_="lead",
    )  # fmt: skip


def _modalities(one: Explained, classes: Sequence[str]) -> list[Markup]:
    given = {m: share for m, share in one.shares.items() if share is not None}
    most = scale_of(np.array([*given.values(), 0.0]))
    lines = [["nothing known", signed(one.nothing), ""]]
    lines += [[m, signed(share), bar(share, most)] for m, share in given.items()]
    lines += [["the answer", signed(one.odds), ""]]
    gone = [tag("p", f"This row has no {NAMES[m]}.") for m, share in one.shares.items()
            if share is None]  # fmt: skip
    words = (
        "The first line is what the model answers before it has seen anything. The share of a "
        "modality is what it adds, averaged over the orders of adding them (its Shapley value), so "
        "that the lines sum to the answer."
    )
    return [
        tag("h2", "What each modality did"),
        table(["modality", "log-odds", ""], lines),
        *gone,
        tag("p", words),
    ]


def _section(one: Explained, cut: Cut, effects: np.ndarray, classes: Sequence[str]) -> list[Markup]:
    most = scale_of(effects)
    found: list[Markup] = []
    if cut.modality == "text" and one.text is not None:
        found.append(words(one.text, cut, effects))
    elif cut.modality == "image" and one.picture is not None:
        plain = over_picture(one.picture, None, np.zeros(0), "the picture as the model saw it")
        drawn = over_picture(one.picture, cut, effects, _alt(cut, effects, classes[one.chosen]))
        found.append(side_by_side(plain, drawn))
    elif cut.modality == "audio" and one.sound is not None:
        drawn = over_time(one.sound, one.rate, effects, cut.names)
        found += [drawn, sound(one.sound, one.rate, f"sound of row {one.row}")]
    mark = "deepest colour" if cut.modality in ("text", "image") else "longest bar"
    shown = f"The {mark} stands for {signed(most)} or {signed(-most)}."
    if np.abs(effects).max() < FAINT:
        shown = f"No part moves the log-odds by as much as {FAINT}: there is little to see here."
    return [*found, tag("p", f"{shown} {STANDS_IN[cut.modality]}"), _ranked(cut, effects, most)]


def _sum(effects: np.ndarray, together: float, method: str) -> str:
    total = float(effects.sum())
    if method == "shapley":
        return (
            f"They sum to {signed(total)}: what the log-odds lose if all of them are removed while "
            "the other modalities stay. (The share at the top is a mean over orders in which the "
            "other modalities may not be there yet.)"
        )
    text = f"The effects of the single parts sum to {signed(total)}; removing all of them at once "
    text += f"changes the log-odds by {signed(together)}."
    if abs(total - together) > max(0.2, 0.5 * abs(together)):
        text += " Where the two differ this much, parts say the same, or hold only together, or "
        text += "the model is confused by a part that is missing: read single effects with care."
    return text


def _alt(cut: Cut, effects: np.ndarray, target: str) -> str:
    best, worst = int(effects.argmax()), int(effects.argmin())
    return (
        f"map over the picture: most for {target} in {cut.names[best]} ({signed(effects[best])}), "
        f"most against in {cut.names[worst]} ({signed(effects[worst])})"
    )


def _ranked(cut: Cut, effects: np.ndarray, most: float) -> Markup:
    order = np.argsort(-np.abs(effects), kind="stable")[:TOP]
    lines = [[cut.names[r], signed(effects[r]), bar(effects[r], most)] for r in order]
    what = {"text": "word", "image": "patch", "audio": "stretch", "numbers": "column"}
    more = len(effects) - len(order)
    head = f"{what[cut.modality]}{f' (the strongest of {len(effects)})' if more else ''}"
    return table([head, "effect", ""], lines)


def _classes(one: Explained, classes: Sequence[str]) -> list[Markup]:
    order = np.argsort(-one.p, kind="stable")[:CLASSES]
    lines = [[classes[k], number(float(one.p[k]))] for k in order]
    head = "class" if len(classes) <= CLASSES else f"class (the first {CLASSES} of {len(classes)})"
    return [tag("h2", "All answers"), table([head, "probability"], lines)]


def _limits(one: Explained, about: dict[str, Any]) -> list[Markup]:
    drawn = f", over {2 * about['permutations']} random orders where there are more than five parts"
    how = METHODS[about["method"]].format(drawn)
    return [
        tag("h2", "What this page can tell, and what it cannot"),
        tag("p", how),
        tag("ul", *(tag("li", text) for text in LIMITS)),
        tag("p", "It holds a row of your data: remember that before you share it."),
        tag("pre", about["command"]),
    ]


def index(found: Sequence[Explained], classes: Sequence[str], about: dict[str, Any]) -> str:
    """The page that lists the rows."""
    title = f"Explanations of {about['data']}, answered by {about['run']}"
    lines = []
    for one in found:
        given = {m: share for m, share in one.shares.items() if share is not None}
        first = max(given, key=lambda m: abs(given[m]), default="")
        lines.append([
            tag("a", f"row {one.row}", href=name_of(one.row)), classes[int(one.p.argmax())],
            number(float(one.p.max()), 2), classes[one.chosen],
            f"{first} {signed(given[first])}" if first else "nothing", _strongest(one),
        ])  # fmt: skip
    header = ["", "prediction", "probability", "explained", "strongest modality", "strongest part"]
    text = (
        "Each page shows what one answer came from. Numbers are log-odds of the explained class: "
        "positive ones speak for it, negative ones against it."
    )
    left = (1, 3, 4, 5)
    return document(title, [tag("h1", title), tag("p", text), table(header, lines, left)], STYLE)


def _strongest(one: Explained) -> str:
    best = [
        (f"{cut.modality}: {cut.names[r]}", float(e[r]))
        for cut, e, _ in one.parts
        for r in [np.abs(e).argmax()]
    ]
    if not best:
        return "–"
    name, effect = max(best, key=lambda part: abs(part[1]))
    return f"{name if len(name) <= 48 else name[:48] + '…'} {signed(effect)}"


def name_of(row: int) -> str:
    """The name of the file of a row."""
    return f"row-{row}.html"


def links(rows: Sequence[int], i: int) -> Markup:
    """To the list, to the row before and to the row behind."""
    found = [tag("a", "all rows", href="index.html")]
    found += [tag("a", f"← row {rows[i - 1]}", href=name_of(rows[i - 1]))] if i else []
    found += [tag("a", f"row {r} →", href=name_of(r)) for r in rows[i + 1 : i + 2]]
    return tag("nav", Markup(" · ").join(found))
