"""A failover that fails or is cancelled is taken back whole; trouble on the way is ridden out."""

import asyncio

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError

from lab.cloud_director.model import POWER_RIGHT
from lab.injected_faults import FaultKind, FaultRule
from lab.lab import Lab
from lab.site import APPLIANCE
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.report import FailoverReport
from partial_failover.contracts.step import StepName
from tests.e2e import inject, wire
from tests.e2e.calls import changes
from tests.e2e.driver import failure_of, in_failover, in_state, page, record, start, timeline, undo
from tests.e2e.wire import needs_root
from tests.waiting import PATIENCE, until

RELEASE = "DELETE /api/v1/globalExclusions/vm/{id}"


async def test_a_failing_step_is_taken_back_and_replication_is_released_last(lab: Lab, acme: Client) -> None:
    since = len(lab.centre.faults.calls)
    with inject.without_right(lab.centre, POWER_RIGHT):
        handle = await start(acme, {"vm": "erp-db-01", "reason": "disk corrupt"})
        failure = await failure_of(handle)
    await record("compensated", handle)
    assert failure.type == "NoRight"
    assert "The failover of erp-db-01 failed" in failure.message
    assert "Everything was taken back: the replica is Normal" in failure.message
    report = FailoverReport.model_validate(failure.details[0])
    assert report.state is ReplicaState.NORMAL and report.left_over == ()
    assert "RevertToSnapshot_Task" in changes(lab, since), "it failed before it had done anything"
    assert changes(lab, since)[-1] == RELEASE and changes(lab, since).count(RELEASE) == 1


@pytest.mark.root
@needs_root
async def test_an_original_that_comes_back_meanwhile(lab: Lab, acme: Client) -> None:
    """Its address is found in use at the last step but one: the tunnel stands and the replica is on."""
    centre, site = lab.centre, lab.centre.sites["acme"]
    since = len(centre.faults.calls)
    handle = await start(acme, {"vm": "erp-db-01"})

    async def appliance_on() -> bool:
        return site.vm(APPLIANCE).power == "poweredOn"

    await until(appliance_on)
    with inject.original_runs(centre):
        failure = await failure_of(handle)
        answering = await wire.who_has(lab, site.host("erp-app-02"), "192.168.10.50")
    assert answering == {site.vm("erp-db-01").nics[0].mac}, "the original is disturbed"
    assert failure.type == "AddressInUse" and "192.168.10.50" in failure.message
    assert "Everything was taken back" in failure.message
    steps = {row.step for row in await timeline(handle) if row.completed}
    assert {
        StepName.POWER_ON_REPLICA,
        StepName.START_VPN_CLIENT,
        StepName.CONFIGURE_PROVIDER_PROXY_ARP,
    } <= steps
    assert changes(lab, since)[-1] == RELEASE


async def test_cancelled_in_the_middle_it_ends_normal(lab: Lab, acme: Client) -> None:
    since = len(lab.centre.faults.calls)
    handle = await start(acme, {"vm": "erp-db-01"})

    async def replica_on() -> bool:
        return lab.centre.replica("erp-db-01").power == "poweredOn"

    await until(replica_on)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(handle.result(), PATIENCE)
    assert isinstance(caught.value.cause, CancelledError)
    await record("cancelled", handle)
    found = await handle.describe()
    assert found.search_attributes.get("ReplicaState") == ["Normal"]
    assert "The replica is Normal, and replication goes on." in await page(handle)
    assert changes(lab, since)[-1] == RELEASE


async def test_cancelled_in_failover_it_ends_normal(lab: Lab, initech: Client) -> None:
    handle = await in_failover(initech, {"vm": "tps-01"})
    lab.centre.replica("tps-01").write("orders", "new")
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(handle.result(), PATIENCE)
    assert isinstance(caught.value.cause, CancelledError)
    assert lab.centre.replica("tps-01").disk.read("orders") == "4000"


async def test_trouble_on_the_way_is_ridden_out(lab: Lab, initech: Client) -> None:
    """Each of these would be seen as a failed step, a second task or a lost hold if it were not."""
    centre, since = lab.centre, len(lab.centre.faults.calls)
    for endpoint, call, kind in (
        ("cloud-director", "POST powerOn", FaultKind.DROP_AFTER),
        ("cloud-director", "POST undeploy", FaultKind.BUSY),
        ("cloud-director", "GET vm", FaultKind.EXPIRE_SESSION),
        ("provider-vcenter", "RevertToSnapshot_Task", FaultKind.DROP_AFTER),
        ("initech-veeam", "POST /api/v1/globalExclusions/vm", FaultKind.DROP_AFTER),
        ("initech-veeam", RELEASE, FaultKind.REFUSE),
    ):
        centre.faults.add(FaultRule(endpoint, call, kind))
    handle = await in_failover(initech, {"vm": "tps-01"})
    assert len(centre.sites["initech"].backup.exclusions) == 1
    report = await undo(handle)
    assert report.state is ReplicaState.NORMAL and report.left_over == ()
    assert [rule for rule in centre.faults.rules if rule.times] == [], "a fault was not met"
    assert changes(lab, since).count("POST powerOn") == 1
    assert centre.replica("tps-01").reverts[-4:].count("on") == 1
    reverts = [r for r in centre.replica("tps-01").reverts[-4:] if r.startswith("snapshot")]
    assert len(reverts) == 2, "each revert was made once"


async def test_what_cannot_be_taken_back_stays_open_and_can_be_tried_again(lab: Lab, initech: Client) -> None:
    handle = await in_failover(initech, {"vm": "tps-01"})
    with inject.without_right(lab.centre, POWER_RIGHT):
        await handle.execute_update("undo", {})
        await in_state(handle, ReplicaState.FAILED_FAILOVER)
        assert "Left over: Power off tps-01" in (await page(handle)).replace("\\", "")
        assert len(lab.centre.sites["initech"].backup.exclusions) == 1, "replication may not go on"
    await handle.execute_update("retry_compensation", {})
    report = await asyncio.wait_for(handle.result(), PATIENCE)
    await record("failed-and-repaired", handle)
    assert report["state"] == "Normal" and report["left_over"] == []
