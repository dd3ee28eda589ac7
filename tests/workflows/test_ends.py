"""Both ends of the tunnel must find each other, or nothing begins."""

import asyncio
from ipaddress import IPv4Address

import pytest
from temporalio.client import Client

from partial_failover.contracts.plan import Extension
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from tests.waiting import PATIENCE
from tests.workflows.runs import failure_of, in_state, report_of, start, workers
from tests.workflows.world import LAN, World

PEER = ":".join(["CD"] * 32)


@pytest.mark.parametrize("provider", [True, False])
async def test_a_tenant_appliance_without_a_gateway_to_dial_is_refused(
    client: Client, provider: bool
) -> None:
    world = World()
    world.provider_appliance, world.gateway, world.peer_fingerprint = provider, None, PEER
    async with workers(client, world):
        failure = await asyncio.wait_for(failure_of(await start(client, {"vm": "erp-db-01"})), PATIENCE)
    assert "no cloud gateway is set" in failure.message and "(provider)" in failure.message
    assert world.log == [StepName.PLAN_FAILOVER, StepName.CHECK_TENANT_SITE]


@pytest.mark.parametrize("provider", [True, False])
async def test_an_end_without_the_others_fingerprint_is_refused(client: Client, provider: bool) -> None:
    world = World()
    world.provider_appliance, world.tenant_appliance = provider, not provider
    async with workers(client, world):
        failure = await asyncio.wait_for(failure_of(await start(client, {"vm": "erp-db-01"})), PATIENCE)
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


@pytest.mark.parametrize(
    ("spare", "says"),
    [
        ("192.168.10.251", "192.168.10.251 on acme-lan-a is the provider's appliance's too"),
        ("192.168.10.50", "192.168.10.50 on acme-lan-a is its own spare address"),
        ("192.168.10.1", "The spare address 192.168.10.1 is the gateway's"),
    ],
)
async def test_the_tenants_appliance_needs_an_address_of_its_own(
    client: Client, spare: str, says: str
) -> None:
    world = World()
    world.spares["provider"] = {LAN.name: IPv4Address("192.168.10.251")}
    world.spares["tenant"] = {LAN.name: IPv4Address(spare), "a network of long ago": IPv4Address("10.0.0.1")}
    async with workers(client, world):
        failure = await asyncio.wait_for(failure_of(await start(client, {"vm": "erp-db-01"})), PATIENCE)
    assert says in failure.message and "(provider)" in failure.message
    assert world.log == [StepName.PLAN_FAILOVER, StepName.CHECK_TENANT_SITE]
