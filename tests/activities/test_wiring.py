"""One failover connects a tenant's appliance while the end of another, on another worker, takes its networks
out: whoever comes last still knows how it was wired before."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from lab.cloud_director.model import Vm
from lab.injected_faults import FaultKind, FaultRule
from lab.site import APPLIANCE
from partial_failover.connectors.cloud_director.metadata_store import APPLIANCE as WIRING
from partial_failover.contracts.step import StepName
from tests.activities.world import Values, World, built
from tests.waiting import blocking_until, until

NAME = f"acme-{APPLIANCE}"
FORGET = partial(FaultRule, "cloud-director", "DELETE metadata", FaultKind.DELAY, target=f"*/{WIRING.key}")


@pytest.fixture
def appliance(world: World) -> Iterator[Vm]:
    """Cloud Director's view of it; in the end it is wired as it was."""
    before = world.centre.state()
    yield world.centre.cloud.vm(NAME)
    world.centre.faults.clear()
    assert world.centre.state() == before


async def own_values(world: World) -> Values:
    """Of a failover that has connected the appliance."""
    own = await world.values("acme", "erp-db-01")
    await world.call(StepName.CONNECT_NETWORKS, own)
    return own


async def test_connected_before_it_is_forgotten(world: World, appliance: Vm) -> None:
    own, other = await own_values(world), replace(world, process=await built(world.settings))
    connect = partial(asyncio.run, other.call(StepName.CONNECT_NETWORKS, own))
    world.centre.faults.add(FORGET(act=connect))
    await world.call(StepName.DISCONNECT_NETWORKS, own)
    assert len(appliance.nics) > 1
    await other.call(StepName.DISCONNECT_NETWORKS, own)


async def test_connected_after_it_was_forgotten(world: World, appliance: Vm) -> None:
    own, other = await own_values(world), replace(world, process=await built(world.settings))
    attach = FaultRule(
        "cloud-director",
        "PUT networkConfigSection",
        FaultKind.DELAY,
        passes=1,  # that is where the networks are taken out
        act=partial(blocking_until, lambda: ("SYSTEM", WIRING.key) not in appliance.vapp.metadata),
    )
    world.centre.faults.add(attach)
    forget = FORGET(act=partial(blocking_until, lambda: attach.happened is not None))
    world.centre.faults.add(forget)
    disconnecting = asyncio.create_task(world.call(StepName.DISCONNECT_NETWORKS, own))
    await until(lambda: forget.happened is not None)
    await other.call(StepName.CONNECT_NETWORKS, own)
    await disconnecting
    assert len(appliance.nics) > 1
    await other.call(StepName.DISCONNECT_NETWORKS, own)
