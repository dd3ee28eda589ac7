"""In Failover the replica itself is watched: what stopped it is said, and `resume` brings it on again."""

from datetime import UTC, datetime

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError

from partial_failover.contracts.replica import Power
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import ReplicaSeen
from tests.waiting import until
from tests.workflows.runs import in_failover, page, page_says, report_of, workers
from tests.workflows.world import World

BOOTED = datetime(2026, 1, 3, tzinfo=UTC)


async def test_c1_a_suspended_replica_is_said_and_resumed(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await in_failover(client, world)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update("resume")
        assert "erp-db-01_replica is on" in str(refused.value.cause)
        world.replica_seen = ReplicaSeen(power=Power.SUSPENDED, booted=BOOTED)
        await page_says(handle, "is suspended")
        assert 'Send the Update "resume"' in await page(handle)
        await handle.execute_update("resume", {"reason": "the lease was extended"})
        await page_says(handle, "runs again")
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert world.log.count(StepName.RESUME_REPLICA) == 1
    assert world.log.count(StepName.POWER_ON_REPLICA) == 1
    assert world.log.count(StepName.START_VPN_CLIENT) == 1, "nothing is mended that was not lost"
    assert [w for w in report.warnings if "is suspended" in w] and world.left_over() == set()


async def test_c1_a_restart_is_said_once(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await in_failover(client, world)
        world.replica_seen = ReplicaSeen(booted=datetime(2026, 1, 4, 8, 30, tzinfo=UTC))
        await page_says(handle, "was restarted at 2026-01-04 08:30:00 UTC")
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert len([w for w in report.warnings if "was restarted" in w]) == 1


async def test_c1_a_replica_that_cannot_be_looked_at_is_not_said_to_be_off(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await in_failover(client, world)
        world.replica_seen = ReplicaSeen(booted=BOOTED, unseen="vcenter does not answer")
        await page_says(handle, "cannot be looked at: vcenter does not answer")
        assert "powered off" not in await page(handle)
        world.replica_seen = ReplicaSeen(booted=BOOTED)
        await page_says(handle, "runs again")
        await handle.execute_update("undo")
        await report_of(handle)


async def test_c1_an_undo_ends_a_resume_that_is_under_way(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await in_failover(client, world)
        world.replica_seen = ReplicaSeen(power=Power.OFF, booted=BOOTED)
        await page_says(handle, "is powered off")
        world.block.add(StepName.RESUME_REPLICA)
        await handle.execute_update("resume")
        await until(lambda: StepName.RESUME_REPLICA in world.reached)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update("resume")
        assert "resumed already" in str(refused.value.cause)
        await handle.execute_update("undo")
        await report_of(handle)
    assert world.left_over() == set() and StepName.RESUME_REPLICA not in world.log


async def test_c2_a_question_is_said_with_its_text(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await in_failover(client, world)
        text = "There is no more space for virtual disk erp-db-01.vmdk"
        world.replica_seen = ReplicaSeen(booted=BOOTED, question=text)
        await page_says(handle, "There is no more space for virtual disk")
        assert "Answer the question" in await page(handle)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update("resume")
        assert "waits for an answer" in str(refused.value.cause)
        await handle.execute_update("undo")
        await report_of(handle)
