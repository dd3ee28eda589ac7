"""What a tenant's people do every day works through the gate: each kind of call, by SDK and command."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    CountSchedulesRequest,
    GetClusterInfoRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    ListScheduleMatchingTimesRequest,
)
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    ScheduleUpdate,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from lab.lab import Lab
from tests.deploy.commands import tool
from tests.deploy.gate import TENANT, Gate
from tests.waiting import PATIENCE, until

QUEUE = "of-the-provider"


@workflow.defn(sandboxed=False)
class Counter:
    """Ends at a hundred."""

    def __init__(self) -> None:
        self._sum = 0

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self._sum >= 100 and workflow.all_handlers_finished())
        return self._sum

    @workflow.signal
    def add(self, number: int) -> None:
        self._sum += number

    @workflow.update
    async def added(self, number: int) -> int:
        self._sum += number
        await workflow.sleep(timedelta(milliseconds=10))
        return self._sum

    @workflow.query
    def sum(self) -> int:
        return self._sum


@pytest.fixture(scope="module")
async def person(gate: Gate, lab: Lab) -> AsyncIterator[Client]:
    """Somebody of the tenant, while a worker of the provider's serves the workflow."""
    direct = await lab.client(TENANT)
    runner = UnsandboxedWorkflowRunner()
    async with Worker(direct, task_queue=QUEUE, workflows=[Counter], workflow_runner=runner):
        yield await gate.client(gate.person)


async def test_workflows_are_started_told_asked_and_looked_at(person: Client) -> None:
    started = await person.start_workflow(Counter.run, id="counter", task_queue=QUEUE)
    await started.signal(Counter.add, 1)
    again = await person.start_workflow(
        Counter.run, id="counter", task_queue=QUEUE, start_signal="add", start_signal_args=[2]
    )
    update = await again.start_update(Counter.added, 3, wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    assert await update.result() == await started.query(Counter.sum) == 6
    start = WithStartWorkflowOperation(
        Counter.run,
        id="counter",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    assert await person.execute_update_with_start_workflow(Counter.added, 94, start_workflow_operation=start)
    assert await started.result() == 100
    assert (await started.describe()).status is WorkflowExecutionStatus.COMPLETED
    events = (await started.fetch_history()).events
    backwards = await person.workflow_service.get_workflow_execution_history_reverse(
        GetWorkflowExecutionHistoryReverseRequest(
            namespace=TENANT, execution=WorkflowExecution(workflow_id="counter")
        )
    )
    assert backwards.history.events[0] == events[-1]


async def test_a_workflow_is_cancelled(person: Client) -> None:
    running = await person.start_workflow(Counter.run, id="given-up", task_queue=QUEUE)
    await running.cancel()
    with pytest.raises(WorkflowFailureError):
        await running.result()


async def test_workflows_are_listed_and_counted(person: Client) -> None:
    await (await person.start_workflow(Counter.run, id="listed", task_queue=QUEUE)).signal(Counter.add, 100)
    query = "WorkflowId = 'listed' AND ExecutionStatus = 'Completed'"

    async def listed() -> bool:
        return [run.id async for run in person.list_workflows(query)] == ["listed"]

    await until(listed)
    assert (await person.count_workflows(query)).count == 1


async def test_schedules_are_made_changed_triggered_and_deleted(person: Client) -> None:
    start = ScheduleActionStartWorkflow(Counter.run, id="scheduled", task_queue=QUEUE)
    handle = await person.create_schedule("nightly", Schedule(action=start, spec=ScheduleSpec()))
    await handle.update(lambda found: ScheduleUpdate(schedule=found.description.schedule))
    await handle.pause()
    await handle.trigger()

    async def ran() -> bool:
        return (await handle.describe()).info.num_actions == 1

    async def listed() -> bool:
        return [entry.id async for entry in await person.list_schedules()] == ["nightly"]

    await until(ran)
    await until(listed)
    assert (await person.workflow_service.count_schedules(CountSchedulesRequest(namespace=TENANT))).count == 1
    times = ListScheduleMatchingTimesRequest(namespace=TENANT, schedule_id="nightly")
    times.start_time.GetCurrentTime()
    times.end_time.GetCurrentTime()
    await person.workflow_service.list_schedule_matching_times(times)
    await handle.delete()


async def test_the_temporal_command_works_and_says_what_is_refused(person: Client, gate: Gate) -> None:
    running = await person.start_workflow(Counter.run, id="of-the-command", task_queue=QUEUE)

    async def temporal(*words: str) -> str:
        ran = await asyncio.to_thread(
            subprocess.run,
            [tool("temporal"), *words, "--namespace", TENANT, "--workflow-id", running.id],
            env={"PATH": "/usr/bin", "HOME": str(gate.folder), **gate.environment(gate.person)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return ran.stdout + ran.stderr

    assert "Counter" in await temporal("workflow", "describe")
    assert "WorkflowExecutionStarted" in await temporal("workflow", "show")
    said = await temporal("workflow", "terminate", "--reason", "tried")
    assert "TerminateWorkflowExecution is refused by the provider's gate" in said
    await temporal("workflow", "cancel")
    with pytest.raises(WorkflowFailureError):
        await running.result()
    assert (await person.workflow_service.get_cluster_info(GetClusterInfoRequest())).server_version
