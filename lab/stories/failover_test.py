"""erp-db-01 is tested while it runs: its replica proves itself in isolation, and production hears nothing.

Then the same with a guest that does not come up: the test says so, and puts everything back all the same.
"""

import asyncio
import re
from pathlib import Path

from temporalio.client import WorkflowHandle

from activities.test_records import KEY
from contracts.failover_test import FailoverTestReport, TestResult, VmTestReport
from evidence import page
from lab.stories.stage import DidNotHold, Figures, Stage

VM = "erp-db-01"
CHECKS = [
    "power",
    "heartbeat",
    {"check": "uptime", "at_least": "3s"},
    {"check": "program", "program": "verify-orders"},
]
EVIDENCE = Path(".lab/failover-test.html")
WITHIN = 120.0
"""Seconds that a test may take here."""


async def play(stage: Stage) -> Figures:
    """Two tests of one VM: one that passes, one that cannot."""
    before = stage.centre.state()
    counting = asyncio.create_task(_packets(stage))
    passed = await _test(stage, {"vms": [VM], "checks": CHECKS, "rpo": "24h", "rto": "10m", "period": "7d"})
    seen = await counting
    report = passed.vms[0]
    stage.check(f"the test passed: {report.said}", report.result is TestResult.PASSED)
    stage.check(f"isolation: {report.isolation}", "disconnected" in report.isolation)
    if stage.packets is not None:
        stage.check(f"production saw no packet of the replica ({seen})", seen is not None and not any(seen))
    _put_back(stage, before, report)

    stage.centre.replica(VM).boots = False
    stage.timeline.say("The next replica's guest does not come up.", "yellow")
    try:
        broken = await _test(stage, {"vms": [VM], "checks": [{"check": "heartbeat", "timeout": "3s"}]})
    finally:
        stage.centre.replica(VM).boots = True
    failed = broken.vms[0]
    stage.check(f"the test failed and says what first: {failed.said}", failed.result is TestResult.FAILED)
    _put_back(stage, before, failed)
    await _keep(stage, passed)
    return Figures(
        f"{report.result}, then {report.state}", report.time_to_power_on_s, None, report.time_to_undo_s
    )


async def _test(stage: Stage, request: dict[str, object]) -> FailoverTestReport:
    """Start `FailoverTest`, follow the test of the VM, wait for the report."""
    name = stage.site.tenant.name
    client = await stage.lab.client(name)
    test_id = f"failover-test-{len(stage.timeline.tracks) + 1}"
    handle = await client.start_workflow(
        "FailoverTest", request, id=test_id, task_queue="provider", result_type=FailoverTestReport
    )
    stage.timeline.say(f"{name} starts FailoverTest for {VM}, which goes on running", "bold")
    stage.timeline.say(f"  {stage.lab.temporal.ui_url}/namespaces/{name}/workflows/{test_id}", "dim")
    await _begun(handle)
    with stage.timeline.follow(client.get_workflow_handle(f"{test_id}/{VM}"), VM):
        try:
            return await asyncio.wait_for(handle.result(), WITHIN)
        except TimeoutError:
            raise DidNotHold(f"the test of {VM} has not ended within {WITHIN:.0f} s") from None


async def _begun(handle: WorkflowHandle[object, FailoverTestReport]) -> None:
    """Wait until the test of the VM is there to be followed."""
    async with asyncio.timeout(WITHIN):
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.HasField("child_workflow_execution_started_event_attributes"):
                return


async def _packets(stage: Stage) -> list[int] | None:
    """Packets with the replica's MAC that production hosts see during the test."""
    if stage.packets is None:
        return None
    mac = stage.centre.replica(VM).nics[0].mac
    hosts = [stage.site.host(m.name) for m in stage.site.tenant.machines if _is_on(stage, m.name)]
    return list(await asyncio.gather(*(_captured(stage, host, f"ether host {mac}") for host in hosts)))


def _is_on(stage: Stage, name: str) -> bool:
    return stage.site.vm(name).power == "poweredOn"


async def _captured(stage: Stage, host: str, what: str) -> int:
    assert stage.packets is not None
    argv = ["timeout", "10", "tcpdump", "-l", "-n", "-i", "eth0", what]
    _, shown = await asyncio.to_thread(stage.packets.fabric.exec, host, argv, 15)
    found = re.search(r"(\d+) packets? captured", shown)
    if found is None:
        raise DidNotHold(f"packets could not be counted in {host}: {shown[:200]}")
    return int(found[1])


def _put_back(stage: Stage, before: dict[str, object], report: VmTestReport) -> None:
    """Everything is as before the test, but for its record."""
    stage.check(f"the replica of {VM} is {report.state}", report.state == "Normal" and not report.left_over)
    stage.check(f"replication of {VM} is released", not stage.held(VM))
    metadata = {key for _, key in stage.centre.cloud.vm(f"{VM}_replica").metadata}
    stage.check("its result is kept with the replica", metadata == {KEY}, metadata)
    left = [what for what in stage.differences(before) if what != f"metadata of {VM}_replica"]
    text = "power, NICs, networks, exclusions, restore points and disks are as before"
    stage.check(text, not left, ", ".join(left))


async def _keep(stage: Stage, report: FailoverTestReport) -> None:
    html = page(report)
    EVIDENCE.parent.mkdir(exist_ok=True)
    await asyncio.to_thread(EVIDENCE.write_text, html)
    stage.check(f"the evidence is one page of {len(html) // 1024} KiB: {EVIDENCE}", "<svg" in html)
