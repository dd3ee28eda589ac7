"""Branches of a workflow side by side, and work that no cancellation stops."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

Item = TypeVar("Item")
Result = TypeVar("Result")


async def bounded_gather(
    items: Sequence[Item], at_once: int, visit: Callable[[Item], Awaitable[Result]]
) -> list[Result]:
    """The results, in the order of `items`. A visit that fails does not stop the others; the first failure
    is raised when all have ended.

    When this is cancelled, no other visit begins, those under way are cancelled, and all have ended when
    this returns.
    """
    free = asyncio.Semaphore(at_once)

    async def one(item: Item) -> Result:
        async with free:
            return await visit(item)

    tasks = [asyncio.create_task(one(item)) for item in items]
    if not tasks:
        return []
    try:
        await workflow.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await shielded_then_cancel(lambda: _ended(tasks))
        raise
    return [task.result() for task in tasks]


async def _ended(tasks: list[asyncio.Task[Result]]) -> None:
    await workflow.wait(tasks)


async def task_group(*branches: Coroutine[Any, Any, None]) -> None:  # Any: what coroutines yield
    """Run branches side by side. The first that fails stops the others; all have ended when this returns."""
    if not branches:
        return
    tasks, cancelled = [asyncio.create_task(branch) for branch in branches], False
    try:
        await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        cancelled = True
    for task in tasks:
        task.cancel()
    await shielded_then_cancel(lambda: _all_ended(tasks))
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception())]
    for error in sorted(errors, key=is_cancelled_exception):
        raise error
    if cancelled:
        raise asyncio.CancelledError


async def _all_ended(tasks: list[asyncio.Task[None]]) -> None:
    await workflow.wait(tasks)


async def shielded_then_cancel(work: Callable[[], Awaitable[None]]) -> None:
    """Run to the end whatever cancel requests arrive; the cancellation is raised afterwards.

    `asyncio.shield` alone would lose the rest of the work at the second await.
    """
    task, cancelled = asyncio.ensure_future(work()), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def shielded(work: Callable[[], Awaitable[None]]) -> None:
    """As `shielded_then_cancel`, where a cancellation asks for nothing but what is done already."""
    with suppress(asyncio.CancelledError):
        await shielded_then_cancel(work)
