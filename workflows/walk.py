"""Visiting several VMs, so many at the same time, in their order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from temporalio import workflow

from workflows.steps import uncancelled

Item = TypeVar("Item")
Result = TypeVar("Result")


async def walk(
    items: Sequence[Item], at_once: int, visit: Callable[[Item], Awaitable[Result]]
) -> list[Result]:
    """The results, in the order of `items`. A visit that fails does not stop the others; the first failure
    is raised when all have ended.

    When the walk is cancelled, no other visit begins, those under way are cancelled, and all have ended when
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
        await uncancelled(lambda: _ended(tasks))
        raise
    return [task.result() for task in tasks]


async def _ended(tasks: list[asyncio.Task[Result]]) -> None:
    await workflow.wait(tasks)
