"""What each step is told, and what it answers."""

from datetime import datetime
from typing import TypedDict

from partial_failover.contracts.appliance import Claim, LargePackets, Lease
from partial_failover.contracts.base import Contract
from partial_failover.contracts.network import Network, Nic
from partial_failover.contracts.plan import CloudGateway
from partial_failover.contracts.replica import Power, RestorePoint
from partial_failover.contracts.replication import HoldTarget, ReplicaRecord
from partial_failover.contracts.run import WorkflowRun


class ReplicaKey(TypedDict):
    """Which replica, and which run acts on it: what the input of every step on a replica begins with."""

    replica_id: str
    run: WorkflowRun


class StepInput(Contract):
    """The same as a model. Each step has an input of its own and none is another's base, so that the type
    checker tells them apart."""

    replica_id: str
    run: WorkflowRun


class ReplicaInput(StepInput):
    """Of a step that needs to know no more."""


class PowerOnInput(StepInput):
    """`point`: where the replica was reverted to; None when it was found as it is (adoption)."""

    point: RestorePoint | None = None


class MarkInput(StepInput):
    """`restore_point`: the point's id, kept in the marker for whoever finds it. `takes_over`: run whose
    marker is replaced (adoption). `discard`: an undo, so what the replica wrote may be lost. `test`: a
    failover test has the replica. `nics`: the replica's NICs, remembered until a revert has put them back."""

    restore_point: str | None = None
    takes_over: str | None = None
    discard: bool = False
    test: bool = False
    nics: tuple[Nic, ...] = ()


class RevertInput(StepInput):
    """`not_before`: vCenter time; a revert to `point` begun since then is this run's own.
    `nics`: the replica's NICs, put back after the revert. `choice`: as in `FailoverPlan`; what fits it now
    is reverted to, and `point` only where it is empty. `adopted`: an ended failover may have left the NICs
    otherwise than `nics` says. `replicas`: as in `HeldReplication`."""

    point: RestorePoint
    not_before: datetime
    nics: tuple[Nic, ...]
    choice: str = ""
    adopted: bool = False
    replicas: tuple[ReplicaRecord, ...] | None = None


class RevertToLatestInput(StepInput):
    """`not_before`: vCenter time after the replica was powered off. `nics`: as in `RevertInput`."""

    not_before: datetime
    nics: tuple[Nic, ...]


class CleanInput(StepInput):
    """`not_before`: vCenter time since which nobody may have powered the replica on after its last revert.
    `reverted`: it was reverted since then: a vCenter that does not know of that knows nothing else either."""

    not_before: datetime | None = None
    reverted: bool = False


class IsolateInput(StepInput):
    """`nics`: the replica's NICs as they are outside of a test, remembered until they are put back."""

    nics: tuple[Nic, ...]


class ApplianceStep(StepInput):
    """Input of a step on an appliance, for the replica's addresses."""

    networks: tuple[Network, ...]
    leases: tuple[Lease, ...]
    power_off_when_idle: bool = False
    """The appliance was off when this failover began, so it goes off with its last lease."""
    original_may_run: bool = False
    placed: bool = True
    """Whether a lease of this failover may exist on the appliance."""


class VpnServerInput(StepInput):
    """`peer_fingerprint`: SHA-256 of the certificate of the tenant's end."""

    peer_fingerprint: str


class VpnClientInput(StepInput):
    """`peer_fingerprint`: SHA-256 of the certificate of the provider's end, dialled through `gateway`."""

    leases: tuple[Lease, ...]
    gateway: CloudGateway
    peer_fingerprint: str


class HoldInput(StepInput):
    """`target`: the original VM as the tenant's backup server knows it. `may_stop`: whether a job that is at
    work on it for too long is asked to stop; a test rather gives up."""

    target: HoldTarget
    may_stop: bool = True


class NormalProof(Contract):
    """Read in Cloud Director and vCenter: powered off, reverted, Normal. Replication may go on. `signature`:
    of the provider's worker, base64."""

    replica_id: str
    run: WorkflowRun
    restore_point: RestorePoint
    read_at: datetime
    signature: str = ""


class ReleaseInput(StepInput):
    """`target`: as in `HoldInput`. `proof`: of this run and replica; replication is released only against it.
    `unsure`: the hold never said how it ended, and the VM was not excluded before it: an exclusion without a
    note is its own."""

    target: HoldTarget
    proof: NormalProof
    unsure: bool = False


class StepOutcome(Contract):
    """`changed`: whether this attempt had anything to do. `note`: a sentence for the timeline. `attempt`:
    its number."""

    changed: bool
    note: str
    attempt: int = 1


class StepResult(StepOutcome):
    """Of a step that has no more to say."""


class HeldReplication(StepOutcome):
    """`replicas`: what the backup server knows of the VM's replicas now that no run is in flight; None if it
    could not be asked."""

    replicas: tuple[ReplicaRecord, ...] | None = None


class Reverted(StepOutcome):
    """`point`: what the replica stands on. `instead`: why it is another one than was planned, as a sentence.
    `at`: vCenter's clock when it was chosen."""

    point: RestorePoint | None = None
    instead: str = ""
    at: datetime | None = None


class PoweredOff(StepOutcome):
    """`at`: vCenter's clock after the replica was seen powered off."""

    at: datetime


class ApplianceReady(StepOutcome):
    """The appliance answers. `fingerprint`: SHA-256 of its VPN certificate."""

    fingerprint: str


class Connectivity(StepOutcome):
    """`reachable`: the replica answered through the tunnel. `rtt_ms`: round trip in milliseconds."""

    reachable: bool
    rtt_ms: float | None = None


class TunnelSeen(StepOutcome):
    """`connected`: both ends of the tunnel have found each other."""

    connected: bool
    large: LargePackets = LargePackets.UNKNOWN


class WatchStatus(Contract):
    """How a failover stands, seen from the tenant's site. `held`: replication is on hold. `connected`: the
    tunnel is up and the tenant's appliance answers for the replica. `claims`: everybody who was heard to
    claim one of its addresses since the failover began."""

    held: bool = True
    connected: bool = True
    unknown: bool = False
    """Whether the tunnel is up cannot be told now; `connected` is as it was seen last then."""
    claims: tuple[Claim, ...] = ()
    large_lost: bool = False
    """Small packets pass the tunnel and large ones do not, as it was found last."""


class WatchInput(StepInput):
    """`target`: what is to stay on hold, if anything. `leases`: what the tenant's appliance is to answer for;
    none where it has no part. `known`: the step ends as soon as things stand otherwise."""

    target: HoldTarget | None
    leases: tuple[Lease, ...]
    known: WatchStatus


class ReplicaSeen(Contract):
    """How the replica itself stands, seen in vCenter. `question`: what it waits for an answer to. `booted`:
    when it was powered on last, None until it was looked at once. `unseen`: why it cannot be looked at; the
    rest is as it was seen last then. `current`: the snapshot on which it stands."""

    power: Power = Power.ON
    question: str = ""
    booted: datetime | None = None
    unseen: str = ""
    current: RestorePoint | None = None


class WatchReplicaInput(StepInput):
    """`known`: the step ends as soon as the replica stands otherwise."""

    known: ReplicaSeen
