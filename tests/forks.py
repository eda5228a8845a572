"""Runs in processes of their own that need not load TensorFlow, which takes seconds, each anew.

On Linux a run is a fork of a process that has loaded TensorFlow and has one thread: of several, a
fork keeps one, and what the others held stays locked. On other systems, where libraries start
threads of their own or there is no fork, each run is a new process.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# Keras and TensorFlow are loaded, and nothing else is done: each line asks for a fork of that.
SERVER = """
import json, os, signal, sys, traceback
import keras, tensorflow

threads = os.listdir("/proc/self/task")
assert len(threads) == 1, f"{len(threads)} threads: a fork of this could wait for ever"
print("ready", flush=True)

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        signal.alarm(job["seconds"])
        for number in (1, 2):
            os.dup2(os.open(job["told"][number - 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.chdir(job["cwd"])
        sys.argv = ["-c", *job["arguments"]]
        status = 1
        try:
            exec(compile(job["code"], "<fork>", "exec"), {"__name__": "__main__"})
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
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

    mmkeras is not loaded in it. All runs hash strings alike. A run that takes longer than `seconds`
    is ended by a signal, SIGALRM.
    """

    def __init__(self, folder: Path, env: dict[str, str], seconds: int = 300) -> None:
        self.told, self.env, self.seconds = (folder / "out", folder / "err"), env, seconds
        self.process: subprocess.Popen[str] | None = None

    def server(self) -> subprocess.Popen[str]:
        """The process that is forked, started when it is first asked for."""
        if self.process is None:
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            env = {**self.env, "OMP_NUM_THREADS": "1"}
            env["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # pandas loads PyArrow
            self.process = subprocess.Popen([sys.executable, "-c", SERVER], env=env, **pipes)
            assert self.answer() == "ready"
        return self.process

    def answer(self) -> str:
        assert self.process and self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the process that is forked has ended; what it said is on stderr"
        return line.strip()

    def start(self, code: str, *arguments: object, cwd: Path) -> int:
        """The process id of a run that begins; one at a time."""
        if sys.platform != "linux":
            command = [sys.executable, "-c", code, *map(str, arguments)]
            with open(self.told[0], "w") as out, open(self.told[1], "w") as err:
                self.process = subprocess.Popen(
                    command, env=self.env, cwd=cwd, stdout=out, stderr=err, text=True
                )
            return self.process.pid
        job = {"code": code, "arguments": [str(a) for a in arguments], "cwd": str(cwd)}
        job |= {"told": [str(file) for file in self.told], "seconds": self.seconds}
        stdin = self.server().stdin
        assert stdin
        print(json.dumps(job), file=stdin, flush=True)
        return int(self.answer())

    def wait(self) -> int:
        """The exit status of the run, or minus the signal that ended it."""
        if sys.platform != "linux":
            assert self.process
            return self.process.wait(self.seconds)
        return int(self.answer())

    def run(self, code: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        self.start(code, *arguments, cwd=cwd)
        status = self.wait()
        out, err = (file.read_text("utf-8") for file in self.told)
        return subprocess.CompletedProcess([], status, out, err)

    def close(self) -> None:
        if self.process is not None:
            self.process.communicate()
