"""The command `mmkeras predict`: write a table again, with the answer of a trained run in each row.

    mmkeras predict weather/run weather/new.csv

It adds a column `prediction` and a column `probability_<class>` per class. If the file lacks a
column, that is an error, or with --allow-missing-columns a modality that no row has. With
--skip-bad-rows a row that cannot be read stays in the output, with an empty prediction and the
reason in one more column, `problem`.

A table of any size is answered in blocks of rows, each of which is kept until all are joined, so
that a job that was killed can go on; also by a Dask cluster, or in shards.
"""

import argparse
import codecs
import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..usage import Parser
from . import run as runs
from .command import (
    STATUS,
    RunError,
    add_reading,
    add_run_and_csv,
    at_least,
    exit_status,
    reading_of,
)  # fmt: skip

if TYPE_CHECKING:  # imported by the functions that need them, so that --help appears at once
    from .answers import Work
    from .blocks import Job
    from .joined import Joined

MISSING = (
    "The model was trained with it. Name the column as in the training, or let every row go "
    "without: --allow-missing-columns"
)
BLOCK = 1024
EXAMPLES = f"""Example: mmkeras predict weather/run weather/new.csv. Or, of a big table:
  mmkeras predict weather/run big.csv --resume             go on after a kill
  mmkeras predict weather/run big.parquet --engine dask    all cores, one process on each
  mmkeras predict weather/run big.csv --shard 2/4          the second of four jobs

The columns are those of the training, and the output is encoded as the input is. A table of any
size is answered in blocks of rows, each of which is kept in OUTPUT.blocks until all are joined.
Shards are whole files; in order, they are the table: keep the header of the first one only, as in
(cat big.predicted.1-of-2.csv; tail -n +2 big.predicted.2-of-2.csv) > all.csv. {STATUS}"""


def codec_of(path: Path, encoding: str) -> str:
    """The encoding with which to write a CSV like this one, with or without byte-order mark."""
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        with path.open("rb") as file:
            return "utf-8-sig" if file.read(3) == codecs.BOM_UTF8 else "utf-8"
    return encoding


# ------------------------------------------------------------------------------ command line


def shard(text: str) -> tuple[int, int]:
    """For argparse: a shard such as 2/4, the second of four."""
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    i, n = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= i <= n:
        raise argparse.ArgumentTypeError(f"must be such as 1/4, 2/4, 3/4 or 4/4; got {text!r}")
    return i, n


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults."""
    p = Parser(
        prog="mmkeras predict",
        description="Predict every row of a table, a CSV or a Parquet file, with a model that "
        "mmkeras train made: add a column prediction and a column probability_<class> for each "
        "class.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_and_csv(p, "TABLE", "rows to answer: a CSV, or a Parquet file (needs the packages of: "
                    "pip install 'mmkeras[scale]')")  # fmt: skip
    p.add_argument("--out", type=Path, metavar="FILE", help="file to write, .csv or .parquet "
                   "(default: new.predicted.csv, beside new.csv)")  # fmt: skip
    p.add_argument("--features", type=Path, metavar="FILE", help="also write, as .npy or .parquet, "
                   "the vector that the answer to each row is computed from")  # fmt: skip
    p.add_argument("--force", action="store_true", help="replace the output file, and blocks that "
                   "are kept")  # fmt: skip
    p.add_argument("--allow-missing-columns", action="store_true", help="take a column of the "
                   "training that the file lacks for blank in every row")  # fmt: skip
    add = p.add_argument_group("large tables").add_argument
    add("--resume", action="store_true", help="go on with a prediction that was stopped or killed; "
        "run, table and options must be the same")  # fmt: skip
    add("--block-rows", type=at_least(1, most=1_000_000), default=BLOCK, metavar="N",
        help=f"rows that are read and answered at a time (default: {BLOCK})")  # fmt: skip
    add("--shard", type=shard, metavar="I/N", help="answer the I-th of N parts of the table, and "
        "write new.predicted.I-of-N.csv; each part is a job of its own")  # fmt: skip
    add("--engine", choices=("local", "dask"), default="local", help="who answers: this process "
        "(default), or Dask workers (needs: pip install 'mmkeras[scale]')")  # fmt: skip
    add("--workers", type=at_least(1, most=1024), metavar="N", help="with --engine dask: processes "
        "on this machine (default: one per core)")  # fmt: skip
    add("--scheduler", metavar="ADDRESS", help="with --engine dask: use the cluster of this "
        "scheduler, as in tcp://10.0.0.5:8786; its workers must see the run, the table and the "
        "files under the same paths")  # fmt: skip
    add_reading(p.add_argument_group("reading").add_argument, trained="as in training")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; see `parser`."""
    p = parser()
    options = p.parse_args(argv)
    if options.engine != "dask" and (options.workers or options.scheduler):
        p.error(f"--{'workers' if options.workers else 'scheduler'} is for --engine dask")
    if options.workers and options.scheduler:
        p.error("--workers is for a cluster of this machine; leave it out with --scheduler")
    part = ".{}-of-{}".format(*options.shard) if options.shard else ""
    out = options.out or options.csv.with_suffix(f".predicted{part}{options.csv.suffix}")
    advice = "" if options.skip_bad_rows else "To answer the other rows: --skip-bad-rows"
    options.kept = ""
    return exit_status(
        lambda: _run(options, out),
        kept=lambda: options.kept,
        advice=advice,
        hints={"no such column": MISSING},
        trained=True,
        stopped=f"{out} was not written",
    )


def check_output(out: Path, csv: Path, force: bool) -> None:
    """Raise RunError if the file could not be written, before anything is computed."""
    if out.is_dir():
        raise RunError(f"{out} is a folder; name a file with --out")
    if not out.parent.is_dir():
        raise RunError(f"there is no folder {out.parent} to write {out.name} into; make it, or "
                       "name another file with --out")  # fmt: skip
    if not os.access(out.parent, os.W_OK):
        raise RunError(f"nothing can be written to {out.parent}; name another file with --out")
    if out.exists() and not force:
        raise RunError(f"{out} exists; name another file with --out, or --force")
    if out.exists() and os.path.samefile(out, csv):
        raise RunError(f"{out} is the input itself; name another file with --out")


def _check(options: argparse.Namespace, out: Path) -> None:
    """Raise RunError for what can be known before the table is read."""
    from . import engines, parquet

    if not options.csv.is_file():
        raise RunError(f"there is no CSV at {options.csv}")
    check_output(out, options.csv, options.force or options.resume)
    named = [out]
    if options.features is not None:
        if options.features.suffix.lower() not in (".npy", ".parquet"):
            raise RunError(f"--features {options.features}: the name must end in .npy or .parquet")
        if options.features == out:
            raise RunError(f"--features {out}: the answers are written there; name another file")
        check_output(options.features, options.csv, options.force or options.resume)
        named.append(options.features)
    for path in named:
        if path.suffix.lower() == ".parquet":
            parquet.check_installed(str(path))
    if options.engine == "dask":
        engines.check_dask()


def _run(options: argparse.Namespace, out: Path) -> None:
    """Run the command, except for the handling of errors."""
    from . import answers, blocks
    from .joined import Joined
    from .reading import header_of

    _check(options, out)
    settings = runs.read_settings(options.run)  # its faults are reported before TensorFlow loads
    codec = options.encoding or settings["encoding"]
    source = blocks.Source(options.csv, codec, options.delimiter or settings["delimiter"])
    known = blocks.known(source, settings, options.allow_missing_columns)
    problem = known.blank or options.shard is not None
    answers.check_names(known.header, settings["classes"], problem or options.skip_bad_rows)
    places = blocks.part(known.rows, options.shard)
    one = (
        options.engine == "local" and places == (0, known.rows) and known.rows <= options.block_rows
    )
    reading = reading_of(options) | {"encoding": codec, "delimiter": source.delimiter}
    reading |= {"allow_missing_columns": options.allow_missing_columns}
    reading |= {} if one else {"cache": False}  # it would be as large as all files together
    work = answers.Work(
        Path(os.path.abspath(options.run)), files.sha256(options.run / "model.keras"),
        Path(os.path.abspath(options.csv)),
        {**settings, "table": known.table}, reading, options.features is not None,
    )  # fmt: skip
    job = blocks.Job(out)
    joined = Joined(job, source, known, settings["classes"], places, options.block_rows, problem)
    for column in runs.inputs_of(settings):
        if column not in header_of(known.header):
            print(f"There is no column {column!r}: every row goes without it.")
    with job.opened(resume=options.resume, force=options.force):
        job.begin(_depends(options, work, source))
        try:
            _answer(options, work, joined)
            _finish(options, joined)
        finally:
            _say_kept(options, job)


def _depends(options: argparse.Namespace, work: "Work", source: Any) -> dict[str, Any]:
    """What the answers depend on, in the words of the command: a job goes on only with the same."""
    flags = ("allow_missing_columns", "allow_outside", "max_audio_seconds", "max_file_bytes",
             "block_rows")  # fmt: skip
    return {
        "the model": work.model,
        "settings.json of the run": files.sha256(options.run / "settings.json"),
        "the table": files.sha256(options.csv),
        "--encoding": source.encoding,
        "--delimiter": source.delimiter,
        **{f"--{name.replace('_', '-')}": getattr(options, name) for name in flags},
        "--shard": "/".join(map(str, options.shard)) if options.shard else None,
        "--features": options.features is not None,
    }


def _answer(options: argparse.Namespace, work: "Work", joined: "Joined") -> None:
    """Answer the blocks that are not done yet."""
    from tqdm import tqdm

    from . import engines

    done = set(joined.job.done())
    first = (1, joined.known.header)
    todo = ((n, [first, *block]) for n, block in enumerate(joined.records()) if n not in done)
    if options.engine == "dask":
        found = engines.dask(work, todo, options.scheduler, options.workers)
    else:
        import mmkeras as mm

        mm.start()
        found = engines.here(work, todo)
    rows = joined.places[1] - joined.places[0]
    if done:
        print(f"Of {rows} rows, {len(done)} blocks are done already")
    quiet = rows <= options.block_rows or None  # None: where stderr is no terminal, either
    warned = options.skip_bad_rows
    with tqdm(total=rows, unit=" rows", disable=quiet) as bar, contextlib.closing(found):
        for number, answers in found:
            joined.job.write(number, answers)
            bar.update(len(answers.rows) + len(answers.problems["row"].unique()))
            if not warned and len(answers.problems) and rows > options.block_rows:
                row, column, _, reason = answers.problems.iloc[0]
                where = f"Row {row}, column {column!r}" if column else f"Row {row}"
                print(f"{where}: {reason}. This will be an error at the end, unless "
                      "--skip-bad-rows is given", file=sys.stderr)  # fmt: skip
                warned = True


def _finish(options: argparse.Namespace, joined: "Joined") -> None:
    """Join the answers, write the output, and say so."""
    from .answers import stuck, warn

    job, out = joined.job, joined.job.out
    numbers = job.done()
    answered, found = 0, []
    for number in numbers:
        one = job.read(number)
        answered += len(one.rows)
        found.append(one.ends())
    warn(found)
    error = stuck(found, options.csv, not answered and not options.shard)
    if error and not (options.skip_bad_rows and error.skippable):
        raise error
    joined = dataclasses.replace(joined, problem=joined.problem or error is not None)
    wanted = codec_of(options.csv, joined.source.encoding)
    used = joined.write(wanted)
    if options.features is not None:
        joined.write_features(options.features)
    job.finish()
    bad = joined.places[1] - joined.places[0] - answered
    left = f", {bad} with problems left empty" if bad else ""
    print(f"Wrote {out}: {answered} row{'s' * (answered != 1)} answered{left}")
    if used != wanted:
        print(f"It is in UTF-8: {wanted} has no letters for a name of a class.")
    if options.features is not None:
        print(f"Wrote {options.features}: one vector per row")


def _say_kept(options: argparse.Namespace, job: "Job") -> None:
    """If blocks are left, remember to say that they are, and how to go on."""
    if (kept := len(job.done())) > 1:
        options.kept = (
            f"{kept} blocks are kept in {job.folder}; the same command with --resume goes on"
        )
