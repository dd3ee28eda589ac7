"""Running the lab's command as a person does, and looking at what it leaves behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.examples import ROOT
from tests.waiting import PATIENCE


class Command:
    """A process in a session of its own, with a folder of its own for temporary files."""

    def __init__(self, folder: Path, *argv: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.descendants: set[int] = set()
        self._process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def until(self, text: str) -> None:
        """Wait until it has printed a text."""
        self._wait(lambda: text in self.output)
        assert text in self.output, self.output
        self._look()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait for its end: the exit code."""
        self._wait(lambda: False)
        self._reader.join(10)
        return self._process.returncode

    def _wait(self, reached: Callable[[], bool]) -> None:
        """Until then or its end, for as long as it goes on: what prints nothing for a while hangs."""
        printed, end = 0, time.monotonic() + PATIENCE
        while self._process.poll() is None and not reached():
            if len(self.lines) > printed:
                printed, end = len(self.lines), time.monotonic() + PATIENCE
            assert time.monotonic() < end, f"nothing new for {PATIENCE:.0f} s\n{self.output}"
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def left(self) -> list[str]:
        """Command lines of what it started and is still there after a while, and files that it left."""
        end = time.monotonic() + PATIENCE
        while True:
            alive = [text for pid in list(self.descendants) if (text := _command_line(pid))]
            if not alive or time.monotonic() > end:
                return alive + [str(file) for file in self.folder.iterdir()]
            time.sleep(0.05)

    def _watch(self) -> None:
        while self._process.poll() is None:
            self._look()
            time.sleep(0.3)

    def _look(self) -> None:
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
        waiting = [self._process.pid]
        while waiting:
            found = children.get(waiting.pop(), [])
            self.descendants.update(found)
            waiting += found


def _command_line(pid: int) -> str:
    """Empty when the process is gone; a zombie has none either."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


class Runner:
    """Starts commands; those that are left running are killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[Command] = []

    def lab(self, *words: str) -> Command:
        """`python -m lab <words>`."""
        return self._start("-m", "lab", *words)

    def code(self, source: str) -> Command:
        """A Python program, for a lab in which something is wrong."""
        return self._start("-c", source)

    def close(self) -> None:
        for command in self.commands:
            command.kill()

    def _start(self, *argv: str) -> Command:
        folder = self.folder / str(len(self.commands))
        folder.mkdir()
        self.commands.append(Command(folder, *argv))
        return self.commands[-1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("lab"))
    yield runner
    runner.close()
