# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""The lab's vCenter is as strict and as dangerous as a real one, seen through plain pyVmomi."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

from lab.hypervisor import Hypervisor, Vm
from lab.injected_faults import FaultKind, FaultRule, InjectedFaults
from lab.tls import Authority
from lab.vsphere import User, VSphereEndpoint
from tests.waiting import blocking_until

PC = vmodl.query.PropertyCollector
Device = vim.vm.device.VirtualDevice
Change = vim.vm.device.VirtualDeviceSpec
Card = vim.vm.device.VirtualEthernetCard
USERS = {
    "admin@vsphere.local": User("a"),
    "nics@vsphere.local": User("n", frozenset({"VirtualMachine.Config.AddRemoveDevice"})),
}


@dataclass
class World:
    hypervisor: Hypervisor
    faults: InjectedFaults
    endpoint: VSphereEndpoint
    ca_file: Path
    vm: Vm

    def connect(self, user: str = "admin") -> "Client":
        client = Client(self)
        client.content.sessionManager.Login(f"{user}@vsphere.local", user[0], None)
        return client


class Client:
    """A plain pyVmomi client."""

    def __init__(self, world: World) -> None:
        self.stub = SoapStubAdapter(
            host="127.0.0.1",
            port=world.endpoint.port,
            version="vim.version.v8_0_3_0",
            sslContext=ssl.create_default_context(cafile=str(world.ca_file)),
            httpConnectionTimeout=10,
        )
        self.instance = vim.ServiceInstance("ServiceInstance", self.stub)
        self.content: Any = self.instance.RetrieveContent()  # Any: half of its members are optional
        self.vm: Any = vim.VirtualMachine(world.vm.moref, self.stub)

    def done(self, task: Any) -> Any:
        """The task's info once it has ended."""
        blocking_until(lambda: task.info.state in ("success", "error"))
        return task.info


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority: Authority) -> Iterator[World]:
    hypervisor = Hypervisor("provider", ["lan-a", "lan-b"])
    vm = hypervisor.add_vm("replica", ["lan-a"], data={"k": "base"})
    for number in (1, 2, 3):
        hypervisor.replicate(vm, f"point {number}", {"k": str(number)})
    endpoint = VSphereEndpoint(
        hypervisor, faults := InjectedFaults(), authority.server_context("vc"), users=USERS
    )
    endpoint.start()
    yield World(hypervisor, faults, endpoint, authority.ca_file, vm)
    endpoint.close()


def add(network: str) -> Any:
    card = vim.vm.device.VirtualVmxnet3(backing=Card.NetworkBackingInfo(deviceName=network))
    return Change(operation="add", device=card)


def reconfigure(client: Client, changes: list[Any], version: str | None = None) -> Any:
    spec = vim.vm.ConfigSpec(deviceChange=changes, changeVersion=version)
    return client.done(client.vm.ReconfigVM_Task(spec))


# --- sessions and rights


def test_session_life(world: World) -> None:
    client = Client(world)
    assert client.content.sessionManager.currentSession is None
    with pytest.raises(vim.fault.NotAuthenticated):
        client.instance.CurrentTime()
    with pytest.raises(vim.fault.InvalidLogin):
        client.content.sessionManager.Login("admin@vsphere.local", "wrong", None)
    session = client.content.sessionManager.Login("admin@vsphere.local", "a", None)
    assert session.userName == "VSPHERE.LOCAL\\admin"
    with pytest.raises(vim.fault.InvalidLogin):
        client.content.sessionManager.Login("admin@vsphere.local", "a", None)
    client.content.sessionManager.Logout()
    with pytest.raises(vim.fault.NotAuthenticated):
        client.instance.CurrentTime()


def test_idle_session_expires(world: World) -> None:
    client = world.connect()
    world.endpoint.sessions.idle_seconds = 0.0
    with pytest.raises(vim.fault.NotAuthenticated):
        client.instance.CurrentTime()


def test_reading_without_a_session_is_no_fault_but_finds_nothing(world: World) -> None:
    client = Client(world)
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=client.vm)],
        propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
    )
    (found,) = client.content.propertyCollector.RetrievePropertiesEx([spec], PC.RetrieveOptions()).objects
    assert found.propSet == []
    assert isinstance(found.missingSet[0].fault, vim.fault.NotAuthenticated)


def test_privileges(world: World) -> None:
    client = world.connect("nics")
    assert client.vm.name == "replica"
    with pytest.raises(vim.fault.NoPermission) as caught:
        client.vm.PowerOnVM_Task()
    assert caught.value.privilegeId == "VirtualMachine.Interact.PowerOn"
    with pytest.raises(vim.fault.NoPermission) as caught:
        reconfigure(client, [add("lan-b")])
    assert caught.value.privilegeId == "Network.Assign"


# --- snapshots


def test_revert_restores_disk_and_hardware_and_stops_the_vm(world: World) -> None:
    client = world.connect()
    assert reconfigure(client, [add("lan-b")]).state == "success"
    world.hypervisor.power_on(world.vm)
    point = client.vm.snapshot.rootSnapshotList[0].snapshot
    assert client.done(point.RevertToSnapshot_Task(suppressPowerOn=True)).state == "success"
    assert client.vm.runtime.powerState == "poweredOff"
    assert client.vm.snapshot.currentSnapshot == point
    assert len(client.vm.network) == 1
    assert world.vm.disk.read("k") == "1"


def test_snapshot_with_memory(world: World) -> None:
    client = world.connect()
    world.hypervisor.power_on(world.vm)
    made = client.done(client.vm.CreateSnapshot_Task("live", "", memory=True, quiesce=False))
    world.hypervisor.power_off(world.vm)
    client.done(made.result.RevertToSnapshot_Task(suppressPowerOn=True))
    assert client.vm.runtime.powerState == "suspended"
    client.done(client.vm.PowerOffVM_Task())
    client.done(made.result.RevertToSnapshot_Task())
    assert client.vm.runtime.powerState == "poweredOn"


def test_removed_snapshot_is_merged_and_gone(world: World) -> None:
    client = world.connect()
    first, second, third = world.vm.snapshots
    middle = client.vm.snapshot.rootSnapshotList[0].childSnapshotList[0].snapshot
    assert client.done(middle.RemoveSnapshot_Task(removeChildren=False)).state == "success"
    tree = client.vm.snapshot.rootSnapshotList[0]
    assert [n.snapshot._moId for n in tree.childSnapshotList] == [third.moref]
    assert third.disk.chain() == [third.disk, first.disk]
    assert third.disk.file == second.disk.file
    assert [s.disk.read("k") for s in world.vm.snapshots] == ["1", "3"]
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        middle.RevertToSnapshot_Task()


def test_removing_all_snapshots_keeps_what_is_running(world: World) -> None:
    client = world.connect()
    world.hypervisor.power_on(world.vm)
    world.vm.write("k", "written in failover")
    root = client.vm.snapshot.rootSnapshotList[0].snapshot
    assert client.done(root.RemoveSnapshot_Task(removeChildren=True)).state == "success"
    assert client.vm.snapshot is None
    assert len(world.vm.disk.chain()) == 1
    assert world.vm.disk.read("k") == "written in failover"


# --- tasks and power


def test_one_task_at_a_time(world: World) -> None:
    client = world.connect()
    world.endpoint.tasks.seconds = lambda description: 0.5 if "powerOn" in description else 0.0
    first = client.vm.PowerOnVM_Task()
    second = client.done(client.vm.PowerOffVM_Task())
    assert isinstance(second.error, vim.fault.TaskInProgress)
    assert second.error.task == first
    info = client.done(first)
    assert (info.state, info.descriptionId, info.reason.userName) == (
        "success",
        "VirtualMachine.powerOn",
        "VSPHERE.LOCAL\\admin",
    )
    assert [t._moId for t in client.vm.recentTask] == [first._moId, second.key]
    again = client.done(client.vm.PowerOnVM_Task())
    assert isinstance(again.error, vim.fault.InvalidPowerState)


def test_guest_shutdown(world: World) -> None:
    client = world.connect()
    with pytest.raises(vim.fault.InvalidPowerState):
        client.vm.ShutdownGuest()
    world.hypervisor.power_on(world.vm)
    assert client.vm.guestHeartbeatStatus == "green"
    client.vm.ShutdownGuest()
    blocking_until(lambda: client.vm.runtime.powerState == "poweredOff")
    world.vm.boots = False
    world.hypervisor.power_on(world.vm)
    with pytest.raises(vim.fault.ToolsUnavailable):
        client.vm.ShutdownGuest()


# --- NICs


def test_nics_change_with_the_right_version_only(world: World) -> None:
    client = world.connect()
    version = client.vm.config.changeVersion
    assert reconfigure(client, [add("lan-b")], version).state == "success"
    assert isinstance(reconfigure(client, [add("lan-b")], version).error, vim.fault.ConcurrentAccess)
    nic = client.vm.config.hardware.device[1]
    assert nic.macAddress == world.vm.nics[1].mac
    assert reconfigure(client, [Change(operation="remove", device=nic)]).state == "success"
    assert isinstance(
        reconfigure(client, [Change(operation="remove", device=nic)]).error, vim.fault.InvalidDeviceSpec
    )
    assert [n.network for n in world.vm.nics] == ["lan-a"]


def test_ten_nics_at_most_and_only_on_networks_that_are_there(world: World) -> None:
    client = world.connect()
    assert reconfigure(client, [add("lan-b")] * 9).state == "success"
    assert isinstance(reconfigure(client, [add("lan-b")]).error, vim.fault.TooManyDevices)
    world.hypervisor.set_nics(world.vm, [])
    assert isinstance(reconfigure(client, [add("nowhere")]).error, vim.fault.InvalidDeviceBacking)


# --- PropertyCollector


def test_updates_come_at_once_and_not_twice(world: World) -> None:
    client = world.connect()
    collector = client.content.propertyCollector.CreatePropertyCollector()
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=client.vm)],
        propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=["runtime.powerState"])],
    )
    collector.CreateFilter(spec, True)
    first = collector.WaitForUpdatesEx("", PC.WaitOptions(maxWaitSeconds=5))
    assert first.filterSet[0].objectSet[0].kind == "enter"
    assert collector.WaitForUpdatesEx(first.version, PC.WaitOptions(maxWaitSeconds=0)) is None
    world.hypervisor.power_on(world.vm)
    second = collector.WaitForUpdatesEx(first.version, PC.WaitOptions(maxWaitSeconds=5))
    (change,) = second.filterSet[0].objectSet[0].changeSet
    assert (change.name, change.val) == ("runtime.powerState", "poweredOn")
    with pytest.raises(vmodl.query.InvalidCollectorVersion):
        collector.WaitForUpdatesEx("none", PC.WaitOptions(maxWaitSeconds=0))


def test_unknown_things_are_refused(world: World) -> None:
    client = world.connect()
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=client.vm)],
        propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=["config.nonsense"])],
    )
    with pytest.raises(vmodl.query.InvalidProperty):
        client.content.propertyCollector.RetrievePropertiesEx([spec], PC.RetrieveOptions())
    with pytest.raises(vmodl.fault.NotSupported):
        client.vm.ResetVM_Task()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        vim.VirtualMachine("vm-0", client.stub).PowerOnVM_Task()


def test_vm_is_found_by_its_instance_uuid(world: World) -> None:
    search = world.connect().content.searchIndex
    found = search.FindByUuid(None, world.vm.instance_uuid, True, True)
    assert found._moId == world.vm.moref
    assert search.FindByUuid(None, "none", True, True) is None


# --- faults on demand


@pytest.mark.parametrize(
    ("kind", "effect"),
    [(FaultKind.DROP_BEFORE, False), (FaultKind.REFUSE, False), (FaultKind.DROP_AFTER, True)],
)
def test_answer_that_is_lost(world: World, kind: FaultKind, effect: bool) -> None:
    client = world.connect()
    world.faults.add(FaultRule("vsphere", "PowerOn*", kind))
    with pytest.raises((OSError, HTTPException)):
        client.vm.PowerOnVM_Task()
    if effect:
        blocking_until(lambda: world.vm.power == "poweredOn")
    else:
        assert client.vm.recentTask == []
    assert [c.user for c in world.faults.calls if c.call == "PowerOnVM_Task"] == ["admin@vsphere.local"]


def test_planned_outcomes_of_tasks(world: World) -> None:
    client = world.connect()
    for kind in (FaultKind.TASK_ERROR, FaultKind.TASK_CANCEL):
        world.faults.add(FaultRule("vsphere", "PowerOnVM_Task", kind))
        info = client.done(client.vm.PowerOnVM_Task())
        assert (info.state, info.cancelled) == ("error", kind is FaultKind.TASK_CANCEL)
    assert world.vm.reverts == []
    world.faults.add(FaultRule("vsphere", "PowerOnVM_Task", FaultKind.TASK_HANG, seconds=1.0))
    task = client.vm.PowerOnVM_Task()
    blocking_until(lambda: task.info.state == "running")
    assert world.vm.reverts == []
    assert client.done(task).state == "success"


def test_planned_refusals_of_calls(world: World) -> None:
    client = world.connect()
    world.faults.add(FaultRule("vsphere", "PowerOnVM_Task", FaultKind.BUSY))
    with pytest.raises(vim.fault.TaskInProgress):
        client.vm.PowerOnVM_Task()
    world.faults.add(FaultRule("vsphere", "PowerOnVM_Task", FaultKind.EXPIRE_SESSION))
    with pytest.raises(vim.fault.NotAuthenticated):
        client.vm.PowerOnVM_Task()
