"""The data centre that each module of tests has for itself, and its appliances switched on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.cloud_director.model import OFF, ON
from lab.data_centre import DataCentre
from lab.site import APPLIANCE
from lab.worker_config import write_configs
from partial_failover import factories
from partial_failover.contracts.queues import TENANT_SITE
from partial_failover.contracts.step import StepName
from partial_failover.settings import TenantSiteWorkerSettings, load
from tests.activities.world import Values, World, built


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A data centre without packets, and the activities over it as worker.py builds them."""
    centre = DataCentre(tmp_path_factory.mktemp("centre"), simulated=True)
    centre.start()
    settings = [load(file) for file in write_configs(centre).values()]
    backups = {}
    for one in settings:
        if isinstance(one, TenantSiteWorkerSettings):
            backups[one.tenants[0].namespace] = factories.backup_server(one.tenants[0].backup_server)
        else:
            cloud = factories.cloud_director(one.cloud_director)
    yield World(centre, settings, await built(settings), cloud, backups)
    await asyncio.to_thread(centre.close)


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
    own["networks"] = tuple(n for n in world.vdc("acme").networks() if "-lan-" in n.name)
    for step in (
        StepName.CONNECT_NETWORKS,
        StepName.POWER_ON_PROVIDER_APPLIANCE,
        f"{TENANT_SITE}/{StepName.POWER_ON_TENANT_APPLIANCE}",
    ):
        await world.call(step, own)
    yield own
    for tenant in ("acme", "globex"):
        switch(world.centre, tenant, on=False)
    await world.call(StepName.DISCONNECT_NETWORKS, own)
