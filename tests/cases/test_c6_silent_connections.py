"""Real packets: whoever only connects to a tenant's port at the cloud gateway does not keep him out."""

import asyncio
import sys
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from tests.fabric.conftest import needs_root
from tests.fabric.site import GATEWAY, Site, connect_appliances, connected
from tests.waiting import until

pytestmark = [pytest.mark.root, needs_root]

SILENT = """
import socket, sys, time
address, count, hello, end = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3]), time.time() + 25
held = []
while time.time() < end:
    held = [s for s in held if not s._closed and s.fileno() >= 0]
    for s in list(held):
        try:
            if not s.recv(1):
                raise OSError
        except BlockingIOError:
            continue
        except OSError:
            s.close()
            held.remove(s)
    while len(held) < count:
        try:
            s = socket.create_connection((address, 6180), 1)
        except OSError:
            break
        if hello:
            s.sendall(hello)
        s.setblocking(False)
        held.append(s)
    time.sleep(0.05)
"""
KILL_OWN = """
for p in $(pgrep -x openvpn); do
    if [ "$(readlink /proc/$p/ns/net)" = "$(readlink /proc/self/ns/net)" ]; then kill -9 $p; fi
done
"""
"""The appliances share the sandbox's processes; only this one's OpenVPN is to end."""
PATIENCE = 15.0
"""Seconds in which the tunnel must be back; it was gone for a minute and more."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(site: Site) -> AsyncIterator[Site]:
    """Both appliances are on and connected."""
    await connect_appliances(site)
    yield site


@pytest.mark.parametrize("hello", ["", "00" * 16], ids=["silent", "of-another-protocol"])
@pytest.mark.parametrize("count", [4, 20])
async def test_c6_connections_of_a_stranger_do_not_keep_the_tenant_out(
    pair: Site, count: int, hello: str
) -> None:
    argv = [sys.executable, "-c", SILENT, GATEWAY, str(count), hello]
    stranger = asyncio.ensure_future(asyncio.to_thread(pair.fabric.exec, "tenant-stranger", argv, 40))
    await asyncio.sleep(2)  # they are there before the tenant's client dials
    before = (await pair.tenant.status()).vpn.since
    appliance = pair.name("tenant-appliance")
    assert pair.fabric.exec(appliance, ["sh", "-c", KILL_OWN])[0] == 0

    async def back() -> bool:
        vpn = (await pair.tenant.status()).vpn
        return vpn.state == "connected" and vpn.since != before

    async with asyncio.timeout(PATIENCE):
        await until(back)
    await until(partial(connected, pair.provider))
    await stranger
