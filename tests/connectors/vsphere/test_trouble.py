"""Lost answers, ended sessions, busy VMs, tasks that fail or hang."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.hypervisor import Refused, Vm
from lab.injected_faults import FaultKind
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.vsphere.tasks import SLICE_SECONDS
from partial_failover.contracts.errors import (
    Busy,
    Expired,
    OutcomeUnknown,
    TaskFailed,
    Unavailable,
    WrongState,
)
from partial_failover.contracts.replica import Power
from tests.connectors.vsphere.world import World, attempt
from tests.waiting import blocking_until


def test_lost_reply_is_found_again_and_reverts_once(world: World) -> None:
    world.inject("RevertToSnapshot_Task", FaultKind.DROP_AFTER)
    assert world.revert(world.client(), 1, attempt()) is True
    assert world.replica.reverts == [world.points[1].moref]
    assert world.sent("RevertToSnapshot_Task") == 1


def test_slow_answer_is_a_lost_reply(world: World) -> None:
    world.inject("PowerOnVM_Task", FaultKind.DELAY, seconds=3)
    assert world.client(timeout=1.5).power_on(world.replica.moref, attempt()) is True
    assert world.sent("PowerOnVM_Task") == 1


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.REFUSE])
def test_request_that_was_not_accepted_leaves_the_outcome_open(world: World, kind: FaultKind) -> None:
    world.inject("RevertToSnapshot_Task", kind)
    client = world.client()
    since = client.now()
    with pytest.raises(OutcomeUnknown):
        world.revert(client, 1, attempt(seconds=1), since)
    assert world.replica.reverts == []
    assert world.sent("RevertToSnapshot_Task") == 1
    assert world.revert(client, 1, attempt(), since) is True
    assert world.replica.reverts == [world.points[1].moref]


def test_lost_task_of_another_account_is_not_taken_for_ours(world: World) -> None:
    world.inject("PowerOnVM_Task", FaultKind.DROP_BEFORE)
    world.endpoint.tasks.start(world.replica, "VirtualMachine.powerOn", lambda: None, "VSPHERE.LOCAL\\vcd")
    with pytest.raises(OutcomeUnknown):
        world.client().power_on(world.replica.moref, attempt(seconds=1))


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.REFUSE])
def test_reads_are_asked_once_more(world: World, kind: FaultKind) -> None:
    client = world.client()
    client.check()
    world.inject("RetrievePropertiesEx", kind)
    assert client.vm(world.replica.moref).power is Power.OFF
    world.inject("RetrievePropertiesEx", kind, times=2)
    with pytest.raises(Unavailable):
        client.vm(world.replica.moref)


@pytest.mark.parametrize("call", ["CurrentTime", "RetrievePropertiesEx", "RevertToSnapshot_Task"])
def test_session_that_expires_is_renewed(world: World, call: str) -> None:
    client = world.client()
    client.check()
    world.inject(call, FaultKind.EXPIRE_SESSION)
    assert world.revert(client, 1, attempt()) is True
    assert world.replica.reverts == [world.points[1].moref]
    assert world.sent("Login") == 2


def test_session_that_ends_during_a_wait(world: World) -> None:
    world.endpoint.tasks.seconds = 1.0
    client = world.client()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(world.revert, client, 1, attempt())
        blocking_until(lambda: world.sent("WaitForUpdatesEx") >= 2)
        world.endpoint.sessions.end_all()
        assert done.result() is True
    assert world.sent("RevertToSnapshot_Task") == 1


def test_many_threads_share_one_login(world: World) -> None:
    client = world.client()
    vms = [world.hypervisor.add_vm(f"vm {i}", []) for i in range(8)]
    world.endpoint.tasks.seconds = 0.2
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda vm: client.power_on(vm.moref, attempt()), vms))
        world.endpoint.sessions.end_all()
        assert all(pool.map(lambda vm: client.power_off(vm.moref, attempt()), vms))
    assert world.sent("Login") == 2
    assert {tuple(vm.reverts) for vm in vms} == {("on", "off")}


def test_busy_vm(world: World) -> None:
    client = world.client()
    world.inject("RevertToSnapshot_Task", FaultKind.BUSY)
    with pytest.raises(Busy):
        world.revert(client, 1, attempt())
    release = threading.Event()
    world.endpoint.tasks.start(world.replica, "VirtualMachine.createSnapshot", release.wait, "VEEAM\\backup")
    with pytest.raises(Busy):
        world.revert(client, 1, attempt())
    assert world.replica.reverts == []
    release.set()
    blocking_until(lambda: world.endpoint.tasks.recent(world.replica)[0].state == "success")
    assert world.revert(client, 1, attempt()) is True


@pytest.mark.parametrize("kind", [FaultKind.TASK_ERROR, FaultKind.TASK_CANCEL])
def test_task_that_ends_badly(world: World, kind: FaultKind) -> None:
    client = world.client()
    since = client.now()
    world.inject("RevertToSnapshot_Task", kind)
    with pytest.raises(TaskFailed):
        world.revert(client, 1, attempt(), since)
    assert world.replica.reverts == []
    assert world.revert(client, 1, attempt(), since) is True


def test_hanging_task_is_adopted_by_the_next_attempt(world: World) -> None:
    client = world.client()
    since = client.now()
    world.inject("RevertToSnapshot_Task", FaultKind.TASK_HANG, seconds=4)
    first = attempt(seconds=1.5)
    with pytest.raises(Expired):
        world.revert(client, 1, first, since)
    assert world.revert(client, 1, attempt(earlier=first.task), since) is True
    assert world.replica.reverts == [world.points[1].moref]
    assert world.sent("RevertToSnapshot_Task") == 1


def test_hanging_task_is_adopted_without_its_reference(world: World) -> None:
    client = world.client()
    since = client.now()
    world.inject("*_Task", FaultKind.TASK_HANG, times=2, seconds=4)
    with pytest.raises(Expired):
        world.revert(client, 1, attempt(seconds=1.5), since)
    assert world.revert(client, 1, attempt(), since) is True
    with pytest.raises(Expired):
        client.power_on(world.replica.moref, attempt(seconds=1.5))
    assert client.power_on(world.replica.moref, attempt()) is True
    assert world.replica.reverts == [world.points[1].moref, "on"]


def test_a_switch_off_waits_for_a_switch_on_that_is_under_way(world: World) -> None:
    client = world.client()
    world.inject("PowerOnVM_Task", FaultKind.TASK_HANG, seconds=4)
    with pytest.raises(Expired):
        client.power_on(world.replica.moref, attempt(1.5))
    assert client.power_off(world.replica.moref, attempt()) is True
    assert world.replica.reverts == ["on", "off"]


def test_hanging_task_is_adopted_when_the_vm_lists_it_no_more(world: World) -> None:
    client = world.client()
    since = client.now()
    world.inject("RevertToSnapshot_Task", FaultKind.TASK_HANG, seconds=4)
    first = attempt(seconds=1.5)
    with pytest.raises(Expired):
        world.revert(client, 1, first, since)
    for _ in range(10):  # each fails at once, because the revert holds the VM
        world.endpoint.tasks.start(world.replica, "VirtualMachine.reconfigure", lambda: None, "VEEAM\\b")
    assert world.revert(client, 1, attempt(earlier=first.task), since) is True
    assert world.sent("RevertToSnapshot_Task") == 1


def test_earlier_task_of_another_kind_is_not_ours(world: World) -> None:
    client = world.client()
    done = attempt()
    world.revert(client, 1, done)
    world.hypervisor.power_on(world.replica)
    assert client.power_on(world.replica.moref, attempt(earlier=done.task)) is False


def test_errors_carry_no_foreign_text_at_length(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(vm: Vm) -> None:
        raise Refused("InvalidPowerState", "x\n\u202e\x7f" * 5000)

    monkeypatch.setattr(world.hypervisor, "power_on", refuse)
    with pytest.raises(WrongState) as caught:
        world.client().power_on(world.replica.moref, attempt())
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()
    assert caught.value.__cause__ is None


def test_task_that_the_vcenter_forgets(world: World) -> None:
    world.endpoint.tasks.seconds = 0.4
    client = world.client()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(world.revert, client, 1, attempt())
        blocking_until(lambda: world.sent("WaitForUpdatesEx") >= 1)
        world.endpoint.tasks.forget()
        world.endpoint.tasks.forget_history()
        with pytest.raises(OutcomeUnknown):
            done.result()


def test_cancelled_activity_stops_waiting(world: World) -> None:
    """The heartbeat raises when the activity is cancelled, and nothing of that may be swallowed."""

    class Cancelled(Exception):
        pass

    def beat(task: str | None) -> None:
        if task is not None and world.sent("WaitForUpdatesEx"):
            raise Cancelled

    world.inject("PowerOnVM_Task", FaultKind.TASK_HANG, seconds=30)
    started = time.monotonic()
    with pytest.raises(Cancelled):
        world.client().power_on(world.replica.moref, Attempt(started + 20, heartbeat=beat))
    assert time.monotonic() - started < SLICE_SECONDS + 3


def test_expired_attempt_sends_nothing(world: World) -> None:
    client = world.client()
    with pytest.raises(Expired):
        world.revert(client, 1, attempt(seconds=-1))
    with pytest.raises(Expired):
        client.power_on(world.replica.moref, attempt(seconds=-1))
    assert world.sent("RevertToSnapshot_Task") == world.sent("PowerOnVM_Task") == 0


def test_attempt_that_expires_during_a_new_login_sends_nothing(world: World) -> None:
    client = world.client()
    client.check()
    world.inject("PowerOnVM_Task", FaultKind.EXPIRE_SESSION)
    world.inject("Login", FaultKind.DELAY, seconds=0.6)
    with pytest.raises(Expired):
        client.power_on(world.replica.moref, attempt(seconds=0.5))
    assert world.sent("PowerOnVM_Task") == 1
    assert world.replica.reverts == []
