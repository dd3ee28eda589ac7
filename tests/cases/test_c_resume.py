"""The replica as vCenter shows it while it is in Failover, and brought on again with what it wrote."""

import asyncio

import pytest

from activities.provider import watch_replica
from lab.cloud_director.model import SUSPENDED
from lab.injected_faults import FaultKind, FaultRule
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.queues import PROVIDER_WATCH
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import ReplicaSeen
from tests.activities.world import Values, World
from tests.waiting import until

WATCH = f"{PROVIDER_WATCH}/{StepName.WATCH_REPLICA}"
VM = "erp-db-01"


async def in_failover(world: World) -> Values:
    """On, marked Failover, and with an order of its own."""
    values = await world.values("acme", VM)
    machine = world.centre.replica(VM)
    await world.call(StepName.MARK_PROCESSING, {**values, "discard": True})
    if machine.power != "poweredOn":
        await world.call(StepName.POWER_ON_REPLICA, values)
    await world.call(StepName.MARK_FAILOVER, values)
    machine.write("orders", "5001")
    seen = await world.call(WATCH, {**values, "known": ReplicaSeen()})
    assert seen.power is Power.ON and seen.booted == machine.on_since
    return {**values, "known": seen}


async def test_c1_suspended_is_seen_and_resumed_with_what_was_written(world: World) -> None:
    values, machine = await in_failover(world), world.centre.replica(VM)
    world.centre.provider.suspend(machine)  # Cloud Director still believes that it is on
    assert (await world.call(WATCH, values)).power is Power.SUSPENDED
    before = len(machine.reverts)
    done = await world.call(StepName.RESUME_REPLICA, values)
    again = await world.call(StepName.RESUME_REPLICA, values)
    assert (done.changed, again.changed) == (True, False)
    assert machine.power == "poweredOn" and machine.disk.data["orders"] == "5001"
    assert machine.reverts[before:] == ["on"]


async def test_c1_switched_off_is_seen_and_resumed(world: World) -> None:
    values, machine = await in_failover(world), world.centre.replica(VM)
    booted = machine.on_since
    world.centre.provider.power_off(machine)
    assert (await world.call(WATCH, values)).power is Power.OFF
    assert (await world.call(StepName.RESUME_REPLICA, values)).changed
    assert machine.power == "poweredOn" and machine.disk.data["orders"] == "5001"
    assert machine.on_since != booted


async def test_c1_a_suspended_replica_can_be_undone(world: World) -> None:
    """Cloud Director gives the hardware of a vApp back at the end of its lease."""
    values, cloud = await in_failover(world), world.centre.cloud.vm(f"{VM}_replica")
    world.centre.provider.suspend(cloud.machine)
    cloud.status, cloud.deployed = SUSPENDED, False
    await world.call(StepName.MARK_PROCESSING, {**values, "discard": True})
    await world.call(StepName.POWER_OFF_REPLICA, values)
    assert world.centre.replica(VM).power == "poweredOff"


async def test_c1_resume_is_for_a_replica_in_failover_alone(world: World) -> None:
    values, cloud = await in_failover(world), world.centre.cloud.vm(f"{VM}_replica")
    await world.call(StepName.MARK_PROCESSING, {**values, "discard": True})
    await world.call(StepName.POWER_OFF_REPLICA, values)
    with pytest.raises(WrongState, match="not Failover of this run"):
        await world.call(StepName.RESUME_REPLICA, values)
    assert cloud.machine.power == "poweredOff"


async def test_c2_a_question_is_seen_with_its_text(world: World) -> None:
    values, machine = await in_failover(world), world.centre.replica(VM)
    machine.question = "There is no more space for virtual disk erp-db-01.vmdk"
    seen = await world.call(WATCH, values)
    assert (seen.power, seen.question) == (Power.ON, machine.question)
    with pytest.raises(WrongState, match="no more space"):
        await world.call(StepName.RESUME_REPLICA, values)
    machine.question = None


async def test_c1_looks_that_fail_say_nothing_of_the_replica(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = await in_failover(world)
    monkeypatch.setattr(watch_replica, "PAUSE", 0.05)
    world.centre.faults.add(FaultRule("provider-vcenter", "*", FaultKind.REFUSE, times=1000))
    try:
        seen = await world.call(WATCH, values)
    finally:
        world.centre.faults.clear()
    assert seen.power is Power.ON and seen.unseen
    assert await world.call(WATCH, {**values, "known": seen}) == values["known"]


async def test_c1_a_look_asks_vcenter_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    values, machine = await in_failover(world), world.centre.replica(VM)
    monkeypatch.setattr(watch_replica, "PAUSE", 0.05)
    audit, before = world.centre.faults.calls, len(world.centre.faults.calls)
    watching = asyncio.create_task(world.call(WATCH, values))
    await until(lambda: len(audit) > before + 20)
    world.centre.provider.suspend(machine)
    await watching
    asked = [record for record in audit[before:] if record.endpoint == "cloud-director"]
    assert len(asked) <= 4, "Cloud Director is asked at the beginning alone"
