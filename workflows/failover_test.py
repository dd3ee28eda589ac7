"""`FailoverTest`: tries the failover of several VMs, so many at a time, and reports. Made for Schedules."""

import asyncio
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

from partial_failover.temporal.search_attributes import FAILOVER_TEST_RESULT
from workflows import lock, metrics
from workflows.calls import call
from workflows.concurrency import bounded_gather
from workflows.failures import refusal, root_cause
from workflows.progress import plain, table, took
from workflows.vm_failover_test import VmFailoverTest

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.errors import BadRequest
    from partial_failover.contracts.failover_test import (
        MOST_VMS,
        FailoverTestReport,
        FailoverTestRequest,
        TestNetwork,
        TestResult,
        VmTestReport,
        against,
    )
    from partial_failover.contracts.replica import ReplicaState
    from partial_failover.contracts.request import ListReplicasRequest
    from partial_failover.contracts.version import VERSION

WAITS, RUNS = "waits", "runs"
NOT_KNOWN = "not known"
CANCELLED = "It was cancelled, and its replica was put back"
"""A cancelled test whose replica could not be put back fails instead."""


@workflow.defn(name="FailoverTest")
class FailoverTest:
    """Each VM is tested by a child of its own, which puts its replica back whatever becomes of this one."""

    @workflow.init
    def __init__(self, request: FailoverTestRequest | None = None) -> None:
        self._request = request or FailoverTestRequest()
        self._reports: dict[str, VmTestReport | str] = {}
        self._started: datetime = workflow.info().start_time

    @workflow.run
    async def run(self, request: FailoverTestRequest | None = None) -> FailoverTestReport:
        """It fails only when the replica of a VM was not put back, or nobody knows whether it was."""
        lock.refuse_its_id()
        try:
            vms = self._request.vms or await self._all()
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return self._ended(
                TestResult.FAILED, [], f"The replicas could not be looked at: {root_cause(error).message}"
            )
        self._reports = dict.fromkeys(vms, WAITS)
        self._show()
        reports = await self._test_all(vms)
        return self._ended(_result(reports), reports, _said(reports))

    async def _test_all(self, vms: tuple[str, ...]) -> list[VmTestReport]:
        # A tunnel without leases ends with the first test that used it, so such tests come one by one.
        alone = self._request.network is TestNetwork.EXTENSION
        try:
            return await bounded_gather(vms, 1 if alone else self._request.parallel, self._visit)
        except asyncio.CancelledError:
            ended = [r for r in self._reports.values() if isinstance(r, VmTestReport)]
            if not any(r.left_over for r in ended):
                raise
            return ended  # what is left over decides, not that it was cancelled

    def _ended(self, result: TestResult, reports: list[VmTestReport], summary: str) -> FailoverTestReport:
        workflow.upsert_search_attributes([FAILOVER_TEST_RESULT.value_set(result.value)])
        self._show(f"The test {_came_to(result)}. {summary}")
        report = self._report(result, reports, summary)
        if any(r.left_over for r in reports):
            raise ApplicationError(summary[:4000], report, type="FailedFailover", non_retryable=True)
        return report

    async def _all(self) -> tuple[str, ...]:
        title = "Look at all replicas"
        step = steps.INSPECT_REPLICAS.with_budget(steps.UNATTENDED_READ)
        answer = await call(step, ListReplicasRequest(), title)
        vms = tuple(r.vm for r in answer.replicas)
        if len(vms) > MOST_VMS:
            error = BadRequest(
                f"There are {len(vms)} replicas, and one test takes {MOST_VMS}",
                left="Nothing was tested",
                do='Name them under "vms", in several tests',
            )
            raise refusal(error)
        return vms

    async def _visit(self, vm: str) -> VmTestReport:
        self._reports[vm] = RUNS
        self._show()
        try:
            report = await self._test(vm)
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):  # a report also where all is cancelled: see `_test_all`
                report = self._empty(vm, TestResult.CANCELLED, CANCELLED)
            else:
                report = _of_failed(error) or self._lost(vm, error)
        self._reports[vm] = report
        self._show()
        return report

    async def _test(self, vm: str) -> VmTestReport:
        """A child outlives a parent that is terminated: it must put its replica back."""
        info = workflow.info()
        try:
            return await workflow.execute_child_workflow(
                VmFailoverTest.run,
                self._request.of(vm),
                id=f"{info.workflow_id}/{vm}",
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                static_summary=f"Failover test of {vm}",
            )
        except WorkflowAlreadyStartedError:
            return self._empty(vm, TestResult.SKIPPED, "An earlier test of it with the same ID still runs")

    def _lost(self, vm: str, error: ChildWorkflowError) -> VmTestReport:
        """Terminated, or its history is gone: nobody put the replica back, and nobody says how it stands."""
        metrics.test_ended(vm, TestResult.FAILED)
        why = str(error.cause or error).rstrip(".")
        report = self._empty(vm, TestResult.FAILED, f"Its test was ended from outside: {why}")
        left = (
            f"The test of {vm} was ended from outside ({why}), so its replica may be on, reverted and "
            "isolated, and its replication on hold. Look at it in ListReplicas and at the steps of its test"
        )
        return report.model_copy(
            update={"state": ReplicaState.FAILED_FAILOVER, "isolation": NOT_KNOWN, "left_over": (left,)}
        )

    def _empty(self, vm: str, result: TestResult, summary: str) -> VmTestReport:
        """For a VM whose own test has nothing to say."""
        info, request = workflow.info(), self._request
        return VmTestReport(
            vm=vm,
            replica=None,
            result=result,
            said=summary[:2000],
            workflow_id=f"{info.workflow_id}/{vm}",
            run_id="",
            version=VERSION,
            network=request.network,
            started=workflow.now(),
            ended=workflow.now(),
            state=ReplicaState.NORMAL,
            rpo=against(None, request.rpo),
            rto=against(None, request.rto),
        )

    def _report(self, result: TestResult, reports: list[VmTestReport], summary: str) -> FailoverTestReport:
        info = workflow.info()
        return FailoverTestReport(
            result=result,
            said=summary,
            workflow_id=info.workflow_id,
            run_id=info.run_id,
            version=VERSION,
            started=self._started,
            ended=workflow.now(),
            vms=tuple(reports),
        )

    def _show(self, summary: str = "The test runs. Cancelling it puts every replica back.") -> None:
        rows = [_row(vm, report) for vm, report in self._reports.items()]
        head = ("VM", "result", "to power-on", "to heartbeat", "")
        workflow.set_current_details(
            "\n".join(["### Failover test", "", plain(summary), "", *table(head, rows)])
        )


def _row(vm: str, report: VmTestReport | str) -> tuple[str, ...]:
    if isinstance(report, str):
        return plain(vm), report, "", "", ""
    times = (report.time_to_power_on_s, report.time_to_heartbeat_s)
    return plain(vm), report.result, *(took(t) for t in times), plain(report.said)


def _result(reports: list[VmTestReport]) -> TestResult:
    results = {r.result for r in reports}
    if TestResult.FAILED in results:
        return TestResult.FAILED
    for result in (TestResult.PASSED, TestResult.CANCELLED):
        if result in results:
            return result
    return TestResult.SKIPPED


def _came_to(result: TestResult) -> str:
    """As the end of a sentence."""
    done = result in (TestResult.SKIPPED, TestResult.CANCELLED)
    return f"was {result}" if done else result.value


def _said(reports: list[VmTestReport]) -> str:
    """How many came to what, and of what failed the first."""
    counts = [(r, sum(1 for x in reports if x.result is r)) for r in TestResult]
    summary = ", ".join(f"{count} {result}" for result, count in counts if count) or "there is no replica"
    failed = sorted((r for r in reports if r.result is TestResult.FAILED), key=lambda r: r.ended)
    return f"{summary}. First: {failed[0].vm}: {failed[0].said}" if failed else summary


def _of_failed(error: ChildWorkflowError) -> VmTestReport | None:
    """The report that a failed child left in its failure."""
    leaf = error.cause
    details: tuple[Any, ...] = tuple(leaf.details) if isinstance(leaf, ApplicationError) else ()
    known = details and isinstance(details[0], dict) and "workflow_id" in details[0]
    return VmTestReport.model_validate(details[0]) if known else None
