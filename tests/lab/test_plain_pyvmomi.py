# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""The lab's vCenter meets what other clients than ours send, and refuses what a real one refuses."""

import ssl
from collections.abc import Iterator
from http.client import HTTPSConnection
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


def test_revert_to_an_unknown_host_is_refused(world: World, content: Any) -> None:
    snapshot = vim.vm.Snapshot(world.points[0].moref, content.rootFolder._stub)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        snapshot.RevertToSnapshot_Task(host=vim.HostSystem("host-0"))
    assert world.replica.reverts == []


@pytest.mark.parametrize(("path", "status"), [("/sdk", 200), ("/sdk/vimService", 200), ("/other", 404)])
def test_a_chunked_call_is_answered_on_the_right_path_only(world: World, path: str, status: int) -> None:
    body = (
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        b'<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this>'
        b"</RetrieveServiceContent></e:Body></e:Envelope>"
    )
    connection = HTTPSConnection("127.0.0.1", world.endpoint.port, context=trust(world), timeout=10)
    headers = {"SOAPAction": '"urn:vim25/8.0.3.0"', "Content-Type": "text/xml"}
    connection.request("POST", path, iter([body[:99], body[99:]]), headers, encode_chunked=True)
    assert connection.getresponse().status == status
    connection.close()
