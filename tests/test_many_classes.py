"""Ten thousand classes: a training, its report and its files stay within two gigabytes."""

import json
import sys

import pytest
from command_line import write

CODE = """
import sys
from mmkeras.__main__ import main
status = main(sys.argv[1:])
# Not getrusage: its peak is inherited from the process that started this one, if that was larger.
with open("/proc/self/status") as file:
    print("peak", next(line.split()[1] for line in file if line.startswith("VmHWM")))  # in KiB
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_ten_thousand_classes_fit_within_two_gigabytes(tmp_path, forks):
    """Before, a dense table of mistakes took 10.3 GB, and 602 MB in metrics.json."""
    classes, each = 10_000, 3
    rows = [[f"{k % 100 + i / 10}", f"{k // 100}", f"c{k:05}"]
            for i in range(each) for k in range(classes)]  # fmt: skip
    data = write(tmp_path / "data.csv", [["across", "down", "label"], *rows])
    arguments = ["train", str(data), "--label", "label", "--number", "across", "--number", "down",
                 "--epochs", "1", "--batch-size", "256"]  # fmt: skip
    ran = forks.run(CODE, *arguments, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    peak = int(ran.stdout.rpartition("peak")[2]) * 1024
    assert peak < 2e9, f"{peak / 1e9:.1f} GB"
    made = tmp_path / "run"
    metrics = json.loads((made / "metrics.json").read_text("utf-8"))
    assert len(metrics["classes"]) == classes
    assert sum(path.stat().st_size for path in made.glob("*.*")) < 1e8
