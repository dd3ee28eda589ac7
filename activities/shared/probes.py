"""Looks of preflight: each for a bounded time, and what keeps one from succeeding is said as a problem."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from datetime import timedelta
from typing import TypeVar

from temporalio import activity

from partial_failover.contracts.errors import FailoverError, Unavailable, Who
from partial_failover.contracts.plan import Problem

LOOK = 15.0
"""Seconds for one look at one system. With a heartbeat before each, a step of three such looks is neither
missed nor timed out while all three systems are silent."""
TRIES = 3
PATIENCE = timedelta(seconds=30)
T = TypeVar("T")


def problem_of(error: FailoverError, side: Who, consequence: str = "") -> Problem:
    """The problem that an error is for a failover. `side`: who must look after what just does not answer.

    What may pass by itself (an appliance that boots for another failover) is raised, so that the step is
    tried again, up to `TRIES` times or for `PATIENCE`: then it is said, together with all else that is wrong.
    """
    info = activity.info()
    waited = info.started_time - info.scheduled_time
    if error.retryable and info.attempt < TRIES and waited < PATIENCE:
        raise error
    what = error.happened + (f", {consequence}" if consequence else "")
    if error.retryable:
        return Problem(what=what, who=side, do="If this lasts, see why it does not answer, then start again")
    return Problem(what=what, who=error.who, do=error.do or "Repair it, then start again")


class collected_problems:
    """An error of what stands within becomes one of the `problems`, and what comes after goes on."""

    def __init__(self, problems: list[Problem], side: Who, consequence: str = "") -> None:
        self._problems, self._side, self._consequence = problems, side, consequence

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, FailoverError):
            return False
        self._problems.append(problem_of(error, self._side, self._consequence))
        return True


def with_timeout(look: Callable[[], T], system: str) -> T:
    """What `look` finds. Raises `Unavailable` when the system is silent for too long; the look is left to its
    own timeout then, in a thread of its own."""
    activity.heartbeat()
    thread = ThreadPoolExecutor(1, "look")
    try:
        return thread.submit(copy_context().run, look).result(LOOK)
    except TimeoutError:
        raise _silent(system) from None
    finally:
        thread.shutdown(wait=False)


@asynccontextmanager
async def with_async_timeout(system: str) -> AsyncIterator[None]:
    """The same around a look that is awaited."""
    activity.heartbeat()
    try:
        async with asyncio.timeout(LOOK):
            yield
    except TimeoutError:
        raise _silent(system) from None


def _silent(system: str) -> Unavailable:
    return Unavailable(f"{system} did not answer within {LOOK:.0f} s", do="It is tried again")
