"""The connector against SSH servers that answer well, badly or not at all."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from lab.fabric import provision
from partial_failover.cli.cloud_init import ManagementNic, NewAppliance
from partial_failover.connectors.appliance import Appliance
from partial_failover.connectors.appliance.ssh import LONGEST_ANSWER
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.appliance import ApplianceRole, Lease
from partial_failover.contracts.errors import (
    AddressInUse,
    ApplianceChanged,
    BadRequest,
    Busy,
    Expired,
    FailoverError,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
    Unavailable,
)

LEASE = Lease(
    id="00000000-0000-0000-0000-000000000001", network="lan-a", address=IPv4Address("192.168.10.50")
)
FOREVER = float("inf")
Process = asyncssh.SSHServerProcess[bytes]


@asynccontextmanager
async def server(folder: Path, serve: Callable[[Process], Awaitable[None]]) -> AsyncIterator[Appliance]:
    """An SSH server with a forced command of the test's own, and the connector to it."""
    worker = provision.worker_key(folder / "key")
    new = NewAppliance(
        ApplianceRole.TENANT, worker, "", [IPv4Address("127.0.0.1")], ManagementNic("00:50:56:01:02:01")
    )
    host_key = provision.appliance_disk(folder / "disk", new)
    ssh = provision.state(folder / "disk") / "ssh"
    async with await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[str(ssh / "host_ed25519")],
        authorized_client_keys=str(ssh / "authorized_keys"),
        process_factory=serve,
        encoding=None,
    ) as listening:
        yield Appliance("127.0.0.1", listening.get_port(), host_key, folder / "key", timeout=3)


def saying(answer: bytes) -> Callable[[Process], Awaitable[None]]:
    async def serve(process: Process) -> None:
        await process.stdin.read()
        process.stdout.write(answer)
        process.exit(0)

    return serve


def refusing(word: str, **more: str) -> Callable[[Process], Awaitable[None]]:
    return saying(json.dumps({"ok": False, "error": word, "message": "this and that", **more}).encode())


async def test_what_is_asked_and_answered(tmp_path: Path) -> None:
    asked: list[Any] = []

    async def serve(process: Process) -> None:
        asked.append(json.loads(await process.stdin.read()))
        process.stdout.write(b'{"ok": true, "left": 0, "closing": true, "power_off": true}\n')
        process.exit(0)

    async with server(tmp_path, serve) as appliance:
        released = await appliance.release(LEASE.id, True, Attempt(FOREVER))
    assert released.power_off and released.left == 0
    assert released.changed, "what an older program does not say may have been so"
    assert asked == [{"op": "release", "id": LEASE.id, "announce_mac": None, "power_off_when_idle": True}]


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("invalid", BadRequest),
        ("closing", ApplianceChanged),
        ("address-in-use", AddressInUse),
        ("no-leg", ApplianceChanged),
        ("not-found", NotFound),
        ("busy", Busy),
        ("internal", TaskFailed),
        ("a word of tomorrow", TaskFailed),
    ],
)
async def test_refusals_become_errors(tmp_path: Path, word: str, error: type[FailoverError]) -> None:
    async with server(tmp_path, refusing(word, mac="02:00:00:00:00:01")) as appliance:
        with pytest.raises(FailoverError) as raised:
            await appliance.lease(LEASE, False, False, Attempt(FOREVER))
    assert type(raised.value) is error
    assert "02:00:00:00:00:01" in str(raised.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"bash: python3: not found",
        b"[]",
        b'{"ok": 1}',
        b"[" * 100_000,
        b"\xff",
        b" " * (LONGEST_ANSWER + 9),
    ],
    ids=["empty", "text", "list", "number", "deep", "bytes", "endless"],
)
async def test_answers_of_something_else(tmp_path: Path, answer: bytes) -> None:
    async with server(tmp_path, saying(answer)) as appliance:
        with pytest.raises(Unavailable):
            await appliance.status()
        with pytest.raises(OutcomeUnknown):
            await appliance.lease(LEASE, False, False, Attempt(FOREVER))


async def test_an_answer_of_another_version(tmp_path: Path) -> None:
    async with server(tmp_path, saying(b'{"ok": true, "version": "9"}')) as appliance:
        with pytest.raises(Misconfigured, match="same version"):
            await appliance.status()


async def test_a_lost_answer_to_a_change_is_an_unknown_outcome(tmp_path: Path) -> None:
    async def serve(process: Process) -> None:
        await process.stdin.read()
        process.channel.get_connection().abort()

    async with server(tmp_path, serve) as appliance:
        with pytest.raises(OutcomeUnknown):
            await appliance.lease(LEASE, False, False, Attempt(FOREVER))
        with pytest.raises(Unavailable):
            await appliance.status()


async def test_an_answer_that_never_comes_is_not_waited_for_longer_than_agreed(tmp_path: Path) -> None:
    async def serve(process: Process) -> None:
        await asyncio.sleep(60)

    async with server(tmp_path, serve) as appliance:
        appliance._timeout = 0.3
        with pytest.raises(OutcomeUnknown):
            await appliance.lease(LEASE, False, False, Attempt(FOREVER))


async def test_nothing_is_sent_after_the_deadline(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def serve(process: Process) -> None:
        asked.append(await process.stdin.read())
        process.exit(0)

    async with server(tmp_path, serve) as appliance:
        late = Attempt(0)
        for change in (
            appliance.lease(LEASE, False, False, late),
            appliance.release(LEASE.id, False, late),
            appliance.declare_networks([], late),
            appliance.serve_vpn("", late),
            appliance.connect_vpn("gw", 1, "", late),
        ):
            with pytest.raises(Expired):
                await change
    assert asked == []


async def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker = provision.worker_key(tmp_path / "key")
    with pytest.raises(Unavailable, match="booting"):
        await Appliance("127.0.0.1", port, worker, tmp_path / "key").status()
    with pytest.raises(Unavailable):
        await Appliance("127.0.0.1", port, worker, tmp_path / "key").lease(
            LEASE, False, False, Attempt(FOREVER)
        )


async def test_a_server_that_speaks_no_ssh(tmp_path: Path) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        writer.close()

    listening = await asyncio.start_server(babble, "127.0.0.1", 0)
    worker = provision.worker_key(tmp_path / "key")
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable):
            await Appliance("127.0.0.1", port, worker, tmp_path / "key").status()


async def test_a_key_file_that_is_missing_or_no_key(tmp_path: Path) -> None:
    async with server(tmp_path, saying(b"")) as appliance:
        (tmp_path / "text").write_text("no key")
        for name in ("missing", "text"):
            appliance._requests._key_file = tmp_path / name
            with pytest.raises(Misconfigured, match="cannot be read"):
                await appliance.status()


def test_a_host_key_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        Appliance("127.0.0.1", 22, "SHA256:abc", tmp_path / "key")
