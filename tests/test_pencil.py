"""Sums in the text of the notebooks: done anew from the terms that are printed.

A reader with a pencil must get the digits that stand after "=". So every chain such as
`$0.5 \\cdot 0.76159 + 0.2 = 0.5808$` is taken from the text as it stands, each side that is made of
numbers only is computed, and neighbours must agree to half a unit of the last printed digit.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HOME = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(HOME.glob("[0-9][0-9]_*.ipynb")) + sorted(HOME.glob("solutions/*.ipynb"))
MATHEMATICS = HOME / "01_mathematics.ipynb"
NUMBER = r"\d+(?:\.\d+)?"
NAMES: dict[str, Any] = {
    "log": np.log,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "max": lambda values: np.max(values),
    "sigma": lambda a: 1 / (1 + np.exp(-a)),
    "V": lambda *entries: entries[0] if len(entries) == 1 else np.array(entries, dtype=float),
}


def python(latex: str) -> str:
    """A side of an equation as Python, with every bracket as `V(…)`: a number or a vector."""
    text = re.sub(r"\\(?:,|;|!|quad|big|Big|left|right)(?![a-z])", " ", latex)
    text = re.sub(r"\^\\top|\\(?:mathrm|text){[^}]*}", " ? ", text)
    while matrix := re.search(r"\\begin{pmatrix}(.*?)\\end{pmatrix}", text):
        rows = [row.replace("&", ",") for row in re.split(r"\\\\", matrix[1])]
        text = text.replace(matrix[0], f"({','.join(f'({row})' for row in rows)},)", 1)
    text = re.sub(r"\\t?frac\s*(\d)\s*(\d)", r"(\1/\2)", text)
    for _ in range(3):  # brackets inside brackets
        text = re.sub(r"\\t?frac{([^{}]*)}{([^{}]*)}", r"((\1)/(\2))", text)
        text = re.sub(r"\be\^{([^{}]*)}", r"exp(\1)", text)
        text = re.sub(r"\be\^(\d)", r"exp(\1)", text)
        text = re.sub(r"\\sqrt{([^{}]*)}", r"sqrt(\1)", text)
        text = re.sub(r"\^{([^{}]*)}", r"**(\1)", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"sqrt(\1)", text)
    text = re.sub(rf"\^({NUMBER})", r"**\1", text)
    text = re.sub(rf"\\(log|tanh|sin|cos|sigma)\s*({NUMBER})", r"\1(\2)", text)
    text = re.sub(r"\\(log|tanh|sin|cos|sigma|max)\b", r"\1", text)
    text = text.replace(r"\cdot", "*").replace("−", "-")
    text = re.sub(r"(\w*)\(", lambda m: f"{m[1]}(" if m[1] in NAMES else f"{m[1]}V(", text)
    return re.sub(r"max\(([^()]*)\)", r"max([\1])", text)


def value(latex: str) -> np.ndarray | None:
    """The number or vector that a side stands for; None if it holds anything but numbers."""
    code = python(latex).strip()
    words = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\d\.?\d*e-?\d+", "", code)))
    if not code or not words <= set(NAMES) or re.search(r"[^\w\s.,+\-*/()\[\]]", code):
        return None
    try:
        return np.asarray(eval(code, {"__builtins__": {}}, NAMES), dtype=float)
    except (SyntaxError, TypeError, ValueError):
        return None


def tolerance(latex: str) -> float:
    """Half a unit of the last digit of a result; as often as there are rounded terms in a sum."""
    decimals = [len(digits) for digits in re.findall(r"\d\.(\d+)", latex)]
    literal = re.fullmatch(rf"[\s\-−]*{NUMBER}\s*", latex) or not re.search(
        r"\d[\s)]*(?:[+*/^]|\\cdot|[-−])|\\(?:log|tanh|sqrt|sigma|sin|cos|t?frac)", latex
    )
    return (1 if literal else len(decimals)) * 0.5 * 10.0 ** -max(decimals, default=12) + 1e-9


def split(formula: str, at: str) -> list[str]:
    """The parts of a formula between characters of `at`, where these stand in no bracket."""
    parts, depth = [""], 0
    for character in formula:
        depth += (character in "({[") - (character in ")}]")
        if character in at and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def chains(text: str) -> list[tuple[str, str, float]]:
    """(left side, right side, how far they are apart beyond the tolerance) of each equation."""
    found = []
    for formula in re.findall(r"\$\$?([^$]+)\$\$?", text):
        formula = re.sub(r"\\(?:approx|text{[^}]*}|qquad|quad)", ";", formula)
        for statement in split(re.sub(r"\\;", " ", formula), ";,"):
            sides = split(statement, "=")
            for left, right in zip(sides, sides[1:], strict=False):
                a, b = value(left), value(right)
                if a is None or b is None:
                    continue
                off = np.inf if a.shape != b.shape else float(np.max(np.abs(a - b)))
                found.append((left.strip(), right.strip(), off - tolerance(right)))
    return found


def prose(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


@pytest.mark.parametrize(
    "path", [pytest.param(path, id="/".join(path.parts[-2:])) for path in NOTEBOOKS]
)
def test_sums_follow_from_their_printed_terms(path: Path) -> None:
    wrong = [
        f"{left} = {right}"
        for text in prose(path)
        for left, right, excess in chains(text)
        if excess > 0
    ]
    assert not wrong


def test_every_section_with_a_sum_by_hand_is_redone() -> None:
    sections = re.split(r"(?m)^### ", "\n".join(prose(MATHEMATICS)))[1:]
    by_hand = [section for section in sections if "**By hand" in section]
    redone = {section.partition("\n")[0]: len(chains(section)) for section in by_hand}
    assert len(by_hand) >= 40
    assert [title for title, count in redone.items() if not count] == []
    assert sum(redone.values()) >= 150


def test_the_results_that_cells_compare_are_those_of_the_text() -> None:
    """Each decimal in "5.2 cosine …: 0.9746 | hand = NumPy = Keras" stands in that section."""
    text, strange, seen = "", [], 0
    for cell in json.loads(MATHEMATICS.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            text = source if re.search(r"(?m)^### ", source) else text + source
        for output in cell.get("outputs", []):
            for hand in re.findall(r": (.*) \| hand = NumPy", "".join(output.get("text", ""))):
                decimals = re.findall(r"\d+\.\d{3,}", hand)
                seen += len(decimals)
                known = {float(number) for number in re.findall(r"\d+\.\d+", text)}
                strange += [d for d in decimals if float(d) not in known]
    assert seen >= 50
    assert strange == []


@pytest.mark.parametrize(
    ("formula", "right"),
    [
        (r"$0.6652 + 0.0900 = 0.7553$", False),  # 0.7552 with these terms
        (r"$0.66524 + 0.09003 = 0.7553$", True),
        (r"$(0.66524 + 0.09003,\; 0.24473 + 0.09003) = (0.7553, 0.3347)$", False),
        (r"$h = \tanh(0.5 + 0.73106 \cdot 2) = \tanh(1.96212) = 0.9613$", True),
        (r"$\frac23 \cdot (0, -2, -3) = (0, -1.3333, -2)$", True),
        (r"$-\log(0.66524) = 0.4077$", False),
        (r"$32/\sqrt{14 \cdot 77} = 0.9746$, and $e^{-1.6} = 0.2019$", True),
        (r"$\begin{pmatrix}1 \cdot 2 & 0\\ 0 & 3\end{pmatrix} = "
         r"\begin{pmatrix}2 & 0\\ 0 & 4\end{pmatrix}$", False),
        (r"$\log(1 + e^{-0.8}) = 0.37110$", True),
    ],
)  # fmt: skip
def test_a_wrong_digit_is_seen(formula: str, right: bool) -> None:
    found = chains(formula)
    assert found
    assert all(excess <= 0 for _, _, excess in found) is right
