"""What no single step can tell: whether this process gets work, and how each tenant stands.

Looks now and then, at Temporal and, where a failover runs, at its appliance and backup server.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.common import MetricMeter

from partial_failover.contracts.appliance import ApplianceStatus
from partial_failover.contracts.errors import FailoverError
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.replica import ReplicaState
from partial_failover.monitoring import logs
from partial_failover.monitoring.failover_test_metrics import FailoverTestMetrics, TestGauges
from partial_failover.monitoring.pollers import OF_ROLE, Work, polled
from partial_failover.temporal.search_attributes import ORIGINAL_VM, REPLICA_STATE

EVERY = 30.0
"""Seconds between two looks."""
UNTIL_POLLED = 2.0
"""Seconds between two looks until this process was seen to poll for the first time."""
AFTER_FAILURE = 300.0
"""Seconds until test records are read again that could not be read."""
LOOK_WITHIN = 20.0
"""Seconds for one look at one tenant."""
UNDER_WAY = f'ExecutionStatus = "Running" AND {REPLICA_STATE.name} IS NOT NULL'
HELD = (ReplicaState.PROCESSING, ReplicaState.FAILOVER, ReplicaState.FAILED_FAILOVER)
KINDS = {"PartialFailover": "failover", "VmFailoverTest": "test"}
"""By workflow type: what has a replica."""
GAUGES = {
    "failover_replicas": "Replicas by state, where a failover or a test runs",
    "failover_held_seconds": "For how long a failover or a test has had a VM",
    "failover_tunnel_wanted": "1 while a replica is in Failover, and the appliance is to have a tunnel",
    "failover_tunnel_connected": "1 while the tunnel is up",
    "failover_tunnel_unknown": "1 while the appliance cannot tell whether the tunnel is up",
    "failover_tunnel_large_lost": "1 while the tunnel lets small packets through and loses large ones",
    "failover_exclusions": "VMs that this product excluded from replication",
    "failover_pollers": "Worker processes that ask Temporal for this work",
    "failover_last_look": "When the other metrics of this tenant were true, in Unix time; 0: never yet",
}
log = logging.getLogger(__name__)


@dataclass
class Tenant:
    """One tenant of this process. `role`: the process's. `tunnel` and `holds` ask the tenant's appliance and
    backup server; `test_metrics` reads the replicas' test records.

    `last_poll`: when Temporal last saw this process ask for it, on the clock of `time.monotonic`.
    """

    client: Client
    role: str
    tunnel: Callable[[], Awaitable[ApplianceStatus]] | None = None
    holds: Callable[[], Awaitable[Sized]] | None = None
    test_metrics: FailoverTestMetrics | None = None
    last_poll: dict[Work, float] = field(default_factory=dict)
    shown: set[tuple[str, str, str]] = field(default_factory=set)
    """VM, state and kind of the gauges that were set, to be cleared when that is over."""

    @property
    def name(self) -> str:
        """Its namespace."""
        return self.client.namespace

    @property
    def polled(self) -> float:
        """When it last asked for the kind of work that it has not asked for the longest; 0: never."""
        return min(self.last_poll.get(work, 0.0) for work in OF_ROLE[self.role])


class TenantMonitor:
    """Looks at all tenants until it is cancelled. `alive`: when the event loop last turned."""

    def __init__(self, tenants: Sequence[Tenant], meter: MetricMeter, outside: bool) -> None:
        """`outside`: look at more than pollers, for the metrics."""
        self.tenants, self._outside = tenants, outside
        self.alive = time.monotonic()
        self._gauge = {name: meter.create_gauge(name, text) for name, text in GAUGES.items()}
        self._test_gauges = TestGauges(meter)
        self._reading = asyncio.Semaphore(1)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._turn())
            for tenant in self.tenants:
                self._last_look(tenant, "failovers", 0)
                group.create_task(self._follow(tenant))
                if self._outside and tenant.test_metrics is not None:
                    self._last_look(tenant, "tests", 0)
                    group.create_task(self._follow_tests(tenant, tenant.test_metrics))

    async def _turn(self) -> None:
        while True:
            self.alive = time.monotonic()
            await asyncio.sleep(1)

    async def _follow(self, tenant: Tenant) -> None:
        logs.tenant.set(tenant.name)  # of this task alone
        while True:
            await self._try(tenant, "failovers", self._look(tenant))
            await asyncio.sleep(EVERY if tenant.polled else UNTIL_POLLED)

    async def _follow_tests(self, tenant: Tenant, metrics: FailoverTestMetrics) -> None:
        logs.tenant.set(tenant.name)
        while True:
            done = await self._try(tenant, "tests", metrics.look(self._test_gauges, self._reading))
            await asyncio.sleep(EVERY if done else AFTER_FAILURE)

    async def _try(self, tenant: Tenant, what: str, look: Awaitable[None]) -> bool:
        """A look that fails must not end the worker. What it would have shown stays as it was, so the time is
        shown beside it."""
        try:
            await look
        except Exception as error:
            log.warning("the tenant's %s could not be looked at: %s", what, type(error).__name__)
            return False
        self._last_look(tenant, what, time.time())
        return True

    def _last_look(self, tenant: Tenant, what: str, at: float) -> None:
        self._gauge["failover_last_look"].set(int(at), {"namespace": tenant.name, "what": what})

    async def _look(self, tenant: Tenant) -> None:
        async with asyncio.timeout(LOOK_WITHIN):
            await self._see_pollers(tenant)
            if not self._outside:
                return
            in_failover = await self._see_failovers(tenant)
            if tenant.tunnel is not None:
                await self._see_tunnel(tenant, tenant.tunnel, in_failover)
            if tenant.holds is not None:
                self._gauge["failover_exclusions"].set(len(await tenant.holds()), {"namespace": tenant.name})

    async def _see_pollers(self, tenant: Tenant) -> None:
        """The provider's worker looks for the tenant's site too: that one may be where nobody else looks."""
        own = OF_ROLE[tenant.role]
        everybody = [work for works in OF_ROLE.values() for work in works]
        for work in everybody if self._outside and tenant.role == PROVIDER else own:
            seen = await polled(tenant.client, work)
            attributes = {"namespace": tenant.name, "task_queue": work.queue, "kind": work.kind}
            self._gauge["failover_pollers"].set(seen.processes, attributes)
            tenant.last_poll[work] = max(tenant.last_poll.get(work, 0.0), seen.own)

    async def _see_failovers(self, tenant: Tenant) -> bool:
        """Gauges of what is under way; whether any replica is in Failover."""
        count = {(state, kind): 0 for state in HELD for kind in KINDS.values()}
        now_shown: set[tuple[str, str, str]] = set()
        async for run in tenant.client.list_workflows(UNDER_WAY):
            state = run.typed_search_attributes.get(REPLICA_STATE)
            vm = run.typed_search_attributes.get(ORIGINAL_VM) or run.id
            kind = KINDS.get(run.workflow_type, "")
            if (state, kind) not in count or state is None:
                continue
            count[ReplicaState(state), kind] += 1
            now_shown.add((vm, state, kind))
            held = (datetime.now(UTC) - run.start_time).total_seconds()
            self._held(tenant, vm, state, kind, max(1, round(held)))
        for (state, kind), number in count.items():
            attributes = {"namespace": tenant.name, "state": state.value, "kind": kind}
            self._gauge["failover_replicas"].set(number, attributes)
        for vm, state, kind in tenant.shown - now_shown:
            self._held(tenant, vm, state, kind, 0)
        tenant.shown = now_shown
        return count[ReplicaState.FAILOVER, "failover"] > 0

    def _held(self, tenant: Tenant, vm: str, state: str, kind: str, seconds: int) -> None:
        attributes = {"namespace": tenant.name, "vm": vm, "state": state, "kind": kind}
        self._gauge["failover_held_seconds"].set(seconds, attributes)

    async def _see_tunnel(
        self, tenant: Tenant, ask: Callable[[], Awaitable[ApplianceStatus]], in_failover: bool
    ) -> None:
        """Only while a replica is in Failover: otherwise the appliance is off, most of the time, and during
        a test too."""
        wanted = connected = unknown = large_lost = 0
        if in_failover:
            try:
                status = await ask()
                vpn = status.vpn
                wanted, connected = int(vpn.wanted), int(vpn.state == "connected")
                unknown = int(vpn.state == "unknown")
                large_lost = int(status.large == "lost")
            except FailoverError:
                wanted = 1
        attributes = {"namespace": tenant.name, "side": tenant.role}
        self._gauge["failover_tunnel_wanted"].set(wanted, attributes)
        self._gauge["failover_tunnel_connected"].set(connected, attributes)
        self._gauge["failover_tunnel_unknown"].set(unknown, attributes)
        self._gauge["failover_tunnel_large_lost"].set(large_lost, attributes)
