"""Of one tenant's steps, those of a failover and its undo come first, those of a test next, looks last."""

from temporalio.client import Client

from partial_failover.contracts.replica import ReplicaState
from tests.workflows.conftest import client
from tests.workflows.runs import ONE, in_state, report_of, run_test, start, workers
from tests.workflows.testing_world import TestingWorld

__all__ = ["client"]


async def priorities(client: Client, workflow: str) -> set[int]:
    """Of all steps that it scheduled."""
    events = (await client.get_workflow_handle(workflow).fetch_history()).events
    scheduled = [e for e in events if e.HasField("activity_task_scheduled_event_attributes")]
    return {e.activity_task_scheduled_event_attributes.priority.priority_key for e in scheduled}


async def test_a_failover_and_its_undo_are_before_a_test_and_a_test_before_a_look(client: Client) -> None:
    async with workers(client, TestingWorld()):
        failover = await start(client, {"vm": "erp-db-01"})
        await in_state(failover, ReplicaState.FAILOVER)
        await failover.execute_update("undo", {})
        await report_of(failover)
        look = await start(client, {}, "ListReplicas")
        await look.result()
        await run_test(client, ONE)
        tests = [h.id async for h in client.list_workflows("WorkflowType = 'VmFailoverTest'")]
    found = [await priorities(client, workflow) for workflow in (failover.id, tests[0], look.id)]
    assert found == [{1}, {4}, {5}]
