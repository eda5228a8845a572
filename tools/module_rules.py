"""The head of a module says which chapter derives it, and that chapter mentions the module.

The docstring of a module whose code a chapter writes out or explains contains `Derived in chapter
07.` (or `in chapter 01 (the mask) and chapter 07`). The chapter must exist, and must name something
public of the module.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from notebook_page import read

DERIVED = re.compile(r"Derived in\s+chapter[^.]*")  # to the end of the sentence


def modules(root: Path) -> list[Path]:
    """The modules of the package that a chapter could derive, which are all but the checks."""
    found = sorted((root / "mmkeras").rglob("*.py"))
    return [p for p in found if p.parent.name != "checks"]


def chapters_of(module: Path) -> list[str]:
    """Numbers of the chapters that the head of a module names."""
    head = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return [number for said in DERIVED.findall(head) for number in re.findall(r"\b\d\d\b", said)]


def public_names(module: Path) -> set[str]:
    """The public functions and classes of a module."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {n.name for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")}


def problems(root: Path) -> Iterator[str]:
    """The problems of the heads, one line each, with what to do."""
    for module in modules(root):
        name = module.relative_to(root).as_posix()
        for number in chapters_of(module):
            chapters = sorted((root / "notebooks").glob(f"{number}_*.ipynb"))
            if not chapters:
                yield f"{name}: is derived in chapter {number}, which is not there: mend its head"
                continue
            text = "\n".join(cell.source for _, cell in read(chapters[0]).cells)
            if not any(re.search(rf"\b{public}\b", text) for public in public_names(module)):
                yield (
                    f"{name}: is derived in chapter {number}, but {chapters[0].name} names nothing "
                    "of it: mend the head, or say in the chapter what it becomes in the package"
                )


def underived(root: Path) -> list[str]:
    """Modules whose head names no chapter, as `folder.name`."""
    named = [p for p in modules(root) if not p.name.startswith("__")]
    found = [p.relative_to(root / "mmkeras") for p in named if not chapters_of(p)]
    return [".".join(p.with_suffix("").parts) for p in found]
