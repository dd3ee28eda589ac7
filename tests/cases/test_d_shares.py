"""D1, D2: what one tenant does by its own workflows takes nothing from another. Counted, not timed."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import pytest_asyncio
from temporalio import workflow
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowHandle

from activities.shared.steps import StepGroup, carries_out
from lab.temporal_server import TemporalServer
from partial_failover.contracts import steps
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.report import ReplicaList
from partial_failover.contracts.request import ListReplicasRequest
from partial_failover.process.process import Process
from partial_failover.process.worker_group import WorkerGroup
from partial_failover.temporal.client import client_for
from partial_failover.temporal.interceptors import attempt_ends
from tests.waiting import until
from workflows.list_replicas import ListReplicas

THREADS = 16
FLOOD = 60
"""More than there are threads."""


@workflow.defn(name="Flood", sandboxed=False)
class Flood:
    """Schedules one step many times at once, each with all the time in the world."""

    @workflow.run
    async def run(self, times: int) -> None:
        calls = [
            workflow.execute_activity(
                steps.INSPECT_REPLICAS.name.value,
                ListReplicasRequest(),
                task_queue=PROVIDER,
                start_to_close_timeout=timedelta(days=30),
            )
            for _ in range(times)
        ]
        await asyncio.gather(*calls)


class Looking(StepGroup):
    """The step of one tenant. It lasts as long as the test wants."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = 0
        self.lasts: list[float] = []

    @carries_out(steps.INSPECT_REPLICAS)
    def inspect(self, data: ListReplicasRequest) -> ReplicaList:
        """Takes a thread."""
        self.lasts.append(attempt_ends.get() - monotonic())
        self.begun += 1
        self.go_on.wait()
        return ReplicaList(replicas=(), read_at=datetime.now(UTC))


Handle = WorkflowHandle[ListReplicas, ReplicaList]


@dataclass
class Tenant:
    """Its namespace, its step, and the workflows that it started."""

    client: Client
    step: Looking

    async def flood(self, times: int) -> WorkflowHandle[Flood, None]:
        return await self.client.start_workflow(Flood.run, times, id="flood", task_queue=PROVIDER)

    async def list_replicas(self) -> Handle:
        named = f"list-{uuid.uuid4()}"
        return await self.client.start_workflow(ListReplicas.run, id=named, task_queue=PROVIDER)


@pytest_asyncio.fixture(loop_scope="session")
async def tenants(tmp_path: Path) -> AsyncIterator[dict[str, Tenant]]:
    """Two, of one process."""
    server = TemporalServer(tmp_path, namespaces=["acme", "globex"])
    await server.start()
    base = await Client.connect(server.address)
    process = Process(base, THREADS, tenants=2)
    found = {name: Tenant(client_for(base, name), Looking()) for name in server.namespaces}
    for tenant in found.values():
        process.add(tenant.client, PROVIDER, tenant.step.activities(PROVIDER), [Flood, ListReplicas])
    workers = WorkerGroup(process.workers, process.steps)
    yield found
    for tenant in found.values():
        tenant.step.go_on.set()
    await workers.stop()
    await server.stop()


async def test_d1_a_flood_of_steps_leaves_others_their_turns(tenants: dict[str, Tenant]) -> None:
    acme, globex = tenants["acme"], tenants["globex"]
    await acme.flood(FLOOD)
    await until(lambda: acme.step.begun == THREADS - THREADS // 4)
    few = await globex.flood(4)
    await until(lambda: globex.step.begun == 4)
    assert acme.step.begun == THREADS - THREADS // 4
    globex.step.go_on.set()
    await few.result()


async def test_d1_an_attempt_lasts_no_longer_than_its_step_may(tenants: dict[str, Tenant]) -> None:
    await tenants["acme"].flood(1)
    await until(lambda: tenants["acme"].step.lasts)
    assert max(tenants["acme"].step.lasts) <= steps.INSPECT_REPLICAS.budget.attempt.total_seconds()


async def test_d2_looks_that_arrive_together_are_answered_together(tenants: dict[str, Tenant]) -> None:
    acme = tenants["acme"]
    first = await acme.list_replicas()
    await until(lambda: acme.step.begun == 1)
    others = await asyncio.gather(*(acme.list_replicas() for _ in range(FLOOD)))
    for handle in others:
        await until(partial(taken, handle))
    acme.step.go_on.set()
    before = await first.result()
    answers = [await handle.result() for handle in others]
    assert acme.step.begun == 2 and before.read_at not in {a.read_at for a in answers}


async def taken(handle: Handle) -> bool:
    """Whether a worker has its step."""
    steps = (await handle.describe()).raw_description.pending_activities
    return any(step.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED for step in steps)
