"""Waiting for what another process, or a server that is starting, will show."""

import asyncio
import time
from collections.abc import Callable
from inspect import isawaitable
from json import JSONDecodeError
from typing import Any  # Any: JSON values

import httpx

ASKED_EVERY = 0.05
"""Seconds."""
PATIENCE = 120.0
"""Seconds that a test waits for what must come. Longer than the most loaded machine needs, because it says
nothing about speed: only a test that fails waits so long."""


class NotYet(Exception):
    """What was seen instead of what is waited for."""


def blocking_until(reached: Callable[[], object], within: float = PATIENCE) -> None:
    """Ask until it is so, where nothing else runs in this thread."""
    end = time.monotonic() + within
    while not (seen := reached()):
        assert time.monotonic() < end, f"not within {within:.0f} s; seen last: {seen}"
        time.sleep(ASKED_EVERY)


async def until(reached: Callable[[], object], within: float = PATIENCE) -> None:
    """Ask until it is so; `reached` answers at once, or with what is awaited. What is not true, and `NotYet`,
    mean that it is not so yet; what was seen last is told at the end."""
    seen: object = "no answer"
    try:
        async with asyncio.timeout(within) as limit:
            while True:
                try:
                    answer = reached()
                    seen = await answer if isawaitable(answer) else answer
                    if seen:
                        return
                except NotYet as error:
                    seen = error
                await asyncio.sleep(ASKED_EVERY)
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"not within {within:.0f} s; seen last: {seen}") from None


async def page(url: str, **query: str) -> httpx.Response:
    """What an HTTP server answers with 200. Raises `NotYet` for everything that one which is starting does:
    nobody listens, it hangs, hangs up, or says that it is not ready."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
        try:
            answer = await http.get(url, params=query)
        except httpx.TransportError as error:
            raise NotYet(f"{url}: {error!r}") from error
    if answer.status_code != httpx.codes.OK:
        raise NotYet(f"{url}: {answer.status_code} {answer.text[:300]}")
    return answer


async def json_page(url: str, **query: str) -> Any:
    """The same, read as JSON; what cannot be read is `NotYet` too."""
    answer = await page(url, **query)
    try:
        return answer.json()
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise NotYet(f"{url}: {answer.text[:300]}") from error
