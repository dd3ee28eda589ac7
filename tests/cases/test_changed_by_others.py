"""Somebody else changes a replica between two looks of a failover: that is found out and said."""

import asyncio

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from lab.hypervisor import Vm
from lab.vsphere.snapshots import remove_snapshot
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.queues import PROVIDER_WATCH
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.run import lock_id
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import ReplicaSeen
from tests.activities.world import Values, World
from tests.waiting import blocking_until
from tests.workflows.runs import in_failover, page_says, report_of, workers
from tests.workflows.world import NEW, OLD, REPLICA
from tests.workflows.world import World as Steps

VM, WATCH = "erp-db-01", f"{PROVIDER_WATCH}/{StepName.WATCH_REPLICA}"


async def reverted(world: World, step: StepName = StepName.REVERT_SNAPSHOT) -> tuple[Values, Vm]:
    """Marked Processing, and on its newest restore point."""
    values = await world.values("acme", VM)
    await world.call(StepName.MARK_PROCESSING, values)
    await world.call(step, values)
    return values, world.centre.replica(VM)


async def test_a_replica_that_somebody_reverted_once_more_is_not_powered_on(world: World) -> None:
    values, machine = await reverted(world)
    world.centre.provider.revert(machine, machine.snapshots[0])
    with pytest.raises(WrongState, match="somebody reverted it once more"):
        await world.call(StepName.POWER_ON_REPLICA, values)
    assert machine.power == "poweredOff"


async def test_somebodys_snapshot_is_nothing_to_stop_for(world: World) -> None:
    values, machine = await reverted(world)
    world.centre.provider.snapshot(machine, "before the patch")
    assert (await world.call(StepName.POWER_ON_REPLICA, values)).changed
    await world.call(StepName.POWER_OFF_REPLICA, values)


async def test_what_a_removed_snapshot_held_is_not_taken_for_clean(world: World) -> None:
    """Its delta is in the live disk then, under a restore point that does not know it."""
    values, machine = await reverted(world, StepName.REVERT_TO_LATEST)
    tasks, newest = world.centre.vcenter.tasks, machine.snapshots[-1]
    task = tasks.start(machine, "vm.Snapshot.remove", lambda: remove_snapshot(machine, newest), "somebody")
    blocking_until(lambda: task.completed is not None)
    with pytest.raises(WrongState, match="Somebody removed a snapshot"):
        await world.call(StepName.MARK_NORMAL, values)


async def test_the_watch_sees_on_what_the_replica_stands(world: World) -> None:
    values, machine = await reverted(world)
    await world.call(StepName.POWER_ON_REPLICA, values)
    await world.call(StepName.MARK_FAILOVER, values)
    seen = await world.call(WATCH, {**values, "known": ReplicaSeen()})
    assert seen.current.id == machine.snapshots[-1].moref
    watching = asyncio.create_task(world.call(WATCH, {**values, "known": seen}))
    world.centre.provider.snapshot(machine, "before the patch")
    assert (await watching).current.name == "before the patch"
    world.centre.provider.revert(machine, machine.snapshots[0])
    assert (await world.call(WATCH, {**values, "known": seen})).current.id == machine.snapshots[0].moref


async def test_a_revert_by_somebody_is_said_on_the_page(client: Client) -> None:
    world = Steps()
    async with workers(client, world):
        handle = await in_failover(client, world)
        world.replica_seen = world.replica_seen.model_copy(update={"current": NEW})
        await page_says(handle, f"stands on {NEW.name} and not on {OLD.name} any more")
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert len([w for w in report.warnings if "somebody reverted it" in w]) == 1


async def test_a_failover_whose_lock_was_ended_says_so_at_once_and_leaves_everything(client: Client) -> None:
    world = Steps()
    async with workers(client, world):
        handle = await in_failover(client, world)
        before = list(world.log)
        await client.get_workflow_handle(lock_id(REPLICA)).terminate()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
    cause = ended.value.cause
    assert isinstance(cause, ApplicationError) and cause.type == "LostLock"
    assert 'with "adopt": true' in cause.message and "with all that it wrote" in cause.message
    assert world.log == before and world.marker is ReplicaState.FAILOVER
