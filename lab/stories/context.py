"""What every story needs: a tenant who starts failovers and ends them, and checks that are written down."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from temporalio.client import WorkflowHandle

from lab.lab import Lab
from lab.stories.production import Production
from lab.stories.report import table
from lab.timeline import Timeline, Track
from partial_failover.contracts.report import FailoverReport
from partial_failover.contracts.step import StepName

WITHIN = 120.0
"""Seconds that a story waits for what must come."""
REACHABLE_WITHIN = 30.0
"""Seconds in Failover until the replica must have answered."""
HEALTHY, CORRUPTED = "4000", "\x00\x00\x00\x00"
"""What the database holds under "orders": at the newest restore point, and after the accident."""


class DidNotHold(Exception):
    """The story cannot go on; the text says what did not hold."""


@dataclass(frozen=True)
class Figures:
    """Seconds, as the failover's own report gives them. None: not measured."""

    state: str
    power_on: float | None
    reachable: float | None
    undo: float | None
    repaired: float | None = None
    """Only of a story in which something is repaired."""

    def line(self) -> str:
        """The last line of a story."""
        times = (("power-on", self.power_on), ("reachable", self.reachable), ("undo", self.undo))
        shown = (f"time to {n} {'not measured' if t is None else f'{t:.1f} s'}" for n, t in times)
        repaired = [] if self.repaired is None else [f"time to repair {self.repaired:.1f} s"]
        return ", ".join([f"state {self.state}", *shown, *repaired])


@dataclass
class Running:
    """One failover that a story has started."""

    vm: str
    handle: WorkflowHandle[object, FailoverReport]
    track: Track


class StoryContext:
    """One tenant's part of the lab. `packets` is None where the networks are not real."""

    def __init__(self, lab: Lab, tenant: str, timeline: Timeline) -> None:
        self.lab, self.timeline = lab, timeline
        self.centre, self.site = lab.centre, lab.centre.sites[tenant]
        self.packets = Production(self.centre, self.site) if self.centre.real else None
        self.broken: list[str] = []
        self._followed = ExitStack()

    def __enter__(self) -> "StoryContext":
        return self

    def __exit__(self, *_: object) -> None:
        self._followed.close()

    def check(self, what: str, holds: bool, seen: object = "") -> None:
        """Write down whether something holds; `seen` tells what was there instead."""
        if holds:
            self.timeline.say(f"  ✓ {what}", "green")
            return
        self.broken.append(what)
        self.timeline.say(f"  ✗ {what}" + (f": {seen}" if seen != "" else ""), "bold red")

    def corrupt(self, vm: str) -> None:
        """The accident: what the original holds is worthless, and it is switched off."""
        original = self.site.vm(vm)
        original.write("orders", CORRUPTED)
        self.site.hypervisor.power_off(original)
        self.centre.fabric.settle()
        self.timeline.say(f"{vm} is corrupted and was powered off.", "yellow")

    async def fail_over(self, vm: str) -> Running:
        """Start `PartialFailover` as the tenant's form does: a type, a task queue, one JSON object."""
        name = self.site.tenant.name
        client = await self.lab.client(name)
        handle = await client.start_workflow(
            "PartialFailover",
            {"vm": vm},
            id=f"failover-{vm}-{uuid.uuid4().hex[:6]}",
            task_queue="provider",
            result_type=FailoverReport,
        )
        self.timeline.say(f'{name} starts PartialFailover with {{"vm": "{vm}"}}', "bold")
        self.timeline.say(f"  {self.lab.temporal.ui_url}/namespaces/{name}/workflows/{handle.id}", "dim")
        return Running(vm, handle, self._followed.enter_context(self.timeline.follow(handle, vm)))

    async def until_failover(self, running: Running) -> None:
        """Wait for the state Failover, and for the product's own word that the replica is reachable."""
        track = running.track
        if not await self.comes(running, lambda: track.state == "Failover"):
            raise DidNotHold(f"{running.vm} is in Failover: {track.ended or f'not within {WITHIN:.0f} s'}")

        def reachable() -> bool:
            return bool(track.answers.get(StepName.VERIFY_CONNECTIVITY, {}).get("reachable"))

        is_reached = await self.comes(running, reachable, REACHABLE_WITHIN)
        what = f"the failover has verified that production reaches the replica of {running.vm}"
        if self.packets is None:  # its appliances answer, but nobody sends a packet
            what = f"the failover was told, by simulated appliances, that the replica of {running.vm} answers"
        self.check(what, is_reached)

    async def undo(self, running: Running) -> FailoverReport:
        """Send the Update `undo`, and wait for the report."""
        self.timeline.say(f"{self.site.tenant.name} sends undo for {running.vm}", "bold")
        await running.handle.execute_update("undo", {"reason": f"{running.vm} is repaired"})
        track = running.track
        if not await self.comes(running, lambda: track.ended == "completed"):
            raise DidNotHold(f"{running.vm} is undone: {track.ended or f'not within {WITHIN:.0f} s'}")
        return await running.handle.result()

    async def comes(self, running: Running, reached: Callable[[], bool], within: float = WITHIN) -> bool:
        """Whether the history tells it before the time is over; it cannot after the workflow's end."""
        track = running.track
        try:
            async with asyncio.timeout(within):
                while not reached() and track.ended is None:
                    track.changed.clear()
                    await track.changed.wait()
        except TimeoutError:
            pass
        return reached()

    def held(self, vm: str) -> bool:
        """Whether the tenant's backup server leaves the VM out of replication."""
        return any(exclusion.name == vm for exclusion in self.site.backup.exclusions)

    def show(self, report: FailoverReport) -> None:
        """Print the report of a failover."""
        self.timeline.console.print(table(report, self.centre.real))

    def differences(self, before: dict[str, object]) -> list[str]:
        """What is not as it was: everything that an ended failover must leave alone."""
        differing = []
        for part, now in self.centre.state().items():
            was = before[part]
            if isinstance(was, dict) and isinstance(now, dict):
                changed = [name for name in was.keys() | now.keys() if was.get(name) != now.get(name)]
                differing += [f"{part} of {name}" for name in sorted(changed)]
            elif was != now:
                differing.append(part)
        return differing
