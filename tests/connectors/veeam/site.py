"""Hold, drain and release against the lab's backup server; what counts is what is left in the lab."""

from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from lab.hypervisor import Vm
from lab.injected_faults import FaultKind, FaultRule, InjectedFaults
from lab.veeam import Job, VeeamEndpoint
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.veeam import Veeam
from partial_failover.contracts.replication import HoldTarget
from tests.waiting import PATIENCE

VERSIONS = ("1.3-rev0", "1.3-rev1", "1.3-rev2")


EXCLUDE = "POST /api/v1/globalExclusions/vm"


NOTE = "PUT /api/v1/globalExclusions/vm/{id}/note"


INCLUDE = "DELETE /api/v1/globalExclusions/vm/{id}"


STOP = "POST /api/v1/jobs/{id}/stop"


TOKEN = "POST /api/oauth2/token"


NAMES = ("erp-db-01", "erp-app-01")


@dataclass
class Site:
    """A tenant's site, its backup server, and the replicas."""

    endpoint: VeeamEndpoint
    faults: InjectedFaults
    ca_file: Path
    job: Job
    originals: dict[str, Vm]
    replicas: dict[str, Vm]
    clients: list[Veeam] = field(default_factory=list)

    def client(self, user: str = "failover", password: str = "right", version: str = "1.3-rev1") -> Veeam:
        client = Veeam(self.endpoint.url, user, password, self.ca_file, version, timeout=5)
        self.clients.append(client)
        return client

    def inject(self, call: str, kind: FaultKind, seconds: float = 0.0, times: int = 1) -> None:
        self.faults.add(FaultRule("veeam", call, kind, times, seconds))

    def count(self, call: str) -> int:
        return sum(c.call == call for c in self.faults.calls)

    def exclude(self, target: HoldTarget, note: str = "") -> None:
        """As somebody would in the console."""
        assert self.endpoint.replication.exclude(target.host, target.name, target.object_id, note)

    def notes(self) -> list[str]:
        return [e.note for e in self.endpoint.exclusions]


def attempt(seconds: float = PATIENCE, earlier: str | None = None) -> Attempt:
    return Attempt(monotonic() + seconds, earlier_task=earlier)


async def held(site: Site, client: Veeam, owner: str = "run-1") -> HoldTarget:
    target = await client.find_target("erp-db-01")
    assert await client.hold(target, owner, attempt())
    return target
