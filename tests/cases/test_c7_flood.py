"""Real packets: connections that one replica opens without end do not fill the appliance's table."""

import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.kernel import MOST_OF_ONE
from tests.fabric.conftest import needs_root
from tests.fabric.site import PRODUCTION, REPLICA, SECOND, Site, attempt, connect_appliances, lease
from tests.waiting import until

pytestmark = [pytest.mark.root, needs_root]

FLOOD = """
import socket, sys
for number in range(int(sys.argv[1])):
    with socket.socket() as s:
        s.setblocking(False)
        s.connect_ex((f"192.168.10.{100 + number % 40}", 1 + number // 40))
"""
"""To addresses that nobody has, so that each connection stays half open."""
SYNS = 2 * MOST_OF_ONE


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(site: Site) -> AsyncIterator[Site]:
    """Two replicas that production reaches."""
    await connect_appliances(site)
    site.power_on("replica", "second")
    for number, address in enumerate((REPLICA, SECOND), 1):
        await site.provider.lease(lease(number, address), False, False, attempt())
        await site.tenant.lease(lease(number, address), False, False, attempt())
        await until(lambda address=address: site.fabric.ping("production", address) is not None)  # type: ignore[misc]
    yield site


def connections(site: Site) -> int:
    shown = site.inside("provider", "sysctl", "-n", "net.netfilter.nf_conntrack_count")
    return int(shown)


async def test_c7_what_one_replica_opens_is_bounded(pair: Site) -> None:
    argv = [sys.executable, "-c", FLOOD, str(SYNS)]
    status, shown = pair.fabric.exec(pair.name("replica"), argv, 60)
    assert status == 0, shown
    assert MOST_OF_ONE / 2 < connections(pair) <= MOST_OF_ONE + 200
    assert pair.fabric.ping("production", SECOND) is not None
    assert pair.fabric.ping(pair.name("second"), PRODUCTION) is not None
