"""A run of a workflow over a small world: the workers, its start, and what it came to."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import Worker

from partial_failover.contracts.failover_test import FailoverTestReport
from partial_failover.contracts.queues import PROVIDER, PROVIDER_WATCH, TENANT_SITE, TENANT_SITE_WATCH
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.report import FailoverReport
from tests.waiting import PATIENCE, until
from tests.workflows.world import World
from worker import WORKFLOWS
from workflows.partial_failover import PartialFailover

Handle = WorkflowHandle[PartialFailover, object]

ONE = {"vms": ["erp-db-01"]}
"""The data of a test of one VM."""


@asynccontextmanager
async def workers(client: Client, world: World) -> AsyncIterator[None]:
    """Both workers over one world."""
    throttle = timedelta(seconds=0.2)
    queues: dict[str, Sequence[Callable[..., Any]]] = {  # Any: each step has its own input and result
        PROVIDER: world.provider(),
        PROVIDER_WATCH: [world.watch_replica],
        TENANT_SITE: world.tenant_site(),
        TENANT_SITE_WATCH: [world.watch],
    }
    async with AsyncExitStack() as stack:
        for queue, activities in queues.items():
            worker = Worker(
                client,
                task_queue=queue,
                workflows=WORKFLOWS if queue == PROVIDER else (),
                activities=activities,
                max_heartbeat_throttle_interval=throttle,
            )
            await stack.enter_async_context(worker)
        yield


async def start(client: Client, data: object, workflow: str = "PartialFailover") -> Handle:
    """Start by name, as the Web UI does."""
    return await client.start_workflow(workflow, data, id=f"{workflow}-{uuid.uuid4()}", task_queue=PROVIDER)


async def page(handle: Handle) -> str:
    """What the tenant reads in the Web UI."""
    return str((await handle.query("__temporal_workflow_metadata")).current_details)


async def page_says(handle: Handle, text: str) -> None:
    """Wait until it does."""

    async def says() -> bool:
        return text in await page(handle)

    await until(says)


async def in_failover(client: Client, world: World) -> Handle:
    """A failover that is watched, and the replica has been looked at."""
    handle = await start(client, {"vm": "erp-db-01"})
    await in_state(handle, ReplicaState.FAILOVER)
    await until(lambda: len(world.replica_watches) >= 2)
    return handle


async def in_state(handle: Handle, state: ReplicaState) -> None:
    """Wait until the workflow shows this state."""

    async def shows() -> bool:
        found = await handle.describe()
        return found.search_attributes.get("ReplicaState") == [state.value]

    await until(shows)


async def report_of(handle: Handle) -> FailoverReport:
    """The report of one that completed."""
    result = await handle.result()
    return FailoverReport.model_validate(result)


async def failure_of(handle: Handle) -> ApplicationError:
    """The failure of one that failed."""
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause


async def run_test(client: Client, data: object) -> FailoverTestReport:
    """Start a test and wait for its report."""
    handle = await start(client, data, "FailoverTest")
    return FailoverTestReport.model_validate(await asyncio.wait_for(handle.result(), PATIENCE))


async def child(client: Client, handle: Handle, vm: str = "erp-db-01") -> Handle:
    """The test of one VM, once it has begun."""
    found: Handle = client.get_workflow_handle(f"{handle.id}/{vm}")

    async def there() -> bool:
        try:
            await found.describe()
        except RPCError:
            return False
        return True

    await until(there)
    return found
