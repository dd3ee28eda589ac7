"""By when each VM must be tested again: from its own records, and from schedules, whoever made them."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Schedule, ScheduleActionStartWorkflow, ScheduleIntervalSpec, ScheduleSpec

from lab.lab import Lab
from partial_failover.contracts.failover_test import KeptTests, TestRecord, TestRecords, TestResult
from partial_failover.contracts.replica import CloudVm, Power
from partial_failover.monitoring.failover_test_metrics import (
    WHEN_NOT_SAID,
    FailoverTestMetrics,
    PlannedTest,
    TestGauges,
    plans,
    times_by_vm,
)
from partial_failover.temporal.namespaces import Wanted, provision
from tests.deploy.watched import lines_of, metered_client, value
from tests.waiting import NotYet, until

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(day: int) -> float:
    return (START + day * DAY).timestamp()


def kept(vm: str, *tests: TestRecord) -> KeptTests:
    """Newest first, as replicas keep them."""
    return KeptTests(vm=vm, replica=f"{vm}_replica", records=TestRecords(tests=tests))


def record(day: int, result: TestResult = TestResult.PASSED, period: timedelta | None = None) -> TestRecord:
    seconds = int(period.total_seconds()) if period else None
    return TestRecord(at=START + day * DAY, result=result, period_s=seconds)


def plan(*vms: str, days: int = 7, since: int = 0) -> PlannedTest:
    return PlannedTest(vms, days * DAY, START + since * DAY)


@pytest.mark.parametrize(
    ("tests", "planned", "due"),
    [
        ([], [plan("db")], at(7)),
        ([], [plan()], at(7)),
        ([], [plan("db_replica")], at(7)),
        ([record(3)], [plan("db")], at(10)),
        ([record(3)], [plan("db"), plan(days=1)], at(4)),
        ([record(3)], [plan("db", since=20)], at(27)),
        ([record(3)], [plan("web")], math.nan),
        ([record(3)], [], math.nan),
        ([record(3, period=2 * DAY)], [], at(5)),
        ([record(3), record(1, period=2 * DAY)], [], math.nan),
        ([record(3, period=2 * DAY)], [plan("db")], at(10)),
    ],
)
def test_when_a_vm_must_be_tested_again(
    tests: list[TestRecord], planned: list[PlannedTest], due: float
) -> None:
    times = times_by_vm([kept("db", *tests)], planned)["db"]
    assert times.due == due or (math.isnan(times.due) and math.isnan(due))
    assert times.last == (tests[0].at.timestamp() if tests else 0)


def test_what_failed_last_and_who_is_not_spoken_of() -> None:
    failed = TestResult.FAILED
    times = times_by_vm(
        [kept("a", record(5), record(3, failed)), kept("b", record(2, failed)), kept("c")], [plan("gone")]
    )
    assert (times["a"].last_failed, times["b"].last_failed) == (at(3), at(2))
    assert set(times) == {"a", "b", "gone"}
    assert (times["gone"].last, times["gone"].due) == (0, at(7))


async def test_schedules_that_somebody_made_by_hand_count_too(lab: Lab) -> None:
    await provision(await lab.client("acme"), [Wanted("by-hand", "", DAY)])
    client = await lab.client("by-hand")
    inputs = {"no-period": {"vms": ["db"]}, "period": {"period": "3d"}, "wrong": {"wms": ["db"]}}
    for name, given in inputs.items():
        action = ScheduleActionStartWorkflow("FailoverTest", given, id=name, task_queue="provider")
        every = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=30 * DAY)])
        await client.create_schedule(name, Schedule(action=action, spec=every))
    other = ScheduleActionStartWorkflow("ListReplicas", {}, id="other", task_queue="provider")
    await client.create_schedule("other", Schedule(action=other, spec=every))
    wanted = {(("db",), WHEN_NOT_SAID), ((), 3 * DAY), ((), WHEN_NOT_SAID)}

    async def are_listed() -> bool:
        """The server lists a new schedule a moment later."""
        listed = {(p.vms, p.period) for p in await plans(client)}
        if listed != wanted:
            raise NotYet(f"{listed}")
        return True

    await until(are_listed)


async def test_a_vm_that_is_gone_is_spoken_of_no_more(lab: Lab) -> None:
    await provision(await lab.client("acme"), [Wanted("going", "", DAY)])
    client, metrics = await metered_client(lab, "going")
    runtime = client.service_client.config.runtime
    assert runtime is not None
    db = CloudVm(
        id="1", name="db_replica", vapp_id="2", vapp_name="r", power=Power.OFF, deployed=False, nics=()
    )
    there = [db]
    book = FailoverTestMetrics(client, lambda: there, lambda vm: kept("db", record(3, period=DAY)))
    gauges, turn = TestGauges(runtime.metric_meter), asyncio.Semaphore(1)
    await book.look(gauges, turn)
    assert value(await lines_of(metrics), "failover_test_due", vm="db") == at(4)
    there.clear()
    await book.look(gauges, turn)
    assert value(await lines_of(metrics), "failover_test_due", vm="db") == at(4), "nothing is new: not read"
    book.read_at = -math.inf
    await book.look(gauges, turn)
    gone = value(await lines_of(metrics), "failover_test_due", vm="db")
    assert gone is not None and math.isnan(gone), "no alert fires on that"
