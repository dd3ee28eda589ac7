"""Workers that are frozen, drained, and cut off from Temporal."""

import asyncio

import pytest

from lab.crash_matrix.bench import Bench
from lab.crash_matrix.cases import Phase, Point, is_change
from lab.injected_faults import FaultKind, FaultRule
from lab.site import APPLIANCE
from lab.worker_process import WorkerProcess

pytestmark = pytest.mark.slow


def mutations(bench: Bench, since: int) -> list[str]:
    """Calls from then on that change something."""
    calls = bench.lab.centre.faults.calls[since:]
    points = [Point(Phase.FAILOVER, "", c.endpoint, c.call, "") for c in calls]
    return [p.call for p in points if is_change(p) and "token" not in p.call]


async def test_an_attempt_that_was_frozen_changes_nothing_when_it_wakes(bench: Bench) -> None:
    """It is frozen right before it would send the revert; its successor finishes the failover."""
    zombie, folder = bench.lab.workers["provider"], bench.lab.centre.folder
    successor = WorkerProcess(folder / "provider.yaml", bench.lab.temporal.address)
    bench.begin()
    rule = FaultRule("provider-vcenter", "CurrentTime", FaultKind.DELAY, passes=1, act=zombie.freeze)
    bench.lab.centre.faults.add(rule)
    handle = await bench.start()
    try:
        await bench.until(lambda: happened(rule), "the freeze")
        successor.spawn()
        assert await bench.failover(handle)
        asked = len(bench.lab.centre.faults.calls)
        zombie.wake()
        await asyncio.sleep(5)  # nothing is to happen, for as long as a woken attempt could take
        assert mutations(bench, asked) == []
        assert bench.rules.broken == [] and bench.rules.in_failover()
        await bench.undo(handle)
        await bench.end_of(handle)
        assert bench.rules.broken == []
    finally:
        zombie.wake()
        await asyncio.to_thread(successor.stop)


async def test_the_failover_goes_on_when_the_temporal_server_comes_back(bench: Bench) -> None:
    bench.begin()
    rule = FaultRule("cloud-director", "POST powerOn", FaultKind.DELAY)
    bench.lab.centre.faults.add(rule)
    handle = await bench.start()
    await bench.until(lambda: happened(rule), "a power-on")
    await bench.lab.temporal.kill()
    await bench.lab.temporal.restart()
    assert await bench.failover(handle)
    await bench.undo(handle)
    await bench.end_of(handle)
    assert bench.rules.broken == []


async def test_an_appliance_that_is_switched_off_while_it_boots_is_powered_on_again(bench: Bench) -> None:
    """As by the end of another failover, which decided so a moment before."""
    site = bench.rules.site
    bench.begin()
    rule = FaultRule(
        "acme-vcenter/network-extension",
        "status",
        FaultKind.DROP_BEFORE,
        act=lambda: site.hypervisor.power_off(site.vm(APPLIANCE)),
    )
    bench.lab.centre.faults.add(rule)
    began = asyncio.get_running_loop().time()
    handle = await bench.start()
    assert await bench.failover(handle) and rule.happened
    assert asyncio.get_running_loop().time() - began < 60
    await bench.undo(handle)
    await bench.end_of(handle)
    assert bench.rules.broken == []


async def test_a_worker_that_drains_hands_its_task_over(bench: Bench) -> None:
    """It ends in time and logs out; the next worker adopts the task that it waited for."""
    worker = bench.lab.workers["provider"]
    bench.begin()
    rule = FaultRule("provider-vcenter", "RevertToSnapshot_Task", FaultKind.TASK_HANG, seconds=8)
    bench.lab.centre.faults.add(rule)
    handle = await bench.start()
    await bench.until(lambda: happened(rule), "the revert")
    before = asyncio.get_running_loop().time()
    assert await asyncio.to_thread(worker.stop) == 0
    assert asyncio.get_running_loop().time() - before < 10
    calls = [c.call for c in bench.lab.centre.faults.calls]
    assert "Logout" in calls and "DELETE session" in calls
    worker.spawn()
    assert await bench.failover(handle)  # with one revert: the rules look at the audit
    await bench.undo(handle)
    await bench.end_of(handle)
    assert bench.rules.broken == []


async def happened(rule: FaultRule) -> bool:
    """Whether the fault had its moment."""
    return rule.happened is not None
