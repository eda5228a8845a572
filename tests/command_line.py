"""What tests of the commands share: calling one, and reading and changing a CSV."""

import contextlib
import csv
import io
from pathlib import Path

import pandas as pd

from mmkeras.__main__ import main


def call(*arguments):
    """(exit status, stdout, stderr) of `mmkeras …`, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # of argparse
            status = stop.code
    return status, out.getvalue(), err.getvalue()


def read(path):
    """Every cell as a string."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def change(path, edit, to=None):
    """Rewrites a CSV: `edit` gets its records, header first."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    edit(rows)
    return write(to or path, rows)


def write(path, rows, encoding="utf-8"):
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)
    return Path(path)


def contents(folder):
    """Relative path → bytes, of every file."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def orders(rows=40):
    """Records of a tiny table of numbers and categories, which trains fast: tea is colder."""
    body = [
        [f"{i}", f"{(70, 90)[i % 2] + i * 7 % 17}.{i:02}", ("mug", "glass", "pot")[i % 3], label]
        for i in range(rows)
        for label in [("tea", "coffee")[i % 2]]
    ]
    return [["order", "degrees", "cup", "label"], *body]
