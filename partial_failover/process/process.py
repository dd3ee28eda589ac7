"""Everything that one process holds: a connection to Temporal, connectors, and the workers of its tenants."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any  # Any: each step has its own input and result

from temporalio.client import Client
from temporalio.worker import Worker

from partial_failover.contracts.version import VERSION
from partial_failover.monitoring.step_metrics import StepMonitor
from partial_failover.monitoring.tenant_monitor import Tenant
from partial_failover.process.worker_group import GRACE
from partial_failover.temporal.caller import CallerInterceptor
from partial_failover.temporal.client import client_for
from partial_failover.temporal.interceptors import ErrorInterceptor
from partial_failover.temporal.shares import Shares
from partial_failover.temporal.turns import TurnInterceptor

WORKFLOW_THREADS = 16
SLOTS = 100
"""Steps of one tenant that this process has taken: some run, the others wait for their turn. Of looks that
ask the same only those that are here are answered together."""
FEW = 4
"""Steps that one failover has under way at the same time, and some."""
Activities = Sequence[Callable[..., Any]]


class Process:
    """`tenants`: whom health and metrics are about. `close`: what to log out of at the end."""

    def __init__(self, base: Client, threads: int, tenants: int) -> None:
        """`threads`: steps that may block at the same time, over all `tenants`."""
        self.base = base
        self._several = tenants > 1
        self._places = Shares(threads, kept=threads // 4, few=FEW) if self._several else Shares(threads, 0)
        # No more threads than places: the SDK wants room for all that a worker may have taken.
        self._executor = ThreadPoolExecutor(max(threads, SLOTS), "step")
        self._workflow_executor = ThreadPoolExecutor(WORKFLOW_THREADS, "workflow")
        self.steps = StepMonitor()
        self.tenants: list[Tenant] = []
        self.workers: list[Worker] = []
        self.close: list[Callable[[], object]] = []

    def client(self, namespace: str) -> Client:
        """For one tenant's namespace."""
        return client_for(self.base, namespace)

    def operations(self, places: int) -> Shares:
        """Operations at one vCenter, which the tenants share. They are short: one place is kept free."""
        return Shares(places, kept=1 if self._several and places > 1 else 0)

    def add(
        self,
        client: Client,
        queue: str,
        activities: Activities,
        workflows: Sequence[type] = (),
        waiting: int | None = None,
    ) -> None:
        """Serve a task queue of a tenant. `waiting`: so many of its activities at the same time, all of them
        async, without a thread; None: in turn with those of the other tenants."""
        turns = [TurnInterceptor(self._places)] if waiting is None else []
        self.steps.clients[client.namespace] = client
        self.workers.append(
            Worker(
                client,
                task_queue=queue,
                workflows=workflows,
                activities=activities,
                activity_executor=self._executor if waiting is None else None,
                workflow_task_executor=self._workflow_executor,
                max_concurrent_workflow_tasks=WORKFLOW_THREADS // 2 if self._several else None,
                max_concurrent_activities=waiting or SLOTS,
                max_heartbeat_throttle_interval=timedelta(seconds=5),
                graceful_shutdown_timeout=GRACE,
                build_id=VERSION,
                interceptors=[self.steps, ErrorInterceptor(), CallerInterceptor(client), *turns],
            )
        )
