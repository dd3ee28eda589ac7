"""What preflight found out: the plan of a failover, or everything that stands in its way."""

from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address

from pydantic import Field

from partial_failover.contracts.appliance import Lease
from partial_failover.contracts.base import Contract
from partial_failover.contracts.endpoint import HostName, Port
from partial_failover.contracts.errors import Who
from partial_failover.contracts.network import Network, Nic
from partial_failover.contracts.replica import Marker, RestorePoint
from partial_failover.contracts.replication import HoldTarget, ReplicaRecord
from partial_failover.contracts.request import PartialFailoverRequest
from partial_failover.contracts.run import WorkflowRun


class Extension(StrEnum):
    """How the org VDC's networks reach the production networks."""

    APPLIANCE = "appliance"
    NSX_EDGE = "nsx-edge"
    IPSEC = "ipsec"
    NONE = "none"


class Problem(Contract):
    """One thing that preflight found wrong: what, who must act, and what they do."""

    what: str
    who: Who
    do: str


class CloudGateway(Contract):
    """The cloud gateway's address and port for this tenant, as the tenant's appliance dials it."""

    host: HostName
    port: Port


class ProviderSide(Contract):
    """How this tenant's networks are extended from the provider's side."""

    extension: Extension
    appliance: bool
    """Whether the provider has a network extension appliance for this tenant."""
    appliance_was_on: bool = False
    gateway: CloudGateway | None = None
    peer_fingerprint: str | None = None
    """Configured fingerprint of the tenant's end, where the product does not run that end."""
    spares: dict[str, IPv4Address] = Field(default_factory=dict)
    """By network: the address that the appliance has for itself."""
    proof_key: str | None = None
    """Public half of the key by which the provider's worker signs that a replica is Normal."""
    warnings: tuple[str, ...] = ()


class Adoption(Contract):
    """A replica left by a failover that no longer runs: whose marker is replaced, and what is to do."""

    workflow_id: str
    run_id: str
    """Only a marker of this run is replaced."""
    revert: bool
    """It is off and has not written, so it is reverted as in any failover."""


class FailoverPlan(Contract):
    """Everything that the steps need, resolved once. Ids only; state is read anew by each step."""

    vm: str
    replica_id: str
    replica_name: str
    restore_point: RestorePoint
    choice: str = ""
    """What `restore_point` was chosen by: "latest", a time or an id. It is chosen anew right before the
    revert, unless this is empty (plans of versions up to 0.2.0)."""
    newest: RestorePoint | None = None
    """The newest that replication made, whichever was chosen."""
    points: tuple[RestorePoint, ...] = ()
    """All that replication made, oldest first."""
    leases: tuple[Lease, ...]
    """One for each NIC of the replica: its network and static address."""
    nics: tuple[Nic, ...]
    """The replica's NICs in Cloud Director, put back after a revert (which rolls hardware back too)."""
    networks: tuple[Network, ...]
    """All organization VDC networks, for the appliances."""
    side: ProviderSide
    adoption: Adoption | None = None
    read_at: datetime
    """vCenter's clock when the replica was read. A revert begun before it is not this run's."""
    asked_by: str = ""
    """Who started the workflow, as Temporal wrote it down."""
    warnings: tuple[str, ...] = ()


class PlanInput(Contract):
    """`request`, and the run that asks."""

    request: PartialFailoverRequest
    run: WorkflowRun


class PlanResult(Contract):
    """Either `plan` is set, or `problems` says all that is wrong on the provider's side."""

    plan: FailoverPlan | None
    problems: tuple[Problem, ...] = ()
    marker: Marker | None = None
    in_use: bool = False
    """A failover or a test that runs now has the replica."""


class TenantSite(Contract):
    """What the tenant-site worker found. `appliance`: whether the tenant has one there."""

    target: HoldTarget | None = None
    excluded: bool = False
    """The original VM was excluded from all jobs before this failover began."""
    replicas: tuple[ReplicaRecord, ...] | None = None
    """The VM's replicas as the backup server has them. None: it could not be asked."""
    held: bool = False
    """That exclusion is of a failover of this product."""
    appliance: bool = False
    appliance_was_on: bool = False
    spares: dict[str, IPv4Address] = Field(default_factory=dict)
    """By network that the appliance has a NIC on: the address that it has for itself."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


class TenantSiteInput(Contract):
    """`extension`: appliance checks are left out unless the networks are extended by appliances."""

    vm: str
    extension: Extension
    networks: tuple[str, ...] = ()
    """Names of the networks that the replica's addresses lie in."""
    original_may_run: bool = False
    proof_key: str | None = None
    """As in `ProviderSide`: what the provider will sign with must be believed here."""
