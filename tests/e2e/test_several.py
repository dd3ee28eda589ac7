"""Several failovers at once: of one tenant over shared appliances, of two tenants with the same addresses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from lab.cloud_director.model import ALL_RIGHTS, Principal, Task
from lab.cloud_director.tasks import Tasks
from lab.lab import Lab
from lab.site import APPLIANCE
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.run import lock_id
from tests.e2e import wire
from tests.e2e.driver import failure_of, in_failover, in_state, record, start, undo
from tests.e2e.wire import needs_root

DB, WEB, APP = "192.168.10.50", "192.168.10.51", "192.168.10.20"
MAIL, FILES = "192.168.20.60", "192.168.20.20"


def appliances(lab: Lab, tenant: str) -> set[str]:
    """Power states of a tenant's two appliances."""
    here, there = (
        lab.centre.provider.find(f"{tenant}-{APPLIANCE}"),
        lab.centre.sites[tenant].vm(APPLIANCE),
    )
    assert here is not None
    return {here.power, there.power}


@pytest.mark.root
@needs_root
async def test_two_share_the_appliances_until_the_last_is_undone(lab: Lab, acme: Client) -> None:
    centre, site = lab.centre, lab.centre.sites["acme"]
    app, files = site.host("erp-app-01"), site.host("file-01")
    db, mail = await asyncio.gather(
        in_failover(acme, {"vm": "erp-db-01"}), in_failover(acme, {"vm": "mail-01"})
    )
    assert all(await asyncio.gather(wire.pings(lab, app, DB), wire.pings(lab, files, MAIL)))
    assert await wire.pings(lab, centre.replica_host("mail-01"), FILES)
    assert await wire.silent(lab, app, WEB)
    centre.replica("mail-01").write("orders", "kept")

    await undo(db)
    assert appliances(lab, "acme") == {"poweredOn"}, "the other failover still uses them"
    assert await wire.silent(lab, app, DB)
    assert await wire.pings(lab, files, MAIL)
    assert centre.replica("mail-01").disk.read("orders") == "kept"

    again = await in_failover(acme, {"vm": "erp-db-01"})
    assert await wire.pings(lab, app, DB)
    await asyncio.gather(undo(mail), undo(again))
    assert appliances(lab, "acme") == {"poweredOff"}


async def test_of_two_failovers_of_one_vm_one_is_refused(lab: Lab, initech: Client) -> None:
    handles = [await start(initech, {"vm": "tps-01"}) for _ in range(2)]
    failed, _ = await asyncio.wait(
        [asyncio.ensure_future(failure_of(h)) for h in handles], return_when=asyncio.FIRST_COMPLETED
    )
    refusal = failed.pop().result()
    assert refusal.type in ("AlreadyInFailover", "NotReady")
    assert "tps-01" in refusal.message and "Nothing was changed" in refusal.message
    running = [h for h in handles if (await h.describe()).close_time is None]
    assert len(running) == 1
    await in_state(running[0], ReplicaState.FAILOVER)

    late = await failure_of(await start(initech, {"vm": "tps-01"}))
    assert late.type == "NotReady"
    assert running[0].id in late.message and "Nothing was changed" in late.message
    assert lab.centre.replica("tps-01").power == "poweredOn", "the one that runs is not touched"
    assert (await undo(running[0])).state is ReplicaState.NORMAL


@pytest.mark.root
@needs_root
async def test_no_packet_crosses_between_tenants_with_the_same_addresses(
    lab: Lab, acme: Client, globex: Client
) -> None:
    centre = lab.centre
    db, crm = await asyncio.gather(
        in_failover(acme, {"vm": "erp-db-01"}), in_failover(globex, {"vm": "crm-db-01"})
    )
    hosts = {
        "acme": (centre.sites["acme"].host("erp-app-01"), centre.replica_host("erp-db-01")),
        "globex": (centre.sites["globex"].host("crm-app-01"), centre.replica_host("crm-db-01")),
    }
    for app, replica in hosts.values():
        assert await wire.pings(lab, app, DB) and await wire.pings(lab, replica, APP)
    of_acme, of_globex = await asyncio.gather(seen(lab, "acme", hosts, 701), seen(lab, "globex", hosts, 801))
    assert of_acme == {"acme": True, "globex": False}
    assert of_globex == {"acme": False, "globex": True}
    macs = [await wire.who_has(lab, hosts[tenant][0], DB) for tenant in hosts]
    interfaces = [{n.mac for n in centre.sites[t].vm(APPLIANCE).nics[1:2]} for t in hosts]
    assert macs == interfaces

    await undo(db)
    assert await wire.silent(lab, hosts["acme"][0], DB), "the other tenant's replica answers"
    assert await wire.pings(lab, hosts["globex"][0], DB)
    await undo(crm)


async def seen(lab: Lab, sender: str, hosts: dict[str, tuple[str, str]], size: int) -> dict[str, bool]:
    """Which tenants' hosts see the pings, of a size of their own, between one tenant's hosts."""
    where = f"icmp and ip[2:2] = {size + 28}"
    watched = [(tenant, host) for tenant, pair in hosts.items() for host in pair]
    app, replica = hosts[sender]
    # The pings go on for longer than it is listened, so that it does not matter who begins first.
    counted, *answered = await asyncio.gather(
        asyncio.gather(*(wire.captured(lab, host, where, 4) for _, host in watched)),
        wire.flood(lab, app, DB, size),
        wire.flood(lab, replica, APP, size),
    )
    assert min(answered) > 0
    return {
        tenant: any(n for (of, _), n in zip(watched, counted, strict=True) if of == tenant)
        for tenant in hosts
    }


async def test_the_lock_ends_with_its_failover(lab: Lab, initech: Client) -> None:
    handle = await in_failover(initech, {"vm": "tps-01"})
    lock = initech.get_workflow_handle(lock_id(lab.centre.cloud.vm("tps-01_replica").id))
    assert (await lock.describe()).parent_id == handle.id
    await undo(handle)
    assert (await lock.describe()).status is WorkflowExecutionStatus.COMPLETED
    await record("replica-lock", lock)


@pytest.fixture(params=["vm", "neighbours"])
async def busy_neighbour(lab: Lab, request: pytest.FixtureRequest) -> AsyncIterator[Tasks]:
    """A VM of the replicas' vApp has a task of half a second again and again, which makes it busy, or all
    that is in the vApp."""
    tasks, vm = lab.centre.cloud.tasks, lab.centre.cloud.vm("erp-web-01_replica")
    before, over = tasks.reach, asyncio.Event()
    tasks.reach = request.param
    tasks.refused.clear()
    tenant = Principal("somebody", "acme", ALL_RIGHTS)

    def half_a_second(task: Task) -> None:
        task.cancel.wait(0.5)

    async def keep_busy() -> None:
        while not over.is_set():
            tasks.start("POST metadata", "metadataUpdate", vm, tenant, half_a_second)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 2)

    working = asyncio.create_task(keep_busy())
    yield tasks
    over.set()
    await working
    tasks.reach = before


async def test_two_replicas_of_one_vapp_with_a_busy_neighbour(
    lab: Lab, acme: Client, busy_neighbour: Tasks
) -> None:
    assert lab.centre.cloud.vm("erp-db-01_replica").vapp is lab.centre.cloud.vm("mail-01_replica").vapp
    db, mail = await asyncio.gather(
        in_failover(acme, {"vm": "erp-db-01"}), in_failover(acme, {"vm": "mail-01"})
    )
    reports = await asyncio.gather(undo(db), undo(mail))
    assert [report.state for report in reports] == [ReplicaState.NORMAL] * 2
    assert bool(busy_neighbour.refused) is (busy_neighbour.reach == "neighbours")
