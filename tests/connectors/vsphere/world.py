"""The vSphere connector against the lab's vCenter over SOAP and TLS; assertions look at the hypervisor."""

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Interface

from lab.hypervisor import GuestAddress, Hypervisor, Snapshot, Vm
from lab.injected_faults import FaultKind, FaultRule, InjectedFaults
from lab.tls import Authority
from lab.vsphere import User, VSphereEndpoint
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.vsphere import VCenterLogin, VSphere
from partial_failover.contracts.replica import RestorePoint
from tests.waiting import PATIENCE

ADMIN, PASSWORD = "failover@vsphere.local", "pass<&>word"


READER = "reader@vsphere.local"


USERS = {ADMIN: User(PASSWORD), READER: User(PASSWORD, frozenset())}


@dataclass
class World:
    """A vCenter with one replica of three restore points, two of them with the same name."""

    hypervisor: Hypervisor
    faults: InjectedFaults
    endpoint: VSphereEndpoint
    authority: Authority
    replica: Vm
    points: list[Snapshot]
    clients: list[VSphere] = field(default_factory=list)

    def client(self, user: str = ADMIN, password: str = PASSWORD, timeout: float = 10) -> VSphere:
        login = VCenterLogin(
            "127.0.0.1", self.endpoint.port, user, password, self.authority.ca_file, timeout=timeout
        )
        made = VSphere(login)
        self.clients.append(made)
        return made

    def point(self, index: int) -> RestorePoint:
        snap = self.points[index]
        return RestorePoint(id=snap.moref, number=snap.number, name=snap.name, created=snap.created)

    def revert(self, client: VSphere, index: int, attempt: Attempt, since: dt.datetime | None = None) -> bool:
        vm = self.replica
        return client.revert(vm.moref, vm.instance_uuid, self.point(index), since or client.now(), attempt)

    def inject(self, call: str, kind: FaultKind, times: int = 1, seconds: float = 0) -> None:
        self.faults.add(FaultRule("vsphere", call, kind, times, seconds))

    def sent(self, call: str) -> int:
        return sum(c.call == call for c in self.faults.calls)


@contextmanager
def make_world(authority: Authority) -> Iterator[World]:
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
    try:
        yield made
    finally:
        for client in made.clients:
            client.close()
        endpoint.close()


def attempt(seconds: float = PATIENCE, earlier: str | None = None) -> Attempt:
    return Attempt(deadline=time.monotonic() + seconds, earlier_task=earlier)
