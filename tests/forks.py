"""Runs in processes of their own that need not load TensorFlow, which takes seconds, each anew."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# Keras and TensorFlow are loaded, and nothing else is done: each line asks for a fork of that.
SERVER = """
import json, os, sys, traceback
import keras, tensorflow

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        for number in (1, 2):
            os.dup2(os.open(job["told"][number - 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.chdir(job["cwd"])
        sys.argv = ["-c", *job["arguments"]]
        status = 1
        try:
            exec(compile(job["code"], "<fork>", "exec"), {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """A process in which TensorFlow was loaded and has computed nothing; each run is a fork of it.

    mmkeras is not loaded in it. All runs hash strings alike.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.told = folder / "out", folder / "err"
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], env=env, **pipes)

    def start(self, code: str, *arguments: object, cwd: Path) -> int:
        """The process id of a run that begins; one at a time."""
        assert self.process.stdin and self.process.stdout
        job = {"code": code, "arguments": [str(a) for a in arguments], "cwd": str(cwd)}
        job["told"] = [str(file) for file in self.told]
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """The exit status of the run, or minus the signal that ended it."""
        assert self.process.stdout
        return int(self.process.stdout.readline())

    def run(self, code: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        self.start(code, *arguments, cwd=cwd)
        status = self.wait()
        out, err = (file.read_text("utf-8") for file in self.told)
        return subprocess.CompletedProcess([], status, out, err)

    def close(self) -> None:
        self.process.communicate()
