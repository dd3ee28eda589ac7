"""A failover in which somebody else changes something: to its end, with what a person does about it."""

from functools import partial

from lab.crash_matrix.cases import Case, Phase
from lab.crash_matrix.driver import DidNotRest, Driver, Handle
from lab.crash_matrix.others import Others
from lab.injected_faults import FaultRule
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName

ROUNDS = 6
"""Times that a failover may come to rest: in Failover, once adopted again, and as often FailedFailover."""
UNANSWERED = frozenset({StepName.VERIFY_CONNECTIVITY})
"""It looks on for as long as the replica does not answer: one that was switched off does not."""


class Disturbed:
    """One such failover. The rule: it ends in Failover or Normal, or says what is left; what it wrote is not
    lost without an undo; and replication is not released onto a replica that is on or was written to."""

    def __init__(self, driver: Driver, others: Others, case: Case, rule: FaultRule) -> None:
        self._driver, self._rules, self._others = driver, driver.rules, others
        self._case, self._rule = case, rule
        self._failed = 0

    async def play(self) -> None:
        """From Normal to Normal."""
        forward = self._case.point.phase is Phase.FAILOVER
        if forward:
            self._driver.lab.centre.faults.add(self._rule)
        handle = await self._driver.start()
        for _ in range(ROUNDS):
            match await self._rest(handle):
                case ReplicaState.FAILOVER:
                    await self._in_failover(handle, forward)
                case ReplicaState.FAILED_FAILOVER:
                    await self._failed_failover(handle)
                case _ if self._is_over():
                    break
                case _:
                    handle = await self._driver.take_over()
        else:
            raise DidNotRest(f"it came to rest {ROUNDS} times, and not in Normal")
        self._rules.must_be_clean()
        self._rules.leave_to_a_person()
        self._others.put_in_order()
        self._rules.must_be_normal()

    def _is_over(self) -> bool:
        return self._rules.marker() is None and not self._rules.held()

    async def _rest(self, handle: Handle) -> ReplicaState:
        """Where it comes to rest. Normal stands for every end."""
        found: list[ReplicaState] = []

        async def rests() -> bool:
            failed = await self._driver.is_failed(handle)
            if await self._driver.ended(handle):  # looked at last: one that ends without its lock is both
                found.append(ReplicaState.NORMAL)
            elif failed:
                found.append(ReplicaState.FAILED_FAILOVER)
            elif await self._driver.rests(handle, UNANSWERED):
                found.append(ReplicaState.FAILOVER)
            return bool(found)

        await self._driver.until(rests, "rest")
        await self._driver.idle()
        return found[0]

    async def _in_failover(self, handle: Handle, forward: bool) -> None:
        """What was changed is found by then, and said or mended; then somebody asks for the undo."""
        if forward:
            await self._driver.until(self._happened, "the moment of the change")
            await self._driver.until(self._is_held, "the hold that was lost to be taken again")
            await self._driver.until(partial(self._is_true, handle), "the page to be true")
        self._rules.must_be_in_failover_or_say(await self._driver.page(handle))
        if not forward:
            self._driver.lab.centre.faults.add(self._rule)
        await self._driver.undo(handle)

    async def _is_held(self) -> bool:
        return self._rules.held()

    async def _is_true(self, handle: Handle) -> bool:
        return self._rules.is_said(await self._driver.page(handle))

    async def _happened(self) -> bool:
        return self._rule.happened is not None

    async def _failed_failover(self, handle: Handle) -> None:
        """It says what is left. It is tried again as it is, and then in order."""
        self._failed += 1
        self._rules.must_say_what_is_left(await self._driver.page(handle))
        if self._failed > 1:
            self._others.put_in_order()
        await self._driver.retry(handle)
