"""Temporal servers, real and time-skipping."""

from collections.abc import AsyncIterator

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from lab.temporal_server import TemporalServer, test_server_path
from partial_failover.temporal.converter import data_converter
from partial_failover.temporal.search_attributes import REGISTRY


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
