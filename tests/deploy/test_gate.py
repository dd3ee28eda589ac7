"""What tenants may call of Temporal, and what not: real clients, the gate, a real server."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from inspect import isfunction
from pathlib import Path
from typing import Any  # Any: one of many requests
from unittest.mock import patch

import pytest
import temporalio.api.operatorservice.v1 as operator
import temporalio.api.workflowservice.v1 as workflow_api
from temporalio.client import Client
from temporalio.service import OperatorService, RPCError, RPCStatusCode, WorkflowService

from lab.lab import Lab
from partial_failover.cli.gate import PEOPLE, TENANT_SITE_WORKER
from tests.deploy.gate import Gate
from tests.deploy.watched import Watched
from tests.e2e.driver import in_failover, undo
from tests.waiting import until


@pytest.fixture(scope="module")
async def gate(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    made = Gate(lab, tmp_path_factory.mktemp("gate"))
    await made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
async def person(gate: Gate) -> Client:
    return await gate.client(gate.person)


@pytest.fixture(scope="module")
async def worker(gate: Gate) -> Client:
    return await gate.client(gate.worker)


def calls(service: type, types: Any) -> Iterator[tuple[str, str, Any]]:
    """Every call that the SDK knows of a service: its function, its name, and an empty request."""
    for function in sorted(dir(service)):
        if isfunction(getattr(service, function)) and not function.startswith("_"):
            name = "".join(word.capitalize() for word in function.split("_"))
            yield function, name, getattr(types, f"{name}Request")()


async def answered(call: Any, request: Any) -> tuple[RPCStatusCode | None, str]:
    try:
        await call(request, timeout=timedelta(seconds=10))
    except RPCError as error:
        return error.status, error.message
    return None, ""


async def refused(client: Client) -> set[str]:
    """The calls of Temporal's whole interface that are refused by the gate."""
    names = set[str]()
    services = (
        (WorkflowService, client.workflow_service, workflow_api),
        (OperatorService, client.operator_service, operator),
    )
    for kind, service, types in services:
        for function, name, request in calls(kind, types):
            status, message = await answered(getattr(service, function), request)
            if "is refused by the provider's gate" in message:
                assert status is RPCStatusCode.PERMISSION_DENIED and message.startswith(f"{name} is")
                names.add(name)
    return names


ALL = {name for _, name, _ in calls(WorkflowService, workflow_api)}
OF_OPERATORS = {name for _, name, _ in calls(OperatorService, operator)}


@pytest.mark.parametrize("who", ["person", "worker"])
async def test_every_call_of_temporal_that_is_not_listed_is_refused(
    gate: Gate, person: Client, worker: Client, who: str
) -> None:
    client, allowed = {"person": (person, PEOPLE), "worker": (worker, TENANT_SITE_WORKER)}[who]
    before = len(gate.arrived())
    assert await refused(client) == (ALL | OF_OPERATORS) - set(allowed)
    arrived = {line.split()[0].rpartition("/")[2] for line in gate.arrived()[before:]}
    assert arrived == set(allowed), "nothing else reached Temporal"


async def test_a_failover_goes_all_its_way_by_what_its_people_and_its_site_may_call(
    lab: Lab, gate: Gate, person: Client, tmp_path: Path
) -> None:
    before = len(gate.seen())
    await asyncio.to_thread(lab.workers["initech"].stop)
    with patch.dict(os.environ, gate.environment(gate.worker)):
        site = Watched(lab, tmp_path, "initech", f"127.0.0.1:{gate.worker.port}")
        await site.start()
    try:
        await until(lambda: site.healthy("/work"))
        ready = await person.execute_workflow("CheckReadiness", {}, id="ready", task_queue="provider")
        report = await undo(await in_failover(person, {"vm": "tps-01", "original_may_run": True}))
    finally:
        await asyncio.to_thread(site.process.stop)
        lab.workers["initech"].spawn()
        await asyncio.to_thread(lab.workers["initech"].until_ready)
    print(ready, report)
    print("\n".join(sorted({" ".join(line.split()[1:5]) + " " + line.split()[-1] for line in gate.seen()[before:] if len(line.split())>4})))
    assert not [line for line in gate.seen()[before:] if line.endswith(" LR")]
