"""A real Temporal server with its Web UI, as a child process that can be killed and started again."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from lab.child import dies_with_parent
from lab.ports import free_port, why_taken
from partial_failover.temporal.namespaces import Wanted, provision

RETENTION = timedelta(days=1)
READY_WITHIN = 60.0
STOPS_WITHIN = 10.0
"""Seconds."""

# The default of 20 polls a second rounds every workflow task up to 50 ms.
POLLS = tuple(
    f"history.{queue}ProcessorMaxPollRPS=1000" for queue in ("transfer", "timer", "visibility", "outbound")
)
SETTINGS = (
    *POLLS,
    "matching.enableFairness=true",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)
# Without a write-ahead log a file is a third as fast as memory.
PRAGMAS = ("journal_mode=wal", "synchronous=normal")


class PortTaken(RuntimeError):
    """A port is in use by somebody else."""


class TemporalServer:
    """The development server of the `temporal` command, with its state in a file of `folder`.

    `namespaces` are there when it is ready, provisioned as the product's own command does it.
    Ports of 0 are chosen at the first start and kept. The child dies with the thread that started it, so
    start it from a thread that lives as long as it shall.
    """

    def __init__(
        self,
        folder: Path,
        namespaces: Sequence[str] = (),
        port: int = 0,
        ui_port: int = 0,
    ) -> None:
        self.folder = folder
        self.namespaces = tuple(namespaces)
        self.log_file = folder / "temporal.log"
        self._port = port
        self._ui_port = ui_port
        self._chosen = port == 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port for clients and workers."""
        return f"127.0.0.1:{self._port}"

    @property
    def ui_url(self) -> str:
        """Where the Web UI is served."""
        return f"http://127.0.0.1:{self._ui_port}"

    @property
    def pid(self) -> int | None:
        """Of the child, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> None:
        """Start, and return when namespaces and search attributes can be used.

        Raises `RuntimeError` when a port is taken, and with the end of the log when the server ends or
        is not ready in time.
        """
        if self.pid is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        binary = _beside_python_or_in_path("temporal") or await _downloaded(self.folder / "download")
        choose, choose_ui = self._port == 0, self._ui_port == 0
        for again in (True, True, False):
            if choose:
                self._port = free_port()
            if choose_ui:
                self._ui_port = free_port()
            try:
                await self._launch(binary)
                return
            except PortTaken:
                # The server also chooses ports of its own, at every start, and somebody can be faster.
                if not (self._chosen and again):
                    raise

    async def _launch(self, binary: Path) -> None:
        for port in (self._port, self._ui_port):
            _refuse_if_taken(port)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220  (returns at once)
                [str(binary), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dies_with_parent(),
                start_new_session=True,
            )
        try:
            await self._until_ready()
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    async def stop(self) -> None:
        """End it in good order; it is killed if that takes too long."""
        await asyncio.to_thread(self._end, signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a crash would."""
        await asyncio.to_thread(self._end, signal.SIGKILL)

    async def restart(self) -> None:
        """End it if it runs, and start it again with the same state and ports."""
        await self.stop()
        await self.start()

    async def client(self, namespace: str) -> Client:
        """A client of one namespace, with the stock data converter."""
        return await Client.connect(self.address, namespace=namespace)

    def _arguments(self) -> list[str]:
        options: list[tuple[str, str]] = [
            ("--ip", "127.0.0.1"),
            ("--port", str(self._port)),
            ("--ui-port", str(self._ui_port)),
            ("--db-filename", str(self.folder / "temporal.db")),
            ("--log-level", "warn"),
        ]
        options += [("--sqlite-pragma", pragma) for pragma in PRAGMAS]
        options += [("--dynamic-config-value", setting) for setting in SETTINGS]
        flat = [word for option in options for word in option]
        return ["server", "start-dev", "--ui-disable-news-fetch", *flat]

    async def _until_ready(self) -> None:
        end = monotonic() + READY_WITHIN
        while True:
            try:
                client = await Client.connect(self.address)
                await provision(client, [Wanted(name, "", RETENTION) for name in self.namespaces])
                return
            except (RPCError, RuntimeError) as error:  # RuntimeError: nothing listens yet
                if self.pid is None and "address already in use" in self._last_words().lower():
                    raise PortTaken(
                        f"A port of the Temporal server is taken:\n{self._last_words()}"
                    ) from error
                if self.pid is None:
                    raise RuntimeError(f"The Temporal server ended at once:\n{self._last_words()}") from error
                if monotonic() > end:
                    raise RuntimeError(f"The Temporal server is not ready:\n{self._last_words()}") from error
            await asyncio.sleep(0.05)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _last_words(self) -> str:
        return self.log_file.read_text(errors="replace")[-2000:]


def test_server_path() -> Path | None:
    """The time-skipping test server; None leaves it to the SDK, which downloads it."""
    return _beside_python_or_in_path("temporal-test-server")


test_server_path.__test__ = False  # type: ignore[attr-defined]


def _beside_python_or_in_path(name: str) -> Path | None:
    beside = Path(sys.executable).with_name(name)
    if os.access(beside, os.X_OK):
        return beside
    path = shutil.which(name)
    return Path(path) if path else None


async def _downloaded(folder: Path) -> Path:
    """The SDK downloads the command and starts it; the file is what is wanted here."""
    folder.mkdir(exist_ok=True)
    async with await WorkflowEnvironment.start_local(download_dest_dir=str(folder)):
        pass
    return next(file for file in folder.iterdir() if file.is_file() and os.access(file, os.X_OK))


def _refuse_if_taken(port: int) -> None:
    """Otherwise the wait for readiness would find the other server and take it for its own."""
    if (why := why_taken(port)) is not None:
        raise PortTaken(f"The Temporal server cannot use port {port}: {why}")
