"""Copies of the notebooks for Colab, whose first cell installs the course and fetches its data."""

import json
import re
from pathlib import Path
from typing import Any

CELL = """\
# Only in Colab: the course, its package and its data (some minutes)
!git clone --quiet --depth 1 {repository} course
%cd course/{folder}
%pip install --quiet "{up}[course,export,serve,scale]"
!python -m mmkeras data fetch
"""
BRANCH = "gh-pages"  # where the workflow publishes the site, and so these copies


def address(repository: str, name: str) -> str:
    """Where Colab opens a notebook, such as name = "notebooks/00_welcome.ipynb"; "" elsewhere."""
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", repository)
    site = "https://colab.research.google.com/github"
    return f"{site}/{found[1]}/blob/{BRANCH}/colab/{name}" if found else ""


def copy(path: Path, name: str, repository: str) -> dict[str, Any]:
    """The notebook with the first cell.

    Links to other notebooks lead to their copies, since Colab knows no neighbouring files.
    """
    nb: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    folder = Path(name).parent

    def link(found: re.Match[str]) -> str:
        target = found[1].partition("#")[0]
        there = (folder / target).as_posix().replace("solutions/../", "")
        return f"]({address(repository, there)})"  # Colab's anchors are ids of its own

    for cell in nb["cells"]:
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            cell["source"] = re.sub(
                r"\]\(((?:\.\./|solutions/)?\d\d_\w+\.ipynb[^)\s]*)\)", link, source
            )
    up = "/".join([".."] * len(folder.parts))
    source = CELL.format(repository=repository, folder=folder.as_posix(), up=up)
    first = {"cell_type": "code", "id": "colab", "metadata": {}, "source": source}
    nb["cells"].insert(0, {**first, "outputs": [], "execution_count": None})
    return nb


def write(originals: dict[str, Path], out: Path, repository: str) -> None:
    """All copies into `out`; none where the repository is not on GitHub."""
    for name, path in originals.items() if address(repository, "") else ():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(copy(path, name, repository), ensure_ascii=False, indent=1)
        target.write_text(text + "\n", encoding="utf-8")
