"""When each VM's failover was tested last, and by when it must be tested again.

Read from what the replicas keep themselves and from the tenant's schedules, so that nothing is forgotten
when a worker is started again, and a schedule that stands still is noticed.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import Payload
from temporalio.client import Client, ScheduleActionStartWorkflow
from temporalio.common import MetricMeter

from partial_failover.contracts.failover_test import FailoverTestRequest, KeptTests, TestResult
from partial_failover.contracts.replica import CloudVm

READ_EVERY = 3600.0
"""Seconds. It is also read when a test has ended."""
READ_WITHIN = 300.0
"""Seconds for the records of one tenant: one call for each replica."""
WHEN_NOT_SAID = timedelta(days=35)
"""A schedule that somebody made by hand, without "period"."""
ENDED = 'WorkflowType = "VmFailoverTest" AND ExecutionStatus != "Running"'
UNKNOWN = math.nan
"""A metric cannot be taken back; no alert fires on this value."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedTest:
    """A schedule as far as it says who must be tested. `vms`: by the originals' names; none: all."""

    vms: tuple[str, ...]
    period: timedelta
    since: datetime

    def due(self, last: datetime | None) -> datetime:
        """When the next test must have ended."""
        return max(last or self.since, self.since) + self.period


@dataclass(frozen=True)
class TestTimes:
    """Of one VM, in Unix time. `due`: NaN where nobody wants it to be tested."""

    __test__ = False

    last: float
    last_failed: float
    due: float


@dataclass
class FailoverTestMetrics:
    """One tenant's. `replicas` lists them, `kept` reads what one of them keeps; both block.

    `ended`: tests that had ended when it was read last, at `read_at` of the clock of `time.monotonic`.
    `shown`: the VMs that were.
    """

    __test__ = False
    client: Client
    replicas: Callable[[], Sequence[CloudVm]]
    kept: Callable[[CloudVm], KeptTests]
    ended: int = -1
    read_at: float = -math.inf
    shown: set[str] = field(default_factory=set)

    async def look(self, gauges: "TestGauges", turn: asyncio.Semaphore) -> None:
        """Read and show, if there can be anything new. `turn`: one tenant at a time is read."""
        ended = (await self.client.count_workflows(ENDED)).count
        if ended == self.ended and time.monotonic() - self.read_at < READ_EVERY:
            return
        async with turn, asyncio.timeout(READ_WITHIN):
            replicas = await asyncio.to_thread(self.replicas)
            # One by one, so that a worker that ends stops between two of them.
            kept = [await asyncio.to_thread(self.kept, vm) for vm in replicas]
            times = times_by_vm(kept, await plans(self.client))
        gone = {vm: TestTimes(UNKNOWN, UNKNOWN, UNKNOWN) for vm in self.shown - set(times)}
        for vm, of_vm in (times | gone).items():
            gauges.set(self.client.namespace, vm, of_vm)
        self.ended, self.read_at, self.shown = ended, time.monotonic(), set(times)


class TestGauges:
    """The metrics."""

    __test__ = False

    def __init__(self, meter: MetricMeter) -> None:
        gauge = meter.create_gauge_float
        self._last = gauge("failover_test_last_run", "When the last failover test ended; 0: never tested")
        self._failed = gauge("failover_test_last_failed", "When the last one that failed ended; 0: none")
        self._due = gauge("failover_test_due", "When the next failover test must have ended")

    def set(self, namespace: str, vm: str, times: TestTimes) -> None:
        """Of one VM."""
        attributes = {"namespace": namespace, "vm": vm}
        self._last.set(times.last, attributes)
        self._failed.set(times.last_failed, attributes)
        self._due.set(times.due, attributes)


def times_by_vm(kept: Sequence[KeptTests], planned: Sequence[PlannedTest]) -> dict[str, TestTimes]:
    """Of each VM that was tested, or is to be: also of one that is planned and has no replica."""
    times = {}
    for replica in kept:
        names = {replica.vm, replica.replica}
        wanted = [p for p in planned if not p.vms or names & set(p.vms)]
        if wanted or replica.records.tests:
            times[replica.vm] = _times(replica, wanted)
    known = {name for replica in kept for name in (replica.vm, replica.replica)}
    for plan in planned:
        for vm in set(plan.vms) - known:
            times[vm] = TestTimes(0, 0, plan.due(None).timestamp())
    return times


def _times(replica: KeptTests, wanted: Sequence[PlannedTest]) -> TestTimes:
    tests = replica.records.tests
    last = tests[0] if tests else None
    due = [plan.due(last.at if last else None) for plan in wanted]
    if last is not None and last.period_s is not None and not due:
        due = [last.at + timedelta(seconds=last.period_s)]
    failed = next((t.at.timestamp() for t in tests if t.result is TestResult.FAILED), 0.0)
    return TestTimes(
        last=last.at.timestamp() if last else 0.0,
        last_failed=failed,
        due=min(due).timestamp() if due else UNKNOWN,
    )


async def plans(client: Client) -> list[PlannedTest]:
    """All schedules of a namespace that test failovers, whoever made them, and also those that are paused."""
    planned = []
    async for entry in await client.list_schedules():
        schedule = await client.get_schedule_handle(entry.id).describe()
        action = schedule.schedule.action
        if isinstance(action, ScheduleActionStartWorkflow) and action.workflow == "FailoverTest":
            request = await _request(client, action)
            since = schedule.info.created_at.astimezone(UTC)
            planned.append(PlannedTest(request.vms, request.period or WHEN_NOT_SAID, since))
    return planned


async def _request(client: Client, action: ScheduleActionStartWorkflow) -> FailoverTestRequest:
    """What each run is asked for. What cannot be read tests nothing, but is meant to test all."""
    payloads = [arg for arg in action.args if isinstance(arg, Payload)]
    try:
        (request,) = await client.data_converter.decode(payloads, [FailoverTestRequest])
    except Exception as error:  # whatever somebody typed
        log.warning("the input of the schedule's %s cannot be read: %s", action.id, type(error).__name__)
        return FailoverTestRequest()
    return request if isinstance(request, FailoverTestRequest) else FailoverTestRequest()
