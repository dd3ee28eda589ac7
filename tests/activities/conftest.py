"""The world of the authority tests serves others too, and its appliances can be switched on."""

from collections.abc import AsyncIterator

import pytest_asyncio

from lab.cloud_director.model import OFF, ON
from lab.data_centre import DataCentre
from lab.site import APPLIANCE
from partial_failover.contracts.queues import TENANT_SITE
from partial_failover.contracts.step import Step
from tests.activities.test_authority import Values, World, world

__all__ = ["world"]


def switch(centre: DataCentre, tenant: str, on: bool) -> None:
    """Both appliances of a tenant."""
    cloud = centre.cloud.vm(f"{tenant}-{APPLIANCE}")
    cloud.status, cloud.deployed = (ON, True) if on else (OFF, False)
    site = centre.sites[tenant].hypervisor
    for hypervisor, vm in ((centre.provider, cloud.machine), (site, centre.sites[tenant].vm(APPLIANCE))):
        if (vm.power == "poweredOn") is not on:
            (hypervisor.power_on if on else hypervisor.power_off)(vm)


@pytest_asyncio.fixture(loop_scope="session")
async def extended(world: World) -> AsyncIterator[Values]:
    """The appliances of acme and globex are on, and acme's are connected to its networks and know them. They
    do nothing yet for the failover of acme whose values are yielded."""
    for tenant in ("acme", "globex"):
        switch(world.centre, tenant, on=True)
    own = {**await world.values("acme", "erp-db-01"), "original_may_run": True}
    own["networks"] = tuple(n for n in world.cloud.networks(world.vdc("acme")) if "-lan-" in n.name)
    for step in (
        Step.CONNECT_NETWORKS,
        Step.POWER_ON_PROVIDER_APPLIANCE,
        f"{TENANT_SITE}/{Step.POWER_ON_TENANT_APPLIANCE}",
    ):
        await world.call(step, own)
    yield own
    for tenant in ("acme", "globex"):
        switch(world.centre, tenant, on=False)
    await world.call(Step.DISCONNECT_NETWORKS, own)
