"""A real OpenVPN whose management socket another program holds: its tunnel is not known to be down."""

import asyncio
from functools import partial

import pytest

from partial_failover.contracts.appliance import TunnelState
from tests.fabric.conftest import needs_root
from tests.fabric.site import REPLICA, Site, attempt, connect_appliances, lease
from tests.waiting import until

pytestmark = [pytest.mark.root, needs_root]

LET_GO = "/run/let-go"
HOLD = f"""
import os, socket, time
with socket.socket(socket.AF_UNIX) as monitor:
    monitor.connect("/run/network-extension/vpn.sock")
    assert monitor.recv(100)
    while not os.path.exists("{LET_GO}"):
        time.sleep(0.05)
"""
"""As a monitoring program on the appliance does."""


async def test_c3_a_held_socket_of_a_real_openvpn_cuts_nothing_and_says_nothing(site: Site) -> None:
    site.power_on("replica")
    await connect_appliances(site)
    await site.provider.lease(lease(1), False, False, attempt())
    await site.tenant.lease(lease(1), False, False, attempt())
    await until(lambda: site.fabric.ping("production", REPLICA) is not None)

    async def is_seen(state: TunnelState) -> bool:
        return (await site.tenant.status()).vpn.state is state

    on_appliance = partial(site.fabric.exec, site.name("tenant-appliance"))
    holding = asyncio.create_task(asyncio.to_thread(on_appliance, ["python3", "-c", HOLD], 120))
    await until(lambda: is_seen(TunnelState.UNKNOWN))
    assert site.fabric.ping("production", REPLICA) is not None
    assert on_appliance(["touch", LET_GO])[0] == 0
    assert (await holding)[0] == 0
    await until(lambda: is_seen(TunnelState.CONNECTED))
