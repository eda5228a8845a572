"""Execute, clean and lint the notebooks. Only this tool makes the committed outputs.

    python tools/notebooks.py run                       run every notebook and solution, in place
    python tools/notebooks.py run notebooks/05_*.ipynb  run only these
    python tools/notebooks.py run --out DIR             write into DIR, not in place
    python tools/notebooks.py lint                      check what is committed, run nothing

A notebook is executed from top to bottom in a fresh kernel of the Python that runs this tool, and
cleaned of everything that changes from run to run. A notebook that raises stays unchanged. The
rules of the lint are in notebook_rules.py. The exit status is 1 if a notebook raised or broke a
rule.
Without names, `lint` also reads the heads of the package's modules (module_rules.py).
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ipykernel.kernelspec
import module_rules
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from notebook_page import Page
from notebook_rules import Problem, lint
from pictures import shrink_pictures

ROOT = Path(__file__).resolve().parent.parent
CELL_TIMEOUT = 120  # seconds, the same limit as nbval's in the Makefile
NOTEBOOK_LIMIT = 45  # seconds on 2 idle cores; a longer run is marked in the table
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


@dataclass
class Result:
    """The result for one notebook: its page, its run time in seconds, and its error, if any."""

    path: Path
    page: Page | None = None
    seconds: float | None = None
    error: str = ""
    problems: list[Problem] = field(default_factory=list)


class _ThisPython(KernelSpecManager):
    """Starts every kernel with the running interpreter, whatever kernels are installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            resource_dir=ipykernel.kernelspec.RESOURCES, **ipykernel.kernelspec.get_kernel_dict()
        )


def default_notebooks(root: Path = ROOT) -> list[Path]:
    """Every chapter, then every solution, sorted."""
    folder = root / "notebooks"
    return sorted(folder.glob("*.ipynb")) + sorted((folder / "solutions").glob("*.ipynb"))


async def execute(path: Path, timeout: int = CELL_TIMEOUT) -> NotebookNode:
    """Run a notebook in its own folder, in a fresh kernel that imports this checkout's package.

    Raises:
        RuntimeError: a cell raised, took longer than `timeout` seconds, or killed the kernel. The
            message has the number of the cell, its source and the traceback.
    """
    nb = nbformat.read(path, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    running = 0

    def remember(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running
        running = cell_index

    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    env.pop("MPLBACKEND", None)  # pictures go into the notebook
    client = NotebookClient(
        nb,
        km=AsyncKernelManager(kernel_spec_manager=_ThisPython()),
        timeout=timeout,
        startup_timeout=120,
        record_timing=False,
        store_widget_state=False,
        on_notebook_start=_restore_ctrl_c,
        on_cell_execute=remember,
        resources={"metadata": {"path": str(path.resolve().parent)}},
    )
    with tempfile.TemporaryFile() as log:  # what the kernel prints when it dies
        try:
            return await client.async_execute(cleanup_kc=True, env=env, stderr=log)
        except CellTimeoutError:
            reason = f"took longer than {timeout} seconds"
        except DeadKernelError:
            log.seek(0)
            reason = "killed the kernel\n" + log.read()[-2000:].decode(errors="replace").strip()
        except CellExecutionError as error:
            reason = "raised\n" + re.sub(r"\x1b\[[0-9;]*m", "", error.traceback).strip()
    source = "\n".join("    " + line for line in nb.cells[running].source.splitlines())
    raise RuntimeError(f"{path.name}, cell {running + 1}:\n{source}\n{reason}")


def _restore_ctrl_c(notebook: NotebookNode) -> None:
    """Undo nbclient's handler, which stops one kernel and not the tool."""
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


def clean(nb: NotebookNode) -> NotebookNode:
    """Remove what differs from run to run (stderr, metadata, ids, folders), and shrink pictures."""
    seen: dict[str, int] = {}
    for cell in nb.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode({"tags": sorted(tags)} if tags else {})
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if cell.cell_type == "code":
            cell.outputs = _stable(cell.outputs)
    shrink_pictures(nb)
    nb.metadata = nbformat.from_dict(METADATA)
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


_SOURCE_FILE = re.compile(r"~?(?:[A-Z]:)?[\\/][^\s:\x1b]*[\\/]([^\\/\s:\x1b]+\.py)")


def _stable(outputs: list[NotebookNode]) -> list[NotebookNode]:
    merged: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            if merged and merged[-1].output_type == "stream":
                merged[-1].text += output.text
                continue
        elif output.output_type == "error":
            output.traceback = [_SOURCE_FILE.sub(r"\1", line) for line in output.traceback]
        merged.append(output)
    return merged


def write(nb: NotebookNode, path: Path) -> None:
    """Write the whole file or nothing, in the same bytes on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_text(nbformat.writes(nb).rstrip("\n") + "\n", encoding="utf-8", newline="\n")
    scratch.replace(path)


def target(path: Path, out: Path | None) -> Path:
    """Where the executed notebook goes: in place, or into `out` (solutions in their folder)."""
    if out is None:
        return path
    return out / "solutions" / path.name if path.parent.name == "solutions" else out / path.name


async def run(paths: list[Path], out: Path | None = None, jobs: int = 1) -> list[Result]:
    """Execute, clean and write the notebooks, `jobs` at a time; then lint them all."""
    gate = asyncio.Semaphore(jobs)

    async def one(path: Path) -> Result:
        async with gate:
            print(f"running {_short(path)} …", file=sys.stderr, flush=True)
            begin = time.perf_counter()
            try:
                nb = clean(await execute(path))
            except RuntimeError as error:
                return Result(path, error=str(error))
            seconds = time.perf_counter() - begin
        write(nb, target(path, out))
        return Result(path, seconds=seconds)

    results = await asyncio.gather(*(one(path) for path in paths))
    for result in results:
        if not result.error:
            _lint_into(result, target(result.path, out))
    return results


def _lint_into(result: Result, file: Path) -> None:
    result.page, result.problems = lint(file, place=result.path)


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def table(results: list[Result]) -> str:
    """One line per notebook: run time, cells, those with output, those not compared, size."""
    rows = [("notebook", "run time", "cells", "with output", "uncompared", "size")]
    for result in results:
        name = _short(result.path)
        seconds = "" if result.seconds is None else f"{result.seconds:.0f} s"
        if (result.seconds or 0) > NOTEBOOK_LIMIT:
            seconds += " (too long)"
        if result.page is None:
            rows.append((name, "failed" if result.error else seconds, "", "", "", ""))
            continue
        page = result.page
        shown, ignored = len(page.with_output), len(page.ignored)
        share = f"{ignored}/{shown} = {page.share:.0%}"
        rows.append(
            (name, seconds, str(len(page.nb.cells)), str(shown), share, f"{page.size / 1e6:.2f} MB")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="notebooks.py", description="Execute, clean and lint the notebooks of the course."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="execute from top to bottom, clean, write, lint")
    runner.add_argument("--out", type=Path, help="write into this folder instead of in place")
    runner.add_argument("-j", "--jobs", type=int, default=1, help="notebooks at a time (default 1)")
    linter = commands.add_parser("lint", help="check the committed notebooks against the rules")
    for command in (runner, linter):
        command.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    options: Any = parser.parse_args(arguments)

    paths = options.notebooks or default_notebooks()
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        parser.error(f"no such notebook: {', '.join(missing) or 'notebooks/*.ipynb'}")
    if options.command == "run":
        if options.jobs < 1:
            parser.error(f"-j must be at least 1, got {options.jobs}")
        try:
            results = asyncio.run(run(paths, options.out, options.jobs))
        except KeyboardInterrupt:
            print("stopped: notebooks that were still running are unchanged", file=sys.stderr)
            return 130
    else:
        results = [Result(path) for path in paths]
        for result in results:
            _lint_into(result, result.path)

    for result in results:
        if result.error:
            print(f"{result.error}\n{result.path.name} is unchanged.\n")
        for problem in result.problems:
            print(problem)
    print(table(results))
    heads: list[str] = []
    if options.command == "lint" and not options.notebooks:
        heads = list(module_rules.problems(ROOT))
        named = f"Derived in no chapter: {', '.join(module_rules.underived(ROOT))}"
        print(*heads, named, sep="\n")
    return int(bool(heads) or any(result.error or result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main())
