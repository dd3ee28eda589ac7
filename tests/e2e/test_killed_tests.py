"""A worker killed in the middle of a failover test: another attempt goes on, and the report says so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from temporalio.client import Client

from lab.injected_faults import FaultKind, FaultRule
from lab.lab import Lab
from partial_failover.connectors.cloud_director.metadata_store import MARKER
from partial_failover.contracts.failover_test import TestResult
from partial_failover.contracts.step import StepName
from partial_failover.reports import page
from tests.e2e.driver import start
from tests.e2e.failover_tests import REPLICA, VM, assert_put_back, report_of
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forget_tests")]


def _put_back(lab: Lab, began: int) -> bool:
    """The replica was reverted since, and is Normal again: only the record is yet to be written."""
    marked = ("SYSTEM", MARKER.key) in lab.centre.cloud.vm(REPLICA).metadata
    return len(lab.centre.replica(VM).reverts) > began and not marked


@dataclass(frozen=True)
class Kill:
    """`worker` is killed when its call has had its effect, and waits for the answer."""

    step: StepName
    worker: str
    endpoint: str
    call: str
    passes: int = 0
    when: Callable[[Lab, int], bool] = lambda lab, began: True


KILLS = [
    Kill(StepName.HOLD_REPLICATION, "initech", "initech-veeam", "POST *lobalExclusions*"),
    Kill(StepName.ISOLATE_REPLICA, "provider", "cloud-director", "PUT networkConnectionSection"),
    Kill(StepName.POWER_ON_ISOLATED, "provider", "cloud-director", "POST powerOn"),
    Kill(StepName.POWER_OFF_REPLICA, "provider", "cloud-director", "POST undeploy"),
    Kill(StepName.REVERT_TO_LATEST, "provider", "provider-vcenter", "RevertToSnapshot_Task", passes=1),
    Kill(StepName.RECORD_TEST, "provider", "cloud-director", "POST metadata", when=_put_back),
]


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: str(kill.step))
async def test_the_next_attempt_goes_on_and_the_report_says_so(lab: Lab, initech: Client, kill: Kill) -> None:
    worker, began = lab.workers[kill.worker], len(lab.centre.replica(VM).reverts)
    rule = FaultRule(
        kill.endpoint,
        kill.call,
        FaultKind.DROP_AFTER,
        passes=kill.passes,
        when=lambda target: kill.when(lab, began),
        act=worker.kill,
    )
    lab.centre.faults.add(rule)
    handle = await start(initech, {"vms": [VM], "checks": ["power"]}, "FailoverTest")

    async def killed() -> bool:
        return rule.happened is not None

    await until(killed)
    await asyncio.sleep(0.2)
    worker.spawn()
    await asyncio.to_thread(worker.until_ready)
    whole = await report_of(handle, 180)
    (report,) = whole.vms
    assert report.result is TestResult.PASSED, report.said
    again = {step.step for step in report.steps if step.attempts > 1}
    assert again == {kill.step}, [(s.step, s.attempts) for s in report.steps]
    assert "attempt 2" in page(whole)
    assert_put_back(lab, report)
