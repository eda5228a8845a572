"""What a trained run says about some records of a table: the work of `mmkeras predict`.

A block of records is answered without knowledge of the others, in this process or in another one
(`engines`), so that a table of any size needs the memory of one block.
"""

import contextlib
import functools
import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from .. import __version__, files
from . import run as runs
from .command import RunError
from .loader import load_records
from .measure import classes_of
from .problems import HEADER, Problems, TableError, in_words
from .reading import header_of

BATCH = 32  # rows that the model reads at a time; a smaller batch is filled up with blank rows
EMPTY = ("no row is left", "the file has a header, but no rows")  # of a block, which is no fault
Record = tuple[int, list[str]]


@dataclass
class Answers:
    """The answers to a block of records.

    Attributes:
        rows: int64 (n,), the numbers of the answered rows in the file (the header is 1).
        p: float64 (n, classes), their probabilities.
        problems: DataFrame of the rows that cannot be read: row, column, value, reason.
        vectors: float32 (n, d), what the answers are computed from, or None.
        told: warnings, such as of categories that the training had not.
    """

    rows: np.ndarray
    p: np.ndarray
    problems: pd.DataFrame
    vectors: np.ndarray | None = None
    told: Sequence[str] = ()

    @classmethod
    def none(cls, classes: int, problems: "pd.DataFrame | None" = None) -> "Answers":
        """No answer, to rows that all have problems or to no row."""
        given = Problems().frame() if problems is None else problems
        return cls(np.empty(0, np.int64), np.empty((0, classes)), given)

    def ends(self) -> "Answers":
        """The first and the last row, with problems and warnings, and without the answers."""
        rows = self.rows[[0, -1]] if len(self.rows) else self.rows
        return Answers(rows, self.p[:0], self.problems, None, self.told)

    def write(self, file: IO[bytes]) -> None:
        """Write an .npz, without pickles."""
        problems = self.problems.astype({"row": "int64"}).to_dict("list")
        arrays: dict[str, Any] = {"rows": self.rows, "p": self.p}
        arrays |= {} if self.vectors is None else {"vectors": self.vectors}
        arrays |= {"told": np.array(json.dumps(list(self.told)))}
        np.savez(file, problems=np.array(json.dumps(problems)), **arrays)

    @classmethod
    def read(cls, path: Path) -> "Answers":
        """What `write` wrote."""
        with np.load(path, allow_pickle=False) as kept:
            problems = pd.DataFrame(json.loads(str(kept["problems"]))).astype({"row": "Int64"})
            told = json.loads(str(kept["told"]))
            return cls(kept["rows"], kept["p"], problems, kept.get("vectors"), told)


@dataclass(frozen=True)
class Work:
    """What is to be done with each block; it travels to other processes.

    Attributes:
        run: folder of the run.
        model: SHA-256 of its model.keras.
        csv: the table.
        settings: of the run; its "table" may differ from the file's in the decimal marks.
        reading: arguments of `load_table` that are not in the settings.
        vectors: whether what the answers are computed from is wanted, too.
        version: of this package.
    """

    run: Path
    model: str
    csv: Path
    settings: Mapping[str, Any]
    reading: Mapping[str, Any]
    vectors: bool = False
    version: str = __version__


def answer_block(work: Work, records: Sequence[Record]) -> Answers:
    """The answers to the records, of which the first is the header.

    Raises:
        TableError: the table as a whole cannot be used.
        RunError: in another process: the run or the package is another one there.
    """
    if work.version != __version__:
        raise RunError(f"a worker has mmkeras {__version__}, but this is {work.version}: install "
                       "one version everywhere")  # fmt: skip
    model = _model(work.run, work.model, work.vectors)
    return answer(model, work.settings, work.csv, records, work.reading, vectors=work.vectors)


@functools.lru_cache(maxsize=1)
def _model(run: Path, sha256: str, vectors: bool) -> Any:
    """The model of the run, once per process."""
    import mmkeras as mm

    with contextlib.redirect_stdout(io.StringIO()):  # what it says, the main process has said
        mm.start()
    model = runs.load(run)[0]
    if files.sha256(run / "model.keras") != sha256:
        raise RunError(f"{run / 'model.keras'} is not the same file in every process: was the run "
                       "trained anew, or does a worker see another disk?")  # fmt: skip
    return with_vectors(model) if vectors else model


def answer(
    model: Any,
    settings: Mapping[str, Any],
    path: Path,
    records: Sequence[Record],
    reading: Mapping[str, Any],
    *,
    vectors: bool = False,
) -> Answers:
    """As `answer_block`, with a loaded model: that of the run, or with ``vectors`` the one that
    `with_vectors` makes of it."""
    classes = len(settings["classes"])
    try:
        given = {**reading, "on_error": "skip"}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            table = load_records(path, iter(records), label=None, **given, **settings["table"])
    except TableError as error:
        fault = error.problems
        of_rows = fault["row"].gt(HEADER).fillna(False)
        if not fault["reason"][~of_rows].isin(EMPTY).all():
            raise
        return Answers.none(classes, in_words(fault[of_rows], trained=True))
    found, read = [], []
    for start in range(0, len(table), BATCH):
        index = np.arange(start, min(start + BATCH, len(table)))
        out = model.predict_on_batch(_filled(table.inputs(index)))
        p, *vector = out if vectors else [out]
        found.append(classes_of(p[: len(index)], classes))
        read += [np.asarray(one[: len(index)], np.float32) for one in vector]
    return Answers(
        table.rows["row"].to_numpy(np.int64),
        np.concatenate(found),
        in_words(table.report, trained=True),
        np.concatenate(read) if vectors else None,
        [str(one.message) for one in told],
    )


def _filled(x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The batch with `BATCH` rows, so that an answer does not depend on how many there are."""
    more = BATCH - len(x["present"])
    return {name: np.pad(of, [(0, more)] + [(0, 0)] * (of.ndim - 1)) for name, of in x.items()}


def with_vectors(model: Any) -> Any:
    """A model of two outputs: the answer, and the vector that its last Dense layer reads.

    For a network this is the fused vector, for a regression all features of all modalities (of
    TF-IDF: its part of each logit).

    Raises:
        RunError: each modality answers by itself, so that there is no such vector.
    """
    import keras

    def pair(model: Any) -> Any:
        last = model.output._keras_history.operation
        if isinstance(last, keras.layers.Identity):
            last = last.input._keras_history.operation
        if isinstance(last, keras.Model):  # the head of a winner of the race
            node = next(n for n in last._inbound_nodes if n.outputs[0] is model.output)
            return keras.Model(model.inputs, pair(last)(node.input_tensors))
        if not isinstance(last, keras.layers.Dense):
            raise RunError("this run mixes the answers of its modalities, so no vector of all of "
                           "them exists: leave out --features")  # fmt: skip
        return keras.Model(model.inputs, [model.output, last.input])

    return pair(model)


# ---- beside the cells ------------------------------------------------------------------------

PREDICTION, PROBABILITY, PROBLEM = "prediction", "probability_", "problem"


def added(classes: Sequence[str], problem: bool) -> list[str]:
    """The names of the columns that are added."""
    return [PREDICTION, *(f"{PROBABILITY}{name}" for name in classes), *[PROBLEM] * problem]


def check_names(header: Sequence[str], classes: Sequence[str], problem: bool) -> None:
    """Raise RunError if the table already has a column with the name of one that is added."""
    taken = added(classes, problem)
    if same := [name for name in header_of(header) if name in taken]:
        raise RunError(
            f"the table already has a column {same[0]!r}, which the answers need: rename it"
        )


def stuck(problems: Iterable[Answers], path: Path, none_left: bool) -> TableError | None:
    """One error with the problems of all blocks; None if there is none."""
    found = Problems()
    for answers in problems:
        for row, column, value, reason in answers.problems.itertuples(index=False):
            found.add(int(row), column, value, reason)
    if none_left:
        found.add(0, None, "", EMPTY[0])
    return TableError(path, found.frame()) if found.found else None


def warn(blocks: Sequence[Answers]) -> None:
    """Pass on what the blocks were told; of many blocks, of the first three."""
    told = [block for block in blocks if block.told]
    for block in told[:3]:
        rows = f"rows {block.rows[0]} to {block.rows[-1]}: " if len(blocks) > 1 else ""
        for text in dict.fromkeys(block.told):
            warnings.warn(f"{rows}{text}", stacklevel=2)
    if more := len(told) - 3 if len(told) > 3 else 0:
        warnings.warn(f"and the like in {more} more blocks of rows", stacklevel=2)


def beside(
    records: Iterable[Record], answers: Answers, classes: Sequence[str]
) -> list[tuple[str | None, list[float] | None, str]]:
    """Per record its class and its probabilities, or None, and the reason why it has none."""
    reasons: dict[int, list[str]] = {}
    for row, column, _, reason in answers.problems.itertuples(index=False):
        reasons.setdefault(int(row), []).append(f"{column}: {reason}" if column else reason)
    said = dict(zip(answers.rows.tolist(), answers.p, strict=True))
    out = []
    for row, cells in records:
        if row not in said and not any(map(str.strip, cells)):
            reasons.setdefault(row, ["all cells are blank"])
        if row not in said and row not in reasons:
            raise AssertionError(f"row {row} has neither an answer nor a problem")
        p = said.get(row)
        name = None if p is None else classes[int(p.argmax())]
        out.append((name, None if p is None else p.tolist(), "; ".join(reasons.get(row, []))))
    return out
