"""Both ends of the tunnel must find each other, or nothing begins."""

import asyncio

import pytest
from temporalio.client import Client

from contracts.plan import Extension
from contracts.replica import ReplicaState
from contracts.step import Step
from tests.workflows.conftest import start, workers
from tests.workflows.test_partial_failover import failure_of, in_state, report_of
from tests.workflows.world import World

PEER = ":".join(["CD"] * 32)


@pytest.mark.parametrize("provider", [True, False])
async def test_a_tenant_appliance_without_a_gateway_to_dial_is_refused(
    client: Client, provider: bool
) -> None:
    world = World()
    world.provider_appliance, world.gateway, world.peer_fingerprint = provider, None, PEER
    async with workers(client, world):
        failure = await asyncio.wait_for(failure_of(await start(client, {"vm": "erp-db-01"})), 20)
    assert "no cloud gateway is set" in failure.message and "(provider)" in failure.message
    assert world.log == [Step.PLAN_FAILOVER, Step.CHECK_TENANT_SITE]


@pytest.mark.parametrize("provider", [True, False])
async def test_an_end_without_the_others_fingerprint_is_refused(client: Client, provider: bool) -> None:
    world = World()
    world.provider_appliance, world.tenant_appliance = provider, not provider
    async with workers(client, world):
        failure = await asyncio.wait_for(failure_of(await start(client, {"vm": "erp-db-01"})), 20)
    missing = "tenant" if provider else "provider"
    assert f"the {missing}'s end is not known" in failure.message
    assert world.left_over() == set()


async def test_where_no_appliance_extends_networks_no_gateway_is_needed(client: Client) -> None:
    world = World(Extension.NSX_EDGE)
    world.gateway = None
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await handle.execute_update("undo")
        await report_of(handle)
    assert world.left_over() == set()
