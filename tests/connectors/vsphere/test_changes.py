"""Revert and power: what is refused, and what counts as done."""

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.hypervisor import Snapshot, Vm
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.errors import (
    NotFound,
    WrongState,
)
from partial_failover.contracts.replica import Power
from tests.connectors.vsphere.world import World, attempt
from tests.waiting import blocking_until


def test_revert_brings_back_the_disk_of_the_point(world: World) -> None:
    world.hypervisor.power_on(world.replica)
    world.replica.write("orders", "written in failover")
    world.hypervisor.power_off(world.replica)
    assert world.revert(world.client(), 1, attempt()) is True
    assert world.replica.disk.read("orders") == "2"
    assert world.replica.current is world.points[1]
    assert world.replica.power == "poweredOff"
    assert world.replica.disk.parent is world.points[1].disk


def test_revert_heartbeats_its_task(world: World) -> None:
    beats: list[str | None] = []
    tried = Attempt(time.monotonic() + 20, heartbeat=beats.append)
    world.endpoint.tasks.seconds = 0.3
    world.revert(world.client(), 0, tried)
    (task,) = world.endpoint.tasks.recent(world.replica)
    assert set(beats) == {task.moref} and tried.task == task.moref


def test_revert_that_was_done_since_is_not_sent_again(world: World) -> None:
    client = world.client()
    since = client.now()
    assert world.revert(client, 1, attempt(), since) is True
    assert world.revert(client, 1, attempt(), since) is False
    assert world.sent("RevertToSnapshot_Task") == 1


def test_revert_that_was_done_before_is_sent_again(world: World) -> None:
    """`current` proves nothing: the delta of a failover stands on the same point."""
    client = world.client()
    world.revert(client, 1, attempt())
    world.hypervisor.power_on(world.replica)
    world.replica.write("orders", "written in failover")
    world.hypervisor.power_off(world.replica)
    assert world.revert(client, 1, attempt()) is True
    assert world.replica.disk.read("orders") == "2"


def test_revert_is_not_taken_for_done_after_the_vm_ran(world: World) -> None:
    client = world.client()
    since = client.now()
    world.revert(client, 1, attempt(), since)
    client.power_on(world.replica.moref, attempt())
    world.replica.write("orders", "written in between")
    client.power_off(world.replica.moref, attempt())
    assert world.revert(client, 1, attempt(), since) is True
    assert world.replica.disk.read("orders") == "2"


def test_revert_to_another_point_than_the_last_revert(world: World) -> None:
    client = world.client()
    since = client.now()
    world.revert(client, 1, attempt(), since)
    assert world.revert(client, 0, attempt(), since) is True
    assert world.replica.disk.read("orders") == "1"


@pytest.mark.parametrize("power", ["poweredOn", "suspended"])
def test_revert_refuses_a_vm_that_is_not_off(world: World, power: str) -> None:
    world.replica.power = "poweredOn" if power == "poweredOn" else "suspended"
    with pytest.raises(WrongState, match="not powered off"):
        world.revert(world.client(), 0, attempt())
    assert world.sent("RevertToSnapshot_Task") == 0


@pytest.mark.parametrize(
    "change",
    [{"created": dt.datetime(2026, 11, 22, 6, tzinfo=dt.UTC)}, {"number": 2}],
    ids=["created", "number"],
)
def test_revert_refuses_a_point_that_is_another(world: World, change: dict[str, object]) -> None:
    point = world.point(0).model_copy(update=change)
    client = world.client()
    with pytest.raises(WrongState, match="another restore point"):
        client.revert(world.replica.moref, world.replica.instance_uuid, point, client.now(), attempt())
    assert world.sent("RevertToSnapshot_Task") == 0


def test_revert_refuses_another_vm(world: World) -> None:
    other = world.hypervisor.add_vm("other", [])
    client = world.client()
    with pytest.raises(WrongState, match="another VM"):
        client.revert(world.replica.moref, other.instance_uuid, world.point(0), client.now(), attempt())
    with pytest.raises(NotFound, match="no restore point"):
        client.revert(other.moref, other.instance_uuid, world.point(0), client.now(), attempt())
    assert world.sent("RevertToSnapshot_Task") == 0


def test_revert_refuses_a_point_with_memory(world: World) -> None:
    world.endpoint.inventory.snapshots_with_memory.add(world.points[0].moref)
    with pytest.raises(WrongState, match="memory"):
        world.revert(world.client(), 0, attempt())
    assert world.sent("RevertToSnapshot_Task") == 0


def test_revert_to_a_point_that_is_deleted_meanwhile(world: World) -> None:
    world.endpoint.tasks.seconds = 0.3
    client = world.client()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(world.revert, client, 0, attempt())
        blocking_until(lambda: world.sent("RevertToSnapshot_Task") == 1)
        with world.hypervisor.lock:
            world.replica.snapshots.remove(world.points[0])
        with pytest.raises(NotFound):
            done.result()
    assert world.replica.reverts == []


def test_revert_does_not_believe_a_task_without_effect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_the_pointer(vm: Vm, snap: Snapshot) -> None:
        vm.current = snap

    monkeypatch.setattr(world.hypervisor, "revert", only_the_pointer)
    with pytest.raises(WrongState, match="disks"):
        world.revert(world.client(), 0, attempt())


def test_power_on_and_off(world: World) -> None:
    client, moref = world.client(), world.replica.moref
    assert client.power_on(moref, attempt()) is True
    assert world.replica.power == "poweredOn"
    assert client.power_on(moref, attempt()) is False
    assert client.power_off(moref, attempt()) is True
    assert client.power_off(moref, attempt()) is False
    assert world.replica.reverts == ["on", "off"]


def test_power_on_by_an_earlier_attempt_counts_as_done_by_us(world: World) -> None:
    client, moref = world.client(), world.replica.moref
    first = attempt()
    client.power_on(moref, first)
    assert client.power_on(moref, attempt(earlier=first.task)) is True
    assert client.power_on(moref, attempt(earlier="task-0")) is False
    assert world.sent("PowerOnVM_Task") == 1


def test_power_on_does_not_resume_a_suspended_vm(world: World) -> None:
    world.replica.power = "suspended"
    client = world.client()
    with pytest.raises(WrongState):
        client.power_on(world.replica.moref, attempt())
    assert client.power_off(world.replica.moref, attempt()) is True
    assert client.vm(world.replica.moref).power is Power.OFF


def test_power_on_when_somebody_else_is_faster(world: World) -> None:
    world.endpoint.tasks.seconds = 0.3
    client = world.client()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(client.power_on, world.replica.moref, attempt())
        blocking_until(lambda: world.sent("PowerOnVM_Task") == 1)
        world.hypervisor.power_on(world.replica)
        assert done.result() is False
