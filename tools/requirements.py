"""Write requirements.txt and environment.yml from the ranges in pyproject.toml.

The pins of the book, book/requirements.txt, come from the ranges in book/requirements.in.

    python tools/requirements.py             keep the pins that still fit, add what is missing
    python tools/requirements.py --upgrade   take the newest version that each range allows

The extra `bench` is left out: torch is large, and only two benchmarks use it. uv resolves for every
system and every Python version that the project supports.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONDA_PYTHON = "3.12"
OPTIONS = "uv pip compile --no-config --universal --fork-strategy fewest --python-version 3.11"
STYLE = "--no-header --annotation-style line"
COMPILE = (
    f"{OPTIONS} --extra course --extra export --extra serve --extra scale --extra privacy "
    f"--extra test --extra dev {STYLE} pyproject.toml"
)
BOOK = f"{OPTIONS} {STYLE} book/requirements.in"
BOOK_HEADER = f"""\
# What builds the book, pinned. Not edited by hand: `make requirements` writes it with
#   {BOOK}
"""
HEADER = f"""\
# Every package the course needs, direct and indirect, at one exact version, for Python 3.11 to 3.13
# on Linux, macOS and Windows. Not edited by hand: `make requirements` writes it with
#   {COMPILE}
"""
CONDA_HEADER = """\
# A conda environment with the pins of requirements.txt; `make requirements` writes it.
#   conda env create -f environment.yml && conda activate mmkeras
#   pip install --no-deps --no-build-isolation -e .
"""


def read_pins(text: str) -> list[str]:
    """The requirement lines of a requirements file, without comments: `name==version ; marker`."""
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


def resolve(command: str, name: str, upgrade: bool) -> str:
    """The text uv prints; pins already in the file `name` are kept unless `upgrade`."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "requirements.txt"
        pinned = ROOT / name
        if pinned.exists() and not upgrade:
            output.write_bytes(pinned.read_bytes())
        options = ["--quiet", "--output-file", str(output)]
        done = subprocess.run(
            [sys.executable, "-m", *command.split(), *options], cwd=ROOT, check=False
        )
        if done.returncode:
            source = command.split()[-1]
            sys.exit(f"uv found no set of versions that fits {source}; its message is above.")
        return output.read_text(encoding="utf-8")


def conda(pins: list[str]) -> str:
    """The text of environment.yml for these pins."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        name = tomllib.load(file)["project"]["name"]
    head = ["name: " + name, "channels:", "  - conda-forge", "dependencies:"]
    body = [f"  - python={CONDA_PYTHON}", "  - pip", "  - pip:"]
    return CONDA_HEADER + "\n".join([*head, *body, *(f'      - "{pin}"' for pin in pins)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Pin every package the course needs.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    upgrade = parser.parse_args().upgrade
    resolved = resolve(COMPILE, "requirements.txt", upgrade)
    book = BOOK_HEADER + resolve(BOOK, "book/requirements.txt", upgrade)
    texts = {
        "requirements.txt": HEADER + resolved,
        "environment.yml": conda(read_pins(resolved)),
        "book/requirements.txt": book,
    }
    for name, text in texts.items():
        (ROOT / name).write_text(text, encoding="utf-8", newline="\n")
        print(name)


if __name__ == "__main__":
    main()
