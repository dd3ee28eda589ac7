"""What a tenant does and sees: start, read state, page and timeline, undo."""

import asyncio
import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any  # Any: JSON values, as the Web UI sends and shows them

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.report import FailoverReport
from partial_failover.contracts.step import StepName
from partial_failover.temporal.converter import data_converter
from tests.examples import ROOT
from tests.waiting import PATIENCE, until

HISTORIES = ROOT / "tests" / "histories"
SCRUBBED = {"identity": "worker", "stackTrace": ""}
"""What says where a history was recorded, and is of no use to a replay."""

Handle = WorkflowHandle[Any, Any]
_started: list[Handle] = []


@dataclass(frozen=True)
class Row:
    """One row of the timeline: numbers of the events that scheduled and completed it."""

    step: str
    summary: str
    queue: str
    scheduled: int
    completed: int | None


async def start(client: Client, data: object, workflow: str = "PartialFailover") -> Handle:
    """Start by name with plain JSON, as the Web UI does."""
    name = f"{workflow}-{uuid.uuid4()}"
    handle: Handle = await client.start_workflow(workflow, data, id=name, task_queue=PROVIDER)
    _started.append(handle)
    return handle


async def end_all() -> None:
    """Take back what a failed test left running, so that the next test meets an untouched world."""
    while _started:
        handle = _started.pop()
        if (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
            await handle.cancel()
            await until(lambda h=handle: _closed(h))  # type: ignore[misc]  # mypy: lambda's default


async def _closed(handle: Handle) -> bool:
    return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING


async def in_state(handle: Handle, state: ReplicaState) -> None:
    """Wait until the search attribute says so; a failed workflow ends the wait at once."""

    async def shows() -> bool:
        found = await handle.describe()
        if found.search_attributes.get("ReplicaState") == [state.value]:
            return True
        if found.status is not WorkflowExecutionStatus.RUNNING:
            await handle.result()
            raise AssertionError(f"{handle.id} ended before it was {state}")
        return False

    await until(shows)


async def in_failover(client: Client, data: object) -> Handle:
    """Start a failover and wait until the replica is in Failover."""
    handle = await start(client, data)
    await in_state(handle, ReplicaState.FAILOVER)
    return handle


async def undo(handle: Handle) -> FailoverReport:
    """Send the Update, and wait for the report."""
    answer = await handle.execute_update("undo", {"reason": "the original is repaired"})
    assert "accepted" in answer["message"]
    return await report_of(handle)


async def report_of(handle: Handle) -> FailoverReport:
    """The report of a workflow that completes."""
    result = await asyncio.wait_for(handle.result(), PATIENCE)
    return FailoverReport.model_validate(result)


async def failure_of(handle: Handle, within: float = PATIENCE) -> ApplicationError:
    """The failure of a workflow that fails."""
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(handle.result(), within)
    assert isinstance(caught.value.cause, ApplicationError), caught.value.cause
    return caught.value.cause


async def page(handle: Handle) -> str:
    """The Markdown of the Web UI's User Metadata, without the spaces that widen its tables."""
    shown = str((await handle.query("__temporal_workflow_metadata")).current_details)
    return re.sub("[ \xa0]+", " ", shown)


async def timeline(handle: Handle) -> list[Row]:
    """All activities of a history, in the order in which they were scheduled."""
    history = await handle.fetch_history()
    completed = {
        e.activity_task_completed_event_attributes.scheduled_event_id: e.event_id
        for e in history.events
        if e.HasField("activity_task_completed_event_attributes")
    }
    return [
        Row(
            e.activity_task_scheduled_event_attributes.activity_type.name,
            data_converter.payload_converter.from_payload(e.user_metadata.summary, str),
            e.activity_task_scheduled_event_attributes.task_queue.name,
            e.event_id,
            completed.get(e.event_id),
        )
        for e in history.events
        if e.HasField("activity_task_scheduled_event_attributes")
    ]


def assert_order(rows: list[Row], *steps: StepName) -> None:
    """Each step was completed before the next one in `steps` was scheduled."""
    by_step = {row.step: row for row in rows}
    for one, then in pairwise(steps):
        completed = by_step[one].completed
        assert completed is not None and completed < by_step[then].scheduled, f"{one} is not before {then}"


async def record(name: str, handle: Handle) -> None:
    """Keep the history for the replay tests, where RECORD_HISTORIES is set."""
    if os.environ.get("RECORD_HISTORIES"):
        history = json.loads((await handle.fetch_history()).to_json())
        (HISTORIES / f"{name}.json").write_text(json.dumps(_scrubbed(history), separators=(",", ":")) + "\n")


def _scrubbed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: SCRUBBED[k] if k in SCRUBBED else _scrubbed(v) for k, v in value.items()}
    return [_scrubbed(v) for v in value] if isinstance(value, list) else value
