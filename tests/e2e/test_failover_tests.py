"""Failover tests in the lab: real steps, real packets, and a world that is afterwards as it was."""

import asyncio
from collections import Counter
from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from temporalio.client import Client

from lab.cloud_director.model import OFF
from lab.fabric.capture import Capture, Captures
from lab.fabric.fabric import FabricError
from lab.injected_faults import FaultKind, FaultRule
from lab.lab import Lab
from lab.veeam.accounts import Role, User
from partial_failover.cli.report import NoReport
from partial_failover.cli.report import report_of as fetched
from partial_failover.connectors.cloud_director.metadata_store import NICS
from partial_failover.contracts.errors import AlreadyInFailover
from partial_failover.contracts.failover_test import FailoverTestReport, TestResult, VmTestReport
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.schedule import TestSchedule
from partial_failover.reports import page
from partial_failover.temporal.schedules import put
from tests.e2e import driver, inject, wire
from tests.e2e.driver import Handle, failure_of, in_failover, start, undo
from tests.e2e.failover_tests import NETWORK, RECORDS, REPLICA, VM, assert_put_back, report_of
from tests.waiting import until

SPOKEN: Counter[str] = Counter()
"""Times that a replica's guest tried to ping production."""
pytestmark = pytest.mark.usefixtures("forget_tests")


async def outcome_of(client: Client, **more: object) -> VmTestReport:
    """Test one VM and wait for its report."""
    (report,) = (await report_of(await start(client, {"vms": [VM], **more}, "FailoverTest"))).vms
    return report


async def child_of(client: Client, handle: Handle, vm: str = VM) -> Handle:
    """The test of one VM, once its replica is powered on and looked at."""
    found: Handle = client.get_workflow_handle(f"{handle.id}/{vm}")

    async def looks() -> bool:
        try:
            return "CheckGuest" in [row.step for row in await driver.timeline(found)]
        except Exception:
            return False  # it has not begun yet

    await until(looks)
    return found


async def speak(lab: Lab, vm: str, address: IPv4Address) -> None:
    """The guest of the replica pings production for as long as it is on."""
    argv = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", str(address)]
    while True:
        try:
            status, _ = await asyncio.to_thread(wire.fabric(lab).exec, lab.centre.replica_host(vm), argv)
            SPOKEN[vm] += status != 127
        except FabricError:
            pass  # the replica is off
        await asyncio.sleep(0.1)


@wire.needs_root
@pytest.mark.parametrize(
    ("tenant", "vm", "network"),
    [("initech", VM, "isolated"), ("acme", "erp-db-01", "isolated"), ("acme", "erp-db-01", "extension")],
)
async def test_production_sees_no_packet_of_a_test(lab: Lab, tenant: str, vm: str, network: str) -> None:
    centre, site, client = lab.centre, lab.centre.sites[tenant], await lab.client(tenant)
    machines = {m.name: m for m in site.tenant.machines}
    address, replica = machines[vm].address, centre.replica(vm)
    appliance = site.hypervisor.find("network-extension")
    interfaces = [nic.mac for nic in appliance.nics] if appliance else []
    with inject.original_runs(centre, vm):
        original = {site.vm(vm).nics[0].mac}
        on = [m for m in machines.values() if site.vm(m.name).power == "poweredOn"]
        routers = {m.name: site.tenant.lan(m.lan).router.ip for m in on}
        captures = [Capture(wire.fabric(lab), site.host(m.name), routers[m.name]) for m in on]
        other = next(m for m in machines.values() if not m.replicated)
        neighbour = site.host(other.name)
        await wire.forget_neighbours(lab, neighbour)
        assert await wire.pings(lab, neighbour, address)
        checks = ["heartbeat", {"check": "uptime", "at_least": "4s"}]
        request = {"vms": [vm], "network": network, "checks": checks}
        await Captures(captures).begin()
        handle = await start(client, request, "FailoverTest")
        speaking = asyncio.create_task(speak(lab, vm, other.address))
        owners = [await wire.who_has(lab, neighbour, address) for _ in range(3)]
        whole = await report_of(handle)
        assert await wire.pings(lab, neighbour, address), "the original is not disturbed"
        seen = await Captures(captures).end()
        speaking.cancel()
    (report,) = whole.vms
    assert SPOKEN.pop(vm) > 0, "the guest did try"
    for one in seen:
        assert one.covers(whole.started.timestamp(), whole.ended.timestamp()), (whole, one.frames)
    assert any(s.of(original) for s in seen), "what is there is seen"
    assert [f for s in seen for f in s.of([nic.mac for nic in replica.nics])] == []
    assert [f for s in seen for f in s.from_(interfaces)] == [], "the appliance says nothing either"
    assert owners == [original] * 3, "the original alone owns its address"
    assert report.result is TestResult.PASSED, report.said
    assert (report.time_to_tunnel_s is not None) is (network == "extension")
    assert_put_back(lab, report)


async def test_all_checks_of_an_isolated_guest(lab: Lab, initech: Client) -> None:
    checks = [
        "power",
        "heartbeat",
        "address",
        {"check": "uptime", "at_least": "2s"},
        {"check": "tcp", "port": 5432},
        {"check": "program", "program": "verify-orders"},
    ]
    report = await outcome_of(initech, checks=checks, rpo="24h", rto="5m")
    assert [c.outcome for c in report.checks] == ["pass", "pass", "skipped", "pass", "skipped", "pass"]
    assert "disconnected" in report.checks[2].reason and "no worker reaches" in report.checks[4].reason
    assert report.rpo.met and report.rto.met and "disconnected from every network" in report.isolation
    assert_put_back(lab, report)
    test = initech.get_workflow_handle(report.workflow_id)
    await driver.record("vm-failover-test", test)
    whole = test.id.rpartition("/")[0]
    await driver.record("failover-test", initech.get_workflow_handle(whole))
    html = page(await fetched(initech, whole))
    assert html.count("<svg") == 1 and "verify-orders" in html and "<script" not in html


@pytest.mark.parametrize("name", ["no-such-test", "../etc/passwd", "x' OR 1=1"])
async def test_there_is_no_evidence_of_what_never_ran(lab: Lab, initech: Client, name: str) -> None:
    with pytest.raises(NoReport, match="not found"):
        await fetched(initech, name)


async def test_a_guest_that_does_not_come_up(lab: Lab, initech: Client) -> None:
    lab.centre.replica(VM).boots = False
    try:
        report = await outcome_of(initech, checks=["power", {"check": "heartbeat", "timeout": "2s"}])
    finally:
        lab.centre.replica(VM).boots = True
    assert report.result is TestResult.FAILED and "its heartbeat is gray" in report.said
    assert [c.outcome for c in report.checks] == ["pass", "fail"]
    assert_put_back(lab, report)


async def test_a_program_that_fails_and_one_that_is_not_known(lab: Lab, initech: Client) -> None:
    replica = lab.centre.replica(VM)
    path = next(iter(replica.programs))
    checks = [{"check": "program", "program": name} for name in ("verify-orders", "rm -rf")]
    replica.programs[path] = 3
    try:
        report = await outcome_of(initech, checks=checks)
    finally:
        replica.programs[path] = 0
    failed, unknown = report.checks
    assert failed.outcome == "fail" and "ended with 3" in failed.reason
    assert unknown.outcome == "fail" and "Choose one of: verify-orders" in unknown.reason
    assert_put_back(lab, report)


async def test_a_restore_point_that_is_too_old(lab: Lab, initech: Client) -> None:
    report = await outcome_of(initech, rpo="30m")
    assert report.result is TestResult.FAILED and report.rpo.met is False
    assert report.said.startswith("The restore point Restore Point 4 is 1 h")
    assert "HoldReplication" not in {step.step for step in report.steps}, "it is not made older by a hold"
    assert_put_back(lab, report)


async def test_a_hold_that_cannot_be_set(lab: Lab, initech: Client) -> None:
    """The backup server does not take it, for as long as the test may last."""
    lab.centre.faults.add(FaultRule("initech-veeam", "POST *lobalExclusions*", FaultKind.REFUSE, times=999))
    report = await outcome_of(initech, deadline="20s")  # preflight takes a part of it
    assert report.result is TestResult.FAILED and "Hold replication of tps-01" in report.said
    assert lab.centre.replica(VM).power == "poweredOff"
    assert_put_back(lab, report)


async def test_a_hold_that_the_account_may_not_set(lab: Lab, initech: Client) -> None:
    accounts = lab.centre.sites["initech"].backup.accounts
    accounts.add(User("failover", lab.centre.password, Role.VIEWER))
    try:
        report = await outcome_of(initech)
    finally:
        accounts.add(User("failover", lab.centre.password, Role.ADMINISTRATOR))
    assert report.result is TestResult.FAILED and report.state is ReplicaState.NORMAL
    assert lab.centre.replica(VM).reverts[-1:] != ["on"]


@pytest.mark.slow
async def test_a_worker_that_is_killed_in_the_middle(lab: Lab, initech: Client) -> None:
    checks = [{"check": "uptime", "at_least": "12s"}]
    handle = await start(initech, {"vms": [VM], "checks": checks}, "FailoverTest")
    await child_of(initech, handle)
    worker = lab.workers["provider"]
    await asyncio.to_thread(worker.kill)
    worker.spawn()
    await asyncio.to_thread(worker.until_ready)
    (report,) = (await report_of(handle, 120)).vms
    assert report.result is TestResult.PASSED, report.said
    assert_put_back(lab, report)


async def test_on_a_network_for_tests(lab: Lab, globex: Client) -> None:
    handle = await start(
        globex, {"checks": ["address", {"check": "uptime", "at_least": "2s"}]}, "FailoverTest"
    )
    cloud, seen = lab.centre.cloud.vm("crm-db-01_replica"), set()
    while not (found := await handle.describe()).close_time:
        if lab.centre.replica("crm-db-01").power == "poweredOn":
            seen |= {nic.network for nic in cloud.nics}
        await asyncio.sleep(0.05)
    assert found is not None and seen == {"globex-tests"}
    (report,) = (await report_of(handle)).vms
    assert report.result is TestResult.PASSED and "globex-tests alone" in report.isolation
    assert [nic.network for nic in cloud.nics] == ["globex-lan-a"]
    cloud.vapp.networks = [n for n in cloud.vapp.networks if n.name != "globex-tests"]


async def test_in_a_failover_it_is_skipped(lab: Lab, initech: Client) -> None:
    """Also while the provider's vCenter does not answer: nothing of it is needed to know."""
    failover = await in_failover(initech, {"vm": VM})
    away = FaultRule("provider-vcenter", "*", FaultKind.REFUSE, times=1_000_000)
    lab.centre.faults.add(away)
    report = await outcome_of(initech)
    lab.centre.faults.clear()
    assert report.result is TestResult.SKIPPED and failover.id in report.said
    assert lab.centre.replica(VM).power == "poweredOn"
    assert (await undo(failover)).state is ReplicaState.NORMAL


async def test_a_failover_of_a_vm_under_test_is_refused_and_names_the_test(lab: Lab, initech: Client) -> None:
    handle = await start(
        initech, {"vms": [VM], "checks": [{"check": "uptime", "at_least": "1h"}]}, "FailoverTest"
    )
    test = await child_of(initech, handle)
    failure = await failure_of(await start(initech, {"vm": VM}))
    assert failure.type in ("NotReady", AlreadyInFailover.__name__)
    assert test.id in failure.message and "Cancel that workflow" in failure.message
    await handle.cancel()
    await until(lambda: _is_off(lab))


async def _is_off(lab: Lab) -> bool:
    return not lab.centre.cloud.vm(REPLICA).metadata


async def test_what_a_terminated_test_left_is_adopted_with_its_networks(lab: Lab, initech: Client) -> None:
    handle = await start(
        initech, {"vms": [VM], "checks": [{"check": "uptime", "at_least": "1h"}]}, "FailoverTest"
    )
    test = await child_of(initech, handle)
    await test.terminate()
    (lost,) = FailoverTestReport.model_validate((await failure_of(handle)).details[0]).vms
    assert "ended from outside" in lost.left_over[0] and lost.isolation == "not known"
    cloud = lab.centre.cloud.vm(REPLICA)
    assert ("SYSTEM", NICS.key) in cloud.metadata and cloud.nics[0].network is None
    again = await outcome_of(initech)
    assert again.result is TestResult.FAILED and "no longer runs" in again.said
    refused = await failure_of(await start(initech, {"vm": VM, "adopt": True}))
    assert "isolated by the failover test" in refused.message
    lab.centre.provider.power_off(cloud.machine)
    cloud.status, cloud.deployed = OFF, False
    failover = await in_failover(initech, {"vm": VM, "adopt": True})
    assert [nic.network for nic in cloud.nics] == [NETWORK]
    assert (await undo(failover)).state is ReplicaState.NORMAL


async def test_a_schedule_runs_it_and_never_two_at_once(lab: Lab, initech: Client) -> None:
    request = {"vms": [VM], "checks": [{"check": "uptime", "at_least": "3s"}]}
    weekly = TestSchedule.model_validate({"every": "7d", "jitter": "2h", "note": "erp", "test": request})
    handle = initech.get_schedule_handle("erp-weekly")
    assert await put(initech, "erp-weekly", weekly) == "created"
    try:
        await handle.trigger()
        await until(lambda: _runs(initech))
        await handle.trigger()
        assert await put(initech, "erp-weekly", weekly) is None, "it is so already"
        found = await handle.describe()
        (action,) = [a.action for a in found.info.recent_actions]
        report = await report_of(initech.get_workflow_handle(action.workflow_id))  # type: ignore[attr-defined]
        assert (await handle.describe()).info.num_actions_skipped_overlap == 1
    finally:
        await handle.delete()
    (vm,) = report.vms
    assert vm.result is TestResult.PASSED
    assert_put_back(lab, vm)
    record = lab.centre.cloud.vm(REPLICA).metadata[RECORDS].value
    assert f'"period_s":{int(timedelta(days=7, hours=2, minutes=30).total_seconds())}' in record


async def _runs(client: Client) -> bool:
    query = 'WorkflowType = "VmFailoverTest" AND ExecutionStatus = "Running"'
    return (await client.count_workflows(query)).count > 0


async def test_three_vms_two_at_a_time(lab: Lab, acme: Client) -> None:
    report = await report_of(await start(acme, {"parallel": 2}, "FailoverTest"))
    first, second, third = sorted(report.vms, key=lambda vm: vm.started)
    assert second.started < first.ended, "two at a time"
    assert third.started >= min(first.ended, second.ended), "and not three"
    assert report.said == "3 passed"
    listed = await (await start(acme, {}, "ListReplicas")).result()
    assert [r["last_tests"][0]["result"] for r in listed["replicas"]] == ["passed"] * 3
    ready = await (await start(acme, {}, "CheckReadiness")).result()
    assert all(r["last_test"]["result"] == "passed" for r in ready["replicas"])
