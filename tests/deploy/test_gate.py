"""What tenants may call of Temporal, and what not: real clients, the gate, a real server."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from inspect import isfunction
from typing import Any  # Any: one of many requests

import pytest
import temporalio.api.operatorservice.v1 as operator
import temporalio.api.workflowservice.v1 as workflow_api
from temporalio.client import Client
from temporalio.service import OperatorService, RPCError, RPCStatusCode, WorkflowService

from lab.lab import Lab
from partial_failover.cli.gate import PEOPLE, TENANT_SITE_WORKER
from tests.deploy.gate import Gate


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
