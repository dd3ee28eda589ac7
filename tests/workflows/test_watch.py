"""In Failover: what is lost is made again by the steps that made it, and the tenant is told."""

import asyncio
from ipaddress import IPv4Address

from temporalio.client import Client

from partial_failover.contracts.appliance import Claim
from partial_failover.contracts.plan import Extension
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from tests.waiting import PATIENCE, until
from tests.workflows.runs import in_state, page, report_of, start, workers
from tests.workflows.world import World


async def watched(world: World, times: int) -> None:
    """Wait until the watch has begun so often."""

    async def so_often() -> bool:
        return len(world.watches) >= times

    await until(so_often)


async def test_a_tunnel_that_is_lost_is_made_again(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await watched(world, 1)
        world.effects -= {"tenant appliance on", "client", "tenant lease"}
        await watched(world, 3)
        assert "Connected again" in await page(handle)
        assert {"tenant appliance on", "client", "tenant lease"} <= world.effects
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert any("lost the connection" in w for w in report.warnings)
    assert world.log.count(StepName.START_VPN_CLIENT) == 2
    assert world.log.count(StepName.REVERT_SNAPSHOT) == world.log.count(StepName.POWER_ON_REPLICA) == 1
    assert world.left_over() == set()


async def test_a_hold_that_somebody_ended_is_made_again(client: Client) -> None:
    world = World(Extension.NSX_EDGE)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await watched(world, 1)
        world.effects.remove("held")
        await watched(world, 2)
        assert "held" in world.effects
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert any("found released" in w for w in report.warnings)
    assert world.log.count(StepName.HOLD_REPLICATION) == 2
    assert world.left_over() == set()


async def test_a_hold_that_cannot_be_made_again_is_tried_again(client: Client) -> None:
    world = World(Extension.NSX_EDGE)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await watched(world, 1)
        world.refuse(StepName.HOLD_REPLICATION, times=2)
        world.effects.remove("held")
        await watched(world, 4)
        assert "held" in world.effects
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert any("could not be repaired: no HoldReplication" in w for w in report.warnings)


async def test_another_owner_of_the_address_is_named_once(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await watched(world, 1)
        world.claims = (Claim(address=IPv4Address("192.168.10.50"), mac="00:50:56:01:02:03"),)
        await watched(world, 2)
        assert "00:50:56:01:02:03" in await page(handle)
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert len([w for w in report.warnings if "also claimed by 00:50:56:01:02:03" in w]) == 1
    assert world.watches[1].claims == world.claims


async def test_undo_waits_for_what_is_being_repaired(client: Client) -> None:
    """Or a step of the repairing would act on what was taken back."""
    world = World()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await watched(world, 1)
        world.block.add(StepName.START_VPN_CLIENT)
        world.reached[StepName.START_VPN_CLIENT] = asyncio.Event()
        world.effects -= {"client", "tenant lease"}
        await asyncio.wait_for(world.reached[StepName.START_VPN_CLIENT].wait(), PATIENCE)
        await handle.execute_update("undo")
        world.block.clear()
        await report_of(handle)
    assert world.left_over() == set()
