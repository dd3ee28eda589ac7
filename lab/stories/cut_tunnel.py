"""In Failover somebody switches the tenant's appliance off, and ends the hold. The failover repairs both."""

import asyncio
import time
from dataclasses import replace

from lab.site import APPLIANCE
from lab.stories import steps
from lab.stories.context import Figures, Running, StoryContext
from partial_failover.contracts.step import StepName

VM = "erp-db-01"
REPAIRED_WITHIN = 90.0
"""Seconds; two looks, ten seconds apart, come before the repairing."""


async def run(context: StoryContext) -> Figures:
    """From the accident over what goes wrong in Failover to the state that was before it."""
    before = await steps.accident(context, VM)
    running = await context.fail_over(VM)
    await steps.in_failover(context, running)
    await steps.talk(context, VM)
    delta = steps.write(context, VM)
    repaired = await _cut(context, running)
    await steps.talk(context, VM)
    await _hold_ended(context)
    kept = context.centre.replica(VM).disk.read("orders") == "4001"
    context.check("what the replica wrote is still there", kept)
    report = await steps.undone(context, running, delta)
    told = any("lost the connection" in w for w in report.warnings)
    context.check("the report tells of the lost connection", told, report.warnings)
    told = any("found released" in w for w in report.warnings)
    context.check("the report tells of the ended hold", told, report.warnings)
    await steps.all_as_before(context, before)
    context.show(report)
    return replace(steps.figures(context, [report]), repaired=repaired)


async def _cut(context: StoryContext, running: Running) -> float | None:
    """Switch the tenant's appliance off, as a person in vCenter would; seconds until it is repaired."""
    appliance = context.site.vm(APPLIANCE)
    context.site.hypervisor.power_off(appliance)
    began = time.monotonic()
    context.timeline.say("Somebody switches the tenant's appliance off in vCenter.", "yellow")
    if context.packets is not None:
        await asyncio.to_thread(context.centre.fabric.settle)
        context.check(
            f"the ping to {context.packets.address(VM)} is unanswered", await context.packets.silent(VM)
        )
    running.track.answers.pop(StepName.CONFIGURE_TENANT_PROXY_ARP, None)
    again = await context.comes(
        running, lambda: StepName.CONFIGURE_TENANT_PROXY_ARP in running.track.answers, REPAIRED_WITHIN
    )
    if context.packets is not None:
        neighbour = context.packets.neighbours(VM)[0].name
        again = await context.packets.answers(context.site.host(neighbour), context.packets.address(VM), 30)
    seconds = time.monotonic() - began
    context.check(f"the replica is reachable again after {seconds:.1f} s", again)
    context.check("the tenant's appliance is on again", appliance.power == "poweredOn", appliance.power)
    return seconds if again else None


async def _hold_ended(context: StoryContext) -> None:
    """Delete the exclusion, as a person at the backup server would."""
    context.site.backup.replication.exclusions.clear()
    context.timeline.say("Somebody ends the hold of replication at the backup server.", "yellow")
    end = time.monotonic() + REPAIRED_WITHIN
    while not context.held(VM) and time.monotonic() < end:  # noqa: ASYNC110  (told by no event)
        await asyncio.sleep(0.2)
    context.check(f"replication of {VM} is held again", context.held(VM))
