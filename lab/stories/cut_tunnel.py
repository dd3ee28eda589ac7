"""In Failover somebody switches the tenant's appliance off, and ends the hold. The failover repairs both."""

import asyncio
import time
from dataclasses import replace

from lab.site import APPLIANCE
from lab.stories import acts
from lab.stories.stage import Figures, Running, Stage
from partial_failover.contracts.step import Step

VM = "erp-db-01"
MENDED_WITHIN = 90.0
"""Seconds; two looks, ten seconds apart, come before the repairing."""


async def play(stage: Stage) -> Figures:
    """From the accident over what goes wrong in Failover to the state that was before it."""
    before = await acts.accident(stage, VM)
    running = await stage.fail_over(VM)
    await acts.in_failover(stage, running)
    await acts.talk(stage, VM)
    delta = acts.write(stage, VM)
    repaired = await _cut(stage, running)
    await acts.talk(stage, VM)
    await _hold_ended(stage)
    kept = stage.centre.replica(VM).disk.read("orders") == "4001"
    stage.check("what the replica wrote is still there", kept)
    report = await acts.undone(stage, running, delta)
    told = any("lost the connection" in w for w in report.warnings)
    stage.check("the report tells of the lost connection", told, report.warnings)
    told = any("found released" in w for w in report.warnings)
    stage.check("the report tells of the ended hold", told, report.warnings)
    await acts.all_as_before(stage, before)
    stage.show(report)
    return replace(acts.figures(stage, [report]), repaired=repaired)


async def _cut(stage: Stage, running: Running) -> float | None:
    """Switch the tenant's appliance off, as a person in vCenter would; seconds until it is repaired."""
    appliance = stage.site.vm(APPLIANCE)
    stage.site.hypervisor.power_off(appliance)
    began = time.monotonic()
    stage.timeline.say("Somebody switches the tenant's appliance off in vCenter.", "yellow")
    if stage.packets is not None:
        await asyncio.to_thread(stage.centre.fabric.settle)
        stage.check(f"the ping to {stage.packets.address(VM)} is unanswered", await stage.packets.silent(VM))
    running.track.answers.pop(Step.CONFIGURE_TENANT_PROXY_ARP, None)
    again = await stage.comes(
        running, lambda: Step.CONFIGURE_TENANT_PROXY_ARP in running.track.answers, MENDED_WITHIN
    )
    if stage.packets is not None:
        neighbour = stage.packets.neighbours(VM)[0].name
        again = await stage.packets.answers(stage.site.host(neighbour), stage.packets.address(VM), 30)
    seconds = time.monotonic() - began
    stage.check(f"the replica is reachable again after {seconds:.1f} s", again)
    stage.check("the tenant's appliance is on again", appliance.power == "poweredOn", appliance.power)
    return seconds if again else None


async def _hold_ended(stage: Stage) -> None:
    """Delete the exclusion, as a person at the backup server would."""
    stage.site.backup.replication.exclusions.clear()
    stage.timeline.say("Somebody ends the hold of replication at the backup server.", "yellow")
    end = time.monotonic() + MENDED_WITHIN
    while not stage.held(VM) and time.monotonic() < end:  # noqa: ASYNC110  (told by no event)
        await asyncio.sleep(0.2)
    stage.check(f"replication of {VM} is held again", stage.held(VM))
