"""`PartialFailover` over a small world, with time skipping: order, compensation, refusals, Updates."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError, CancelledError

from partial_failover.contracts.errors import LostLock, Who
from partial_failover.contracts.plan import Extension
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.report import FailoverReport
from partial_failover.contracts.step import StepName
from tests.waiting import PATIENCE
from tests.workflows.runs import failure_of, in_state, report_of, start, workers
from tests.workflows.world import FORWARD, World, problem


async def test_failover_and_undo(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01", "reason": "corrupt"})
        await in_state(handle, ReplicaState.FAILOVER)
        assert {"on", "held", "provider lease", "tenant lease"} <= world.effects
        answer = await handle.execute_update("undo", {"reason": "repaired"}, result_type=dict)
        assert "accepted" in answer["message"]
        report = await report_of(handle)
    assert world.left_over() == set()
    assert report.state is ReplicaState.NORMAL
    assert report.reason == "corrupt"
    assert report.time_to_power_on_s is not None and report.time_to_undo_s is not None
    assert [r.outcome for r in report.steps].count("failed") == 0
    assert world.log.index(StepName.HOLD_REPLICATION) < world.log.index(StepName.REVERT_SNAPSHOT)
    assert world.log[-1] is StepName.RELEASE_REPLICATION


async def test_undo_needs_no_input(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await handle.execute_update("undo")
        assert (await report_of(handle)).state is ReplicaState.NORMAL


async def test_undo_after(skipping: Client) -> None:
    world = World(watched=False)
    async with workers(skipping, world):
        handle = await start(skipping, {"vm": "erp-db-01", "undo_after": "4h"})
        report = await report_of(handle)
    assert world.left_over() == set()
    of_replica, of_failover = sorted(report.warnings, reverse=True)
    assert of_failover == "The failover could not be watched: nobody watches"
    assert of_replica.startswith("erp-db-01_replica cannot be looked at: nobody watches, seen at")
    assert report.ended.startswith("undone by itself")
    ended = max(r.started for r in report.steps)
    assert ended - report.started >= timedelta(hours=4)


@pytest.mark.parametrize("step", FORWARD)
async def test_a_step_that_fails_is_taken_back(client: Client, step: StepName) -> None:
    world = World()
    world.refuse(step)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        failure = await failure_of(handle)
    assert failure.type == "NoRight"
    assert f"no {step}" in failure.message and "Everything was taken back" in failure.message
    assert world.left_over() == set()


@pytest.mark.parametrize("step", FORWARD)
async def test_cancelled_at_a_step_it_ends_normal(client: Client, step: StepName) -> None:
    world = World()
    world.block.add(step)
    world.reached[step] = asyncio.Event()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await asyncio.wait_for(world.reached[step].wait(), PATIENCE)
        await handle.cancel()
        world.block.clear()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert world.left_over() == set()


async def test_nothing_begins_before_the_replica_is_marked(client: Client) -> None:
    world = World()
    world.refuse(StepName.MARK_PROCESSING)
    async with workers(client, world):
        await failure_of(await start(client, {"vm": "erp-db-01"}))
    assert not {
        StepName.HOLD_REPLICATION,
        StepName.CONNECT_NETWORKS,
        StepName.POWER_ON_TENANT_APPLIANCE,
    } & set(world.log)


async def test_cancelled_in_failover_it_is_undone(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert world.left_over() == set()


async def test_cancelled_while_it_is_taken_back_it_still_ends_normal(client: Client) -> None:
    world = World()
    world.block.add(StepName.POWER_OFF_REPLICA)
    world.reached[StepName.POWER_OFF_REPLICA] = asyncio.Event()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await handle.execute_update("undo", {})
        await asyncio.wait_for(world.reached[StepName.POWER_OFF_REPLICA].wait(), PATIENCE)
        await handle.cancel()
        world.block.clear()
        report = await report_of(handle)
    assert report.state is ReplicaState.NORMAL and report.ended == "undone by the tenant"
    assert world.left_over() == set()


async def test_cancelled_as_failed_failover_it_still_says_what_is_left(client: Client) -> None:
    world = World()
    world.refuse(StepName.MARK_FAILOVER)
    world.refuse(StepName.POWER_OFF_REPLICA)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILED_FAILOVER)
        await handle.cancel()
        await handle.execute_update("accept_as_is", {})
        failure = await failure_of(handle)
    assert "no MarkFailover" in failure.message and "no PowerOffReplica" in failure.message
    assert FailoverReport.model_validate(failure.details[0]).left_over


@pytest.mark.parametrize(
    "step", [StepName.HOLD_REPLICATION, StepName.POWER_ON_REPLICA, StepName.MARK_FAILOVER]
)
async def test_a_run_that_lost_the_replica_leaves_it_alone(client: Client, step: StepName) -> None:
    """Another run has it: whatever this one did is that one's now."""
    world = World()
    world.refuse(step, LostLock.__name__)
    world.refuse(StepName.POWER_OFF_REPLICA, LostLock.__name__)
    world.refuse(StepName.REMOVE_TENANT_PROXY_ARP, LostLock.__name__)
    async with workers(client, world):
        failure = await failure_of(await start(client, {"vm": "erp-db-01"}))
    assert failure.type == LostLock.__name__
    taken_back = {StepName.REVERT_TO_LATEST, StepName.RELEASE_REPLICATION, StepName.REMOVE_TENANT_PROXY_ARP}
    assert not taken_back & set(world.log)


async def test_what_was_reverted_long_ago_is_reverted_again_before_it_counts(skipping: Client) -> None:
    """The backup server is away for more than ten minutes; a vCenter remembers no power-on for longer."""
    world = World(watched=False)
    world.fail[StepName.RELEASE_REPLICATION] = [ApplicationError("away", type="Unavailable")] * 45
    async with workers(skipping, world):
        handle = await start(skipping, {"vm": "erp-db-01", "undo_after": "1m"})
        report = await report_of(handle)
    assert report.state is ReplicaState.NORMAL and world.left_over() == set()
    assert world.log.count(StepName.REVERT_TO_LATEST) >= 2
    last = [
        s
        for s in world.log
        if s in (StepName.REVERT_TO_LATEST, StepName.MARK_NORMAL, StepName.CONFIRM_NORMAL)
    ][-3:]
    assert last == [StepName.REVERT_TO_LATEST, StepName.MARK_NORMAL, StepName.CONFIRM_NORMAL]


@pytest.mark.parametrize(
    "step",
    [
        StepName.POWER_OFF_REPLICA,
        StepName.REMOVE_PROVIDER_PROXY_ARP,
        StepName.REVERT_TO_LATEST,
        StepName.RELEASE_REPLICATION,
    ],
)
async def test_what_cannot_be_taken_back_stays_open_and_is_repaired(client: Client, step: StepName) -> None:
    world = World()
    world.refuse(step)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await handle.execute_update("undo", {})
        await in_state(handle, ReplicaState.FAILED_FAILOVER)
        assert "held" in world.effects, "replication may not go on while something is left over"
        await handle.execute_update("retry_compensation", {})
        report = await report_of(handle)
    assert report.state is ReplicaState.NORMAL
    assert world.left_over() == set()


@pytest.mark.parametrize(
    "step", [StepName.POWER_OFF_REPLICA, StepName.REVERT_TO_LATEST, StepName.DISCONNECT_NETWORKS]
)
async def test_a_failed_failover_that_cannot_be_taken_back_is_repaired(
    client: Client, step: StepName
) -> None:
    world = World()
    world.refuse(StepName.POWER_ON_REPLICA)
    world.refuse(step)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILED_FAILOVER)
        await handle.execute_update("retry_compensation", {})
        failure = await failure_of(handle)
    assert "no PowerOnReplica" in failure.message and "Everything was taken back" in failure.message
    assert world.left_over() == set()


async def test_left_over_accepted_as_is(client: Client) -> None:
    world = World()
    world.refuse(StepName.DISCONNECT_NETWORKS, times=9)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await handle.execute_update("undo", {})
        await in_state(handle, ReplicaState.FAILED_FAILOVER)
        await handle.execute_update("accept_as_is", {})
        report = await report_of(handle)
    assert report.state is ReplicaState.FAILED_FAILOVER
    assert len(report.left_over) == 1 and "no DisconnectNetworks" in report.left_over[0]
    assert world.effects == {"networks", "held"}


async def test_updates_in_the_wrong_state_are_refused(client: Client) -> None:
    world = World()
    world.block.add(StepName.POWER_ON_REPLICA)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.PROCESSING)
        for update in ("undo", "retry_compensation", "accept_as_is"):
            with pytest.raises(WorkflowUpdateFailedError) as caught:
                await handle.execute_update(update, {})
            assert "Processing" in str(caught.value.cause)
        world.block.clear()
        await in_state(handle, ReplicaState.FAILOVER)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await handle.execute_update("undo", {"raeson": "typo"})
        assert "raeson" in str(caught.value.cause)
        await handle.execute_update("undo", {})
        await handle.result()
    assert world.left_over() == set()


async def test_a_second_failover_of_the_same_vm_is_refused(client: Client) -> None:
    world = World()
    async with workers(client, world):
        first = await start(client, {"vm": "erp-db-01"})
        await in_state(first, ReplicaState.FAILOVER)
        second = await start(client, {"vm": "erp-db-01"})
        failure = await failure_of(second)
        assert failure.type == "AlreadyInFailover"
        assert {"on", "held"} <= world.effects, "the first is not touched"
        await first.execute_update("undo", {})
        await first.result()


async def test_all_problems_are_said_at_once(client: Client) -> None:
    world = World()
    world.problems = {
        "provider": (problem("ten networks", Who.PROVIDER),),
        "tenant": (problem("no such VM on the backup server"),),
    }
    async with workers(client, world):
        failure = await failure_of(await start(client, {"vm": "erp-db-01"}))
    assert failure.type == "NotReady"
    assert "ten networks" in failure.message and "backup server" in failure.message
    assert "Nothing was changed" in failure.message
    assert set(world.log) == {StepName.PLAN_FAILOVER, StepName.CHECK_TENANT_SITE}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"vmm": "erp-db-01"}, "vmm"),
        ({"vm": 7}, "vm"),
        ({"vm": "erp-db-01", "undo_after": "soon"}, "undo_after"),
        ({"vm": "erp-db-01", "restore_point": "yesterday"}, "restore_point"),
        ({"vm": ""}, "vm"),
        ("erp-db-01", "the whole input"),
        ([], "the whole input"),
    ],
)
async def test_wrong_json_is_refused_at_once(client: Client, data: object, says: str) -> None:
    async with workers(client, World()):
        failure = await failure_of(await start(client, data))
    assert failure.type == "PayloadValidationError"
    assert says in failure.message and '{"vm": "erp-db-01"}' in failure.message


async def test_no_input_is_refused(client: Client) -> None:
    async with workers(client, World()):
        failure = await failure_of(await start(client, None))
    assert failure.type == "BadRequest" and '{"vm": "erp-db-01"}' in failure.message


@pytest.mark.parametrize("extension", [Extension.NSX_EDGE, Extension.IPSEC, Extension.NONE])
async def test_without_appliances_their_steps_are_left_out(client: Client, extension: Extension) -> None:
    world = World(extension)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        assert world.effects == {"held", "on"}
        await handle.execute_update("undo", {})
        await handle.result()
    assert world.left_over() == set()
    assert not {s for s in world.log if "Appliance" in s or "Vpn" in s or "ProxyArp" in s or "Networks" in s}


async def test_one_end_alone_needs_the_other_ends_fingerprint(client: Client) -> None:
    world = World()
    world.tenant_appliance = False
    async with workers(client, world):
        failure = await failure_of(await start(client, {"vm": "erp-db-01"}))
    assert "peer_fingerprint" in failure.message


async def test_an_appliance_that_was_switched_off_meanwhile_is_started_over(client: Client) -> None:
    world = World()
    world.refuse(StepName.CONFIGURE_PROVIDER_PROXY_ARP, kind="ApplianceChanged", times=2)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        assert world.log.count(StepName.CONNECT_NETWORKS) == 3
        await handle.execute_update("undo", {})
        await handle.result()
    assert world.left_over() == set()


async def test_the_page_tells_state_steps_and_what_comes_next(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        page = (await handle.query("__temporal_workflow_metadata")).current_details
        assert "erp-db-01: Failover" in page and 'Update "undo"' in page
        assert "Revert erp-db-01\\_replica to one" in page
        await handle.execute_update("undo", {})
        await handle.result()
