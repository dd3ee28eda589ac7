"""A worker of the product as a process of its own, as in real life; and ways to make it suffer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab.child import dies_with_parent
from lab.repository import REPOSITORY

READY_WITHIN = 120.0
"""Seconds until it says that it serves."""


class WorkerProcess:
    """`python worker.py <config>` with the address of a Temporal server; its log goes to `log_file`."""

    def __init__(self, config: Path, temporal: str) -> None:
        self.config, self.temporal = config, temporal
        self.log_file = config.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Start it, and return when it takes work."""
        self.spawn()
        self.until_ready()

    def spawn(self) -> None:
        """Start it. It dies with the thread that calls this."""
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "worker.py", str(self.config)],
                cwd=REPOSITORY,
                env={**os.environ, "TEMPORAL_ADDRESS": self.temporal},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dies_with_parent(),
                start_new_session=True,
            )

    def until_ready(self) -> None:
        """Wait until it takes work."""
        process, end = self._process, time.monotonic() + READY_WITHIN
        while b" serves " not in self.log_file.read_bytes()[self._log_start :]:
            if process is None or process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The worker did not start:\n{self.log_file.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self, within: float = 45) -> int:
        """SIGTERM, and SIGKILL for one that has not ended by then; its exit code."""
        return self._end(signal.SIGTERM, within)

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self._end(signal.SIGKILL, 10)

    def freeze(self) -> None:
        """SIGSTOP: it lives and does nothing."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals, within: float) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
