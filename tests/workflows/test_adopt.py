"""Taking over a replica that a failover left which no longer runs."""

import pytest
from temporalio.client import Client

from partial_failover.contracts.plan import Adoption
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from tests.workflows.runs import failure_of, in_state, report_of, start, workers
from tests.workflows.world import World


@pytest.mark.parametrize("running", [True, False])
async def test_adopted_without_a_revert_and_undone_whole(client: Client, running: bool) -> None:
    world = World()
    world.left_by_a_failover(running)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01", "adopt": True})
        await in_state(handle, ReplicaState.FAILOVER)
        assert StepName.REVERT_SNAPSHOT not in world.log
        assert StepName.POWER_ON_REPLICA in world.log, "one that is on may be about to be switched off"
        assert world.written == "orders"
        await handle.execute_update("undo", {})
        report = await report_of(handle)
    assert report.state is ReplicaState.NORMAL
    assert world.left_over() == set()


@pytest.mark.parametrize(
    "step", [StepName.MARK_PROCESSING, StepName.CONNECT_NETWORKS, StepName.MARK_FAILOVER]
)
async def test_an_adoption_that_fails_loses_nothing(client: Client, step: StepName) -> None:
    world = World()
    world.left_by_a_failover(running=True)
    world.refuse(step)
    async with workers(client, world):
        failure = await failure_of(await start(client, {"vm": "erp-db-01", "adopt": True}))
    assert "was left as it is" in failure.message and '"adopt": true' in failure.message
    assert {"on", "held"} <= world.effects and world.written == "orders"
    assert not {StepName.POWER_OFF_REPLICA, StepName.REVERT_TO_LATEST, StepName.RELEASE_REPLICATION} & set(
        world.log
    )


async def test_an_adoption_that_fails_before_anything_was_written_ends_normal(client: Client) -> None:
    world = World()
    world.left_by_a_failover(running=False)
    world.adoption = Adoption(workflow_id="gone", run_id="gone", revert=True)
    world.marker, world.written = ReplicaState.PROCESSING, ""
    world.refuse(StepName.POWER_ON_REPLICA)
    async with workers(client, world):
        failure = await failure_of(await start(client, {"vm": "erp-db-01", "adopt": True}))
    assert "Everything was taken back" in failure.message
    assert world.left_over() == set()
