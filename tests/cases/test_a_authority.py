"""Who may act, and what is believed."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any  # Any: JSON, as anybody may send it

import pytest
from temporalio.api.common.v1 import ActivityType, Payloads
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartActivityExecutionRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError

from lab.lab import Lab
from partial_failover.contracts.queues import PROVIDER, TENANT_SITE
from partial_failover.contracts.run import lock_id
from partial_failover.contracts.step import StepName
from partial_failover.temporal.converter import data_converter
from tests.cases.intruder import QUEUE, intruder
from tests.e2e.conftest import as_found
from tests.e2e.driver import Handle, failure_of, in_failover, start, undo
from tests.waiting import until

__all__ = ["as_found"]
VM = "erp-db-01"
TAKING_IT_BACK = (
    StepName.MARK_PROCESSING,
    StepName.POWER_OFF_REPLICA,
    StepName.REVERT_TO_LATEST,
    StepName.MARK_NORMAL,
    StepName.CONFIRM_NORMAL,
)


@pytest.fixture
async def failover(acme: Client) -> AsyncIterator[Handle]:
    """A failover of which somebody reads the history; undone at the end as if nothing had been tried."""
    handle = await in_failover(acme, {"vm": VM})
    yield handle
    assert (await undo(handle)).state == "Normal"


async def inputs(handle: Handle) -> dict[str, dict[str, Any]]:
    """What each step was told, as its history shows it to whoever may read it."""
    told = {}
    async for event in handle.fetch_history_events():
        if event.HasField("activity_task_scheduled_event_attributes"):
            scheduled = event.activity_task_scheduled_event_attributes
            told[scheduled.activity_type.name] = data_converter.payload_converter.from_payload(
                scheduled.input.payloads[0], dict
            )
    return told


async def refusal_of(client: Client, step: str, queue: str, data: dict[str, Any]) -> ApplicationError:
    """What a step says to an intruder's workflow."""
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow(
            "Intruder", [[step, queue, data]], id=f"intruder-{uuid.uuid4()}", task_queue=QUEUE
        )
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, ApplicationError), caught.value.cause.cause
    return caught.value.cause.cause


def undoing(told: dict[str, dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every step of an undo, and a release with a proof that the intruder wrote."""
    mark = told[StepName.MARK_PROCESSING]
    now, key = datetime.now(UTC).isoformat(), {name: mark[name] for name in ("replica_id", "run")}
    nics = told[StepName.REVERT_SNAPSHOT]["nics"]
    more: dict[str, dict[str, Any]] = {
        StepName.MARK_PROCESSING: {"discard": True},
        StepName.REVERT_TO_LATEST: {"not_before": now, "nics": nics},
    }
    calls = [(str(step), PROVIDER, {**key, **more.get(step, {})}) for step in TAKING_IT_BACK]
    proof = {**key, "restore_point": told[StepName.REVERT_SNAPSHOT]["point"], "read_at": now}
    release = {**key, "target": told[StepName.HOLD_REPLICATION]["target"], "proof": proof}
    return [*calls, (StepName.RELEASE_REPLICATION, TENANT_SITE, release)]


async def test_a1_no_workflow_acts_in_the_name_of_another_run(
    lab: Lab, acme: Client, failover: Handle
) -> None:
    calls, before = undoing(await inputs(failover)), lab.centre.state()
    async with intruder(acme):
        for step, queue, data in calls:
            refused = await refusal_of(acme, step, queue, data)
            assert refused.type == "ForeignRun" and refused.non_retryable, (step, refused)
            assert lab.centre.state() == before, step


async def test_a1_no_workflow_acts_on_a_replica_that_it_does_not_hold(
    lab: Lab, acme: Client, failover: Handle
) -> None:
    """Under its own name, then. It does not even learn anything."""
    calls, before = undoing(await inputs(failover)), lab.centre.state()
    async with intruder(acme):
        for step, queue, data in calls:
            refused = await refusal_of(acme, step, queue, {**data, "run": "own"})
            assert refused.type == "LostLock" and refused.non_retryable, (step, refused)
        assert lab.centre.state() == before


async def test_a2_a_step_without_a_workflow_is_refused(lab: Lab, acme: Client, failover: Handle) -> None:
    told, before = await inputs(failover), lab.centre.state()
    data = {**told[StepName.MARK_PROCESSING], "discard": True}
    payload = data_converter.payload_converter.to_payload(data)
    name = f"alone-{uuid.uuid4()}"
    request = StartActivityExecutionRequest(
        namespace=acme.namespace,
        activity_id=name,
        activity_type=ActivityType(name=StepName.MARK_FAILED_FAILOVER),
        task_queue=TaskQueue(name=PROVIDER),
        input=Payloads(payloads=[payload]),
    )
    request.start_to_close_timeout.FromSeconds(60)
    await acme.workflow_service.start_activity_execution(request)
    handle = acme.get_activity_handle(name)
    with pytest.raises(Exception) as caught:  # the SDK's own, of an experimental part
        await handle.result()
    assert isinstance(caught.value.__cause__, ApplicationError), caught.value
    assert caught.value.__cause__.type == "ForeignRun"
    assert lab.centre.state() == before


async def test_a3_a_lock_that_a_person_started_ends_at_once(lab: Lab, acme: Client) -> None:
    replica = lab.centre.cloud.vm(f"{VM}_replica").id
    lock = await acme.start_workflow("ReplicaLock", id=lock_id(replica), task_queue=PROVIDER)
    refused = await failure_of(lock)
    assert refused.type == "BadRequest" and "a failover takes the lock" in refused.message
    await undo(await in_failover(acme, {"vm": VM}))


@pytest.mark.parametrize(
    ("workflow", "data"),
    [
        ("PartialFailover", {"vm": VM}),
        ("FailoverTest", {"vms": [VM]}),
        ("VmFailoverTest", {"vm": VM}),
        ("ListReplicas", {}),
        ("CheckReadiness", {}),
    ],
)
async def test_a3_no_other_workflow_takes_the_id_of_a_lock(
    lab: Lab, acme: Client, workflow: str, data: object
) -> None:
    replica = lab.centre.cloud.vm(f"{VM}_replica").id
    handle: Handle = await acme.start_workflow(workflow, data, id=lock_id(replica), task_queue=PROVIDER)
    refused = await failure_of(handle)
    assert refused.type == "BadRequest" and lock_id(replica) in refused.message


async def test_a3_who_sits_on_a_lock_is_named(lab: Lab, acme: Client) -> None:
    """A workflow that the product's workers do not know, so that nobody ends it."""
    replica = lab.centre.cloud.vm(f"{VM}_replica").id
    squatter = await acme.start_workflow("Squatter", id=lock_id(replica), task_queue=QUEUE)
    try:
        refused = await failure_of(await start(acme, {"vm": VM}))
        assert refused.type == "NotReady" and f"End the workflow {lock_id(replica)}" in refused.message
    finally:
        await squatter.terminate()

    async def ended() -> bool:
        return (await squatter.describe()).close_time is not None

    await until(ended)
