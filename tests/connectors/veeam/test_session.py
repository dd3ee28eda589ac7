"""Rights, sessions, and a network that fails."""

import asyncio
import socket
from pathlib import Path
from time import monotonic

import pytest

from lab.injected_faults import FaultKind
from lab.tls import Authority
from partial_failover.connectors.veeam import Veeam
from partial_failover.contracts.errors import (
    Misconfigured,
    NoRight,
    OutcomeUnknown,
    Unavailable,
)
from tests.connectors.veeam.site import (
    EXCLUDE,
    INCLUDE,
    TOKEN,
    Site,
    attempt,
    held,
)


async def test_an_operator_may_not_hold(site: Site) -> None:
    operator = site.client("operator")
    target = await operator.find_target("erp-db-01")
    with pytest.raises(NoRight, match="Veeam Backup Administrator"):
        await operator.check()
    with pytest.raises(NoRight):
        await operator.hold(target, "run-1", attempt())
    assert site.endpoint.exclusions == ()


async def test_a_wrong_password_is_tried_once_and_never_shown(site: Site) -> None:
    client = site.client(password="wrong-and-secret")
    answers = await asyncio.gather(*(client.check() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(a, NoRight) and "secret" not in str(a) for a in answers)
    assert site.count(TOKEN) == 1


@pytest.mark.parametrize("whole", [True, False], ids=["with-refresh-token", "access-token-only"])
async def test_a_session_that_ends_midway_is_renewed(site: Site, whole: bool) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    if whole:
        site.inject(EXCLUDE, FaultKind.EXPIRE_SESSION)
    else:
        site.endpoint.accounts.expire_all()
    assert await client.hold(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-1"]


async def test_many_calls_at_once_renew_an_expired_token_once(site: Site) -> None:
    client = site.client()
    await client.check()
    site.endpoint.accounts.expire_all()
    before = site.count(TOKEN)
    await asyncio.gather(*(client.find_target("erp-db-01") for _ in range(8)))
    assert site.count(TOKEN) == before + 1


async def test_short_lived_tokens_are_renewed_before_they_end(site: Site) -> None:
    site.endpoint.accounts.token_seconds = 1.0
    client = site.client()
    end = monotonic() + 3.0
    while monotonic() < end:
        await client.find_target("erp-db-01")
        await asyncio.sleep(0.05)
    assert site.count(TOKEN) >= 3
    assert site.count("GET /api/v1/jobs") == sum(
        c.call == "GET /api/v1/jobs" and c.user == "failover" for c in site.faults.calls
    ), "no call was made with a token that had expired"


async def test_reads_survive_one_broken_connection(site: Site) -> None:
    client = site.client()
    site.inject("GET /api/v1/jobs", FaultKind.DROP_BEFORE)
    await client.find_target("erp-db-01")
    site.inject("GET /api/v1/jobs", FaultKind.DROP_BEFORE, times=2)
    with pytest.raises(Unavailable):
        await client.find_target("erp-db-01")


async def test_a_refusing_server_is_unavailable_and_comes_back(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.inject(EXCLUDE, FaultKind.REFUSE)
    with pytest.raises(Unavailable):
        await client.hold(target, "run-1", attempt())
    site.endpoint.close()
    with pytest.raises(Unavailable, match="does not answer"):
        await client.find_target("erp-db-01")
    site.endpoint.start()
    assert await client.hold(target, "run-1", attempt())


async def test_a_black_hole_ends_with_the_time_limit(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"https://127.0.0.1:{hole.getsockname()[1]}"
        client = Veeam(url, "failover", "right", site.ca_file, timeout=0.3)
        began = monotonic()
        with pytest.raises(Unavailable):
            await client.check()
        assert monotonic() - began < 2
        await client.close()


async def test_a_server_that_drips_its_answer_ends_with_the_time_limit(authority: Authority) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass  # the client has given up, as it should

    tls = authority.server_context("veeam")
    async with await asyncio.start_server(drip, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        client = Veeam(f"https://127.0.0.1:{port}", "u", "p", authority.ca_file, timeout=0.5)
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await client.check()
        await client.close()


async def test_a_mutation_whose_answer_never_comes_is_found_by_looking(site: Site) -> None:
    client = Veeam(site.endpoint.url, "failover", "right", site.ca_file, timeout=0.5)
    target = await client.find_target("erp-db-01")
    site.inject(EXCLUDE, FaultKind.DELAY, seconds=30)
    began = monotonic()
    assert await client.hold(target, "run-1", attempt())
    assert monotonic() - began < 5 and site.notes() == ["partial-failover run-1"]
    await client.close()


async def test_a_release_that_never_arrived_is_unknown_and_the_hold_stays(site: Site) -> None:
    client = site.client()
    target = await held(site, client)
    site.inject(INCLUDE, FaultKind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        await client.release(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-1"]


async def test_settings_that_do_not_fit_are_said(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"1\.3-rev0"):
        site.client(version="1.2-rev1")
    with pytest.raises(Misconfigured, match="https"):
        Veeam("http://127.0.0.1:1", "u", "p", None)
    with pytest.raises(Misconfigured, match=r"supported: 1\.3-rev0, 1\.3-rev1"):
        await site.client(version="1.3-rev2").check()
    stranger = Authority(tmp_path).ca_file
    with pytest.raises(Misconfigured, match="not trusted"):
        await Veeam(site.endpoint.url, "failover", "right", stranger).check()
    with pytest.raises(Misconfigured, match="cannot be read"):
        await Veeam(site.endpoint.url, "failover", "right", tmp_path / "none.pem").check()
