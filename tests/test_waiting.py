"""A server that is starting is waited for, in whatever way it says so; in vain, the wait says what it saw."""

import asyncio
from collections.abc import Iterator

import pytest

from lab.ports import free_port
from tests import waiting

READY = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"data": 17}'
STARTING = {
    "says so": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\n\r\nstarting",
    "cannot be read": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html",
    "hangs up": b"",
    "is no HTTP": b"SSH-2.0-x\r\n",
}


async def served(answers: Iterator[bytes], port: int) -> asyncio.Server:
    """One answer after the other."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers))
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port)


async def holds(port: int) -> bool:
    return bool((await waiting.json_page(f"http://127.0.0.1:{port}/"))["data"] == 17)


@pytest.mark.parametrize("starting", STARTING.values(), ids=STARTING)
async def test_a_server_that_starts_is_waited_for(starting: bytes) -> None:
    port = free_port()
    waits = asyncio.create_task(waiting.until(lambda: holds(port), within=20))
    with pytest.raises(waiting.NotYet, match="ConnectError"):
        await holds(port)
    async with await served(iter([starting, starting, READY]), port):
        await waits


@pytest.mark.parametrize("starting", STARTING.values(), ids=STARTING)
async def test_in_vain_it_says_what_it_saw_last(starting: bytes) -> None:
    port = free_port()
    async with await served(iter([starting] * 100), port):
        with pytest.raises(AssertionError, match=f"seen last: http://127.0.0.1:{port}/: "):
            await waiting.until(lambda: holds(port), within=3)


async def test_another_error_ends_the_wait() -> None:
    async def wrong() -> bool:
        raise KeyError("data")

    with pytest.raises(KeyError):
        await waiting.until(wrong)
