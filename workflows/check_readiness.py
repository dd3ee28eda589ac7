"""`CheckReadiness`: every preflight check on every replica; changes nothing."""

from datetime import datetime

from temporalio import workflow

from workflows import lock
from workflows.concurrency import bounded_gather
from workflows.failures import raise_root_cause
from workflows.preflight import look
from workflows.progress import Progress, plain, table

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.failover_test import TestRecord, TestResult
    from partial_failover.contracts.report import Readiness, ReadinessReport, ReplicaSummary
    from partial_failover.contracts.request import (
        CheckReadinessRequest,
        ListReplicasRequest,
        PartialFailoverRequest,
    )

AT_ONCE = 5
"""A system that does not answer costs the check of each VM a quarter of a minute or more."""


@workflow.defn(name="CheckReadiness")
class CheckReadiness:
    """Says for each replica whether it could be failed over now, and all that stands in the way."""

    @workflow.run
    async def run(self, request: CheckReadinessRequest | None = None) -> ReadinessReport:
        """The same look that a failover takes before it touches anything."""
        lock.refuse_its_id()
        progress = Progress("Readiness")
        asked, title = ListReplicasRequest(), "Look at all replicas"
        with raise_root_cause():
            answer = await progress.run(steps.INSPECT_REPLICAS, asked, title)
        replicas = {replica.vm: replica for replica in answer.replicas}
        vms = (request.vms if request else ()) or tuple(replicas)

        async def check(vm: str) -> Readiness:
            return await self._check(progress, vm, replicas.get(vm), answer.read_at)

        checked = await bounded_gather(vms, AT_ONCE, check)
        report = ReadinessReport(ready=all(r.ready for r in checked), replicas=tuple(checked))
        workflow.set_current_details(_table(report))
        return report

    async def _check(
        self, progress: Progress, vm: str, replica: ReplicaSummary | None, now: datetime
    ) -> Readiness:
        # On an ordinary day the original runs: that is a warning here, and a problem when it is started.
        plan, site, problems = await look(progress, PartialFailoverRequest(vm=vm, original_may_run=True))
        last = replica.last_tests[0] if replica and replica.last_tests else None
        tested = _about_tests(last, now) if replica else ()
        warnings = (*(plan.warnings if plan else ()), *site.warnings, *tested)
        ready = plan is not None and not problems
        return Readiness(vm=vm, ready=ready, problems=problems, warnings=warnings, last_test=last)


def _about_tests(last: TestRecord | None, now: datetime) -> tuple[str, ...]:
    """Why its failover is not proven."""
    if last is None:
        return ("Its failover was never tested",)
    when = f"{last.at:%Y-%m-%d %H:%M} UTC"
    failed = last.result is TestResult.FAILED
    warnings = [f"Its last failover test, {when}, failed: {last.said}"] if failed else []
    if last.overdue(now):
        warnings.append(f"Its next failover test is overdue: the last one was {when}")
    return tuple(warnings)


def _table(report: ReadinessReport) -> str:
    rows = []
    for r in report.replicas:
        problems = [f"{plain(p.what.rstrip('.'))}. {plain(p.do)} ({p.who})" for p in r.problems]
        findings = "; ".join([*problems, *(f"Warning: {plain(w)}" for w in r.warnings)])
        rows.append((plain(r.vm), "yes" if r.ready else "no", findings or "nothing"))
    head = ("VM", "ready", "what stands in the way, and warnings")
    return "\n".join(["### Readiness", "", *table(head, rows)])
