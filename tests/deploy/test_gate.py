"""What tenants may call of Temporal, and what not: real clients, the gate, a real server."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from inspect import isfunction
from pathlib import Path
from typing import Any  # Any: one of many requests
from unittest.mock import patch

import pytest
import temporalio.api.operatorservice.v1 as operator
import temporalio.api.workflowservice.v1 as api
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import OperatorService, RPCError, RPCStatusCode, WorkflowService
from temporalio.worker import Worker

from lab.lab import Lab
from partial_failover.cli.gate import PEOPLE, TENANT_SITE_WORKER
from tests.deploy.gate import TENANT, Gate
from tests.deploy.watched import Watched
from tests.e2e.driver import in_failover, undo
from tests.waiting import PATIENCE, until


@pytest.fixture(scope="module")
async def person(gate: Gate) -> Client:
    return await gate.client(gate.person)


@pytest.fixture(scope="module")
async def site(gate: Gate) -> Client:
    return await gate.client(gate.worker)


def calls(service: type, types: Any) -> Iterator[tuple[str, str, Any]]:
    """Every call that the SDK knows of a service: its function, its name, and an empty request."""
    for function in sorted(dir(service)):
        if isfunction(getattr(service, function)) and not function.startswith("_"):
            name = "".join(word.capitalize() for word in function.split("_"))
            yield function, name, getattr(types, f"{name}Request")()


ALL = {name for _, name, _ in calls(WorkflowService, api)} | {
    name for _, name, _ in calls(OperatorService, operator)
}


async def refused(call: Callable[[], Awaitable[object]]) -> str:
    """By the gate: its words, or nothing."""
    try:
        await call()
    except RPCError as error:
        if "the provider's gate" in error.message:
            assert error.status is RPCStatusCode.PERMISSION_DENIED
            return error.message
    return ""


async def all_refused(client: Client) -> set[str]:
    """Those of all calls of Temporal that are refused by the gate, which names each."""
    names = set[str]()
    for kind, types in ((WorkflowService, api), (OperatorService, operator)):
        service = client.workflow_service if kind is WorkflowService else client.operator_service
        for function, name, request in calls(kind, types):
            call = getattr(service, function)
            words = await refused(lambda c=call, r=request: c(r, timeout=timedelta(seconds=20)))  # type: ignore[misc]
            if words:
                assert words.startswith(f"{name} is refused by the provider's gate")
                names.add(name)
    return names


@pytest.mark.parametrize(("who", "listed"), [("person", PEOPLE), ("site", TENANT_SITE_WORKER)])
async def test_every_call_of_temporal_that_is_not_listed_is_refused(
    gate: Gate, person: Client, site: Client, who: str, listed: tuple[str, ...]
) -> None:
    client = {"person": person, "site": site}[who]
    names, before = {call.rpartition("/")[2] for call in listed}, len(gate.arrived())
    assert await all_refused(client) == ALL - names
    arrived = {line.split()[0].rpartition("/")[2] for line in gate.arrived()[before:]}
    assert arrived == names, "and nothing else came to Temporal"


def test_nothing_is_listed_that_ends_work_or_changes_what_is_the_providers() -> None:
    """Written down apart from the lists: whoever makes one longer is to think of it."""
    never = re.compile(
        r"Terminate|Reset|Delete(?!Schedule)|Pause|Batch|Deployment|BuildId|Versioning|Rule|Nexus|ById|Remove"
        r"|Add|Namespaces|(Update|Register|Deprecate)Namespace|ActivityExecution|UpdateActivity|WorkflowTask"
        r"|Options|Config|RespondQuery"
    )
    assert [call for call in {*PEOPLE, *TENANT_SITE_WORKER} if never.search(call)] == []
    of_workers = re.compile(r"Poll(?!WorkflowExecutionUpdate)|Respond|Record|Worker")
    assert [call for call in PEOPLE if of_workers.search(call)] == []


async def test_a_workflow_that_is_refused_its_end_goes_on(lab: Lab, person: Client, site: Client) -> None:
    direct = await lab.client(TENANT)
    running = await direct.start_workflow("Nobody", id="stays", task_queue="nobody")
    it = WorkflowExecution(workflow_id="stays", run_id=running.first_execution_run_id or "")
    for service in (person.workflow_service, site.workflow_service):
        terminate = api.TerminateWorkflowExecutionRequest(namespace=TENANT, workflow_execution=it)
        assert await refused(lambda s=service, r=terminate: s.terminate_workflow_execution(r))  # type: ignore[misc]
        delete = api.DeleteWorkflowExecutionRequest(namespace=TENANT, workflow_execution=it)
        assert await refused(lambda s=service, r=delete: s.delete_workflow_execution(r))  # type: ignore[misc]
        reset = api.ResetWorkflowExecutionRequest(
            namespace=TENANT, workflow_execution=it, workflow_task_finish_event_id=3, request_id="r"
        )
        assert await refused(lambda s=service, r=reset: s.reset_workflow_execution(r))  # type: ignore[misc]
    found = await running.describe()
    assert (found.status, found.run_id) == (WorkflowExecutionStatus.RUNNING, it.run_id)
    assert found.history_length == 2, "started, and scheduled"
    await running.terminate()


@activity.defn
async def answers() -> str:
    return "from the site"


async def test_a_tenant_site_worker_polls_for_steps_and_completes_them(lab: Lab, site: Client) -> None:
    direct = await lab.client(TENANT)
    async with Worker(site, task_queue="of-a-site", activities=[answers]):
        assert (
            await direct.execute_activity(
                answers, id="step", task_queue="of-a-site", start_to_close_timeout=timedelta(seconds=PATIENCE)
            )
            == "from the site"
        )


async def test_people_poll_for_nothing_and_a_tenant_site_worker_not_for_workflows(
    person: Client, site: Client
) -> None:
    queue = api.PollActivityTaskQueueRequest(namespace=TENANT, task_queue=TaskQueue(name="tenant-site"))
    of_workflows = api.PollWorkflowTaskQueueRequest(namespace=TENANT, task_queue=TaskQueue(name="provider"))
    assert "people" in await refused(lambda: person.workflow_service.poll_activity_task_queue(queue))
    assert "people" in await refused(lambda: person.workflow_service.poll_workflow_task_queue(of_workflows))
    assert "worker" in await refused(lambda: site.workflow_service.poll_workflow_task_queue(of_workflows))


async def test_a_failover_goes_all_its_way_by_what_its_people_and_its_site_may_call(
    lab: Lab, gate: Gate, person: Client, tmp_path: Path
) -> None:
    before = len(gate.seen())
    await asyncio.to_thread(lab.workers[TENANT].stop)
    with patch.dict(os.environ, gate.environment(gate.worker)):
        worker = Watched(lab, tmp_path, TENANT, gate.worker.address)
        await worker.start()
    try:
        await until(lambda: worker.healthy("/work"))
        ready = await person.execute_workflow("CheckReadiness", {}, id="ready", task_queue="provider")
        report = await undo(await in_failover(person, {"vm": "tps-01", "original_may_run": True}))
    finally:
        await asyncio.to_thread(worker.process.stop)
        lab.workers[TENANT].spawn()
        await asyncio.to_thread(lab.workers[TENANT].until_ready)
    assert ready["ready"] and report.state == "Normal"
    assert not [line for line in gate.seen()[before:] if line.endswith(" LR")]
