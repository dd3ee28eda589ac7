"""The pauses between two looks at something that takes its time."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from partial_failover.connectors.attempt import Attempt

GROWTH = 1.5
"""Each pause is so many times as long as the one before, up to the longest."""


@dataclass
class Pause:
    """Pauses that grow and never go past the attempt's end, each with a heartbeat before it.

    `seconds`: the next one. `longest`: seconds, too.
    """

    attempt: Attempt
    seconds: float
    longest: float

    def rest(self) -> None:
        """Nothing of this attempt is under way: raises when the activity is cancelled."""
        self.attempt.beat()
        time.sleep(self._next())

    def watch(self) -> None:
        """A task may be under way: a cancellation is not heard until it has ended."""
        self.attempt.watch()
        time.sleep(self._next())

    def rest_for(self, seconds: float) -> None:
        """As `rest`, until so many seconds have passed."""
        self._until(seconds, self.rest)

    def watch_for(self, seconds: float) -> None:
        """As `watch`, until so many seconds have passed."""
        self._until(seconds, self.watch)

    def _until(self, seconds: float, wait: Callable[[], None]) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self.attempt.left() > 0:
            self.seconds = min(self.seconds, left)
            wait()

    async def rest_async(self) -> None:
        """As `rest`, in an event loop."""
        self.attempt.beat()
        await asyncio.sleep(self._next())

    def _next(self) -> float:
        seconds = min(self.seconds, self.attempt.left())
        self.seconds = min(self.seconds * GROWTH, self.longest)
        return seconds
