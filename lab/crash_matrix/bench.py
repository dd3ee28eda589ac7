"""One lab in which case after case is played."""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # Any: the result of a workflow

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError

from lab.crash_matrix import learn
from lab.crash_matrix.cases import Case, Harm, Phase, Point
from lab.crash_matrix.rules import TENANT, VM, Rules
from lab.data_centre import SUFFIX
from lab.faults import Call, Kind, Rule
from lab.lab import Lab
from lab.site import BACKUP_USER
from lab.veeam.accounts import Role
from lab.worker_process import WorkerProcess
from workflows.search import REPLICA_STATE

log = logging.getLogger(__name__)
Handle = WorkflowHandle[Any, Any]

SETTLES_WITHIN = 150.0
"""Seconds from the start of a failover, or of its undo, until it must have come to rest."""
LATE = 3.0
"""Seconds by which an answer is late, and for which a task hangs."""
LONG = 40.0
"""A task that hangs until the next worker has found it."""
KILL_DELAY = 0.7


@dataclass(frozen=True)
class Outcome:
    """What became of a case. `reached`: the fault had its moment. `seconds`: from then until rest."""

    case: str
    broken: tuple[str, ...]
    reached: bool
    seconds: float
    state: str


class Bench:
    """`async with Bench(folder) as bench:`; play cases one after the other."""

    def __init__(self, folder: Path, simulated: bool = True) -> None:
        self.lab = Lab(folder, simulated=simulated)
        self._numbers = itertools.count(1)
        self._killed: list[WorkerProcess] = []

    async def __aenter__(self) -> "Bench":
        await self.lab.__aenter__()
        self.client: Client = await self.lab.client(TENANT)
        centre = self.lab.centre
        site = centre.sites[TENANT]
        site.hypervisor.power_off(site.vm(VM))  # corrupted, so that it does not own its address
        await self.until(lambda: asyncio.to_thread(_settled, self.lab), "the lab to settle")
        self.rules = Rules(centre)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.rules.close()
        await self.lab.close()

    async def learn(self) -> list[Point]:
        """The points of all phases, from clean runs of each."""
        await self.play(())  # logs in everywhere
        found = []
        for phases in ((Phase.FAILOVER, Phase.UNDO), (Phase.COMPENSATION,), (Phase.FAILED,)):
            marks: list[int] = []
            handle = await self._clean(phases, marks)
            steps = learn.windows(await handle.fetch_history())
            calls = self.lab.centre.faults.calls
            for phase, begin, end in zip(phases, marks, [*marks[1:], len(calls)], strict=True):
                found += learn.points(phase, calls[begin:end], steps, self.entity)
        return found

    async def _clean(self, phases: Sequence[Phase], marks: list[int]) -> Handle:
        """A run in which nothing goes wrong. `marks`: where in the audit each phase begins."""

        def mark() -> None:
            marks.append(len(self.lab.centre.faults.calls))

        self.rules.begin()
        if Phase.FAILOVER in phases:
            mark()
        handle = await self.start(mark if Phase.COMPENSATION in phases else None)
        if Phase.COMPENSATION not in phases:
            await self.failover(handle)
            mark()
            await self.undo(handle, Phase.FAILED in phases)
        await self.end_of(handle)
        if self.rules.broken:
            raise RuntimeError(f"a clean run broke rules: {self.rules.broken}")
        return handle

    async def play(self, cases: Sequence[Case]) -> list[Outcome]:
        """Play from Normal to Normal: one case, or two of which one ends before the undo begins."""
        rules = {case.point.phase: self._rule(case) for case in cases}
        self.rules.begin()
        self._moments: dict[Phase, tuple[float, str, tuple[str, ...]]] = {}
        try:
            async with asyncio.timeout(2 * SETTLES_WITHIN):
                await self._play(rules)
        except TimeoutError as late:
            self.rules.broken.append(f"come to rest in time ({late})")
        finally:
            self.lab.centre.faults.clear()
        return [self._outcome(case, rules[case.point.phase]) for case in cases]

    def _outcome(self, case: Case, rule: Rule) -> Outcome:
        late = (time.time(), "unsettled", tuple(self.rules.broken))
        rested, state, broken = self._moments.get(case.point.phase, late)
        return Outcome(
            str(case), broken, rule.happened is not None, rested - (rule.happened or rested), state
        )

    def _rest(self, phases: Sequence[Phase], state: str) -> None:
        """The failover came to rest in `state`, and the rules were looked at."""
        for phase in phases:
            self._moments[phase] = (time.time(), state, tuple(self.rules.broken))
        self.rules.broken = []

    async def _play(self, planned: Mapping[Phase, Rule]) -> None:
        faults = self.lab.centre.faults
        if Phase.FAILOVER in planned:
            faults.add(planned[Phase.FAILOVER])
        compensated = planned.get(Phase.COMPENSATION)
        handle = await self.start((lambda: faults.add(compensated)) if compensated else None)
        if compensated or not await self.failover(handle):
            await self.end_of(handle)
            self._rest(tuple(Phase), "Normal")
            return
        self._rest((Phase.FAILOVER,), "Failover")
        back = Phase.FAILED if Phase.FAILED in planned else Phase.UNDO
        if back in planned:
            faults.add(planned[back])
        await self.undo(handle, back is Phase.FAILED)
        await self.end_of(handle)
        self._rest((back,), "Normal")

    async def start(self, cancel: Callable[[], object] | None = None) -> Handle:
        """`cancel`: the workflow is cancelled right before Failover, and this is called then."""
        handle = await self.client.start_workflow(
            "PartialFailover", {"vm": VM}, id=f"crash-{next(self._numbers)}", task_queue="provider"
        )
        self._handle = handle
        if cancel is not None:
            self.lab.centre.faults.add(self._cancelling(handle, cancel))
        return handle

    def _cancelling(self, handle: Handle, then: Callable[[], object]) -> Rule:
        loop = asyncio.get_running_loop()

        def act() -> None:
            then()
            asyncio.run_coroutine_threadsafe(handle.cancel(), loop).result(10)

        target = f"*{self.lab.centre.cloud.vm(VM + SUFFIX).id}*"
        return Rule("cloud-director", "POST metadata", Kind.DELAY, target=target, passes=1, act=act)

    async def failover(self, handle: Handle) -> bool:
        """Until it rests in Failover; False when it ended instead."""

        async def settled() -> bool:
            if await self._ended(handle):
                return True
            return self.rules.in_failover() and await self._waits(handle)

        await self.until(settled, "Failover")
        if not self.rules.in_failover():
            return False
        self.rules.must_be_in_failover()
        return True

    async def undo(self, handle: Handle, fails: bool = False) -> None:
        """`fails`: the backup server takes the right away, until it is given back and all is tried again."""
        self.rules.must_have_kept_writes()
        if fails:
            self._backup_role(Role.VIEWER)
        await self._update(handle, "undo", "Failover")
        if fails:
            await self.until(lambda: self._is(handle, "FailedFailover"), "FailedFailover")
            self._backup_role(Role.ADMINISTRATOR)
            await self._update(handle, "retry_compensation", "FailedFailover")

    def _backup_role(self, role: Role) -> None:
        self.rules.site.backup.add_user(BACKUP_USER, self.lab.centre.password, role)

    async def _update(self, handle: Handle, name: str, before: str) -> None:
        """Send it until the replica has left the state `before`."""

        async def accepted() -> bool:
            try:
                await asyncio.wait_for(handle.execute_update(name, {}), 20)
            except (WorkflowUpdateFailedError, RPCError, TimeoutError):
                return not await self._is(handle, before)
            return True

        await self.until(accepted, f"{name} to be accepted")

    async def end_of(self, handle: Handle) -> None:
        await self.until(lambda: self._ended(handle), "the workflow's end")
        await asyncio.to_thread(self.lab.centre.cloud.tasks.wait_idle, 60)
        self.rules.must_be_normal()

    async def _ended(self, handle: Handle) -> bool:
        return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING

    async def _waits(self, handle: Handle) -> bool:
        """Whether no step runs."""
        return not (await handle.describe()).raw_description.pending_activities

    async def _is(self, handle: Handle, state: str) -> bool:
        return (await handle.describe()).typed_search_attributes.get(REPLICA_STATE) == state

    async def until(self, reached: Callable[[], Awaitable[bool]], what: str) -> None:
        """Poll; revive workers that were killed meanwhile."""
        end = time.monotonic() + SETTLES_WITHIN
        while not await reached():
            await self._revive()
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain for {what}")
            await asyncio.sleep(0.1)
        await self._revive()

    async def _revive(self) -> None:
        while self._killed:
            worker = self._killed.pop()
            worker.spawn()
            await asyncio.to_thread(worker.until_ready)

    def _rule(self, case: Case) -> Rule:
        point = case.point
        rule = Rule(point.endpoint, point.call, Kind.DELAY, target=self._glob(point), passes=point.passes)
        match case.harm:
            case Harm.KILLED_BEFORE:
                rule.kind, rule.act = Kind.DROP_BEFORE, self._killer(point)
            case Harm.KILLED_AFTER:
                rule.kind, rule.act = Kind.DROP_AFTER, self._killer(point)
            case Harm.KILLED_WAITING:
                rule.kind, rule.seconds = Kind.TASK_HANG, LONG
                rule.act = lambda: threading.Timer(KILL_DELAY, self._killer(point)).start()
            case Harm.CANCELLED:
                rule.act = self._canceller()
            case kind if kind:
                rule.kind, rule.seconds = Kind(kind), LATE
        return rule

    def _killer(self, point: Point) -> Callable[[], None]:
        at_tenant = point.endpoint.startswith(TENANT)
        worker = self.lab.workers[TENANT if at_tenant else "provider"]

        def kill() -> None:
            worker.kill()
            self._killed.append(worker)

        return kill

    def _canceller(self) -> Callable[[], None]:
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            asyncio.run_coroutine_threadsafe(self._handle.cancel(), loop).result(10)

        return cancel

    def entity(self, call: Call) -> str:
        """Name of what a call is about."""
        world, tasks = self.lab.centre.cloud.world, self.lab.centre.cloud.tasks.all
        names = {v.id: v.name for v in world.vms} | {a.id: f"{a.name} vApp" for a in world.vapps}
        if call.endpoint != "cloud-director":
            return ""
        owner = next((t.owner.id for t in tasks.values() if t.id in call.target), "")
        return next((name for id_, name in names.items() if id_ in call.target or id_ == owner), "")

    def _glob(self, point: Point) -> str:
        if not point.entity or point.call == "GET task":
            return "*"
        world = self.lab.centre.cloud.world
        things = {v.name: v.id for v in world.vms} | {f"{a.name} vApp": a.id for a in world.vapps}
        return f"*{things[point.entity]}*"


def _settled(lab: Lab) -> bool:
    lab.centre.fabric.settle()
    return True
