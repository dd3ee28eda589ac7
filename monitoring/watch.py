"""What no single step can tell: whether this process gets work, and how each tenant stands.

Looks now and then, at Temporal and, where a failover runs, at its appliance and backup server.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import MetricMeter

from contracts.appliance import ApplianceStatus
from contracts.errors import Fault
from contracts.replica import ReplicaState
from monitoring import logs
from workflows.search import ORIGINAL_VM, REPLICA_STATE

EVERY = 30.0
"""Seconds between two looks."""
UNTIL_POLLED = 2.0
"""Seconds between two looks until this process was seen to poll for the first time."""
LOOK_WITHIN = 20.0
"""Seconds for one look at one tenant."""
UNDER_WAY = f'ExecutionStatus = "Running" AND {REPLICA_STATE.name} IS NOT NULL'
HELD = (ReplicaState.PROCESSING, ReplicaState.FAILOVER, ReplicaState.FAILED_FAILOVER)
log = logging.getLogger(__name__)


@dataclass
class Tenant:
    """One tenant of this process. `tunnel` and `holds` ask the tenant's appliance and backup server.

    `polled`: when Temporal last saw this process ask for work, on the clock of `time.monotonic`; 0: never.
    """

    client: Client
    queue: str
    tunnel: Callable[[], Awaitable[ApplianceStatus]] | None = None
    holds: Callable[[], Awaitable[Sized]] | None = None
    polled: float = 0.0
    shown: set[tuple[str, str]] = field(default_factory=set)
    """VM and state of the gauges that were set, to be cleared when that is over."""

    @property
    def name(self) -> str:
        """Its namespace."""
        return self.client.namespace


class Watch:
    """Looks at all tenants until it is cancelled. `alive`: when the event loop last turned."""

    def __init__(self, tenants: Sequence[Tenant], meter: MetricMeter, outside: bool) -> None:
        """`outside`: ask appliances and backup servers too, for the metrics."""
        self.tenants, self._outside = tenants, outside
        self.alive = time.monotonic()
        self._gauge = {
            name: meter.create_gauge(name, text)
            for name, text in (
                ("failover_replicas", "Replicas by state, where a failover runs"),
                ("failover_held_seconds", "How long a failover has kept a VM, and its replication on hold"),
                ("failover_tunnel_wanted", "1 while the appliance is to have a tunnel"),
                ("failover_tunnel_connected", "1 while the tunnel is up"),
                ("failover_exclusions", "VMs that this product excluded from replication"),
            )
        }

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._turn())
            for tenant in self.tenants:
                group.create_task(self._follow(tenant))

    async def _turn(self) -> None:
        while True:
            self.alive = time.monotonic()
            await asyncio.sleep(1)

    async def _follow(self, tenant: Tenant) -> None:
        logs.tenant.set(tenant.name)  # of this task alone
        while True:
            try:
                async with asyncio.timeout(LOOK_WITHIN):
                    await self._look(tenant)
            except Exception as error:  # a look that fails must not end the worker
                log.warning("the tenant could not be looked at: %s", type(error).__name__)
            await asyncio.sleep(EVERY if tenant.polled else UNTIL_POLLED)

    async def _look(self, tenant: Tenant) -> None:
        await self._see_poller(tenant)
        if not self._outside:
            return
        under_way = await self._see_failovers(tenant)
        if tenant.tunnel is not None:
            await self._see_tunnel(tenant, tenant.tunnel, under_way)
        if tenant.holds is not None:
            self._gauge["failover_exclusions"].set(len(await tenant.holds()), {"namespace": tenant.name})

    async def _see_poller(self, tenant: Tenant) -> None:
        """Ask the server: it alone knows whether this process really gets work."""
        request = DescribeTaskQueueRequest(
            namespace=tenant.name,
            task_queue=TaskQueue(name=tenant.queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        answer = await tenant.client.workflow_service.describe_task_queue(request)
        for poller in answer.pollers:
            if poller.identity == tenant.client.identity:
                age = datetime.now(UTC) - poller.last_access_time.ToDatetime(UTC)
                tenant.polled = max(tenant.polled, time.monotonic() - age.total_seconds())

    async def _see_failovers(self, tenant: Tenant) -> bool:
        """Gauges of the failovers under way; whether there is any."""
        count = dict.fromkeys(HELD, 0)
        now_shown: set[tuple[str, str]] = set()
        async for run in tenant.client.list_workflows(UNDER_WAY):
            state = run.typed_search_attributes.get(REPLICA_STATE)
            vm = run.typed_search_attributes.get(ORIGINAL_VM) or run.id
            if state not in count:
                continue
            count[ReplicaState(state)] += 1
            now_shown.add((vm, state))
            held = (datetime.now(UTC) - run.start_time).total_seconds()
            self._held(tenant, vm, state, max(1, round(held)))
        for state, number in count.items():
            attributes = {"namespace": tenant.name, "state": state.value}
            self._gauge["failover_replicas"].set(number, attributes)
        for vm, state in tenant.shown - now_shown:
            self._held(tenant, vm, state, 0)
        tenant.shown = now_shown
        return bool(now_shown)

    def _held(self, tenant: Tenant, vm: str, state: str, seconds: int) -> None:
        attributes = {"namespace": tenant.name, "vm": vm, "state": state}
        self._gauge["failover_held_seconds"].set(seconds, attributes)

    async def _see_tunnel(
        self, tenant: Tenant, ask: Callable[[], Awaitable[ApplianceStatus]], under_way: bool
    ) -> None:
        """An appliance is asked only while a failover runs: otherwise it is off, most of the time."""
        wanted = connected = 0
        if under_way:
            try:
                vpn = (await ask()).vpn
                wanted, connected = int(vpn.wanted), int(vpn.state == "connected")
            except Fault:
                wanted = 1
        attributes = {"namespace": tenant.name, "side": tenant.queue}
        self._gauge["failover_tunnel_wanted"].set(wanted, attributes)
        self._gauge["failover_tunnel_connected"].set(connected, attributes)
