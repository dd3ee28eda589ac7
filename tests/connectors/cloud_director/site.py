"""The Cloud Director connector against the lab's endpoint, over TLS. Asserted is the world, not the calls."""

import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from lab.cloud_director import CloudDirectorEndpoint
from lab.cloud_director.model import VApp, Vdc, Vm
from lab.hypervisor import Hypervisor
from lab.injected_faults import FaultKind, FaultRule, InjectedFaults
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director import CloudDirector, OrganizationVdc
from partial_failover.connectors.cloud_director.metadata_store import Entry
from partial_failover.contracts.base import Contract
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[3]


LAN = IPv4Interface("192.168.10.1/24")


ADDRESS = IPv4Address("192.168.10.21")


class Note(Contract):
    """Something to remember."""

    text: str


NOTE = Entry("pf.note", Note, "vm", what="The note on {name}", do="Remove it")


def own_vdc(client: CloudDirector) -> OrganizationVdc:
    return client.organization_vdc("acme", "acme-dr")


@dataclass
class Beats:
    """An attempt that remembers what it left with the server: tasks that it started, and heartbeats."""

    seen: list[str | None] = field(default_factory=list)

    def attempt(self, seconds: float = PATIENCE, earlier: str | None = None) -> Attempt:
        return Attempt(time.monotonic() + seconds, self.seen.append, earlier, leave=self.seen.append)


@dataclass
class Site:
    """A provider with two tenants, and one replica of the first."""

    endpoint: CloudDirectorEndpoint
    machines: Hypervisor
    faults: InjectedFaults
    ca_file: Path
    vdc: Vdc
    vapp: VApp
    vm: Vm
    foreign_vdc: Vdc
    foreign_vm: Vm
    clients: list[CloudDirector] = field(default_factory=list)

    def client(self, token: str = "", **settings: object) -> CloudDirector:
        token = token or self.endpoint.api_token("operator")
        made = CloudDirector(self.endpoint.url, token, self.ca_file, **settings)  # type: ignore[arg-type]
        self.clients.append(made)
        return made

    def plan(self, call: str, kind: FaultKind, seconds: float = 0.0, times: int = 1) -> None:
        self.faults.add(FaultRule("cloud-director", call, kind, times, seconds))

    def count(self, call: str) -> int:
        return sum(c.call == call for c in self.faults.calls)

    def in_maintenance(self) -> bool:
        return self.vapp.maintenance


def attempt(seconds: float = PATIENCE, earlier: str | None = None) -> Attempt:
    return Beats().attempt(seconds, earlier)
