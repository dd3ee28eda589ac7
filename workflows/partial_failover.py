"""`PartialFailover`: one replica from Normal to Failover, and back when the tenant says so."""

import asyncio
from datetime import datetime, timedelta
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from partial_failover.temporal.search_attributes import ORIGINAL_VM
from workflows import lock, metrics
from workflows.compensated_workflow import CompensatedWorkflow
from workflows.concurrency import shielded
from workflows.failover import Failover
from workflows.failures import no_input, refusal, root_cause
from workflows.preflight import preflight
from workflows.watch import FailoverWatch
from workflows.watch_replica import ReplicaWatch

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts.errors import BadRequest
    from partial_failover.contracts.replica import ReplicaState
    from partial_failover.contracts.report import FailoverReport
    from partial_failover.contracts.request import (
        Accepted,
        PartialFailoverRequest,
        ResumeRequest,
        UndoRequest,
    )

IN_FAILOVER = (
    "The replica is in Failover and does the original's work. What it writes is kept. "
    'When the original is repaired, send the Update "undo": the replica goes back to Normal and what it '
    "wrote is discarded."
)
UNDER_WAY = "The failover is under way. Cancelling it takes it back."


@workflow.defn(name="PartialFailover")
class PartialFailover(CompensatedWorkflow):
    """Fails over one replica and stays running while it is in Failover, until told how to finish."""

    @workflow.init
    def __init__(self, request: PartialFailoverRequest | None = None) -> None:
        super().__init__(request.vm if request else "PartialFailover")
        self._undo: UndoRequest | None = None
        self._undo_accepted: datetime | None = None
        self._watches: list[asyncio.Task[None]] = []
        self._replica: ReplicaWatch | None = None

    @workflow.run
    async def run(self, request: PartialFailoverRequest | None = None) -> FailoverReport:
        """From preflight to the report."""
        lock.refuse_its_id()
        if request is None:
            raise no_input("PartialFailover")
        self._progress.enter(ReplicaState.NORMAL, "Preflight runs. Nothing has been touched yet.")
        workflow.upsert_search_attributes([ORIGINAL_VM.value_set(request.vm)])
        plan, site = await preflight(self._progress, request)
        held = await lock.take(plan.vm, plan.replica_id)
        failover = Failover(self._progress, request, plan, site)
        try:
            await self._go(failover)
            ended = await self._stay(failover, held)
        except BaseException as error:
            if not (isinstance(error, FailureError) or is_cancelled_exception(error)):
                raise  # not an end of the failover: the workflow's own bug, or its eviction from the cache
            await shielded(partial(self._recover, failover, held, error))
            raise self._failed(failover, error) from None
        await shielded(partial(self._finish, failover, held))
        metrics.ended("undone", self._progress.state)
        return self._report(failover, ended)

    async def _go(self, failover: Failover) -> None:
        self._progress.enter(ReplicaState.PROCESSING, UNDER_WAY)
        await failover.go()
        self._progress.enter(ReplicaState.FAILOVER, IN_FAILOVER)

    async def _stay(self, failover: Failover, held: lock.Held) -> str:
        """In Failover: measure the connection, watch, and wait for the tenant or for `undo_after`. Raises
        when somebody ended the lock."""
        verify = asyncio.create_task(failover.verify()) if failover.site.appliance else None
        self._replica = ReplicaWatch(failover)
        watches = FailoverWatch(failover).run(), self._replica.resume_when_told(), self._replica.run()
        self._watches = [asyncio.create_task(watch) for watch in watches]
        try:
            await workflow.wait_condition(
                lambda: self._undo is not None or held.is_gone,
                timeout=failover.request.undo_after,
                timeout_summary="Undo by itself, as requested",
            )
            if self._undo is None:
                raise failover.lock_is_gone()
            reason = self._undo.reason
            return f"undone by the tenant: {reason}" if reason else "undone by the tenant"
        except TimeoutError:
            self._undo_accepted = workflow.now()
            return f"undone by itself after {failover.request.undo_after}"
        finally:
            if verify is not None:
                verify.cancel()

    async def _recover(self, failover: Failover, held: lock.Held, error: BaseException) -> None:
        """Take back what was begun. An adoption that fails leaves a replica that ran: what it wrote may not
        be lost."""
        adoption = failover.plan.adoption
        if adoption and not adoption.revert and self._progress.state is ReplicaState.PROCESSING:
            name = failover.plan.replica_name
            self._left_over = (f'{name} was left as it is; start again with "adopt": true',)
            await held.release()
            return
        then = "leaves everything as it is" if failover.lost else "is taken back"
        self._progress.warn(f"The failover {_went_wrong(error)} and {then}")
        await self._finish(failover, held)

    async def _finish(self, failover: Failover, held: lock.Held) -> None:
        for watch in self._watches:
            watch.cancel()
        if self._watches:
            await workflow.wait(self._watches)  # what they repair must not meet what is taken back
        await self._compensate(failover)
        if not failover.lost:
            await held.release()

    def _failed(self, failover: Failover, error: BaseException) -> BaseException:
        """How the workflow ends when the failover did not hold: the leaf cause, and where things stand."""
        cancelled = is_cancelled_exception(error)
        metrics.ended("cancelled" if cancelled else "failed", self._progress.state)
        if cancelled and not self._left_over:
            return asyncio.CancelledError()
        cause = root_cause(error)
        stands = "; ".join(self._left_over) or "Everything was taken back: the replica is Normal"
        report, details = self._report(failover, "failed"), [cause.details] if cause.details else []
        message = f"The failover of {failover.plan.vm} failed: {cause.message.rstrip('.')}. {stands}."
        return ApplicationError(message[:4000], report, *details, type=cause.type, non_retryable=True)

    def _report(self, failover: Failover, ended: str) -> FailoverReport:
        plan, progress, started = failover.plan, self._progress, failover.started
        age = max(started - plan.restore_point.created, timedelta(0))  # one may have been made since
        undone = self._undo_accepted and progress.seconds_since(self._undo_accepted)
        return FailoverReport(
            vm=plan.vm,
            replica=plan.replica_name,
            state=progress.state,
            ended=ended,
            asked_by=plan.asked_by,
            reason=failover.request.reason,
            restore_point=plan.restore_point,
            restore_point_age_s=round(age / timedelta(seconds=1), 1),
            started=started,
            time_to_power_on_s=failover.time_to_power_on,
            time_to_reachable_s=failover.time_to_reachable,
            time_to_undo_s=undone,
            steps=tuple(progress.records),
            warnings=tuple(progress.warnings),
            left_over=self._left_over,
        )

    @workflow.update(description='Power the replica off and discard what it wrote: {"reason": "..."}')
    def undo(self, request: UndoRequest | None = None) -> Accepted:
        """Answers when it is accepted; the page and the result tell the rest."""
        self._undo = request or UndoRequest()
        self._undo_accepted = workflow.now()
        return Accepted(message=f"Undo of {self._progress.title} is accepted and under way.")

    @undo.validator
    def _may_undo(self, request: UndoRequest | None = None) -> None:
        if self._progress.state is not ReplicaState.FAILOVER or self._undo is not None:
            error = BadRequest(
                f"{self._progress.title} is {self._progress.state}, and undo is possible in Failover",
                left="Nothing was changed",
                do="Wait until it is in Failover, or cancel the workflow, which takes everything back",
            )
            raise refusal(error)

    @workflow.update(
        description='Bring a replica on again that was switched off or suspended: {"reason": "…"}'
    )
    def resume(self, request: ResumeRequest | None = None) -> Accepted:
        """Answers when it is accepted. What the replica wrote is kept."""
        if self._replica is not None:
            self._replica.to_resume = True
        return Accepted(message=f"Resume of {self._progress.title} is accepted and under way.")

    @resume.validator
    def _may_resume(self, request: ResumeRequest | None = None) -> None:
        undone = self._undo is not None or self._undo_accepted is not None
        if self._progress.state is not ReplicaState.FAILOVER or self._replica is None or undone:
            state = "being undone" if undone else str(self._progress.state)
            error = BadRequest(
                f"{self._progress.title} is {state}, and resume is possible in Failover",
                left="Nothing was changed",
                do="Start it with another PartialFailover, if it is to run",
            )
            raise refusal(error)
        self._replica.may_resume()


def _went_wrong(error: BaseException) -> str:
    return "was cancelled" if is_cancelled_exception(error) else f"failed ({root_cause(error).message})"
