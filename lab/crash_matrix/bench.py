"""One lab in which case after case is played."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lab.crash_matrix import learn
from lab.crash_matrix.cases import Case, Phase, Point
from lab.crash_matrix.disturbed import Disturbed
from lab.crash_matrix.driver import SETTLES_WITHIN, DidNotRest, Driver, Handle
from lab.crash_matrix.interventions import compensation_trigger, entity, fault
from lab.crash_matrix.others import Others
from lab.crash_matrix.rules import TENANT, VM
from lab.injected_faults import AuditEntry, FaultRule
from lab.site import APPLIANCE
from partial_failover.contracts.step import StepName

COMPENSATED = (Phase.COMPENSATION, Phase.REFUSED)
"""Phases that begin before Failover is reached."""
TOGETHER = (
    (Phase.FAILOVER, Phase.UNDO),
    (Phase.COMPENSATION,),
    (Phase.FAILED,),
    (Phase.REFUSED,),
    (Phase.TEST,),
)
"""Phases of each clean run."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case. `reached`: the fault had its moment, in the step that was meant. `elsewhere`:
    steps that ran when it had its moment in none of those. `seconds`: from then until rest."""

    case: str
    broken: tuple[str, ...]
    reached: bool
    seconds: float
    state: str
    elsewhere: tuple[str, ...] = ()

    @staticmethod
    def from_json(line: bytes) -> "Outcome":
        """From another process."""
        data = json.loads(line)
        lists = {name: tuple(data[name]) for name in ("broken", "elsewhere")}
        return Outcome(**{**data, **lists})


@dataclass(frozen=True)
class Planned:
    """A case, and the fault that is planned for it."""

    case: Case
    rule: FaultRule


class Bench(Driver):
    """`async with Bench(folder) as bench:`; play cases one after the other."""

    async def __aenter__(self) -> "Bench":
        await self._open()
        self._others = Others(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def learn(self) -> list[Point]:
        """The points of all phases, from clean runs of each."""
        await self.log_in()
        points = []
        for phases in TOGETHER:
            marks: list[int] = []
            handle = await self._clean_run(phases, marks)
            steps = learn.windows(await handle.fetch_history())
            calls = self.lab.centre.faults.calls
            for phase, begin, end in zip(phases, marks, [*marks[1:], len(calls)], strict=True):
                points += learn.points(phase, calls[begin:end], steps, self._entity)
        return points

    def _entity(self, call: AuditEntry) -> str:
        return entity(call.endpoint, call.target, self.lab.centre)

    async def log_in(self) -> None:
        """A clean run, after which the workers have their sessions."""
        await self._clean_run((Phase.FAILOVER, Phase.UNDO), [])

    async def _clean_run(self, phases: Sequence[Phase], marks: list[int]) -> Handle:
        """A run in which nothing goes wrong. `marks`: where in the audit each phase begins."""

        def mark() -> None:
            marks.append(len(self.lab.centre.faults.calls))

        first = phases[0]
        self.begin(test=first is Phase.TEST)
        if first in COMPENSATED:
            self.lab.centre.faults.add(compensation_trigger(first, self, mark))
        elif first is not Phase.FAILED:
            mark()
        handle = await (self.test() if first is Phase.TEST else self.start())
        if first in (Phase.FAILOVER, Phase.FAILED):
            await self.failover(handle)
            await self.watched(time.time())  # so that it does not look during the undo
            mark()
            await self.undo(handle, first is Phase.FAILED)
        await self._until_normal(handle)
        if self.rules.broken:
            raise RuntimeError(f"a clean run broke rules: {self.rules.broken}")
        return handle

    async def run(self, cases: Sequence[Case]) -> list[Outcome]:
        """From Normal to Normal: one case, or two of which one ends before the undo begins."""
        planned = {case.point.phase: Planned(case, fault(case, self, self._others)) for case in cases}
        self.begin(max((case.points_back for case in cases), default=0), Phase.TEST in planned)
        self._moments: dict[Phase, tuple[float, str, tuple[str, ...]]] = {}
        try:
            async with asyncio.timeout(3 * SETTLES_WITHIN):
                if cases[0].change:
                    await self._run_disturbed(*planned.values())
                else:
                    await self._run_phases(planned)
        except (TimeoutError, DidNotRest) as late:
            self.rules.broken.append(f"come to rest in time ({late})")
        finally:
            self.lab.centre.faults.clear()
        outcomes = [await self._outcome(plan) for plan in planned.values()]
        if len(outcomes) == 1:  # what is broken after it came to rest was left by nobody else
            broken = [what for _, _, some in self._moments.values() for what in some]
            alone = tuple(dict.fromkeys((*outcomes[0].broken, *broken, *self.rules.broken)))
            outcomes = [replace(outcomes[0], broken=alone)]
        return outcomes

    async def _outcome(self, plan: Planned) -> Outcome:
        case, happened = plan.case, plan.rule.happened
        late = (time.time(), "unsettled", tuple(self.rules.broken))
        rested, state, broken = self._moments.get(case.point.phase, late)
        hit = set() if happened is None else await self._steps_at(happened)
        return Outcome(
            str(case),
            broken,
            case.point.step in hit,
            rested - (happened or rested),
            state,
            () if case.point.step in hit else tuple(sorted(hit)),
        )

    async def _steps_at(self, moment: float) -> set[str]:
        """Steps of this failover that ran then, as the histories tell."""
        histories = [await handle.fetch_history() for handle in self.handles]
        return set().union(*(learn.steps_at(moment, learn.windows(history)) for history in histories))

    def _rest(self, phases: Sequence[Phase], state: str) -> None:
        """The failover came to rest in `state`, and the rules were looked at."""
        for phase in phases:
            self._moments[phase] = (time.time(), state, tuple(self.rules.broken))
        self.rules.broken = []

    async def _run_phases(self, planned: Mapping[Phase, Planned]) -> None:
        handle = await self._failover_phase(planned)
        forward, back = planned.get(Phase.FAILOVER), Phase.FAILED if Phase.FAILED in planned else Phase.UNDO
        if handle is None:
            if back in planned or (forward and not forward.case.ends_the_failover):
                self.rules.broken.append("in Failover in spite of one fault; it was taken back")
            return self._rest(tuple(Phase), "Normal")
        if forward and forward.case.point.step in learn.WATCHES:
            await self._seen_by_the_watch(forward)
        self._rest((Phase.FAILOVER,), "Failover")
        if back in planned:
            await self._plan_undo(planned[back])
        await self.undo(handle, back is Phase.FAILED)
        await self.until(partial(self.ended, handle), "the end of the undo")
        if await self.terminated(handle):
            handle = await self.take_over()
            await self.undo(handle)
        await self._until_normal(handle)
        self._rest((back,), "Normal")

    async def _run_disturbed(self, plan: Planned) -> None:
        await Disturbed(self, self._others, plan.case, plan.rule).play()
        self._rest((plan.case.point.phase,), "Normal")

    async def _failover_phase(self, planned: Mapping[Phase, Planned]) -> Handle | None:
        """Until Failover, by whichever workflow; None when all was taken back instead."""
        faults = self.lab.centre.faults
        for phase, plan in planned.items():
            if phase in COMPENSATED:
                faults.add(compensation_trigger(phase, self, partial(faults.add, plan.rule)))
            elif phase in (Phase.FAILOVER, Phase.TEST):
                faults.add(plan.rule)
        handle = await (self.test() if Phase.TEST in planned else self.start())
        if await self.failover(handle):
            return handle
        if await self.terminated(handle):
            return await self.take_over()
        await self._until_normal(handle)
        return None

    async def _seen_by_the_watch(self, plan: Planned) -> None:
        """The fault has had its moment, and the watch goes on."""

        rule = plan.rule

        async def happened() -> bool:
            return rule.happened is not None

        await self.until(happened, "a look of the watch")
        if plan.case.point.step == StepName.WATCH_FAILOVER:
            await self.watched(rule.happened or 0)

    async def _plan_undo(self, plan: Planned) -> None:
        """What the watch looks at too is left to the undo: the next look is ten seconds away."""
        if plan.case.point.endpoint in (f"{TENANT}-veeam", f"{TENANT}-vcenter/{APPLIANCE}"):
            await self.watched(time.time())
        self.lab.centre.faults.add(plan.rule)

    async def _until_normal(self, handle: Handle) -> None:
        """Until all was taken back. An original that was switched on meanwhile is switched off again."""
        await self.until(lambda: self.ended(handle), "the workflow's end")
        original = self.site.vm(VM)
        if original.power == "poweredOn":
            self.site.hypervisor.power_off(original)
        await self.end_of(handle)
