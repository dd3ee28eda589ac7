"""The steps of the procedure: their names as the Temporal timeline shows them, inputs and results."""

from datetime import datetime, timedelta
from enum import StrEnum

from partial_failover.contracts.appliance import Claim, Lease
from partial_failover.contracts.base import Contract
from partial_failover.contracts.network import Network, Nic
from partial_failover.contracts.plan import CloudGateway
from partial_failover.contracts.replica import RestorePoint
from partial_failover.contracts.replication import HoldTarget
from partial_failover.contracts.run import WorkflowRun


class Step(StrEnum):
    """Activity types. The names are stable: histories hold them."""

    PLAN_FAILOVER = "PlanFailover"
    CHECK_TENANT_SITE = "CheckTenantSite"
    INSPECT_REPLICAS = "InspectReplicas"

    HOLD_REPLICATION = "HoldReplication"
    MARK_PROCESSING = "MarkProcessing"
    REVERT_SNAPSHOT = "RevertSnapshot"
    POWER_ON_REPLICA = "PowerOnReplica"
    CONNECT_NETWORKS = "ConnectNetworks"
    POWER_ON_PROVIDER_APPLIANCE = "PowerOnProviderAppliance"
    START_VPN_SERVER = "StartVpnServer"
    CONFIGURE_PROVIDER_PROXY_ARP = "ConfigureProviderProxyArp"
    POWER_ON_TENANT_APPLIANCE = "PowerOnTenantAppliance"
    START_VPN_CLIENT = "StartVpnClient"
    CONFIGURE_TENANT_PROXY_ARP = "ConfigureTenantProxyArp"
    VERIFY_CONNECTIVITY = "VerifyConnectivity"
    MARK_FAILOVER = "MarkFailover"
    WATCH_FAILOVER = "WatchFailover"

    POWER_OFF_REPLICA = "PowerOffReplica"
    REMOVE_TENANT_PROXY_ARP = "RemoveTenantProxyArp"
    POWER_OFF_TENANT_APPLIANCE = "PowerOffTenantAppliance"
    REMOVE_PROVIDER_PROXY_ARP = "RemoveProviderProxyArp"
    POWER_OFF_PROVIDER_APPLIANCE = "PowerOffProviderAppliance"
    DISCONNECT_NETWORKS = "DisconnectNetworks"
    REVERT_TO_LATEST = "RevertToLatest"
    MARK_NORMAL = "MarkNormal"
    CONFIRM_NORMAL = "ConfirmNormal"
    RELEASE_REPLICATION = "ReleaseReplication"
    MARK_FAILED_FAILOVER = "MarkFailedFailover"

    ISOLATE_REPLICA = "IsolateReplica"
    POWER_ON_ISOLATED = "PowerOnIsolated"
    VERIFY_TUNNEL = "VerifyTunnel"
    CHECK_GUEST = "CheckGuest"
    RECORD_TEST = "RecordTest"


class ReplicaStep(Contract):
    """Input of a step on the replica alone."""

    replica_id: str
    run: WorkflowRun


class MarkInput(ReplicaStep):
    """`restore_point`: the point's id, kept in the marker for whoever finds it. `takes_over`: run whose
    marker is replaced (adoption). `discard`: an undo, so what the replica wrote may be lost. `test`: a
    failover test has the replica. `nics`: the replica's NICs, remembered until a revert has put them back."""

    restore_point: str | None = None
    takes_over: str | None = None
    discard: bool = False
    test: bool = False
    nics: tuple[Nic, ...] = ()


class RevertInput(ReplicaStep):
    """`not_before`: vCenter time; a revert to `point` begun since then is this run's own.
    `nics`: the replica's NICs, put back after the revert."""

    point: RestorePoint
    not_before: datetime
    nics: tuple[Nic, ...]


class RevertToLatestInput(ReplicaStep):
    """`not_before`: vCenter time after the replica was powered off. `nics`: as in `RevertInput`."""

    not_before: datetime
    nics: tuple[Nic, ...]


class CleanInput(ReplicaStep):
    """`not_before`: vCenter time since which nobody may have powered the replica on after its last revert."""

    not_before: datetime | None = None


class IsolateInput(ReplicaStep):
    """`nics`: the replica's NICs as they are outside of a test, remembered until they are put back."""

    nics: tuple[Nic, ...]


class ApplianceStep(ReplicaStep):
    """Input of a step on an appliance, for the replica's addresses."""

    networks: tuple[Network, ...]
    leases: tuple[Lease, ...]
    power_off_when_idle: bool = False
    """The appliance was off when this failover began, so it goes off with its last lease."""
    original_may_run: bool = False
    placed: bool = True
    """Whether a lease of this failover may exist on the appliance."""


class VpnServerInput(ReplicaStep):
    """`peer_fingerprint`: SHA-256 of the certificate of the tenant's end."""

    peer_fingerprint: str


class VpnClientInput(ReplicaStep):
    """`peer_fingerprint`: SHA-256 of the certificate of the provider's end, dialled through `gateway`."""

    leases: tuple[Lease, ...]
    gateway: CloudGateway
    peer_fingerprint: str


class HoldInput(ReplicaStep):
    """`target`: the original VM as the tenant's backup server knows it. `may_stop`: whether a job that is at
    work on it for too long is asked to stop; a test rather gives up."""

    target: HoldTarget
    may_stop: bool = True


class NormalProof(Contract):
    """Read in Cloud Director and vCenter: powered off, reverted, Normal. Replication may go on."""

    replica_id: str
    run: WorkflowRun
    restore_point: RestorePoint
    read_at: datetime


class ReleaseInput(HoldInput):
    """Replication is released only against the proof of this run and replica. `unsure`: the hold never said
    how it ended, and the VM was not excluded before it: an exclusion without a note is its own."""

    proof: NormalProof
    unsure: bool = False


class StepResult(Contract):
    """`changed`: whether this attempt had anything to do. `note`: a sentence for the timeline. `attempt`:
    its number."""

    changed: bool
    note: str
    attempt: int = 1


class PoweredOff(StepResult):
    """`at`: vCenter's clock after the replica was seen powered off."""

    at: datetime


class ApplianceReady(StepResult):
    """The appliance answers. `fingerprint`: SHA-256 of its VPN certificate."""

    fingerprint: str


class Connectivity(StepResult):
    """`reachable`: the replica answered through the tunnel. `rtt_ms`: round trip in milliseconds."""

    reachable: bool
    rtt_ms: float | None = None


class TunnelSeen(StepResult):
    """`connected`: both ends of the tunnel have found each other."""

    connected: bool


class WatchStatus(Contract):
    """How a failover stands, seen from the tenant's site. `held`: replication is on hold. `connected`: the
    tunnel is up and the tenant's appliance answers for the replica. `claims`: everybody who was heard to
    claim one of its addresses since the failover began."""

    held: bool = True
    connected: bool = True
    claims: tuple[Claim, ...] = ()


class WatchInput(ReplicaStep):
    """`target`: what is to stay on hold, if anything. `leases`: what the tenant's appliance is to answer for;
    none where it has no part. `known`: the step ends as soon as things stand otherwise."""

    target: HoldTarget | None
    leases: tuple[Lease, ...]
    known: WatchStatus


class StepRecord(Contract):
    """One step as the report shows it. `seconds` is None while it runs."""

    step: Step
    title: str
    started: datetime
    seconds: float | None = None
    outcome: str = "running"
    """"running", "done", "nothing to do", "failed" or "cancelled"; of a check, its outcome."""
    note: str = ""
    attempts: int = 1
    """How many it took, where it succeeded: the others failed, or their worker was gone."""

    def finished(self, at: datetime, outcome: str, note: str, attempts: int = 1) -> "StepRecord":
        """The same step, ended."""
        took = round((at - self.started) / timedelta(seconds=1), 3)
        ended = {"seconds": took, "outcome": outcome, "note": note, "attempts": attempts}
        return self.model_copy(update=ended)

    @property
    def ended(self) -> str:
        """The outcome, for people."""
        return self.outcome if self.attempts == 1 else f"{self.outcome}, attempt {self.attempts}"
