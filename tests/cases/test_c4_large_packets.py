"""Real packets: a WAN that drops large ones without a word is lived with where that can be, and else said."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from partial_failover.connectors.appliance import Appliance
from partial_failover.contracts.appliance import LargePackets
from tests.fabric.conftest import needs_root
from tests.fabric.site import PRODUCTION, REPLICA, Site, attempt, connect_appliances, lease
from tests.waiting import until

pytestmark = [pytest.mark.root, needs_root]

BYTES = 3_000_000
DROP = """
for dev in $(ls /sys/class/net | grep -v lo); do ip link set dev $dev gso_max_segs 1; done
nft "add table inet wan; add chain inet wan in { type filter hook prerouting priority -200; }; \
    add rule inet wan in iifname { eth0, ens192 } tcp dport 6180 ip length > 1452 counter drop; \
    add rule inet wan in iifname { eth0, ens192 } tcp sport 6180 ip length > 1452 counter drop"
"""
"""At both ends of the WAN, on what comes in; segments are cut before they are sent."""
DROP_MORE = """
nft "add table inet narrow; add chain inet narrow in { type filter hook prerouting priority -200; }; \
    add rule inet narrow in iifname { eth0, ens192 } tcp dport 6180 ip length > 1300 counter drop; \
    add rule inet narrow in iifname { eth0, ens192 } tcp sport 6180 ip length > 1300 counter drop"
"""
"""Also of what the appliance's firewall lets the tunnel send. A handshake passes."""
TAKE = """
import socket
with socket.create_server(("", 5001)) as server:
    got = 0
    with server.accept()[0] as s:
        s.settimeout(15)
        while part := s.recv(65536):
            got += len(part)
print(got)
"""
SEND = f"""
import socket
with socket.create_connection(("{PRODUCTION}", 5001), 10) as s:
    s.settimeout(15)
    s.sendall(b"x" * {BYTES})
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(site: Site) -> AsyncIterator[Site]:
    """The path drops large packets while the replica works."""
    site.power_on("replica")
    await connect_appliances(site)
    await site.provider.lease(lease(1), False, False, attempt())
    await site.tenant.lease(lease(1), False, False, attempt())
    await until(lambda: site.fabric.ping("production", REPLICA) is not None)
    at_both_ends(site, DROP)
    yield site


def at_both_ends(site: Site, script: str) -> None:
    for host in ("gateway", site.name("tenant-appliance")):
        status, shown = site.fabric.exec(host, ["sh", "-ec", script])
        assert status == 0, shown


def management_mtu(site: Site, size: int) -> None:
    """What the page says to set."""
    command = ["ip", "link", "set", "dev", "ens192", "mtu", str(size)]
    assert site.fabric.exec(site.name("tenant-appliance"), command)[0] == 0


async def found(site: Site, role: str, what: LargePackets) -> None:
    """An appliance asked anew, until it has found this; the tunnel stops and connects anew in between."""
    site.fabric.exec(
        site.name(f"{role}-appliance"), ["rm", "-f", "/run/network-extension/large-packets.json"]
    )
    appliance: Appliance = getattr(site, role)

    async def has() -> bool:
        return await appliance.large_packets() is what

    await until(has)
    assert (await appliance.status()).large is what


async def test_c4_a_copy_of_3_mb_arrives_over_a_path_that_drops_large_packets(pair: Site) -> None:
    taking = asyncio.ensure_future(
        asyncio.to_thread(pair.fabric.exec, "production", [sys.executable, "-c", TAKE], 40)
    )
    await asyncio.sleep(1)
    sent = await asyncio.to_thread(pair.fabric.exec, pair.name("replica"), [sys.executable, "-c", SEND], 40)
    assert sent[0] == 0, sent
    assert (await taking)[1].strip() == str(BYTES)


@pytest.mark.parametrize("role", ["tenant", "provider"])
async def test_c4_a_path_that_drops_what_the_tunnel_must_send_is_found(pair: Site, role: str) -> None:
    await found(pair, role, LargePackets.PASS)
    at_both_ends(pair, DROP_MORE)
    try:
        await found(pair, role, LargePackets.LOST)
        await until(lambda: pair.fabric.ping("production", REPLICA) is not None)
        assert (await getattr(pair, role).large_packets()) is LargePackets.LOST, "not sent again for a while"
        management_mtu(pair, 1200)
        await found(pair, role, LargePackets.PASS)
    finally:
        at_both_ends(pair, "nft delete table inet narrow")
        management_mtu(pair, 1500)
