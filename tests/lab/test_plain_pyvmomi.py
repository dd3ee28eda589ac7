# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""The lab's vCenter meets what other clients than ours send, and refuses what a real one refuses."""

import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

from lab.tls import Authority
from tests.connectors.vsphere.world import ADMIN, PASSWORD, World, make_world


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(Authority(tmp_path_factory.mktemp("ca"))) as made:
        yield made


def trust(world: World) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(world.authority.ca_file))


@pytest.fixture
def content(world: World) -> Any:
    stub = SoapStubAdapter(
        "127.0.0.1", world.endpoint.port, version="vim.version.v8_0_3_0", sslContext=trust(world)
    )
    found: Any = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    found.sessionManager.Login(ADMIN, PASSWORD, None)
    return found


def test_find_by_uuid_knows_its_two_kinds(world: World, content: Any) -> None:
    vm: Any = vim.VirtualMachine(world.replica.moref, content.rootFolder._stub)
    instance, bios = vm.config.instanceUuid, vm.config.uuid
    find = content.searchIndex.FindByUuid
    assert find(None, instance, True, True)._moId == find(None, bios, True, False)._moId == vm._moId
    assert find(None, instance, True, False) is None
    assert find(None, bios, True, True) is None


def test_privileges_on_a_vm_that_is_not_there_are_refused(content: Any) -> None:
    session = content.sessionManager.currentSession.key
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        content.authorizationManager.HasPrivilegeOnEntities(
            [vim.VirtualMachine("vm-0")], session, ["System.Read"]
        )


def test_an_unknown_host_is_refused(world: World, content: Any) -> None:
    host = vim.HostSystem("host-0")
    snapshot = vim.vm.Snapshot(world.points[0].moref, content.rootFolder._stub)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        snapshot.RevertToSnapshot_Task(host=host)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        vim.VirtualMachine(world.replica.moref, content.rootFolder._stub).PowerOnVM_Task(host)
    assert world.replica.reverts == []
    assert world.endpoint.tasks.history(world.replica) == []
