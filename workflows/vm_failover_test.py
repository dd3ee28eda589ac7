"""`VmFailoverTest`: one replica is failed over in isolation, looked at, and put back, whatever happened."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)

from partial_failover.temporal.search_attributes import FAILOVER_TEST_RESULT, ORIGINAL_VM
from workflows import lock, metrics
from workflows.compensated_workflow import CompensatedWorkflow
from workflows.concurrency import shielded, shielded_then_cancel
from workflows.failures import no_input, refusal, root_cause
from workflows.guest_checks import GuestChecks
from workflows.isolated_failover import IsolatedFailover
from workflows.preflight import ends_fit, not_ready
from workflows.replica_points import agreement
from workflows.run import this_run

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.duration_text import duration_text
    from partial_failover.contracts.errors import AlreadyInFailover, NotReady
    from partial_failover.contracts.failover_test import (
        LONGEST_RECORD_TEXT,
        RecordTestInput,
        TestNetwork,
        TestRecord,
        TestResult,
        VmTestReport,
        VmTestRequest,
        against,
    )
    from partial_failover.contracts.plan import (
        Extension,
        FailoverPlan,
        PlanInput,
        TenantSiteInput,
    )
    from partial_failover.contracts.replica import Marker, ReplicaState, RestorePoint
    from partial_failover.contracts.request import PartialFailoverRequest
    from partial_failover.contracts.step import StepName
    from partial_failover.contracts.version import VERSION

UNTOUCHED = "The replica was not touched"
DONE = ("done", "nothing to do")
UNDER_TEST = "The replica is under test, isolated from production. Cancelling the test puts it back."


class _Skip(Exception):
    """The replica is left alone; the text says why."""


@workflow.defn(name="VmFailoverTest")
class VmFailoverTest(CompensatedWorkflow):
    """Started by `FailoverTest` for each VM; it can be started by itself too."""

    @workflow.init
    def __init__(self, request: VmTestRequest | None = None) -> None:
        super().__init__(f"Test of {request.vm}" if request else "VmFailoverTest")
        self._started: datetime = workflow.info().start_time
        self._vm = request.vm if request else ""
        self._plan: FailoverPlan | None = None
        self._failover: IsolatedFailover | None = None
        self._failures: list[str] = []
        checks = request.checks if request else ()
        self._checks = GuestChecks(self._progress, checks, self._started, self._failures)
        self._age: float | None = None
        self._too_old: str | None = None
        """What is said of a restore point that misses the target, once it is among the failures."""
        self._recovery: float | None = None
        self._undo: float | None = None

    @workflow.run
    async def run(self, request: VmTestRequest | None = None) -> VmTestReport:
        """From preflight to the report. It fails only when something could not be put back."""
        lock.refuse_its_id()
        if request is None:
            raise no_input("VmFailoverTest")
        self._progress.enter(ReplicaState.NORMAL, "Preflight runs. Nothing has been touched yet.")
        workflow.upsert_search_attributes([ORIGINAL_VM.value_set(request.vm)])
        try:
            failover = await self._prepare(request)
            held = await self._take_lock(failover.plan)
        except _Skip as why:
            return self._ended(request, TestResult.SKIPPED, str(why))
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            self._failures.append(root_cause(error).message)
            await self._record(request)
            return self._ended(request, *self._verdict())
        self._failover = failover
        cancelled = not await self._test(request, failover)
        await shielded(partial(self._finish, request, failover, held, cancelled))
        if self._left_over:
            raise self._not_put_back(request)
        if cancelled:
            metrics.test_ended(self._vm, TestResult.CANCELLED)
            raise asyncio.CancelledError
        return self._ended(request, *self._verdict())

    async def _prepare(self, request: VmTestRequest) -> IsolatedFailover:
        """Preflight of a failover, of both sides; at the tenant's without the appliance if it is not used."""
        asked = PartialFailoverRequest(
            vm=request.vm, restore_point=request.restore_point, original_may_run=True
        )
        title = f"Check {request.vm} at the provider"
        step = steps.PLAN_FAILOVER.with_budget(steps.UNATTENDED_READ)
        answer = await self._progress.run(step, PlanInput(request=asked, run=this_run()), title)
        if answer.in_use:
            why = "; ".join(p.what for p in answer.problems) or "its lock is taken"
            raise _Skip(f"The replica of {request.vm} is in use, so it was not tested: {why}")
        if _left_by_a_failover(answer.marker):
            why = "; ".join(f"{p.what}. {p.do}" for p in answer.problems)
            raise _Skip(f"The replica of {request.vm} is not Normal, so it was not tested: {why}")
        if answer.plan is None:
            raise not_ready(request.vm, answer.problems)
        self._plan, plan = answer.plan, answer.plan
        extends = request.network is TestNetwork.EXTENSION
        self._name_it(plan.vm)
        looked = TenantSiteInput(
            vm=plan.vm,
            extension=plan.side.extension if extends else Extension.NONE,
            networks=tuple(lease.network for lease in plan.leases),
            original_may_run=True,
            proof_key=plan.side.proof_key,
        )
        title = f"Check {request.vm} at the tenant's site"
        site = await self._progress.run(
            steps.CHECK_TENANT_SITE.with_budget(steps.UNATTENDED_READ), looked, title
        )
        blocking, cautions = agreement(plan, site)
        for caution in cautions:
            self._progress.warn(caution)
        problems = (*site.problems, *blocking, *(ends_fit(plan, site) if extends else ()))
        if problems:
            raise not_ready(request.vm, problems)
        self._measure_restore_point(request, plan.restore_point, plan.read_at)
        self._require_room(request, plan)
        self._require_time(request.deadline)
        return IsolatedFailover(self._progress, request, plan, site)

    def _require_room(self, request: VmTestRequest, plan: FailoverPlan) -> None:
        """The hold keeps replication off the VM for as long as the test may last. Production's own target is
        not risked for a test."""
        if request.rpo is None:
            return
        age = plan.read_at - (plan.newest or plan.restore_point).created
        if age > request.rpo:
            do = "See why it does not replicate"
            raise refusal(NotReady("A hold would put replication off even longer", left=UNTOUCHED, do=do))
        if age + request.deadline > request.rpo:
            raise _Skip(
                f"{plan.vm} was not tested, because replication would be on hold for too long: its newest "
                f"restore point is {duration_text(age)} old, the test's deadline is "
                f"{duration_text(request.deadline)}, and the target (RPO) is {duration_text(request.rpo)}"
            )

    def _name_it(self, vm: str) -> None:
        """By the original's name, also where somebody typed the replica's."""
        if vm != self._vm:
            self._vm = vm
            workflow.upsert_search_attributes([ORIGINAL_VM.value_set(vm)])

    def _require_time(self, deadline: timedelta) -> None:
        if workflow.now() - self._started >= deadline:
            late = f"Its deadline of {duration_text(deadline)} was over before it began"
            raise refusal(NotReady(late, left=UNTOUCHED))

    def _measure_restore_point(self, request: VmTestRequest, point: RestorePoint, now: datetime) -> None:
        """`now`: by vCenter's clock, which also wrote the restore point's time."""
        if self._too_old is not None:  # of the one that was planned
            self._failures.remove(self._too_old)
            self._too_old = None
        self._age = round((now - point.created) / timedelta(seconds=1), 1)
        if request.rpo is not None and against(self._age, request.rpo).met is False:
            age, target = duration_text(timedelta(seconds=self._age)), duration_text(request.rpo)
            self._too_old = f"The restore point {point.name} is {age} old; the target (RPO) is {target}"
            self._failures.append(self._too_old)

    async def _take_lock(self, plan: FailoverPlan) -> lock.Held:
        try:
            return await lock.take(plan.vm, plan.replica_id)
        except ApplicationError as error:
            if error.type == AlreadyInFailover.__name__:
                raise _Skip(f"{error.message} So it was not tested") from None
            raise

    async def _test(self, request: VmTestRequest, failover: IsolatedFailover) -> bool:
        """Fail over and check, until the deadline. False when the test was cancelled."""
        self._progress.enter(ReplicaState.PROCESSING, UNDER_TEST)
        try:
            left = request.deadline - (workflow.now() - self._started)
            in_time = await _within(left, self._forward(request, failover))
            # While no worker ran, the time went on.
            if not in_time or workflow.now() - self._started > request.deadline:
                self._failures.append(self._late(request.deadline))
        except BaseException as error:
            if is_cancelled_exception(error):
                return False
            if not isinstance(error, FailureError):
                raise  # the workflow's own bug, or its eviction from the cache
            self._failures.append(self._what_failed(error))
        return True

    async def _forward(self, request: VmTestRequest, failover: IsolatedFailover) -> None:
        await failover.go()
        if failover.plan is not self._plan:
            self._plan = failover.plan
            self._measure_restore_point(request, self._plan.restore_point, failover.chosen_at)
        await self._checks.run(failover.replica)
        if not self._checks.held:
            return
        self._recovery = self._progress.seconds_since(self._started)
        if request.rto is not None and against(self._recovery, request.rto).met is False:
            took = duration_text(timedelta(seconds=self._recovery))
            self._failures.append(f"It took {took}; the target (RTO) is {duration_text(request.rto)}")

    def _late(self, deadline: timedelta) -> str:
        cut = [r.title for r in self._progress.records if r.outcome == "cancelled"]
        at = f", at: {'; '.join(cut)}" if cut else ""
        return f"The test had not ended by its deadline of {duration_text(deadline)}{at}"

    def _what_failed(self, error: BaseException) -> str:
        failed = next((r.title for r in self._progress.records if r.outcome == "failed"), "The test")
        return f"{failed}: {root_cause(error).message}"

    async def _finish(
        self, request: VmTestRequest, failover: IsolatedFailover, held: lock.Held, cancelled: bool
    ) -> None:
        began = workflow.now()
        await self._compensate(failover)
        if self._left_over:
            self._failures.append(f"Not everything was put back: {self._left_over[0]}")
        else:
            self._undo = self._progress.seconds_since(began)
        if not cancelled:
            await self._record(request)
        if not failover.lost:
            await held.release()

    def _verdict(self) -> tuple[TestResult, str]:
        if not self._failures:
            return TestResult.PASSED, self._checks.said
        more = len(self._failures) - 1
        first = self._failures[0].rstrip(".")
        return TestResult.FAILED, f"{first} (and {more} more)" if more else first

    async def _record(self, request: VmTestRequest) -> None:
        """With the replica, where it outlives this history. A record that fails spoils no test."""
        result, summary = self._verdict()
        record = TestRecord(
            at=workflow.now(),
            result=result,
            said=summary[:LONGEST_RECORD_TEXT],
            workflow_id=workflow.info().workflow_id[:LONGEST_RECORD_TEXT],
            period_s=int(request.period.total_seconds()) if request.period else None,
        )
        data = RecordTestInput(vm=self._vm, run=this_run(), record=record)
        title = "Keep the result with the replica"
        try:
            await self._progress.run(steps.RECORD_TEST, data, title)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            self._progress.warn(f"The result could not be kept with the replica: {root_cause(error).message}")

    def _ended(self, request: VmTestRequest, result: TestResult, summary: str) -> VmTestReport:
        workflow.upsert_search_attributes([FAILOVER_TEST_RESULT.value_set(result.value)])
        metrics.test_ended(self._vm, result)
        self._progress.next = f"The test {result}. {summary}."
        self._progress.show()
        return self._report(request, result, summary)

    def _report(self, request: VmTestRequest, result: TestResult, summary: str) -> VmTestReport:
        info, progress, failover, plan = workflow.info(), self._progress, self._failover, self._plan
        isolated = (r for r in progress.records if r.step is StepName.ISOLATE_REPLICA and r.outcome in DONE)
        return VmTestReport(
            vm=self._vm,
            replica=plan.replica_name if plan else None,
            result=result,
            said=summary,
            workflow_id=info.workflow_id,
            run_id=info.run_id,
            version=VERSION,
            network=request.network,
            isolation=next((r.note for r in isolated), ""),
            started=self._started,
            ended=workflow.now(),
            state=progress.state,
            restore_point=plan.restore_point if plan else None,
            rpo=against(self._age, request.rpo),
            rto=against(self._recovery, request.rto),
            time_to_power_on_s=failover.time_to_power_on if failover else None,
            time_to_heartbeat_s=self._checks.time_to_heartbeat,
            time_to_tunnel_s=failover.time_to_tunnel if failover else None,
            time_to_undo_s=self._undo,
            checks=self._checks.results,
            steps=tuple(progress.records),
            warnings=tuple(progress.warnings),
            left_over=self._left_over,
        )

    def _not_put_back(self, request: VmTestRequest) -> ApplicationError:
        """The one failure of a test's workflow. A schedule with "pause on failure" pauses then."""
        report = self._ended(request, *self._verdict())
        message = f"The test of {request.vm} was not put back: {'; '.join(self._left_over)}"
        return ApplicationError(message[:4000], report, type="FailedFailover", non_retryable=True)


async def _within(limit: timedelta, work: Coroutine[Any, Any, None]) -> bool:
    """Run until it ends or `limit` is over; then it is cancelled, and has ended when this returns False."""
    task = asyncio.create_task(work)

    async def ended() -> None:
        await workflow.wait([task])

    try:
        await workflow.wait([task], timeout=max(0.0, limit.total_seconds()))
    except asyncio.CancelledError:
        task.cancel()
        await shielded_then_cancel(ended)
        raise
    if task.done():
        task.result()
        return True
    task.cancel()
    await shielded_then_cancel(ended)
    return False


def _left_by_a_failover(marker: Marker | None) -> bool:
    """One that no longer runs. What a test left is a test that failed, and is said so."""
    return marker is not None and not marker.test
