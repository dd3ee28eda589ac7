"""`FailoverTest` over a small world: verdicts, isolation, deadline, undo whatever happens, weeks of tests."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError

from partial_failover.contracts.failover_test import FailoverTestReport, TestRecord, TestResult
from partial_failover.contracts.plan import Extension, PlanResult
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.report import ReadinessReport, ReplicaList
from partial_failover.contracts.schedule import TestSchedule
from partial_failover.contracts.step import StepName
from partial_failover.temporal.schedules import put
from tests.waiting import PATIENCE
from tests.workflows.runs import (
    ONE,
    child,
    failure_of,
    in_state,
    run_test,
    start,
    workers,
)
from tests.workflows.testing_world import TestingWorld
from tests.workflows.world import NEW, OLD

FORWARD = (
    StepName.HOLD_REPLICATION,
    StepName.MARK_PROCESSING,
    StepName.REVERT_SNAPSHOT,
    StepName.ISOLATE_REPLICA,
    StepName.POWER_ON_ISOLATED,
)
TUNNEL = (
    StepName.CONNECT_NETWORKS,
    StepName.POWER_ON_PROVIDER_APPLIANCE,
    StepName.START_VPN_SERVER,
    StepName.POWER_ON_TENANT_APPLIANCE,
    StepName.START_VPN_CLIENT,
    StepName.VERIFY_TUNNEL,
)


async def test_it_passes_and_everything_is_put_back(client: Client) -> None:
    world = TestingWorld()
    async with workers(client, world):
        report = await run_test(client, {**ONE, "rpo": "9000d", "rto": "10m", "period": "7d"})
    (vm,) = report.vms
    assert (report.result, vm.result, vm.state) == ("passed", "passed", ReplicaState.NORMAL)
    assert world.left_over() == set()
    assert vm.rpo.met and vm.rto.met and vm.time_to_heartbeat_s is not None
    assert [c.outcome for c in vm.checks] == ["pass"] * 3
    assert set(TUNNEL).isdisjoint(world.log), "nothing of the appliances is touched"
    assert world.log.index(StepName.HOLD_REPLICATION) < world.log.index(StepName.REVERT_SNAPSHOT)
    assert world.log.index(StepName.ISOLATE_REPLICA) < world.log.index(StepName.POWER_ON_ISOLATED)
    assert world.log[-2:] == [StepName.RELEASE_REPLICATION, StepName.RECORD_TEST]
    assert world.records[0][1].period_s == 7 * 86400


@pytest.mark.parametrize("step", FORWARD)
async def test_a_step_that_fails_is_what_failed_first(client: Client, step: StepName) -> None:
    world = TestingWorld()
    world.refuse(step)
    async with workers(client, world):
        report = await run_test(client, ONE)
    (vm,) = report.vms
    assert vm.result is TestResult.FAILED and f"no {step}" in vm.said and vm.said in report.said
    assert [c.outcome for c in vm.checks] == ["skipped"] * 3
    assert world.left_over() == set() and vm.state is ReplicaState.NORMAL
    assert world.records[0][1].result is TestResult.FAILED


async def test_a_guest_that_does_not_come_up(client: Client) -> None:
    world = TestingWorld()
    world.guest_up = False
    async with workers(client, world):
        report = await run_test(client, {**ONE, "checks": ["power", "heartbeat"]})
    (vm,) = report.vms
    assert vm.result is TestResult.FAILED and vm.rto.measured_s is None
    assert vm.said.startswith("Check failed:") and "(and 1 more)" in vm.said
    assert world.left_over() == set()


async def test_a_restore_point_that_is_too_old_fails_and_is_not_made_older_by_a_hold(client: Client) -> None:
    world = TestingWorld()
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "rpo": "1h"})).vms
    assert vm.result is TestResult.FAILED and vm.rpo.met is False
    assert vm.said.startswith("The restore point one is") and "the target (RPO) is 1 h" in vm.said
    assert world.log == [StepName.PLAN_FAILOVER, StepName.CHECK_TENANT_SITE, StepName.RECORD_TEST]


async def test_an_old_restore_point_that_was_asked_for_fails_first_and_the_test_goes_on(
    client: Client,
) -> None:
    world = TestingWorld()
    world.guest_up = False
    world.newest = NEW.model_copy(update={"created": datetime.now(UTC)})
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "restore_point": OLD.id, "rpo": "1h"})).vms
    assert vm.result is TestResult.FAILED and vm.rpo.met is False
    assert vm.said.startswith("The restore point one is")
    assert StepName.CHECK_GUEST in world.log and world.left_over() == set()


async def test_the_target_for_the_time_is_missed(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.POWER_ON_ISOLATED)
    async with workers(client, world):
        handle = await start(client, {**ONE, "rto": "1s"}, "FailoverTest")
        await in_state(await child(client, handle), ReplicaState.PROCESSING)
        await asyncio.sleep(1)
        world.block.clear()
        report = FailoverTestReport.model_validate(await handle.result())
    assert report.result is TestResult.FAILED and "the target (RTO) is 1 s" in report.said


@pytest.mark.parametrize("step", [StepName.REVERT_SNAPSHOT, StepName.POWER_ON_ISOLATED, StepName.CHECK_GUEST])
async def test_at_its_deadline_it_is_undone(client: Client, step: StepName) -> None:
    world = TestingWorld()
    world.block.add(step)
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "deadline": "2s"})).vms
    assert vm.result is TestResult.FAILED and "deadline of 2 s" in vm.said
    assert world.left_over() == set() and vm.state is ReplicaState.NORMAL


async def test_cancelled_every_replica_is_put_back(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.CHECK_GUEST)
    world.reached[StepName.CHECK_GUEST] = asyncio.Event()
    async with workers(client, world):
        handle = await start(client, {"parallel": 1}, "FailoverTest")
        await asyncio.wait_for(world.reached[StepName.CHECK_GUEST].wait(), PATIENCE)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert world.left_over() == set()
    assert world.log.count(StepName.HOLD_REPLICATION) == 1, "no other test was begun"
    assert world.records == []


async def test_terminated_the_test_of_a_vm_still_puts_it_back(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.CHECK_GUEST)
    world.reached[StepName.CHECK_GUEST] = asyncio.Event()
    async with workers(client, world):
        handle = await start(client, ONE, "FailoverTest")
        await asyncio.wait_for(world.reached[StepName.CHECK_GUEST].wait(), PATIENCE)
        await handle.terminate()
        world.block.clear()
        await (await child(client, handle)).result()
    assert world.left_over() == set()


async def test_a_vm_in_a_failover_is_skipped_and_the_failover_not_touched(client: Client) -> None:
    world = TestingWorld()
    async with workers(client, world):
        failover = await start(client, {"vm": "erp-db-01"})
        await in_state(failover, ReplicaState.FAILOVER)
        before = set(world.effects)
        report = await run_test(client, ONE)
        assert report.result is TestResult.SKIPPED and "under way" in report.vms[0].said
        assert world.effects == before and world.records == []
        await failover.execute_update("undo", {})
        await failover.result()
    assert world.left_over() == set()


async def test_a_vm_whose_marker_says_that_it_is_in_use_is_skipped(client: Client) -> None:
    world = TestingWorld()
    world.found = PlanResult(plan=None, in_use=True)
    async with workers(client, world):
        report = await run_test(client, ONE)
    assert report.result is TestResult.SKIPPED and "in use" in report.vms[0].said
    assert world.log == [StepName.PLAN_FAILOVER]


async def test_a_failover_of_a_vm_under_test_is_refused_until_the_test_is_cancelled(client: Client) -> None:
    world = TestingWorld()
    world.block.add(StepName.CHECK_GUEST)
    world.reached[StepName.CHECK_GUEST] = asyncio.Event()
    async with workers(client, world):
        test = await start(client, ONE, "FailoverTest")
        await asyncio.wait_for(world.reached[StepName.CHECK_GUEST].wait(), PATIENCE)
        failure = await failure_of(await start(client, {"vm": "erp-db-01"}))
        assert failure.type == "AlreadyInFailover" and "cancel a test" in failure.message
        await test.cancel()
        with pytest.raises(WorkflowFailureError):
            await test.result()
        failover = await start(client, {"vm": "erp-db-01"})
        await in_state(failover, ReplicaState.FAILOVER)
        await failover.execute_update("undo", {})
        await failover.result()
    assert world.left_over() == set()


async def test_the_tunnel_alone_is_brought_up_and_nothing_announced(client: Client) -> None:
    world = TestingWorld()
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "network": "extension"})).vms
    assert vm.result is TestResult.PASSED and vm.time_to_tunnel_s is not None
    assert set(TUNNEL) <= set(world.log)
    announced = {
        StepName.CONFIGURE_PROVIDER_PROXY_ARP,
        StepName.CONFIGURE_TENANT_PROXY_ARP,
        StepName.MARK_FAILOVER,
    }
    assert announced.isdisjoint(world.log)
    assert world.left_over() == set()


@pytest.mark.parametrize("step", TUNNEL)
async def test_a_tunnel_that_cannot_be_brought_up_is_taken_back(client: Client, step: StepName) -> None:
    world = TestingWorld()
    world.refuse(step, times=9)
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "network": "extension"})).vms
    assert vm.result is TestResult.FAILED and f"no {step}" in vm.said
    assert world.left_over() == set()


async def test_a_tunnel_that_another_test_switched_off_is_brought_up_again(client: Client) -> None:
    world = TestingWorld()
    world.refuse(StepName.VERIFY_TUNNEL, "ApplianceChanged")
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "network": "extension"})).vms
    assert vm.result is TestResult.PASSED and world.log.count(StepName.START_VPN_SERVER) == 2


async def test_without_appliances_there_is_no_tunnel_to_test(client: Client) -> None:
    world = TestingWorld(Extension.NSX_EDGE)
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "network": "extension"})).vms
    assert vm.result is TestResult.PASSED and "no tunnel to test" in vm.warnings[0]
    assert set(TUNNEL).isdisjoint(world.log)


async def test_what_cannot_be_put_back_keeps_the_test_open_and_then_fails_it(client: Client) -> None:
    world = TestingWorld()
    world.refuse(StepName.REVERT_TO_LATEST, times=9)
    async with workers(client, world):
        handle = await start(client, ONE, "FailoverTest")
        test = await child(client, handle)
        await in_state(test, ReplicaState.FAILED_FAILOVER)
        assert "held" in world.effects, "replication may not go on while something is left over"
        await test.execute_update("accept_as_is", {})
        failure = await failure_of(handle)
    report = FailoverTestReport.model_validate(failure.details[0])
    assert failure.type == "FailedFailover"
    assert report.vms[0].left_over and report.vms[0].state is ReplicaState.FAILED_FAILOVER


async def test_what_a_person_repaired_is_put_back(client: Client) -> None:
    world = TestingWorld()
    world.refuse(StepName.REVERT_TO_LATEST)
    async with workers(client, world):
        handle = await start(client, ONE, "FailoverTest")
        test = await child(client, handle)
        await in_state(test, ReplicaState.FAILED_FAILOVER)
        await test.execute_update("retry_compensation", {})
        report = FailoverTestReport.model_validate(await handle.result())
    assert report.result is TestResult.PASSED and world.left_over() == set()


async def test_a_record_that_cannot_be_kept_spoils_no_test(client: Client) -> None:
    world = TestingWorld()
    world.refuse(StepName.RECORD_TEST, times=9)
    async with workers(client, world):
        (vm,) = (await run_test(client, ONE)).vms
    assert vm.result is TestResult.PASSED and "could not be kept" in vm.warnings[0]


async def test_all_replicas_are_tested_when_none_is_named(client: Client) -> None:
    world = TestingWorld()
    async with workers(client, world):
        handle = await start(client, {"parallel": 1}, "FailoverTest")
        report = FailoverTestReport.model_validate(await handle.result())
        page = (await handle.query("__temporal_workflow_metadata")).current_details
        found = await handle.describe()
    assert [vm.vm for vm in report.vms] == list(world.replicas) and report.said == "3 passed"
    assert world.most_at_once == 1
    assert "erp-web-01" in page and "passed" in page
    assert found.search_attributes["FailoverTestResult"] == ["passed"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"vms": ["erp-db-01", "erp-db-01"]}, "more than once"),
        ({"vms": ["a"] * 51}, "vms"),
        ({**ONE, "checks": ["hartbeat"]}, "checks.0"),
        ({**ONE, "checks": []}, "checks"),
        ({**ONE, "checks": [{"check": "tcp"}]}, "port"),
        ({**ONE, "checks": [{"check": "tcp", "port": 70000}]}, "port"),
        ({**ONE, "checks": [{"check": "http", "port": 80, "path": "/\r\nHost: x"}]}, "path"),
        ({**ONE, "checks": [{"check": "program", "program": "../../bin/sh"}]}, "program"),
        ({**ONE, "checks": [{"check": "heartbeat", "timeout": "2h"}]}, "timeout"),
        ({**ONE, "deadline": "0s"}, "deadline"),
        ({**ONE, "network": "production"}, "network"),
        ({**ONE, "parallel": 99}, "parallel"),
    ],
)
async def test_wrong_json_is_refused_at_once(client: Client, data: object, says: str) -> None:
    world = TestingWorld()
    async with workers(client, world):
        failure = await failure_of(await start(client, data, "FailoverTest"))
    assert failure.type == "PayloadValidationError"
    assert says in failure.message and '"vms"' in failure.message and world.log == []


async def test_readiness_and_the_list_tell_of_the_last_test(client: Client) -> None:
    world = TestingWorld()
    now = datetime.now(UTC)
    old = TestRecord(at=now - timedelta(days=9), result=TestResult.PASSED, period_s=7 * 86400)
    bad = TestRecord(at=now - timedelta(hours=1), result=TestResult.FAILED, said="no heartbeat")
    world.records = [("erp-db-01", old), ("erp-web-01", bad)]
    async with workers(client, world):
        handle = await start(client, {}, "CheckReadiness")
        report = ReadinessReport.model_validate(await handle.result())
        listed = await start(client, {}, "ListReplicas")
        replicas = ReplicaList.model_validate(await listed.result()).replicas
    overdue, failed, never = (r.warnings[-1] for r in report.replicas)
    assert "overdue" in overdue and "no heartbeat" in failed and "never tested" in never
    assert [r.last_tests[:1] for r in replicas] == [(old,), (bad,), ()]


async def firing_times(client: Client, wanted: TestSchedule) -> list[datetime]:
    """When a real server would start the tests of a schedule that is made as the product makes it."""
    name = f"weekly-{uuid.uuid4()}"
    assert await put(client, name, wanted) == "created"
    handle = client.get_schedule_handle(name)
    try:
        return list((await handle.describe()).info.next_action_times)
    finally:
        await handle.delete()


async def test_a_schedule_over_simulated_weeks(client: Client, skipping: Client) -> None:
    """Three VMs, each week; in the third week the guests do not come up. A real server says when,
    with jitter, for the one that skips time has no schedules: there each test is put off until its time."""
    test = {"parallel": 1, "rpo": "9000d"}
    wanted = TestSchedule.model_validate({"every": "7d", "jitter": "2h", "test": test})
    times, world, reports = await firing_times(client, wanted), TestingWorld(), list[FailoverTestReport]()
    assert len(times) >= 6 and all(t2 - t1 >= timedelta(days=6, hours=22) for t1, t2 in pairwise(times))
    assert len({t.timestamp() % timedelta(days=7).total_seconds() for t in times}) > 1, "they are jittered"
    async with workers(skipping, world):
        for week, at in enumerate(times):
            world.guest_up = week != 2
            before = reports[-1].ended - reports[0].started + times[0] if reports else datetime.now(UTC)
            assert before < at, "it would be skipped, for the one before still runs"
            handle = await skipping.start_workflow(
                "FailoverTest",
                wanted.request,
                id=f"weekly-{uuid.uuid4()}",
                task_queue=PROVIDER,
                start_delay=at - before,
            )
            reports.append(FailoverTestReport.model_validate(await handle.result()))
            assert world.left_over() == set()
    weeks = len(times)
    results = [r.result for r in reports]
    assert results == [TestResult.FAILED if w == 2 else TestResult.PASSED for w in range(weeks)]
    assert reports[-1].started - reports[0].started >= timedelta(days=7 * (weeks - 1), hours=-2)
    assert len(world.records) == 3 * weeks
    assert {r.period_s for _, r in world.records} == {(7 * 24 + 2) * 3600 + 1800}
