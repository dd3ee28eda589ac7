"""erp-db-01 is tested while it runs: its replica proves itself in isolation, and production hears nothing.

Then the same at a tenant whose replicas are on one wire with production; and with a guest that does not come
up: the test says so, and puts everything back all the same.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from temporalio.client import WorkflowHandle

from lab.fabric.capture import Capture, Captures
from lab.stories.context import DidNotHold, Figures, StoryContext
from partial_failover.connectors.cloud_director.metadata_store import TESTS
from partial_failover.contracts.failover_test import FailoverTestReport, TestResult, VmTestReport
from partial_failover.reports import page

VM = "erp-db-01"
JOINED, JOINED_VM = "initech", "tps-01"
CHECKS = [
    "power",
    "heartbeat",
    {"check": "uptime", "at_least": "3s"},
    {"check": "program", "program": "verify-orders"},
]
EVIDENCE = Path(".lab/failover-test.html")
WITHIN = 120.0
"""Seconds that a test may take here."""


async def run(context: StoryContext) -> Figures:
    """Two tests of one VM, one that passes and one that cannot; between them one where nothing but isolation
    keeps the replica from production."""
    before = context.centre.state()
    terms = {"checks": CHECKS, "rpo": "24h", "rto": "10m", "period": "7d"}
    passed = await _unheard(context, VM, terms)
    report = passed.vms[0]
    _put_back(context, VM, before, report)
    await _on_one_wire_with_production(context)

    before = context.centre.state()
    context.centre.replica(VM).boots = False
    context.timeline.say("The next replica's guest does not come up.", "yellow")
    try:
        broken = await _test(context, VM, {"checks": [{"check": "heartbeat", "timeout": "3s"}]})
    finally:
        context.centre.replica(VM).boots = True
    failed = broken.vms[0]
    context.check(f"the test failed and says what first: {failed.said}", failed.result is TestResult.FAILED)
    _put_back(context, VM, before, failed)
    await _keep(context, passed)
    return Figures(
        f"{report.result}, then {report.state}", report.time_to_power_on_s, None, report.time_to_undo_s
    )


async def _on_one_wire_with_production(context: StoryContext) -> None:
    """At a tenant whose networks an NSX edge joins: a replica that is not isolated is heard at once."""
    with StoryContext(context.lab, JOINED, context.timeline) as joined:
        before = joined.centre.state()
        report = (await _unheard(joined, JOINED_VM, {"checks": CHECKS})).vms[0]
        _put_back(joined, JOINED_VM, before, report)
        context.broken += joined.broken


async def _unheard(context: StoryContext, vm: str, terms: Mapping[str, object]) -> FailoverTestReport:
    """A test that passes while all production hosts listen."""
    captures = _captures(context)
    if captures is not None:
        await captures.begin()
    whole = await _test(context, vm, terms)
    report = whole.vms[0]
    context.check(f"the test passed: {report.said}", report.result is TestResult.PASSED)
    context.check(f"isolation: {report.isolation}", "disconnected" in report.isolation)
    if captures is not None:
        seen, macs = await captures.end(), {nic.mac for nic in context.centre.replica(vm).nics}
        whole_test = all(s.covers(whole.started.timestamp(), whole.ended.timestamp()) for s in seen)
        context.check(
            f"{len(seen)} production hosts listened from before the test until after it", whole_test
        )
        frames, heard = sum(len(s.frames) for s in seen), [f for s in seen for f in s.of(macs)]
        context.check(f"of {frames} frames that they saw none was of the replica", not heard, heard[:3])
    return whole


def _captures(context: StoryContext) -> Captures | None:
    """Of all production hosts that are on."""
    if context.packets is None:
        return None
    machines = [m for m in context.packets.machines.values() if context.site.vm(m.name).power == "poweredOn"]
    fabric, site = context.packets.fabric, context.site
    routers = {m.name: site.tenant.lan(m.lan).router.ip for m in machines}
    return Captures([Capture(fabric, site.host(m.name), routers[m.name]) for m in machines])


async def _test(context: StoryContext, vm: str, terms: Mapping[str, object]) -> FailoverTestReport:
    """Start `FailoverTest`, follow the test of the VM, wait for the report."""
    name = context.site.tenant.name
    client = await context.lab.client(name)
    test_id = f"failover-test-{len(context.timeline.tracks) + 1}"
    handle = await client.start_workflow(
        "FailoverTest",
        {"vms": [vm], **terms},
        id=test_id,
        task_queue="provider",
        result_type=FailoverTestReport,
    )
    context.timeline.say(f"{name} starts FailoverTest for {vm}, which goes on running", "bold")
    context.timeline.say(f"  {context.lab.temporal.ui_url}/namespaces/{name}/workflows/{test_id}", "dim")
    await _begun(handle)
    with context.timeline.follow(client.get_workflow_handle(f"{test_id}/{vm}"), vm):
        try:
            return await asyncio.wait_for(handle.result(), WITHIN)
        except TimeoutError:
            raise DidNotHold(f"the test of {vm} has not ended within {WITHIN:.0f} s") from None


async def _begun(handle: WorkflowHandle[object, FailoverTestReport]) -> None:
    """Wait until the test of the VM is there to be followed."""
    async with asyncio.timeout(WITHIN):
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.HasField("child_workflow_execution_started_event_attributes"):
                return


def _put_back(context: StoryContext, vm: str, before: dict[str, object], report: VmTestReport) -> None:
    """Everything is as before the test, but for its record."""
    context.check(f"the replica of {vm} is {report.state}", report.state == "Normal" and not report.left_over)
    context.check(f"replication of {vm} is released", not context.held(vm))
    metadata = {key for _, key in context.centre.cloud.vm(f"{vm}_replica").metadata}
    context.check("its result is kept with the replica", metadata == {TESTS.key}, metadata)
    left = [what for what in context.differences(before) if what != f"metadata of {vm}_replica"]
    text = "power, NICs, networks, exclusions, restore points and disks are as before"
    context.check(text, not left, ", ".join(left))


async def _keep(context: StoryContext, report: FailoverTestReport) -> None:
    html = page(report)
    EVIDENCE.parent.mkdir(exist_ok=True)
    await asyncio.to_thread(EVIDENCE.write_text, html)
    context.check(f"the evidence is one page of {len(html) // 1024} KiB: {EVIDENCE}", "<svg" in html)
