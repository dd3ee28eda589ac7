"""The vSphere connector against the lab's vCenter over SOAP and TLS; assertions look at the hypervisor."""

import datetime as dt
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from pyVmomi import vim

import connectors
from connectors.attempt import Attempt
from connectors.vsphere import VSphere
from connectors.vsphere.tasks import SLICE_SECONDS
from connectors.vsphere.view import nic_of
from contracts.errors import (
    BadRequest,
    Busy,
    Expired,
    Misconfigured,
    NoRight,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
    Unavailable,
    WrongState,
)
from contracts.replica import Power, RestorePoint
from lab.faults import Faults, Kind, Rule
from lab.hypervisor import GuestAddress, Hypervisor, Refused, Snapshot, Vm, utc_now
from lab.tls import Authority
from lab.vsphere import User, VSphereEndpoint

ADMIN, PASSWORD = "failover@vsphere.local", "pass<&>word"
READER = "reader@vsphere.local"
USERS = {ADMIN: User(PASSWORD), READER: User(PASSWORD, frozenset())}


@dataclass
class World:
    """A vCenter with one replica of three restore points, two of them with the same name."""

    hypervisor: Hypervisor
    faults: Faults
    endpoint: VSphereEndpoint
    authority: Authority
    replica: Vm
    points: list[Snapshot]
    clients: list[VSphere] = field(default_factory=list)

    def client(self, user: str = ADMIN, password: str = PASSWORD, timeout: float = 10) -> VSphere:
        made = VSphere(
            "127.0.0.1", self.endpoint.port, user, password, self.authority.ca_file, timeout=timeout
        )
        self.clients.append(made)
        return made

    def point(self, index: int) -> RestorePoint:
        snap = self.points[index]
        return RestorePoint(id=snap.moref, number=snap.number, name=snap.name, created=snap.created)

    def revert(self, client: VSphere, index: int, attempt: Attempt, since: dt.datetime | None = None) -> bool:
        vm = self.replica
        return client.revert(vm.moref, vm.instance_uuid, self.point(index), since or client.now(), attempt)

    def fault(self, call: str, kind: Kind, times: int = 1, seconds: float = 0) -> None:
        self.faults.add(Rule("vsphere", call, kind, times, seconds))

    def sent(self, call: str) -> int:
        return sum(c.call == call for c in self.faults.calls)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority: Authority) -> Iterator[World]:
    hypervisor = Hypervisor("provider", ["acme-lan-a"])
    guest = [GuestAddress(0, IPv4Interface("192.168.10.21/24"))]
    replica = hypervisor.add_vm("erp/db 100%", ["acme-lan-a", None], guest, {"orders": "0"})
    start = dt.datetime(2026, 11, 22, 6, tzinfo=dt.UTC)
    for hour, name in enumerate(["Restore Point", "Restore Point", "<b>&amp; $(reboot)"]):
        created = start + dt.timedelta(hours=hour, microseconds=123)
        hypervisor.replicate(replica, name, {"orders": str(hour + 1)}, created)
    faults = Faults()
    endpoint = VSphereEndpoint(hypervisor, faults, authority.server_context("vcenter"), users=USERS)
    endpoint.start()
    made = World(hypervisor, faults, endpoint, authority, replica, list(replica.snapshots))
    yield made
    for client in made.clients:
        client.close()
    endpoint.close()


def attempt(seconds: float = 20, earlier: str | None = None) -> Attempt:
    return Attempt(deadline=time.monotonic() + seconds, earlier_task=earlier)


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


# --- reading


def test_check_logs_in_once_and_tells_the_version(world: World) -> None:
    client = world.client()
    assert world.faults.calls == []
    assert "8.0.3.0" in client.check()
    client.check()
    assert world.sent("Login") == 1
    assert abs((client.now() - utc_now()).total_seconds()) < 5


def test_vm_shows_points_disks_and_nics(world: World) -> None:
    seen = world.client().vm(world.replica.moref)
    assert seen.name == "erp/db 100%"
    assert seen.instance_uuid == world.replica.instance_uuid
    assert seen.power is Power.OFF
    assert list(seen.restore_points) == [world.point(0), world.point(1), world.point(2)]
    assert seen.restore_points[0].name == seen.restore_points[1].name
    assert seen.restore_points[2].name == "<b>&amp; $(reboot)"
    assert seen.current == world.points[2].moref
    assert [d.files for d in seen.disks] == [tuple(d.file for d in world.replica.disk.chain())]
    assert [(n.mac, n.network) for n in seen.nics] == [
        (world.replica.nics[0].mac, "acme-lan-a"),
        (world.replica.nics[1].mac, None),
    ]
    assert (seen.tools_running, seen.guest_heartbeat, seen.guest_address) == (False, "gray", None)


def test_vm_that_runs_shows_its_guest(world: World) -> None:
    world.hypervisor.power_on(world.replica)
    seen = world.client().vm(world.replica.moref)
    assert seen.power is Power.ON
    assert (seen.tools_running, seen.guest_heartbeat, seen.guest_address) == (True, "green", "192.168.10.21")


def test_vm_without_restore_points(world: World) -> None:
    vm = world.hypervisor.add_vm("fresh", [])
    seen = world.client().vm(vm.moref)
    assert (seen.restore_points, seen.current) == ((), None)


@pytest.mark.parametrize("moref", ["vm-0", "", "vm-1</ns0:_this><x>", "../vm-1", "vm-1\n", "x" * 5000])
def test_vm_that_is_not_there(world: World, moref: str) -> None:
    with pytest.raises(NotFound):
        world.client().vm(moref)


def test_vm_named_needs_exactly_one(world: World) -> None:
    client = world.client()
    world.endpoint.collectors.page = 2
    for name in ["appliance-1", "appliance-10", "twin", "twin"]:
        world.hypervisor.add_vm(name, [])
    named = world.hypervisor.find("appliance-1")
    assert named is not None
    assert client.vm_named("appliance-1").moref == named.moref
    assert client.vm_named("erp/db 100%").moref == world.replica.moref
    with pytest.raises(NotFound):
        client.vm_named("appliance")
    with pytest.raises(BadRequest):
        client.vm_named("twin")


# --- revert


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
        until(lambda: world.sent("RevertToSnapshot_Task") == 1)
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


# --- power


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
        until(lambda: world.sent("PowerOnVM_Task") == 1)
        world.hypervisor.power_on(world.replica)
        assert done.result() is False


# --- what goes wrong


def test_lost_reply_is_found_again_and_reverts_once(world: World) -> None:
    world.fault("RevertToSnapshot_Task", Kind.DROP_AFTER)
    assert world.revert(world.client(), 1, attempt()) is True
    assert world.replica.reverts == [world.points[1].moref]
    assert world.sent("RevertToSnapshot_Task") == 1


def test_slow_answer_is_a_lost_reply(world: World) -> None:
    world.fault("PowerOnVM_Task", Kind.DELAY, seconds=3)
    assert world.client(timeout=1.5).power_on(world.replica.moref, attempt()) is True
    assert world.sent("PowerOnVM_Task") == 1


@pytest.mark.parametrize("kind", [Kind.DROP_BEFORE, Kind.REFUSE])
def test_request_that_was_not_accepted_leaves_the_outcome_open(world: World, kind: Kind) -> None:
    world.fault("RevertToSnapshot_Task", kind)
    client = world.client()
    since = client.now()
    with pytest.raises(OutcomeUnknown):
        world.revert(client, 1, attempt(seconds=1), since)
    assert world.replica.reverts == []
    assert world.sent("RevertToSnapshot_Task") == 1
    assert world.revert(client, 1, attempt(), since) is True
    assert world.replica.reverts == [world.points[1].moref]


def test_lost_task_of_another_account_is_not_taken_for_ours(world: World) -> None:
    world.fault("PowerOnVM_Task", Kind.DROP_BEFORE)
    world.endpoint.tasks.start(world.replica, "VirtualMachine.powerOn", lambda: None, "VSPHERE.LOCAL\\vcd")
    with pytest.raises(OutcomeUnknown):
        world.client().power_on(world.replica.moref, attempt(seconds=1))


@pytest.mark.parametrize("kind", [Kind.DROP_BEFORE, Kind.DROP_AFTER, Kind.REFUSE])
def test_reads_are_asked_once_more(world: World, kind: Kind) -> None:
    client = world.client()
    client.check()
    world.fault("RetrievePropertiesEx", kind)
    assert client.vm(world.replica.moref).power is Power.OFF
    world.fault("RetrievePropertiesEx", kind, times=2)
    with pytest.raises(Unavailable):
        client.vm(world.replica.moref)


@pytest.mark.parametrize("call", ["CurrentTime", "RetrievePropertiesEx", "RevertToSnapshot_Task"])
def test_session_that_expires_is_renewed(world: World, call: str) -> None:
    client = world.client()
    client.check()
    world.fault(call, Kind.EXPIRE_SESSION)
    assert world.revert(client, 1, attempt()) is True
    assert world.replica.reverts == [world.points[1].moref]
    assert world.sent("Login") == 2


def test_session_that_ends_during_a_wait(world: World) -> None:
    world.endpoint.tasks.seconds = 1.0
    client = world.client()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(world.revert, client, 1, attempt())
        until(lambda: world.sent("WaitForUpdatesEx") >= 2)
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
    world.fault("RevertToSnapshot_Task", Kind.BUSY)
    with pytest.raises(Busy):
        world.revert(client, 1, attempt())
    release = threading.Event()
    world.endpoint.tasks.start(world.replica, "VirtualMachine.createSnapshot", release.wait, "VEEAM\\backup")
    with pytest.raises(Busy):
        world.revert(client, 1, attempt())
    assert world.replica.reverts == []
    release.set()
    until(lambda: world.endpoint.tasks.recent(world.replica)[0].state == "success")
    assert world.revert(client, 1, attempt()) is True


@pytest.mark.parametrize("kind", [Kind.TASK_ERROR, Kind.TASK_CANCEL])
def test_task_that_ends_badly(world: World, kind: Kind) -> None:
    client = world.client()
    since = client.now()
    world.fault("RevertToSnapshot_Task", kind)
    with pytest.raises(TaskFailed):
        world.revert(client, 1, attempt(), since)
    assert world.replica.reverts == []
    assert world.revert(client, 1, attempt(), since) is True


def test_hanging_task_is_adopted_by_the_next_attempt(world: World) -> None:
    client = world.client()
    since = client.now()
    world.fault("RevertToSnapshot_Task", Kind.TASK_HANG, seconds=1.5)
    first = attempt(seconds=0.5)
    with pytest.raises(Expired):
        world.revert(client, 1, first, since)
    assert world.revert(client, 1, attempt(earlier=first.task), since) is True
    assert world.replica.reverts == [world.points[1].moref]
    assert world.sent("RevertToSnapshot_Task") == 1


def test_hanging_task_is_adopted_without_its_reference(world: World) -> None:
    client = world.client()
    since = client.now()
    world.fault("*_Task", Kind.TASK_HANG, times=2, seconds=1.2)
    with pytest.raises(Expired):
        world.revert(client, 1, attempt(seconds=0.4), since)
    assert world.revert(client, 1, attempt(), since) is True
    with pytest.raises(Expired):
        client.power_on(world.replica.moref, attempt(seconds=0.4))
    assert client.power_on(world.replica.moref, attempt()) is True
    assert world.replica.reverts == [world.points[1].moref, "on"]


def test_a_switch_off_waits_for_a_switch_on_that_is_under_way(world: World) -> None:
    client = world.client()
    world.fault("PowerOnVM_Task", Kind.TASK_HANG, seconds=4)
    with pytest.raises(Expired):
        client.power_on(world.replica.moref, attempt(1.5))
    assert client.power_off(world.replica.moref, attempt()) is True
    assert world.replica.reverts == ["on", "off"]


def test_hanging_task_is_adopted_when_the_vm_lists_it_no_more(world: World) -> None:
    client = world.client()
    since = client.now()
    world.fault("RevertToSnapshot_Task", Kind.TASK_HANG, seconds=1.2)
    first = attempt(seconds=0.4)
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
        until(lambda: world.sent("WaitForUpdatesEx") >= 1)
        world.endpoint.tasks.forget()
        with pytest.raises(OutcomeUnknown):
            done.result()


def test_cancelled_activity_stops_waiting(world: World) -> None:
    """The heartbeat raises when the activity is cancelled, and nothing of that may be swallowed."""

    class Cancelled(Exception):
        pass

    def beat(task: str | None) -> None:
        if task is not None and world.sent("WaitForUpdatesEx"):
            raise Cancelled

    world.fault("PowerOnVM_Task", Kind.TASK_HANG, seconds=30)
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
    world.fault("PowerOnVM_Task", Kind.EXPIRE_SESSION)
    world.fault("Login", Kind.DELAY, seconds=0.6)
    with pytest.raises(Expired):
        client.power_on(world.replica.moref, attempt(seconds=0.5))
    assert world.sent("PowerOnVM_Task") == 1
    assert world.replica.reverts == []


# --- rights, TLS, network


def test_missing_privilege(world: World) -> None:
    client = world.client(READER)
    assert client.vm(world.replica.moref).power is Power.OFF
    with pytest.raises(NoRight, match=r"VirtualMachine\.State\.RevertToSnapshot") as caught:
        world.revert(client, 1, attempt())
    assert caught.value.__cause__ is None  # foreign text of any length would enter histories through it
    with pytest.raises(NoRight):
        client.power_on(world.replica.moref, attempt())
    assert world.replica.reverts == []


def test_wrong_password_is_tried_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = world.client(password="wr0ng-password")
    for _ in range(3):
        with pytest.raises(NoRight) as caught:
            client.check()
        assert "wr0ng-password" not in str(caught.value)
    assert world.sent("Login") == 1
    assert "wr0ng-password" not in caplog.text


def test_certificate_of_another_authority(world: World, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    client = VSphere("127.0.0.1", world.endpoint.port, ADMIN, PASSWORD, other.ca_file)
    with pytest.raises(Misconfigured, match="not trusted"):
        client.check()
    assert world.faults.calls == []


def test_settings_that_cannot_work(world: World, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="CA file"):
        VSphere("127.0.0.1", 1, ADMIN, PASSWORD, tmp_path / "none.pem")
    with pytest.raises(Misconfigured, match="version"):
        VSphere("127.0.0.1", 1, ADMIN, PASSWORD, world.authority.ca_file, version="vim.version.v1")
    newer = VSphere(
        "127.0.0.1",
        world.endpoint.port,
        ADMIN,
        PASSWORD,
        world.authority.ca_file,
        version="vim.version.v9_0_0_0",
    )
    with pytest.raises(Misconfigured, match="version"):
        newer.check()


def test_host_that_swallows_everything(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = VSphere("127.0.0.1", port, ADMIN, PASSWORD, authority.ca_file, timeout=1)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            client.check()
        assert time.monotonic() - started < 5


def test_host_that_refuses(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable):
        VSphere("127.0.0.1", port, ADMIN, PASSWORD, authority.ca_file).check()


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b"\xff\x00", b"<a><b></a>", b'{"a": 1}'])
def test_host_that_is_no_vcenter(authority: Authority, status: int, body: bytes) -> None:
    tls = authority.server_context("web")
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
                with tls.wrap_socket(plain, server_side=True) as connection:
                    request = b""
                    while b"Envelope>" not in request:
                        request += connection.recv(65536)
                    connection.sendall(head + body)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        client = VSphere("127.0.0.1", port, ADMIN, PASSWORD, authority.ca_file, timeout=2)
        with pytest.raises(Unavailable):
            client.check()
        listener.shutdown(socket.SHUT_RDWR)


def test_close_logs_out(world: World) -> None:
    client = world.client()
    client.check()
    assert world.endpoint.sessions.count() == 1
    client.close()
    assert world.endpoint.sessions.count() == 0
    client.check()


# --- the library's traps


def test_standard_port_group_is_shown_by_its_name() -> None:
    card = vim.vm.device.VirtualEthernetCard
    device = vim.vm.device.VirtualVmxnet3(macAddress="00:50:56:00:00:01")  # type: ignore[no-untyped-call]
    device.backing = card.NetworkBackingInfo(deviceName="VM Network")  # type: ignore[no-untyped-call]
    assert nic_of(device, {}).network == "VM Network"


def test_dangerous_helpers_of_the_library_are_not_used() -> None:
    banned = re.compile(
        "SmartConnect|WaitForTask|SessionOrientedStub|serverPemCert|thumbprint|disableSslCertValidation"
    )
    folder = Path(connectors.__file__).parent
    files = sorted(folder.rglob("*.py"))
    assert files
    assert [f.name for f in files if banned.search(f.read_text())] == []
