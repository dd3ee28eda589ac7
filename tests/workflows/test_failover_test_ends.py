"""How a `FailoverTest` ends when something is in its way: skipped, cancelled, ended from outside, late."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError

from partial_failover.contracts.failover_test import FailoverTestReport, TestRecord, TestResult
from partial_failover.contracts.plan import PlanResult
from partial_failover.contracts.replica import Marker, ReplicaState
from partial_failover.contracts.report import ReadinessReport
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import HoldInput, StepResult
from tests.waiting import PATIENCE
from tests.workflows.runs import ONE, Handle, child, failure_of, in_state, run_test, start, workers
from tests.workflows.testing_world import TestingWorld
from tests.workflows.world import OLD, World, problem

TWO = {"vms": ["erp-db-01", "erp-web-01"], "parallel": 1}


async def reached(world: TestingWorld, step: StepName) -> None:
    """Wait until the step runs; it is to be blocked."""
    event = world.reached.setdefault(step, asyncio.Event())
    await asyncio.wait_for(event.wait(), PATIENCE)


async def report_in(handle: Handle) -> FailoverTestReport:
    """The report that a failed test leaves in its failure."""
    return FailoverTestReport.model_validate((await failure_of(handle)).details[0])


async def test_cancelling_the_test_of_one_vm_leaves_the_others(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.CHECK_GUEST)
    async with workers(client, world):
        handle = await start(client, TWO, "FailoverTest")
        await reached(world, StepName.CHECK_GUEST)
        await (await child(client, handle)).cancel()
        world.block.clear()
        report = FailoverTestReport.model_validate(await handle.result())
        found = await handle.describe()
    first, second = report.vms
    assert first.result is TestResult.CANCELLED and "put back" in first.said
    assert second.result is TestResult.PASSED and report.said == "1 passed, 1 cancelled"
    assert report.result is TestResult.PASSED and world.left_over() == set()
    assert found.search_attributes["FailoverTestResult"] == ["passed"]


async def test_when_the_only_vm_was_cancelled_the_test_was(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.CHECK_GUEST)
    async with workers(client, world):
        handle = await start(client, ONE, "FailoverTest")
        await reached(world, StepName.CHECK_GUEST)
        await (await child(client, handle)).cancel()
        report = FailoverTestReport.model_validate(await handle.result())
    assert report.result is TestResult.CANCELLED and world.left_over() == set()


async def test_a_test_that_was_ended_from_outside_is_not_said_to_be_over(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.CHECK_GUEST)
    async with workers(client, world):
        handle = await start(client, ONE, "FailoverTest")
        await reached(world, StepName.CHECK_GUEST)
        await (await child(client, handle)).terminate()
        world.block.clear()
        report = await report_in(handle)
    (vm,) = report.vms
    assert vm.result is TestResult.FAILED and "ended from outside" in vm.left_over[0]
    assert vm.isolation == "not known" and vm.state is ReplicaState.FAILED_FAILOVER
    assert {"held", "on"} <= world.effects, "as the report says"


async def test_what_is_left_over_counts_more_than_a_cancellation(client: Client) -> None:
    world = TestingWorld()
    world.refuse(StepName.REVERT_TO_LATEST, times=9)
    async with workers(client, world):
        handle = await start(client, TWO, "FailoverTest")
        test = await child(client, handle)
        await in_state(test, ReplicaState.FAILED_FAILOVER)
        await handle.cancel()
        await asyncio.sleep(0.5)
        await test.execute_update("accept_as_is", {})
        report = await report_in(handle)
    (vm,) = report.vms
    assert vm.left_over and vm.state is ReplicaState.FAILED_FAILOVER and "held" in world.effects


async def test_cancelled_while_it_is_put_back_it_reports_all_the_same(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.REVERT_TO_LATEST)
    async with workers(client, world):
        handle = await start(client, ONE, "FailoverTest")
        await reached(world, StepName.REVERT_TO_LATEST)
        await (await child(client, handle)).cancel()
        await asyncio.sleep(0.3)
        world.block.clear()
        report = FailoverTestReport.model_validate(await handle.result())
    assert report.result is TestResult.PASSED and world.left_over() == set()
    assert [record.result for _, record in world.records] == [TestResult.PASSED]


async def test_cancelled_as_a_whole_it_ends_as_cancelled(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.POWER_ON_ISOLATED)
    async with workers(client, world):
        handle = await start(client, TWO, "FailoverTest")
        await reached(world, StepName.POWER_ON_ISOLATED)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, CancelledError) and world.left_over() == set()


@pytest.mark.parametrize("state", list(ReplicaState))
async def test_a_replica_that_a_failover_left_is_skipped(client: Client, state: ReplicaState) -> None:
    world = TestingWorld()
    left = Marker(state=state, workflow_id="gone", run_id="gone", since=datetime.now(UTC))
    world.found = PlanResult(plan=None, problems=(problem("It was left"),), marker=left)
    async with workers(client, world):
        report = await run_test(client, ONE)
    assert report.result is TestResult.SKIPPED and "It was left. Repair it" in report.vms[0].said
    assert world.log == [StepName.PLAN_FAILOVER]


async def test_a_replica_that_a_test_left_fails(client: Client) -> None:
    world = TestingWorld()
    left = Marker(
        state=ReplicaState.PROCESSING, workflow_id="t", run_id="t", since=datetime.now(UTC), test=True
    )
    world.found = PlanResult(plan=None, problems=(problem("A test left it"),), marker=left)
    async with workers(client, world):
        report = await run_test(client, ONE)
    assert report.result is TestResult.FAILED and "A test left it" in report.said
    assert world.log == [StepName.PLAN_FAILOVER, StepName.RECORD_TEST]


async def test_a_deadline_that_is_over_before_the_hold(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.CHECK_TENANT_SITE)
    async with workers(client, world):
        handle = await start(client, {**ONE, "deadline": "1s"}, "FailoverTest")
        await reached(world, StepName.CHECK_TENANT_SITE)
        await asyncio.sleep(1.2)
        world.block.clear()
        report = FailoverTestReport.model_validate(await handle.result())
    assert report.result is TestResult.FAILED and "was over before it began" in report.said
    assert world.log == [StepName.PLAN_FAILOVER, StepName.CHECK_TENANT_SITE, StepName.RECORD_TEST]


async def test_no_hold_where_the_target_would_be_missed_by_it(client: Client) -> None:
    world = TestingWorld()
    world.newest = OLD.model_copy(update={"created": datetime.now(UTC) - timedelta(minutes=45)})
    terms = {**ONE, "rpo": "9000d", "deadline": "20m"}
    async with workers(client, world):
        assert (await run_test(client, terms)).result is TestResult.PASSED
        world.log.clear()
        report = await run_test(client, {**terms, "restore_point": OLD.id, "rpo": "1h"})
    (vm,) = report.vms
    assert vm.result is TestResult.SKIPPED and "on hold for too long" in vm.said and "45 min" in vm.said
    assert world.log == [StepName.PLAN_FAILOVER, StepName.CHECK_TENANT_SITE]


async def test_only_a_failover_may_stop_a_job(client: Client) -> None:
    asked: list[bool] = []

    class Asked(TestingWorld):
        @activity.defn(name=StepName.HOLD_REPLICATION)
        async def hold(self, data: HoldInput) -> StepResult:
            asked.append(data.may_stop)
            return await World.hold(self, data)

    async with workers(client, Asked()):
        await run_test(client, ONE)
        failover = await start(client, {"vm": "erp-db-01"})
        await in_state(failover, ReplicaState.FAILOVER)
        await failover.execute_update("undo", {})
        await failover.result()
    assert asked[:2] == [False, True] and all(asked[1:])


@pytest.mark.parametrize(
    ("skipping", "result", "says"),
    [
        ({"address"}, TestResult.PASSED, "2 of 3 checks passed, 1 skipped"),
        ({"power", "heartbeat", "address"}, TestResult.FAILED, "no check was made"),
    ],
)
async def test_what_was_not_looked_at_did_not_hold(
    client: Client, skipping: set[str], result: TestResult, says: str
) -> None:
    world = TestingWorld()
    world.skipping = skipping
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "rto": "10m"})).vms
    assert vm.result is result and says in vm.said
    assert (vm.rto.measured_s is not None) is (result is TestResult.PASSED)
    assert world.left_over() == set()


async def test_a_check_that_the_deadline_cut_off_was_made(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.CHECK_GUEST)
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "checks": ["power"], "deadline": "10s"})).vms
    assert [c.outcome for c in vm.checks] == ["fail"] and "time was over" in vm.checks[0].reason


async def test_replicas_that_cannot_be_looked_at_fail_the_test_with_a_report(client: Client) -> None:
    world = TestingWorld()
    world.refuse(StepName.INSPECT_REPLICAS)
    async with workers(client, world):
        handle = await start(client, {}, "FailoverTest")
        report = FailoverTestReport.model_validate(await handle.result())
        found = await handle.describe()
    assert report.result is TestResult.FAILED and "no InspectReplicas" in report.said
    assert found.search_attributes["FailoverTestResult"] == ["failed"] and report.vms == ()


async def test_a_test_by_hand_does_not_hide_that_the_next_one_is_overdue(client: Client) -> None:
    world = TestingWorld()
    now = datetime.now(UTC)
    planned = TestRecord(at=now - timedelta(days=9), result=TestResult.PASSED, period_s=1)
    world.records = [("erp-db-01", planned)]
    async with workers(client, world):
        await run_test(client, ONE)
        await asyncio.sleep(1.1)
        handle = await start(client, {"vms": ["erp-db-01"]}, "CheckReadiness")
        report = ReadinessReport.model_validate(await handle.result())
    assert "overdue" in report.replicas[0].warnings[-1]


async def test_a_replicas_own_name_is_another_name_of_the_vm(client: Client) -> None:
    world = TestingWorld()
    async with workers(client, world):
        handle = await start(client, {"vms": ["erp-db-01_replica"]}, "FailoverTest")
        report = FailoverTestReport.model_validate(await handle.result())
        found = await (await child(client, handle, "erp-db-01_replica")).describe()
    assert [vm.vm for vm in report.vms] == ["erp-db-01"] and world.records[0][0] == "erp-db-01"
    assert found.search_attributes["OriginalVm"] == ["erp-db-01"]
