"""Copies of the notebooks to write in: work/NN_slug.ipynb and work/solutions, which git ignores.

    python tools/work.py            copy missing notebooks, and renew unchanged copies
    python tools/work.py --fresh    copy everything anew; changed copies move to work/before-…

`work` lies as deep as `notebooks`, so that links, pictures and data paths work. A copy with
unchanged cells is renewed as soon as the course has a newer version (opening and running a notebook
change the file, not the sources of its cells). A copy with changed cells belongs to the student,
and is never overwritten or deleted. `work/.copied.json` records what was copied.
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ".copied.json"


def cells(file: Path) -> str:
    """A digest of the sources of the cells without outputs, or of the bytes of a broken file."""
    raw = file.read_bytes()
    try:
        said = [[cell["cell_type"], "".join(cell["source"])] for cell in json.loads(raw)["cells"]]
    except (ValueError, KeyError, TypeError):
        return hashlib.sha256(raw).hexdigest()
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def bring(root: Path, fresh: bool = False) -> list[str]:
    """Make or renew the copies in `root / "work"`.

    Args:
        root: the checkout, which has the folder notebooks.
        fresh: also replace the copies that were changed; these move to work/before-DATE-TIME.

    Returns:
        Lines that say what happened to changed copies; none if there are none.
    """
    work = root / "work"
    before = work / time.strftime("before-%Y%m%d-%H%M%S")
    record = work / RECORD
    copied = json.loads(record.read_text("utf-8")) if record.is_file() else {}
    newer, moved = [], []
    for folder in (root / "notebooks", root / "notebooks" / "solutions"):
        for source in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
            name = source.relative_to(root / "notebooks").as_posix()
            copy = work / name
            course = hashlib.sha256(source.read_bytes()).hexdigest()
            if copy.is_file():
                mine = copied.get(name, {}).get("cells") != cells(copy) != cells(source)
                same = copied.get(name, {}).get("course") == course
                if mine and fresh:
                    (before / name).parent.mkdir(parents=True, exist_ok=True)
                    copy.replace(before / name)
                    moved.append(name)
                elif mine or (same and not fresh):
                    newer += [name] if mine and not same else []
                    continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
            copied[name] = {"course": course, "cells": cells(source)}
    scratch = record.with_suffix(".part")
    scratch.write_text(json.dumps(copied, indent=1) + "\n", encoding="utf-8")
    scratch.replace(record)
    said = []
    if moved:
        said += [f"Copied anew. What you had changed is in work/{before.name}: {_list(moved)}."]
    if newer:
        said += [
            f"The course has a newer version of {_list(newer)}. Your copies in work stay as you "
            "left them; make lab FRESH=1 copies anew and moves yours to work/before-DATE-TIME."
        ]
    return said


def _list(names: list[str]) -> str:
    return ", ".join(name.removesuffix(".ipynb") for name in names)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fresh", action="store_true", help="copy all anew, and keep changed ones")
    for line in bring(ROOT, parser.parse_args(arguments).fresh):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
