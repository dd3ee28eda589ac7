"""Temporal servers, real and time-skipping, and workers over a small world."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from lab.temporal_server import TemporalServer, test_server_path
from partial_failover.contracts.queues import PROVIDER, TENANT_SITE, TENANT_SITE_WATCH
from partial_failover.temporal.converter import data_converter
from partial_failover.temporal.search_attributes import REGISTRY
from tests.workflows.world import World
from worker import WORKFLOWS
from workflows.partial_failover import PartialFailover


@pytest.fixture(scope="session")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A client of a real server, with the product's search attributes."""
    folder = tmp_path_factory.mktemp("temporal")
    server = TemporalServer(folder, namespaces=["acme"])
    await server.start()
    yield await Client.connect(server.address, namespace="acme", data_converter=data_converter)
    await server.stop()


@pytest.fixture(scope="session")
async def skipping() -> AsyncIterator[Client]:
    """A client of the time-skipping server, with the product's search attributes."""
    path = test_server_path()
    env = await WorkflowEnvironment.start_time_skipping(
        data_converter=data_converter, test_server_existing_path=str(path) if path else None
    )
    async with env:
        types = dict.fromkeys(REGISTRY, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
        await env.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=env.client.namespace, search_attributes=types)
        )
        yield env.client


@asynccontextmanager
async def workers(client: Client, world: World) -> AsyncIterator[None]:
    """Both workers over one world."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=PROVIDER,
                workflows=WORKFLOWS,
                activities=world.provider(),
                max_heartbeat_throttle_interval=timedelta(seconds=0.2),
            )
        )
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=TENANT_SITE,
                activities=world.tenant_site(),
                max_heartbeat_throttle_interval=timedelta(seconds=0.2),
            )
        )
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=TENANT_SITE_WATCH,
                activities=[world.watch],
                max_heartbeat_throttle_interval=timedelta(seconds=0.2),
            )
        )
        yield


async def start(
    client: Client, data: object, workflow: str = "PartialFailover"
) -> "WorkflowHandle[PartialFailover, object]":
    """Start by name, as the Web UI does."""
    return await client.start_workflow(workflow, data, id=f"{workflow}-{uuid.uuid4()}", task_queue=PROVIDER)
