# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""In the lab's vCenter an account sees, reads and does only what it may."""

import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from pyVim.connect import SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

from lab.hypervisor import Vm
from lab.tls import Authority
from lab.vsphere import User
from partial_failover.contracts.errors import NoRight
from tests.connectors.vsphere.world import ADMIN, PASSWORD, World, attempt, make_world

PC = vmodl.query.PropertyCollector
NARROW, STRANGER = "narrow@vsphere.local", "stranger@vsphere.local"
POWER_ON, POWER_OFF = "VirtualMachine.Interact.PowerOn", "VirtualMachine.Interact.PowerOff"


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`NARROW` has a role on the replica only, `STRANGER` has none anywhere."""
    with make_world(Authority(tmp_path_factory.mktemp("ca"))) as made:
        users = made.endpoint.sessions.users
        users[NARROW] = User(PASSWORD, frozenset({POWER_ON}), frozenset({made.replica.moref}))
        users[STRANGER] = User(PASSWORD, vms=frozenset())
        yield made


@pytest.fixture
def other(world: World) -> Vm:
    return world.hypervisor.add_vm("somebody else's", ["acme-lan-a"])


def connect(world: World, user: str) -> Any:
    trust = ssl.create_default_context(cafile=str(world.authority.ca_file))
    instance = SmartConnect(
        host="127.0.0.1", port=world.endpoint.port, user=user, pwd=PASSWORD, sslContext=trust
    )
    return instance.RetrieveContent()


def seen(content: Any, ref: Any, *paths: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values and faults by path, as the PropertyCollector tells them."""
    kind = PC.PropertySpec(type=type(ref), pathSet=list(paths))
    spec = PC.FilterSpec(objectSet=[PC.ObjectSpec(obj=ref)], propSet=[kind])
    (found,) = content.propertyCollector.RetrieveProperties([spec])
    return {p.name: p.val for p in found.propSet}, {m.path: m.fault for m in found.missingSet}


def test_an_account_without_access_cannot_log_in(world: World) -> None:
    with pytest.raises(vim.fault.NoPermission):
        connect(world, STRANGER)
    with pytest.raises(vim.fault.InvalidLogin):
        connect(world, "nobody@vsphere.local")
    with pytest.raises(NoRight, match="Permission to perform this operation was denied"):
        world.client(STRANGER).check()
    assert world.endpoint.sessions.count() == 0


def test_what_may_not_be_viewed_is_not_listed_and_not_found(world: World, other: Vm) -> None:
    for user, expected in ((ADMIN, {world.replica.moref, other.moref}), (NARROW, {world.replica.moref})):
        content = connect(world, user)
        view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
        assert {v._moId for v in view.view} == expected
        folder = content.rootFolder.childEntity[0].vmFolder
        assert {v._moId for v in folder.childEntity} == expected
        found = content.searchIndex.FindByUuid(None, other.instance_uuid, True, True)
        assert (found is not None) == (other.moref in expected)
        found = content.searchIndex.FindByInventoryPath("DC0/vm/somebody else's")
        assert (found is not None) == (other.moref in expected)


def test_what_may_not_be_viewed_is_not_read(world: World, other: Vm) -> None:
    content = connect(world, NARROW)
    stub = content.rootFolder._stub
    hidden, own = vim.VirtualMachine(other.moref, stub), vim.VirtualMachine(world.replica.moref, stub)
    values, missing = seen(content, hidden, "name", "runtime.powerState")
    assert values == {}
    assert {p: (type(f), f.privilegeId) for p, f in missing.items()} == {
        "name": (vim.fault.NoPermission, "System.View"),
        "runtime.powerState": (vim.fault.NoPermission, "System.Read"),
    }
    with pytest.raises(vim.fault.NoPermission):
        print(hidden.name)
    values, missing = seen(content, own, "name", "runtime.powerState")
    assert set(values) == {"name", "runtime.powerState"}
    assert missing == {}


def test_above_the_own_vms_there_is_a_view_and_nothing_to_read(world: World) -> None:
    content = connect(world, NARROW)
    values, missing = seen(content, content.rootFolder, "name", "overallStatus")
    assert values == {"name": "Datacenters"}
    assert missing["overallStatus"].privilegeId == "System.Read"
    assert content.rootFolder.childEntity[0].name == "DC0"
    with pytest.raises(vim.fault.NoPermission):
        print(content.rootFolder.childEntity[0].networkFolder.name)


def test_what_may_not_be_viewed_is_not_acted_on(world: World, other: Vm) -> None:
    content = connect(world, NARROW)
    stub = content.rootFolder._stub
    for refused in (vim.VirtualMachine(other.moref, stub).PowerOnVM_Task, _history_of(content, other)):
        with pytest.raises(vim.fault.NoPermission):
            refused()
    own = vim.VirtualMachine(world.replica.moref, stub)
    WaitForTask(own.PowerOnVM_Task())
    with pytest.raises(vim.fault.NoPermission) as caught:
        own.PowerOffVM_Task()
    assert caught.value.privilegeId == POWER_OFF
    assert (world.replica.power, other.power) == ("poweredOn", "poweredOff")


def _history_of(content: Any, vm: Vm) -> Any:
    entity = vim.TaskFilterSpec.ByEntity(entity=vim.VirtualMachine(vm.moref), recursion="self")
    return lambda: content.taskManager.CreateCollectorForTasks(vim.TaskFilterSpec(entity=entity))


def test_a_network_is_assigned_by_those_only_who_have_the_right_on_it(world: World) -> None:
    may = frozenset({"VirtualMachine.Config.AddRemoveDevice", "Network.Assign"})
    users, own = world.endpoint.sessions.users, frozenset({world.replica.moref})
    device = vim.vm.device
    backing = device.VirtualEthernetCard.NetworkBackingInfo(deviceName="acme-lan-a")
    card = device.VirtualDeviceSpec(operation="add", device=device.VirtualVmxnet3(backing=backing))
    before = len(world.replica.nics)
    for vms, nics in ((own, before), (None, before + 1)):
        users[NARROW] = User(PASSWORD, may, vms)
        vm = vim.VirtualMachine(world.replica.moref, connect(world, NARROW).rootFolder._stub)
        try:
            WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[card])))
        except vim.fault.NoPermission as refusal:
            assert (vms, refusal.privilegeId) == (own, "Network.Assign")
        assert len(world.replica.nics) == nics


def test_tasks_of_others_are_not_shown(world: World, other: Vm) -> None:
    admin, narrow = connect(world, ADMIN), connect(world, NARROW)
    task = vim.VirtualMachine(other.moref, admin.rootFolder._stub).PowerOnVM_Task()
    WaitForTask(task)
    assert admin.taskManager.recentTask == [task]
    assert narrow.taskManager.recentTask == []
    with pytest.raises(vim.fault.NoPermission):
        print(vim.Task(task._moId, narrow.rootFolder._stub).info)


def test_privileges_are_told_of_what_may_be_read_only(world: World, other: Vm) -> None:
    content = connect(world, NARROW)
    ask = content.authorizationManager.HasPrivilegeOnEntities
    session = content.sessionManager.currentSession.key
    (answer,) = ask([vim.VirtualMachine(world.replica.moref)], session, ["System.Read", POWER_ON, POWER_OFF])
    assert [p.isGranted for p in answer.privAvailability] == [True, True, False]
    with pytest.raises(vim.fault.NoPermission):
        ask([vim.VirtualMachine(other.moref)], session, ["System.View"])


def test_the_product_works_with_a_role_on_its_vms_only(world: World, other: Vm) -> None:
    client = world.client(NARROW)
    assert client.vm_named("erp/db 100%").moref == world.replica.moref
    assert client.power_on(world.replica.moref, attempt())
    assert client.running(world.replica.moref).power == "on"
    assert client.privileges(world.replica.moref, [POWER_ON, POWER_OFF]) == {POWER_ON}
    for hidden in (client.vm, client.running, lambda moref: client.privileges(moref, [POWER_ON])):
        with pytest.raises(NoRight, match="System"):
            hidden(other.moref)
