"""`mmkeras predict` on a big table: one process against two Dask workers, and one that is killed.

    python benchmarks/scaling_predict.py [RUN …] [--repetition N] [--folder F]

The table repeats a rendered sample of 2,000 rows (`mmkeras sample weather`): its texts, pictures
and sounds are used again, but no file twice in a block of rows, and the temperatures differ. In
"one core" the process is tied to one core (`taskset`), as its threads would use both, which is
"both cores"; each of two workers has one thread. In the last run, a worker is ended by SIGKILL as
soon as half of the blocks are done.

Per run: wall and processor seconds, with the start of Python; the peak of resident memory of the
main process and of the largest worker; and how the probabilities, which are written to Parquet in
full, differ from those of the first run. `others` is the number of cores that other programs used
meanwhile; where it is above 0.1, the run is made again, up to three times, and the most undisturbed
one counts. Adds to benchmarks/results/scaling_predict.csv, where the row of the same run and
repetition is replaced. Linux; all runs take about 4 minutes on two idle cores.
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results" / "scaling_predict.csv"
SAMPLE, LEARNED = 2_000, 300  # rows of the sample, and those that the model learns from
BLOCK = 1024  # rows of a block, as `mmkeras predict` has them
IDLE, TRIES = 0.1, 3  # cores that others may use, and how often a disturbed run is made again
DASK = ["--engine", "dask", "--workers", "2"]
RUNS = {  # name → rows, options, whether tied to one core
    "one core": (20_000, [], True),
    "two workers": (20_000, DASK, False),
    "one core, fewer rows": (5_000, [], True),
    "two workers, fewer rows": (5_000, DASK, False),
    "both cores": (20_000, [], False),
    "two workers, one killed": (20_000, DASK, False),
}


# ------------------------------------------------------------------------------ the table


def make(folder: Path) -> None:
    """The sample and a run trained on its first rows, if they are not there."""
    program = [sys.executable, "-m", "mmkeras"]
    if not (folder / "set").exists():
        subprocess.run([*program, "sample", folder / "set", "--rows", str(SAMPLE)], check=True)
    if not (folder / "run" / "model.keras").exists():
        lines = (folder / "set/data.csv").read_text("utf-8").splitlines(keepends=True)
        (folder / "set/learned.csv").write_text("".join(lines[: LEARNED + 1]), "utf-8")
        train = ["train", folder / "set/learned.csv", "--label", "label", "--epochs", "10"]
        subprocess.run([*program, *train, "--encoders", "scratch", "--out", folder / "run"],
                       check=True)  # fmt: skip


def table(folder: Path, rows: int) -> Path:
    """A table of so many rows, without the label."""
    with open(folder / "set" / "data.csv", newline="", encoding="utf-8") as file:
        sample = [{k: v for k, v in row.items() if k != "label"} for row in csv.DictReader(file)]
    path = folder / "set" / f"{rows}.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(sample[0]))
        out.writeheader()
        for i in range(rows):
            row = sample[i % SAMPLE]
            warmer = i // SAMPLE / 50
            degrees = row["degrees"] and f"{float(row['degrees']) + warmer:.2f}"
            out.writerow({**row, "degrees": degrees})
    return path


# ------------------------------------------------------------------------------ a run


def peak(pid: int) -> float:
    """The largest resident memory of a process so far, in MB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def workers(parent: int) -> list[int]:
    """The Dask workers that a process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent_of = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent_of == parent and "spawn_main" in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def busy() -> float:
    """Seconds that all cores together have worked since the machine was started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # not idle, not waiting


def undisturbed(name: str, folder: Path, out: Path) -> dict[str, object]:
    """`measured`, again if other programs were busy."""
    found: list[dict[str, object]] = []
    first = folder / "first.parquet"
    while not found or (found[-1]["others"] > IDLE and len(found) < TRIES):
        row = measured(name, folder, out)
        if not first.exists():
            first.write_bytes(out.read_bytes())
        found.append({**row, **against(out, first)})
        if found[-1]["others"] > IDLE:
            print("disturbed:", found[-1], flush=True)
    return min(found, key=lambda row: row["others"])


def measured(name: str, folder: Path, out: Path) -> dict[str, object]:
    """Run the command, and watch it."""
    out.unlink(missing_ok=True)
    rows, options, tied = RUNS[name]
    command = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if tied else []
    command += [sys.executable, "-m", "mmkeras", "predict", str(folder / "run"),
                str(table(folder, rows)), "--out", str(out), *options]  # fmt: skip
    victim, main, seen = None, 0.0, {}
    began, worked, watching = time.perf_counter(), busy(), time.process_time()
    with open(out.with_suffix(".txt"), "wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        main = max(main, peak(process.pid))
        for worker in workers(process.pid):
            seen[worker] = max(seen.get(worker, 0.0), peak(worker))
        done = len(list(out.with_name(f"{out.name}.blocks").glob("*.npz")))
        if name.endswith("killed") and victim is None and done >= rows / BLOCK / 2:
            victim = workers(process.pid)[0]
            os.kill(victim, signal.SIGKILL)
            print(f"worker {victim} was ended after {done} blocks", flush=True)
        time.sleep(0.2)
    seconds, (_, status, used) = time.perf_counter() - began, ended
    watching, ours = time.process_time() - watching, used.ru_utime + used.ru_stime
    others = max(0.0, busy() - worked - ours - watching) / seconds
    if status or (victim is None) == name.endswith("killed"):
        sys.exit(f"{name}: {out.with_suffix('.txt').read_text()}")
    return {"run": name, "rows": rows, "seconds": round(seconds, 1),
            "processor_seconds": round(ours, 1), "others": round(others, 2), "main_mb": round(main),
            "worker_mb": round(max(seen.values(), default=0)), "workers": len(seen)}  # fmt: skip


def against(out: Path, first: Path) -> dict[str, object]:
    """How the answers differ from those of the first run to as many of its rows."""
    found = pd.read_parquet(out)
    want = pd.read_parquet(first).iloc[: len(found)]
    p = [column for column in found if column.startswith("probability_")]
    gaps = (found[p] - want[p]).abs().to_numpy()
    return {
        "equal_bits": round(float((gaps == 0).mean()), 4),
        "largest_difference": float(f"{gaps.max():.1e}"),
        "other_predictions": int((found["prediction"] != want["prediction"]).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="*", default=list(RUNS), help="names of runs (default: all)")
    parser.add_argument("--repetition", type=int, default=1, help="number of the repetition")
    parser.add_argument("--folder", type=Path, help="keep table and model there (default: nowhere)")
    options = parser.parse_args()
    if wrong := [name for name in options.run if name not in RUNS]:
        parser.error(f"no run is called {wrong[0]!r}; there are {', '.join(RUNS)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        make(folder)
        begun = (folder / "first.parquet").exists()
        for name in options.run if begun else dict.fromkeys(["one core", *options.run]):
            row = undisturbed(name, folder, Path(temporary) / "out.parquet")
            keep({**row, "repetition": options.repetition})


def keep(row: dict[str, object]) -> None:
    """Store a row in place of that of the same run and repetition."""
    names = ["run", "repetition"]
    found = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=list(row))
    found = found[(found[names] != [row[name] for name in names]).any(axis=1)]
    found = pd.concat([found, pd.DataFrame([row])]) if len(found) else pd.DataFrame([row])
    order = {name: i for i, name in enumerate(RUNS)}
    found = found.sort_values(names, key=lambda of: of.map(order) if of.name == "run" else of)
    found.to_csv(RESULTS, index=False)
    print(row, flush=True)


if __name__ == "__main__":
    main()
