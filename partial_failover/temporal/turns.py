"""Around every step that takes a place in the process: it begins when it is its tenant's turn."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import CancelledError, is_cancelled_exception
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from partial_failover.contracts.errors import Busy, Unavailable
from partial_failover.temporal.interceptors import attempt_ends
from partial_failover.temporal.shares import MIDDLE, Shares

LOOKS = ("ListReplicas", "CheckReadiness")
"""Workflows that change nothing, and whose answers may be shared."""
LOOKS_AT_ONCE = 4
"""Of one tenant."""
BEAT = 10.0
"""Seconds between two heartbeats of a step that waits for its turn."""
T = TypeVar("T")
Key = tuple[str, ...]


class Together:
    """Looks of one tenant. Of those that ask the same one runs at a time, and all that arrive meanwhile share
    the next: an answer is never older than its question."""

    def __init__(self) -> None:
        self._next: dict[Key, asyncio.Task[Any]] = {}  # Any: each look has its own result
        self._running: dict[Key, asyncio.Task[Any]] = {}
        self._places = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(self, key: Key, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answers, or that of somebody else who has just the same question."""
        while True:
            own = key not in self._next
            if own:
                self._next[key] = asyncio.create_task(self._ask(key, ask))
            try:
                answer: T = await beating(self._next[key])
                return answer
            except Exception as error:
                if own or not is_cancelled_exception(error):
                    raise  # else it was the other one who was cancelled

    async def _ask(self, key: Key, ask: Callable[[], Awaitable[T]]) -> T:
        if key in self._running:
            await asyncio.wait({self._running[key]})
        async with self._places:
            self._running[key] = self._next.pop(key)
            try:
                return await ask()
            finally:
                del self._running[key]


class TurnInterceptor(Interceptor):
    """For the worker of one tenant, inside of the one that knows the caller."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._together = Together()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(super().intercept_activity(next), self._shares, self._together)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, shares: Shares, together: Together) -> None:
        super().__init__(next)
        self._shares, self._together = shares, together

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # Any: as the SDK declares it
        if activity.info().workflow_type in LOOKS:
            return await self._together.look(_question(input), lambda: self._in_turn(input))
        return await self._in_turn(input)

    async def _in_turn(self, input: ExecuteActivityInput) -> Any:  # Any: as the SDK declares it
        turn = self._shares.ask(activity.info().namespace, urgency())
        try:
            await beating(asyncio.wrap_future(turn.begun))
            return await super().execute_activity(input)
        finally:
            self._shares.end(turn)


def urgency() -> int:
    """Of the step that runs here: its priority."""
    return activity.info().priority.priority_key or MIDDLE


async def beating(waited: asyncio.Future[T]) -> T:
    """Wait, and keep the attempt: what the one before it left with the server stays there."""
    while not (await asyncio.wait({waited}, timeout=BEAT))[0]:
        activity.heartbeat(*activity.info().heartbeat_details)
        if activity.is_cancelled():
            raise CancelledError("Cancelled while waiting for its turn")
        if activity.is_worker_shutdown():
            raise Unavailable("The worker is shutting down", left="Nothing was changed")
        if monotonic() >= attempt_ends.get():
            raise Busy("Other steps take all the time of this worker", left="Nothing was changed")
    return waited.result()


def _question(input: ExecuteActivityInput) -> Key:
    """What a look asks, whoever asks it."""
    asked = [arg.model_dump_json(exclude={"run"}) for arg in input.args if isinstance(arg, BaseModel)]
    return activity.info().activity_type, *asked
