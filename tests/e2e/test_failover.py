"""One failover from start to undo, through real Temporal, worker processes and networks."""

from datetime import timedelta

import pytest
from temporalio.client import Client

from lab.lab import Lab
from lab.site import APPLIANCE
from partial_failover.contracts.queues import PROVIDER, TENANT_SITE
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from tests.e2e import wire
from tests.e2e.driver import Handle, assert_order, in_failover, page, record, timeline, undo
from tests.e2e.wire import needs_root
from tests.waiting import until

DB, WEB, UNUSED = "192.168.10.50", "192.168.10.51", "192.168.10.99"
APP, OTHER_APP = "192.168.10.20", "192.168.10.21"
PROVIDER_STEPS = {
    StepName.PLAN_FAILOVER,
    StepName.MARK_PROCESSING,
    StepName.REVERT_SNAPSHOT,
    StepName.POWER_ON_REPLICA,
    StepName.CONNECT_NETWORKS,
    StepName.POWER_ON_PROVIDER_APPLIANCE,
    StepName.START_VPN_SERVER,
    StepName.CONFIGURE_PROVIDER_PROXY_ARP,
    StepName.MARK_FAILOVER,
    StepName.POWER_OFF_REPLICA,
    StepName.REMOVE_PROVIDER_PROXY_ARP,
    StepName.POWER_OFF_PROVIDER_APPLIANCE,
    StepName.DISCONNECT_NETWORKS,
    StepName.REVERT_TO_LATEST,
    StepName.MARK_NORMAL,
    StepName.CONFIRM_NORMAL,
}
SITE_STEPS = {
    StepName.CHECK_TENANT_SITE,
    StepName.HOLD_REPLICATION,
    StepName.POWER_ON_TENANT_APPLIANCE,
    StepName.START_VPN_CLIENT,
    StepName.CONFIGURE_TENANT_PROXY_ARP,
    StepName.VERIFY_CONNECTIVITY,
    StepName.REMOVE_TENANT_PROXY_ARP,
    StepName.POWER_OFF_TENANT_APPLIANCE,
    StepName.RELEASE_REPLICATION,
}
ORDERS = (
    (
        StepName.PLAN_FAILOVER,
        StepName.CHECK_TENANT_SITE,
        StepName.HOLD_REPLICATION,
        StepName.REVERT_SNAPSHOT,
        StepName.POWER_ON_REPLICA,
        StepName.MARK_FAILOVER,
        StepName.POWER_OFF_REPLICA,
        StepName.REVERT_TO_LATEST,
        StepName.MARK_NORMAL,
        StepName.CONFIRM_NORMAL,
        StepName.RELEASE_REPLICATION,
    ),
    (
        StepName.CHECK_TENANT_SITE,
        StepName.CONNECT_NETWORKS,
        StepName.POWER_ON_PROVIDER_APPLIANCE,
        StepName.START_VPN_SERVER,
        StepName.START_VPN_CLIENT,
        StepName.CONFIGURE_TENANT_PROXY_ARP,
        StepName.MARK_FAILOVER,
        StepName.POWER_OFF_REPLICA,
        StepName.REMOVE_TENANT_PROXY_ARP,
        StepName.POWER_OFF_TENANT_APPLIANCE,
        StepName.REMOVE_PROVIDER_PROXY_ARP,
        StepName.POWER_OFF_PROVIDER_APPLIANCE,
        StepName.DISCONNECT_NETWORKS,
        StepName.MARK_NORMAL,
    ),
)
"""Of the replica's branch, and of the appliances'."""


async def reachable(handle: Handle) -> None:
    """Wait until the workflow has seen the replica through the tunnel."""

    async def told() -> bool:
        return "answers through the tunnel" in await page(handle)

    await until(told)


@pytest.mark.root
@needs_root
async def test_failover_and_undo_with_real_packets(lab: Lab, acme: Client) -> None:
    centre, site = lab.centre, lab.centre.sites["acme"]
    app, other, replica = site.host("erp-app-01"), site.host("erp-app-02"), centre.replica_host("erp-db-01")
    app_mac = {site.vm("erp-app-01").nics[0].mac}
    assert await wire.silent(lab, app, DB)

    handle = await in_failover(acme, {"vm": "erp-db-01", "reason": "disk corrupt"})
    assert await wire.pings(lab, app, DB)
    assert await wire.pings(lab, replica, APP)
    assert await wire.addresses(lab, app) == {f"{APP}/24"}
    assert await wire.addresses(lab, replica) == {f"{DB}/24"}

    interface = {nic.mac for nic in site.vm(APPLIANCE).nics if nic.network == "LAN A"}
    assert await wire.who_has(lab, app, DB) == interface
    assert await wire.who_has(lab, app, UNUSED) == set(), "an unused address is answered"
    assert await wire.who_has(lab, app, WEB) == set(), "a replica that is not failed over is answered"
    assert await wire.who_has(lab, other, APP) == app_mac, "production is answered by somebody else"
    assert not await wire.is_a_duplicate(lab, replica, DB), "the replica's own address is answered"
    assert await wire.pings(lab, app, OTHER_APP)

    vm = centre.replica("erp-db-01")
    newest = max(vm.snapshots, key=lambda s: s.created)
    vm.write("orders", "4001")
    assert vm.disk.parent is newest.disk and newest.disk.read("orders") == "4000"
    await reachable(handle)
    shown = await page(handle)
    assert "erp-db-01: Failover" in shown and 'Update "undo"' in shown

    report = await undo(handle)
    await record("failover-and-undo", handle)
    assert await wire.silent(lab, app, DB)
    assert await wire.who_has(lab, app, DB) == set()
    assert vm.disk.read("orders") == "4000" and not vm.torn
    assert report.state is ReplicaState.NORMAL and report.reason == "disk corrupt"
    assert report.asked_by == acme.identity
    assert report.restore_point.id == newest.moref and report.warnings == () and report.left_over == ()
    assert report.time_to_power_on_s and report.time_to_reachable_s and report.time_to_undo_s
    assert report.time_to_power_on_s < report.time_to_reachable_s


async def test_the_timeline_reads_like_the_procedure(lab: Lab, acme: Client) -> None:
    handle = await in_failover(acme, {"vm": "mail-01"})
    await reachable(handle)
    report = await undo(handle)
    rows = await timeline(handle)
    watches = {StepName.WATCH_FAILOVER, StepName.WATCH_REPLICA}
    assert {row.step for row in rows if not row.completed} == watches, "undo ends both"
    assert {row.step for row in rows if row.queue == PROVIDER} == PROVIDER_STEPS
    assert {row.step for row in rows if row.queue == TENANT_SITE} == SITE_STEPS
    assert all(row.summary for row in rows)
    by_step = {row.step: row.summary for row in rows}
    assert by_step[StepName.HOLD_REPLICATION] == "Hold replication of mail-01"
    assert by_step[StepName.REVERT_SNAPSHOT].startswith("Revert mail-01_replica to Restore Point 4 of 20")
    for order in ORDERS:
        assert_order(rows, *order)
    assert [r.step for r in report.steps if r.outcome == "failed"] == []
    assert rows[-1].step == StepName.RELEASE_REPLICATION, "replication is released last"


@pytest.mark.root
@needs_root
async def test_an_nsx_edge_needs_no_appliance(lab: Lab, initech: Client) -> None:
    centre = lab.centre
    app, replica = centre.sites["initech"].host("tps-app-01"), centre.replica_host("tps-01")
    handle = await in_failover(initech, {"vm": "tps-01"})
    await wire.forget_neighbours(lab, app)
    assert await wire.pings(lab, app, "10.20.0.50")
    assert await wire.pings(lab, replica, "10.20.0.20")
    report = await undo(handle)
    await record("nsx-edge", handle)
    assert await wire.silent(lab, app, "10.20.0.50")
    steps = [str(r.step) for r in report.steps]
    assert not [s for s in steps if "Appliance" in s or "Vpn" in s or "ProxyArp" in s or "Networks" in s]
    assert report.time_to_reachable_s is None and report.state is ReplicaState.NORMAL


async def test_undo_by_itself(lab: Lab, initech: Client) -> None:
    handle = await in_failover(initech, {"vm": "tps-01", "undo_after": "1s"})
    report = await handle.result()
    assert report["ended"].startswith("undone by itself") and report["state"] == "Normal"


async def test_older_points_by_id_and_by_time(lab: Lab, initech: Client) -> None:
    vm = lab.centre.replica("tps-01")
    for number, choice in (
        (1, vm.snapshots[0].moref),
        (3, (vm.snapshots[2].created + timedelta(minutes=1)).isoformat()),
    ):
        point = vm.snapshots[number - 1]
        handle = await in_failover(initech, {"vm": "tps-01", "restore_point": choice})
        assert vm.disk.parent is point.disk and vm.disk.read("orders") == str(1000 * number)
        vm.write("orders", "new")
        assert point.disk.read("orders") == str(1000 * number)
        report = await undo(handle)
        assert report.restore_point.id == point.moref
        assert vm.disk.read("orders") == "4000", "undo goes back to the latest point"
