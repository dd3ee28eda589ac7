"""Runs that were ended from outside, or lost the replica: the next one takes over, and nothing is torn."""

import asyncio
from dataclasses import replace

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client

from lab.injected_faults import FaultKind, FaultRule
from lab.lab import Lab
from partial_failover.connectors.cloud_director.metadata_store import NICS
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.report import ReadinessReport
from partial_failover.contracts.step import StepName
from tests.e2e.driver import (
    Handle,
    failure_of,
    in_failover,
    in_state,
    page,
    record,
    start,
    undo,
)
from tests.waiting import PATIENCE, until

VM, REPLICA = "tps-01", "tps-01_replica"
RELEASE = "DELETE /api/v1/globalExclusions/vm/{id}"
ADOPT = {"vm": VM, "adopt": True}


async def terminated_at(lab: Lab, handle: Handle, rule: FaultRule) -> None:
    """Terminate the workflow when the fault has its moment."""
    lab.centre.faults.add(rule)

    async def happened() -> bool:
        return rule.happened is not None

    await until(happened)
    await handle.terminate()


def held(lab: Lab) -> int:
    """Exclusions on the tenant's backup server."""
    return len(lab.centre.sites["initech"].backup.exclusions)


async def test_terminated_before_it_is_marked_nothing_has_begun(lab: Lab, acme: Client) -> None:
    """Else nobody would know whose the appliances and the hold are."""
    before, faults = lab.centre.state(), lab.centre.faults
    marking = FaultRule("cloud-director", "POST metadata", FaultKind.DROP_BEFORE, times=1000)
    faults.add(marking)
    handle = await start(acme, {"vm": "mail-01"})

    async def tried_again() -> bool:
        return marking.times <= 998

    await until(tried_again)
    await handle.terminate()
    faults.clear()
    await asyncio.to_thread(lab.centre.cloud.tasks.wait_idle, 30)
    assert lab.centre.state() == before


async def test_terminated_while_it_is_undone_the_adopted_replica_runs(lab: Lab, initech: Client) -> None:
    """It was seen on, and went off a moment later."""
    handle = await in_failover(initech, {"vm": VM})
    lab.centre.replica(VM).write("orders", "4001")
    hangs = FaultRule("cloud-director", "POST undeploy", FaultKind.TASK_HANG, seconds=5)
    await handle.execute_update("undo", {})
    await terminated_at(lab, handle, hangs)
    adopted = await in_failover(initech, ADOPT)
    replica = lab.centre.replica(VM)
    assert replica.power == "poweredOn" and replica.disk.read("orders") == "4001"
    await record("adopted", adopted)
    assert (await undo(adopted)).state is ReplicaState.NORMAL


async def test_terminated_in_a_revert_the_networks_come_back(lab: Lab, initech: Client) -> None:
    """The restore point is of other hardware: between the revert and the NICs there are none."""
    replica, cloud = lab.centre.replica(VM), lab.centre.cloud.vm(REPLICA)
    wired = list(cloud.nics)
    point = max(replica.snapshots, key=lambda s: s.created)
    hardware = point.nics
    point.nics = tuple(replace(nic, network=None, connected=False) for nic in hardware)
    try:
        handle = await start(initech, {"vm": VM})
        rewiring = FaultRule("cloud-director", "PUT networkConnectionSection", FaultKind.DROP_BEFORE)
        await terminated_at(lab, handle, rewiring)
        await asyncio.to_thread(lab.centre.cloud.tasks.wait_idle, 30)
        assert cloud.nics[0].network is None and ("SYSTEM", NICS.key) in cloud.metadata
        adopted = await in_failover(initech, ADOPT)
        assert cloud.nics == wired and replica.power == "poweredOn"
        assert (await undo(adopted)).state is ReplicaState.NORMAL
    finally:
        point.nics = hardware
    assert cloud.nics == wired


async def test_a_hold_that_nobody_released_is_named_and_goes_with_the_next_undo(
    lab: Lab, initech: Client
) -> None:
    handle = await in_failover(initech, {"vm": VM})
    away = FaultRule("initech-veeam", RELEASE, FaultKind.REFUSE, times=100)
    await handle.execute_update("undo", {})
    await terminated_at(lab, handle, away)
    lab.centre.faults.clear()
    assert held(lab) == 1 and not lab.centre.cloud.vm(REPLICA).metadata
    looked = ReadinessReport.model_validate(await (await start(initech, {}, "CheckReadiness")).result())
    assert any("still on hold by a failover that was ended" in w for w in looked.replicas[0].warnings)
    again = await in_failover(initech, {"vm": VM})
    assert "still on hold" in await page(again)
    await undo(again)
    assert held(lab) == 0


async def test_a_replica_that_was_switched_on_after_its_revert_is_not_released(
    lab: Lab, initech: Client
) -> None:
    """Replication onto what it wrote would tear its image, and nobody would know."""
    handle = await in_failover(initech, {"vm": VM})
    replica, provider = lab.centre.replica(VM), lab.centre.provider
    away = FaultRule("initech-veeam", RELEASE, FaultKind.REFUSE, times=100)
    lab.centre.faults.add(away)
    await handle.execute_update("undo", {})

    async def happened() -> bool:
        return away.happened is not None

    await until(happened)
    provider.power_on(replica)
    replica.write("orders", "by hand")
    provider.power_off(replica)
    await in_state(handle, ReplicaState.FAILED_FAILOVER)
    shown = (await page(handle)).replace("\\", "")
    assert "powered tps-01_replica on after it was reverted" in shown
    assert held(lab) == 1
    lab.centre.faults.clear()
    await handle.execute_update("retry_compensation", {})
    report = await asyncio.wait_for(handle.result(), PATIENCE)
    assert report["state"] == "Normal" and held(lab) == 0 and not replica.torn
    assert replica.disk.read("orders") == "4000"


async def test_a_run_that_was_reset_leaves_the_next_ones_failover_alone(lab: Lab, initech: Client) -> None:
    first = await in_failover(initech, {"vm": VM})
    await undo(first)
    second = await in_failover(initech, {"vm": VM})
    before = lab.centre.state()
    steps = [e.activity_task_scheduled_event_attributes for e in (await first.fetch_history()).events]
    mark = next(s for s in steps if s.activity_type.name == StepName.MARK_PROCESSING)
    described = await first.describe()
    answer = await initech.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace="initech",
            workflow_execution=WorkflowExecution(workflow_id=first.id, run_id=described.run_id),
            reason="somebody tries it",
            workflow_task_finish_event_id=mark.workflow_task_completed_event_id,
            request_id="reset",
        )
    )
    again = initech.get_workflow_handle(first.id, run_id=answer.run_id)
    failure = await failure_of(again)
    assert failure.type == "LostLock" and f"{REPLICA} was left as it is" in failure.message
    assert lab.centre.state() == before and held(lab) == 1
    assert (await undo(second)).state is ReplicaState.NORMAL
