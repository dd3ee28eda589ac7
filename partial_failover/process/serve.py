"""A worker process from its start to its end."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from temporalio.runtime import Runtime

from partial_failover.monitoring import logs
from partial_failover.monitoring.health import Health
from partial_failover.monitoring.tenant_monitor import TenantMonitor
from partial_failover.process import lifecycle
from partial_failover.process.process import Process
from partial_failover.process.worker_group import WorkerGroup
from partial_failover.settings import WorkerSettings
from partial_failover.temporal.client import connect
from partial_failover.temporal.namespaces import require_provisioned

log = logging.getLogger("worker")

Compose = Callable[[Process, WorkerSettings], None]
"""Adds to a process what its settings ask for: connectors, workflows and activities."""


async def serve(settings: WorkerSettings, compose: Compose) -> int:
    """Run until SIGTERM or SIGINT, then let running steps come to a place where they can stop.

    Returns the exit code: 1 when a worker failed for good, else 0.
    """
    logs.serves([tenant.namespace for tenant in settings.tenants])
    base = await connect(settings.temporal, settings.metrics_address)
    for tenant in settings.tenants:
        await require_provisioned(base, tenant.namespace)
    # For what async steps do in threads: by default there are as few as the machine has cores, and some.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(settings.threads, "beside"))
    process = Process(base, settings.threads, len(settings.tenants))
    compose(process, settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _monitored(process, settings) as health:
        workers = WorkerGroup(process.workers, process.steps)
        names = ", ".join(t.namespace for t in settings.tenants)
        log.info("role %s serves %s", settings.role, names)
        code = await workers.work(stop)
        lifecycle.end_after(lifecycle.ENDS_WITHIN, code)
        if health is not None:
            health.stopping = True
        await workers.stop()
    await lifecycle.close(process.close)
    return code


@asynccontextmanager
async def _monitored(process: Process, settings: WorkerSettings) -> AsyncIterator[Health | None]:
    """Health and the tenants' metrics, where an address for them is configured."""
    if settings.health_address is None and settings.metrics_address is None:
        yield None
        return
    runtime = process.base.service_client.config.runtime or Runtime.default()
    monitor = TenantMonitor(
        process.tenants, runtime.metric_meter, outside=settings.metrics_address is not None
    )
    health = Health(settings.health_address, monitor, process.steps) if settings.health_address else None
    task = asyncio.create_task(monitor.run())
    try:
        yield health
    finally:
        task.cancel()
        if health is not None:
            health.close()
