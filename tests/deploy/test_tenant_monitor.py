"""What a worker shows of its tenants: looked at when it has just been started, as after a rollout."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sized
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import time

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import Worker

from lab.lab import Lab
from partial_failover.contracts.errors import Unavailable
from partial_failover.contracts.failover_test import FailoverTestRequest
from partial_failover.contracts.schedule import TestSchedule
from partial_failover.monitoring.health import Health
from partial_failover.monitoring.step_metrics import StepMonitor
from partial_failover.monitoring.tenant_monitor import Tenant, TenantMonitor
from partial_failover.temporal.namespaces import Wanted, provision
from partial_failover.temporal.schedules import put
from tests.deploy.watched import Watched, lines_of, metered_client, value
from tests.waiting import PATIENCE, NotYet, page, until
from workflows.lock import ReplicaLock


@activity.defn
async def nothing() -> None:
    """A step."""


@asynccontextmanager
async def watching(
    lab: Lab, namespace: str, role: str, holds: Callable[[], Awaitable[Sized]] | None = None
) -> AsyncIterator[tuple[TenantMonitor, str]]:
    """A watch in this process, of a namespace that is made for it; and where its metrics are."""
    await provision(await lab.client("acme"), [Wanted(namespace, "", timedelta(days=1))])
    client, metrics = await metered_client(lab, namespace)
    meter = client.service_client.config.runtime
    assert meter is not None
    watch = TenantMonitor([Tenant(client, role, holds=holds)], meter.metric_meter, outside=True)
    task = asyncio.create_task(watch.run())
    try:
        yield watch, metrics
    finally:
        task.cancel()


async def has(metrics: str, name: str, **labels: str) -> bool:
    return value(await lines_of(metrics), name, **labels) is not None


@asynccontextmanager
async def started(lab: Lab, folder: Path) -> AsyncIterator[Watched]:
    """A provider's worker more, when it has looked at acme for the first time."""
    worker = Watched(lab, folder)
    await worker.start()
    try:
        await until(lambda: looked(worker, "failovers"))
        await until(lambda: looked(worker, "tests"))
        yield worker
    finally:
        await asyncio.to_thread(worker.process.stop)


async def looked(worker: Watched, what: str) -> bool:
    at = value(await worker.measured(), "failover_last_look", namespace="acme", what=what)
    return at is not None and abs(time() - at) < 60


async def shown(worker: Watched, name: str, **labels: str) -> float | None:
    return value(await worker.measured(), name, **labels)


async def test_a_restarted_worker_knows_what_was_tested_and_what_is_overdue(lab: Lab, tmp_path: Path) -> None:
    acme, initech = await lab.client("acme"), await lab.client("initech")
    request = {"vms": ["tps-01"], "checks": ["power"], "rpo": "1s"}
    failed = await initech.execute_workflow("FailoverTest", request, id="too-old", task_queue="provider")
    assert failed["result"] == "failed"
    weekly = TestSchedule(
        every=timedelta(days=7), paused=True, test=FailoverTestRequest(vms=("mail-01", "never-replicated"))
    )
    await put(acme, "weekly", weekly)
    await until(lambda: is_listed(acme, "weekly"))
    try:
        async with started(lab, tmp_path) as worker:
            await until(lambda: is_shown(worker, "tps-01"))
            vm = {"namespace": "initech", "vm": "tps-01"}
            last = await shown(worker, "failover_test_last_run", **vm)
            assert last and time() - last < 120
            assert await shown(worker, "failover_test_last_failed", **vm) == last
            due = [await shown(worker, "failover_test_due", vm=vm) for vm in weekly.test.vms]
            assert all(at is not None and abs(at - time() - 7 * 86400) < 7200 for at in due)
            assert await shown(worker, "failover_test_last_run", vm="mail-01") == 0
            assert await shown(worker, "failover_test_last_run", vm="crm-db-01") is None, "nobody wants it"
            request["rpo"] = "100d"
            await initech.execute_workflow("FailoverTest", request, id="passes", task_queue="provider")
            await until(lambda: is_newer(worker, last or 0))
            assert await shown(worker, "failover_test_last_failed", **vm) == last
    finally:
        await acme.get_schedule_handle("weekly").delete()


async def is_listed(client: Client, schedule: str) -> bool:
    """The server lists a new one a moment later."""
    return schedule in [found.id async for found in await client.list_schedules()]


async def is_shown(worker: Watched, vm: str) -> bool:
    return await shown(worker, "failover_test_last_run", vm=vm) is not None


async def is_newer(worker: Watched, than: float) -> bool:
    return (await shown(worker, "failover_test_last_run", vm="tps-01") or 0) > than


async def test_a_test_is_no_failover_and_wants_no_tunnel(lab: Lab, tmp_path: Path) -> None:
    """Its appliance is off: that is as it should be."""
    client = await lab.client("acme")
    checks = [{"check": "uptime", "at_least": "2m"}]
    request = {"vms": ["erp-db-01"], "checks": checks}
    handle = await client.start_workflow("FailoverTest", request, id="long", task_queue="provider")

    async def under_test() -> bool:
        found = [w async for w in client.list_workflows('ReplicaState = "Processing"')]
        return bool(found)

    await until(under_test)
    try:
        async with started(lab, tmp_path) as worker:
            state = {"namespace": "acme", "state": "Processing"}
            assert await shown(worker, "failover_replicas", **state, kind="test") == 1
            assert await shown(worker, "failover_replicas", **state, kind="failover") == 0
            assert await shown(worker, "failover_held_seconds", vm="erp-db-01", kind="test", **state)
            assert await shown(worker, "failover_tunnel_wanted", namespace="acme") == 0
    finally:
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(handle.result(), PATIENCE)


async def test_the_provider_sees_that_a_tenants_site_has_no_worker(lab: Lab, tmp_path: Path) -> None:
    """That one runs where the provider's Prometheus does not look."""
    async with started(lab, tmp_path) as worker:
        site = {"namespace": "globex", "task_queue": "tenant-site", "kind": "activity"}
        await until(lambda: has(worker.metrics_page, "failover_pollers", **site))
        assert await shown(worker, "failover_pollers", **site) == 1
    async with watching(lab, "lonely", "provider") as (_, metrics):
        last = {"namespace": "lonely", "task_queue": "tenant-site-watch", "kind": "activity"}
        await until(lambda: has(metrics, "failover_pollers", **last))
        for queue in ("tenant-site", "tenant-site-watch"):
            assert value(await lines_of(metrics), "failover_pollers", **{**last, "task_queue": queue}) == 0


async def test_a_process_that_polls_for_steps_alone_does_not_get_work(lab: Lab) -> None:
    async with watching(lab, "halved", "provider") as (watch, metrics):
        health, client = Health("127.0.0.1:0", watch, StepMonitor()), watch.tenants[0].client
        steps = Worker(client, task_queue="provider", activities=[nothing])
        flows = Worker(client, task_queue="provider", workflows=[ReplicaLock])
        looks = Worker(client, task_queue="provider-watch", activities=[nothing])
        queue = {"namespace": "halved", "task_queue": "provider"}
        async with steps, looks:
            await until(lambda: polls(metrics, **queue, kind="activity"))
            assert not await polls(metrics, **queue, kind="workflow")
            with pytest.raises(NotYet, match=": 503 "):
                await gets_work(health)
            async with flows:
                await until(lambda: gets_work(health))
        health.close()


async def polls(metrics: str, **labels: str) -> bool:
    return value(await lines_of(metrics), "failover_pollers", **labels) == 1


async def gets_work(health: Health) -> bool:
    return bool(await page(f"http://127.0.0.1:{health.port}/work"))


async def test_what_could_not_be_looked_at_has_an_old_time(lab: Lab) -> None:
    async def refused() -> Sized:
        raise Unavailable("The backup server does not answer")

    async with watching(lab, "unseen", "tenant-site", refused) as (_, metrics):
        await until(lambda: has(metrics, "failover_pollers"))
        await asyncio.sleep(3)
        assert value(await lines_of(metrics), "failover_last_look", namespace="unseen") == 0
