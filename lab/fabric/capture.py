"""What a host sees on the wire, from before something begins until after it has ended."""

import asyncio
import re
import time
import uuid
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address

from lab.fabric.fabric import Fabric, FabricError

LONGEST = 600.0
"""Seconds; a capture that nobody ends, ends by itself."""
LISTENS_WITHIN = 30.0
_FRAME = re.compile(r"\d+\.\d+ [0-9a-f:]{17} > ")
_SCRIPT = 'echo $$ > "$0.pid"; exec tcpdump --immediate-mode -tt -e -l -n -i eth0 > "$0.out" 2> "$0.err"'


@dataclass(frozen=True)
class Seen:
    """All frames that passed the first NIC of `host`, one line each: "<Unix time> <source> > <target>, …"."""

    host: str
    frames: tuple[str, ...]

    def of(self, macs: Collection[str]) -> tuple[str, ...]:
        """Those to or from one of these addresses."""
        wanted = tuple(mac.casefold() for mac in macs)
        return tuple(frame for frame in self.frames if any(mac in frame.casefold() for mac in wanted))

    def from_(self, macs: Collection[str]) -> tuple[str, ...]:
        """Those that one of these addresses sent."""
        wanted = {mac.casefold() for mac in macs}
        return tuple(frame for frame in self.frames if frame.casefold().split()[1] in wanted)

    def covers(self, began: float, ended: float) -> bool:
        """Whether it saw its own pings before `began` and after `ended`, and so whatever was in between."""
        pings = [float(frame.split()[0]) for frame in self.frames if "ICMP echo request" in frame]
        return bool(pings) and min(pings) < began and max(pings) > ended


class Capture:
    """One host's. It pings `neighbour` (its router), so that there is something that it must have seen."""

    def __init__(self, fabric: Fabric, host: str, neighbour: IPv4Address) -> None:
        self._fabric, self._host, self._neighbour = fabric, host, neighbour
        self._file = fabric.folder / f"capture-{uuid.uuid4().hex}"
        self._thread = ThreadPoolExecutor(1)
        """Its own: as many captures as the event loop has threads would leave none for what they watch."""
        self._running: asyncio.Future[tuple[int, str]] | None = None

    async def begin(self) -> None:
        """Return when it listens, and has seen its first ping."""
        argv = ["sh", "-c", _SCRIPT, str(self._file)]
        run, loop = self._fabric.exec, asyncio.get_running_loop()
        self._running = loop.run_in_executor(self._thread, run, self._host, argv, LONGEST)
        end = time.monotonic() + LISTENS_WITHIN
        while "listening on" not in self._read("err"):
            if self._running.done() or time.monotonic() > end:
                raise FabricError(f"tcpdump in {self._host}: {self._read('err')[-300:]}")
            await asyncio.sleep(0.05)
        await self._ping()

    async def end(self) -> Seen:
        """Stop after a last ping."""
        await self._ping()
        stop = ["sh", "-c", f"kill -INT {int(self._read('pid'))}"]
        await asyncio.to_thread(self._fabric.exec, self._host, stop)
        if self._running is not None:
            await self._running
        self._thread.shutdown()
        frames = [line for line in self._read("out").splitlines() if _FRAME.match(line)]
        for ending in ("pid", "out", "err"):
            self._file.with_name(f"{self._file.name}.{ending}").unlink()
        return Seen(self._host, tuple(frames))

    async def _ping(self) -> None:
        if await asyncio.to_thread(self._fabric.ping, self._host, self._neighbour, 5) is None:
            raise FabricError(f"{self._host} does not reach {self._neighbour}")

    def _read(self, ending: str) -> str:
        file = self._file.with_name(f"{self._file.name}.{ending}")
        return file.read_text() if file.exists() else ""


class Captures:
    """Several hosts at once."""

    def __init__(self, captures: Sequence[Capture]) -> None:
        self._captures = captures

    async def begin(self) -> None:
        """All listen when it returns."""
        await asyncio.gather(*(c.begin() for c in self._captures))

    async def end(self) -> list[Seen]:
        """What each has seen."""
        return list(await asyncio.gather(*(c.end() for c in self._captures)))
