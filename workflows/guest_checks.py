"""The checks of a failover test: all of one VM side by side, and what they came to."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows.concurrency import task_group
from workflows.failures import root_cause
from workflows.progress import Progress

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.check import (
        AnyCheck,
        CheckInput,
        CheckOutcome,
        CheckResult,
        HeartbeatCheck,
        called,
    )
    from partial_failover.contracts.step_data import ReplicaKey

CUT = "It did not hold before the test's time was over"


class GuestChecks:
    """Of one test that began at `started`. What fails is written into `failures` too."""

    def __init__(
        self, progress: Progress, checks: Sequence[AnyCheck], started: datetime, failures: list[str]
    ) -> None:
        self._progress, self._checks, self._started, self._failures = progress, checks, started, failures
        self._seen: dict[int, CheckResult] = {}
        self.time_to_heartbeat: float | None = None

    async def run(self, replica: ReplicaKey) -> None:
        """All of them, to their ends."""
        await task_group(*(self._run(replica, n, check) for n, check in enumerate(self._checks)))
        if not self.count(CheckOutcome.PASS) and not self.count(CheckOutcome.FAIL):
            why = next((c.reason for c in self._seen.values()), "none was asked for")
            self._failures.append(f"Nothing was proven, because no check was made: {why}")

    async def _run(self, replica: ReplicaKey, number: int, check: AnyCheck) -> None:
        """One check. What its activity cannot tell is a failed check, not the end of the others."""
        data = CheckInput(**replica, check=check)
        step = steps.CHECK_GUEST.with_budget(steps.check_budget(check.timeout))
        title, began = f"Check: {called(check)}", workflow.now()
        try:
            seen = await self._progress.run(step, data, title)
        except (ActivityError, asyncio.CancelledError) as error:
            if is_cancelled_exception(error):
                self._seen[number] = self._failed(check, began, CUT)
                raise
            seen = self._failed(check, began, root_cause(error).message)
        self._seen[number] = seen
        if seen.outcome is CheckOutcome.FAIL:
            self._failures.append(f"Check failed: {seen.what}: {seen.reason}")
        elif seen.outcome is CheckOutcome.PASS and isinstance(check, HeartbeatCheck):
            self.time_to_heartbeat = self._progress.seconds_since(self._started)

    def _failed(self, check: AnyCheck, began: datetime, reason: str) -> CheckResult:
        after = self._progress.seconds_since(began)
        return CheckResult(what=called(check), outcome=CheckOutcome.FAIL, reason=reason, after_s=after)

    def count(self, outcome: CheckOutcome) -> int:
        """How many came to this."""
        return sum(1 for c in self._seen.values() if c.outcome is outcome)

    @property
    def held(self) -> bool:
        """At least one passed and none failed: only then is there a recovery to be measured."""
        return self.count(CheckOutcome.PASS) > 0 and not self.count(CheckOutcome.FAIL)

    @property
    def said(self) -> str:
        """Of a test that passed: how many checks passed, and how many were not made."""
        passed, skipped = self.count(CheckOutcome.PASS), self.count(CheckOutcome.SKIPPED)
        return f"{passed} of {len(self._checks)} checks passed" + (f", {skipped} skipped" if skipped else "")

    @property
    def results(self) -> tuple[CheckResult, ...]:
        """In the order in which they were asked for."""
        return tuple(self._seen.get(n) or _not_made(check) for n, check in enumerate(self._checks))


def _not_made(check: AnyCheck) -> CheckResult:
    return CheckResult(
        what=called(check), outcome=CheckOutcome.SKIPPED, reason="The test did not get so far", after_s=0
    )
