# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""A script as anybody writes it works with the lab's vCenter: `SmartConnect`, views, `WaitForTask`.

Nothing of the product is in the way, and the library's helpers that the product does without are.
"""

import ssl
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen
from xml.etree import ElementTree

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask, WaitForTasks
from pyVmomi import vim, vmodl

from tests.connectors.vsphere.conftest import authority, world
from tests.connectors.vsphere.world import ADMIN, PASSWORD, World

PC = vmodl.query.PropertyCollector


__all__ = ["authority", "world"]


def trust(world: World) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(world.authority.ca_file))


def connect(world: World, user: str) -> Any:
    port = world.endpoint.port
    return SmartConnect(host="127.0.0.1", port=port, user=user, pwd=PASSWORD, sslContext=trust(world))


@pytest.fixture
def content(world: World) -> Iterator[Any]:
    instance = connect(world, ADMIN)
    yield instance.RetrieveContent()
    Disconnect(instance)


@pytest.fixture
def vm(world: World, content: Any) -> Any:
    """The replica, as a script finds it: by a view of everything."""
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    (found,) = [vm for vm in view.view if vm.name == "erp%2fdb 100%25"]
    view.Destroy()
    return found


def test_the_versions_that_are_served_are_published(world: World, content: Any) -> None:
    url = f"https://127.0.0.1:{world.endpoint.port}/sdk/vimServiceVersions.xml"
    with urlopen(url, context=trust(world), timeout=10) as answer:
        root = ElementTree.fromstring(answer.read())
    (space,) = root.findall("namespace")
    assert (root.tag, root.get("version"), space.findtext("name")) == ("namespaces", "1.0", "urn:vim25")
    assert space.findtext("version") == content.about.apiVersion
    prior = [v.text for v in space.findall("priorVersions/version")]
    assert "8.0.2.0" in prior
    assert content.about.apiVersion not in prior


@pytest.mark.parametrize("user", ["VSPHERE.LOCAL\\failover", "vsphere.local\\failover", ADMIN])
def test_an_account_logs_in_under_both_ways_of_writing_it(world: World, user: str) -> None:
    instance = connect(world, user)
    assert instance.content.sessionManager.currentSession.userName == "VSPHERE.LOCAL\\failover"
    Disconnect(instance)
    assert world.endpoint.sessions.count() == 0
    with pytest.raises(vim.fault.InvalidLogin):
        connect(world, user.replace("vsphere", "other").replace("VSPHERE", "OTHER"))


def test_power_on_and_off(world: World, vm: Any) -> None:
    world.endpoint.tasks.seconds = 0.2
    assert WaitForTask(vm.PowerOnVM_Task()) == "success"
    assert (world.replica.power, vm.runtime.powerState) == ("poweredOn", "poweredOn")
    WaitForTasks([vm.PowerOffVM_Task()])
    assert world.replica.power == "poweredOff"
    with pytest.raises(vim.fault.InvalidPowerState):
        WaitForTask(vm.PowerOffVM_Task())


def test_snapshots_are_listed_and_reverted_to(world: World, vm: Any) -> None:
    chain, nodes = [], vm.snapshot.rootSnapshotList
    while nodes:
        (node,) = nodes
        chain.append(node)
        nodes = node.childSnapshotList
    assert [n.snapshot._moId for n in chain] == [p.moref for p in world.points]
    assert [n.id for n in chain] == [1, 2, 3]
    assert WaitForTask(chain[0].snapshot.RevertToSnapshot_Task(suppressPowerOn=True)) == "success"
    assert vm.snapshot.currentSnapshot == chain[0].snapshot
    assert world.replica.reverts == [world.points[0].moref]


def test_what_is_found_by_its_path(content: Any, vm: Any) -> None:
    find = content.searchIndex.FindByInventoryPath
    assert find("DC0/vm/erp%2fdb 100%25") == find("/DC0/vm/erp%2fdb 100%25") == vm
    assert isinstance(find("DC0/vm"), vim.Folder)
    assert find("DC0/network/acme-lan-a") == vm.network[0]
    assert find("DC0/vm/nothing") is None
    assert find("DC0/network/erp%2fdb 100%25") is None


def test_a_container_view_shows_what_is_in_its_container(content: Any, vm: Any) -> None:
    datacenter = content.rootFolder.childEntity[0]
    make = content.viewManager.CreateContainerView
    assert list(make(datacenter.vmFolder, [], True).view) == [vm]
    assert list(make(datacenter.networkFolder, [vim.VirtualMachine], True).view) == []
    assert list(make(content.rootFolder, None, False).view) == [datacenter]
    assert vm in make(content.rootFolder, None, True).view
    with pytest.raises(vmodl.fault.InvalidArgument):
        make(vm, [], True)


def test_a_list_view_is_read_by_the_old_method(content: Any, vm: Any) -> None:
    view = content.viewManager.CreateListView([vm, vm.network[0]])
    walk = PC.TraversalSpec(name="all", type=vim.view.ListView, path="view", skip=False)
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=view, skip=True, selectSet=[walk])],
        propSet=[
            PC.PropertySpec(type=vim.VirtualMachine, pathSet=["name"]),
            PC.PropertySpec(type=vim.Network, pathSet=["name"]),
        ],
    )
    found = content.propertyCollector.RetrieveProperties([spec])
    assert {o.obj: o.propSet[0].val for o in found} == {vm: vm.name, vm.network[0]: "acme-lan-a"}
    view.Destroy()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        content.propertyCollector.RetrieveProperties([spec])


def test_the_inventory_is_walked_without_a_view(content: Any, vm: Any) -> None:
    """As scripts from before views do it: one walk that goes through folders again and again."""
    again = PC.SelectionSpec(name="folders")
    datacenters = PC.TraversalSpec(
        name="datacenters", type=vim.Datacenter, path="vmFolder", skip=False, selectSet=[again]
    )
    folders = PC.TraversalSpec(
        name="folders", type=vim.Folder, path="childEntity", skip=False, selectSet=[again, datacenters]
    )
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=content.rootFolder, skip=False, selectSet=[folders])],
        propSet=[PC.PropertySpec(type=vim.ManagedEntity, pathSet=["name"])],
    )
    found = content.propertyCollector.RetrieveProperties([spec])
    assert [o.propSet[0].val for o in found] == ["Datacenters", "DC0", "vm", vm.name]


def test_summary(world: World, vm: Any) -> None:
    summary = vm.summary
    assert (summary.vm, summary.runtime.powerState, summary.overallStatus) == (vm, "poweredOff", "green")
    assert (summary.config.name, summary.config.instanceUuid) == (vm.name, world.replica.instance_uuid)
    assert (summary.config.uuid, summary.config.template) == (vm.config.uuid, False)
    assert (summary.config.numEthernetCards, summary.config.numVirtualDisks) == (2, 1)
    assert summary.config.vmPathName == vm.config.files.vmPathName
    assert (summary.guest.toolsRunningStatus, summary.guest.ipAddress) == ("guestToolsNotRunning", None)
    assert summary.quickStats.guestHeartbeatStatus == "gray"
    WaitForTask(vm.PowerOnVM_Task())
    assert vm.summary.runtime.powerState == "poweredOn"
    assert vm.summary.guest.ipAddress == "192.168.10.21"
