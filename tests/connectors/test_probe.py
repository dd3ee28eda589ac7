"""TCP and HTTP probes against real sockets on loopback."""

import asyncio

import pytest

from partial_failover.connectors import probe
from partial_failover.contracts.errors import Unavailable
from tests.connectors.servers import HERE, answering, closed_port


async def test_an_open_port() -> None:
    async with answering(b"") as (port, _):
        await probe.tcp(HERE, port)


async def test_a_closed_port() -> None:
    with pytest.raises(Unavailable, match="does not accept a connection"):
        await probe.tcp(HERE, closed_port())


@pytest.mark.parametrize("status", [200, 302, 503])
async def test_the_status_is_told_and_no_redirect_followed(status: int) -> None:
    answer = f"HTTP/1.1 {status} x\r\nLocation: http://203.0.113.9/\r\nContent-Length: 0\r\n\r\n"
    async with answering(answer.encode()) as (port, asked):
        assert await probe.http_status(HERE, port, "/health?deep=1", tls=False) == status
    assert asked[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\n")


async def test_what_is_no_http() -> None:
    async with answering(b"220 mail.acme.example ESMTP\r\n") as (port, _):
        with pytest.raises(Unavailable, match="does not answer"):
            await probe.http_status(HERE, port, "/", tls=False)


async def test_a_server_that_never_ends_its_body_is_asked_for_its_status_only() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n") as (port, _):
        assert await probe.http_status(HERE, port, "/", tls=False) == 200


async def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.3)
    silent = await asyncio.start_server(lambda r, w: asyncio.sleep(5), str(HERE), 0)
    async with silent:
        with pytest.raises(Unavailable, match="does not answer"):
            await probe.http_status(HERE, silent.sockets[0].getsockname()[1], "/", tls=False)
