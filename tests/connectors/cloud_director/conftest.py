"""One of it for each test."""

from collections.abc import Iterator

import pytest

from lab.cloud_director import CloudDirectorEndpoint, NicSpec
from lab.hypervisor import Hypervisor
from lab.injected_faults import InjectedFaults
from lab.tls import Authority
from partial_failover.connectors.cloud_director import CloudDirector, OrganizationVdc, changes
from partial_failover.contracts.network import AllocationMode
from tests.connectors.cloud_director.site import ADDRESS, LAN, Site, own_vdc


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab's tasks are short, so they are looked at more often than real ones."""
    monkeypatch.setattr(changes, "FIRST_POLL", 0.03)
    monkeypatch.setattr(changes, "LOOK_SECONDS", 0.7)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def site(authority: Authority) -> Iterator[Site]:
    machines, faults = Hypervisor("provider"), InjectedFaults()
    endpoint = CloudDirectorEndpoint(machines, faults, authority.server_context("vcd"))
    acme, other = endpoint.add_org("acme"), endpoint.add_org("other")
    vdc, foreign = endpoint.add_vdc(acme, "acme-dr"), endpoint.add_vdc(other, "other-dr")
    endpoint.add_network(vdc, "lan", LAN)
    foreign_net = endpoint.add_network(foreign, "lan", LAN)
    vapp = endpoint.add_vapp(vdc, "replicas")
    machine = machines.add_vm("erp-db-01", ["lan"])
    machines.snapshot(machine, "Restore Point 1")
    vm = endpoint.add_vm(vapp, machine, [NicSpec("lan", AllocationMode.MANUAL, ADDRESS)])
    foreign_machine = machines.add_vm("secret", [foreign_net.port_group])
    foreign_vm = endpoint.add_vm(
        endpoint.add_vapp(foreign, "theirs"), foreign_machine, [NicSpec("lan", AllocationMode.NONE)]
    )
    endpoint.start()
    built = Site(endpoint, machines, faults, authority.ca_file, vdc, vapp, vm, foreign, foreign_vm)
    yield built
    for client in built.clients:
        client.close()
    endpoint.close()


@pytest.fixture
def client(site: Site) -> CloudDirector:
    return site.client()


@pytest.fixture
def vdc(client: CloudDirector) -> OrganizationVdc:
    return own_vdc(client)
