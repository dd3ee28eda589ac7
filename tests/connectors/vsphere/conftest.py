"""One of it for each test."""

import datetime as dt
from collections.abc import Iterator
from ipaddress import IPv4Interface

import pytest

from lab.hypervisor import GuestAddress, Hypervisor
from lab.injected_faults import InjectedFaults
from lab.tls import Authority
from lab.vsphere import VSphereEndpoint
from tests.connectors.vsphere.world import USERS, World


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
    faults = InjectedFaults()
    endpoint = VSphereEndpoint(hypervisor, faults, authority.server_context("vcenter"), users=USERS)
    endpoint.start()
    made = World(hypervisor, faults, endpoint, authority, replica, list(replica.snapshots))
    yield made
    for client in made.clients:
        client.close()
    endpoint.close()
