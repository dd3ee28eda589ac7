"""Replicas, their restore points and their states."""

from datetime import datetime
from enum import StrEnum

from partial_failover.contracts.base import Contract
from partial_failover.contracts.network import Nic


class ReplicaState(StrEnum):
    """The replica's states, as the procedure names them."""

    NORMAL = "Normal"
    PROCESSING = "Processing"
    FAILOVER = "Failover"
    FAILED_FAILOVER = "FailedFailover"
    PERMANENT_FAILOVER = "PermanentFailover"


class Power(StrEnum):
    """Power state of a VM. `QUESTION`: it waits for an answer before it goes on."""

    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"
    QUESTION = "question"
    OTHER = "other"


class DiskChange(StrEnum):
    """What makes a VM's disks others than they were: it was reverted; a snapshot was removed after that,
    which may have put what it held into the live disk; or it was started, so that it may write."""

    REVERTED = "reverted"
    MERGED = "merged"
    STARTED = "started"


class RestorePoint(Contract):
    """One snapshot of the replica's chain. Names need not be unique, so `id`, `number` and `created`
    are compared together before a revert (source: vSphere `VirtualMachineSnapshotTree`).

    Example: `{"id": "snapshot-12", "number": 3, "name": "Restore Point 3", "created": "2026-11-22T06:00Z"}`
    """

    id: str
    number: int
    name: str
    created: datetime
    foreign: bool = False
    """Replication did not make it: it is shown, and neither chosen nor reverted to, nor is it data's age."""


class Marker(Contract):
    """The state marker in the replica's SYSTEM metadata: evidence of who did what, not a lock.

    Example: `{"state": "Processing", "workflow_id": "PartialFailover-erp", "run_id": "0191…",
    "since": "2026-11-22T08:00:00Z", "restore_point": "snapshot-12"}`
    """

    state: ReplicaState
    workflow_id: str
    run_id: str
    since: datetime
    restore_point: str | None = None
    written: bool = False
    """The replica was in Failover and wrote: it is not reverted until an undo says that this may be lost."""
    test: bool = False
    """A failover test has the replica: it is isolated, and what it writes is worth nothing."""


class VAppLease(Contract):
    """How long Cloud Director lets a vApp run and exist; 0 s: for ever. `…_ends` is None until it has begun
    (source: vCloud API `LeaseSettingsSectionType`)."""

    runtime_s: int = 0
    runtime_ends: datetime | None = None
    storage_s: int = 0
    storage_ends: datetime | None = None


class CloudVm(Contract):
    """A VM as Cloud Director shows it now. `moref` and `vcenter` are known to a provider session only."""

    id: str
    """UUID of the VM in Cloud Director, without prefix."""
    name: str
    vapp_id: str
    vapp_name: str
    power: Power
    deployed: bool
    nics: tuple[Nic, ...]
    unread: tuple[str, ...] = ()
    """What of it could not be read, each by its name: a NIC that is not in `nics`, for instance."""
    in_maintenance: bool = False
    """Whether its vApp is in maintenance mode."""
    own_networks: tuple[str, ...] = ()
    """Networks of its vApp that are no organization VDC network, bridged: isolated, or routed by NAT. One may
    have an organization VDC network's name."""
    lease: VAppLease = VAppLease()
    """Its vApp's."""
    busy: str | None = None
    """Href of a task that runs on the VM or its vApp now."""
    moref: str | None = None
    vcenter: str | None = None
    """UUID of the vCenter in Cloud Director (`vimServer`)."""


class DiskChain(Contract):
    """One disk's files from the one written to now (`files[0]`) down to the base
    (source: vSphere `VirtualDiskFlatVer2BackingInfo.parent`)."""

    label: str
    files: tuple[str, ...]


class Running(Contract):
    """Whether a VM runs, as vSphere shows it now. `question`: what it waits for an answer to, as a rule
    in the middle of its work. `booted`: when it was powered on last; kept while it is suspended
    (source: vSphere `VirtualMachineRuntimeInfo.question`, `.bootTime`). `current`: as in `VSphereVm`."""

    power: Power
    question: str = ""
    booted: datetime | None = None
    current: str | None = None


class VSphereNic(Contract):
    """A NIC as vSphere shows it; `network` is the name of its port group."""

    mac: str
    network: str | None
    connected: bool


class VSphereVm(Contract):
    """A VM as vSphere shows it now."""

    moref: str
    name: str
    instance_uuid: str
    power: Power
    restore_points: tuple[RestorePoint, ...]
    """Oldest first."""
    current: str | None
    """MoRef of the snapshot that the running state descends from."""
    disks: tuple[DiskChain, ...]
    nics: tuple[VSphereNic, ...]
    tools_running: bool = False
    guest_heartbeat: str = "gray"
    guest_address: str | None = None
    uptime_s: int | None = None
    """Seconds that the VM has been up (source: vSphere `VirtualMachineQuickStats.uptimeSeconds`)."""


def lease_warnings(vm: CloudVm) -> tuple[str, ...]:
    """What becomes of a VM by itself one day, and when."""
    lease, vapp, do = vm.lease, f"the vApp {vm.vapp_name}", "Renew the lease, or set it to never expire"
    warnings = []
    if lease.runtime_s:
        days = f"{lease.runtime_s / 86400:.3g} days after its VMs are switched on"
        ends = f"at {lease.runtime_ends:%Y-%m-%d %H:%M} UTC" if lease.runtime_ends else days
        warnings.append(
            f"The runtime lease of {vapp} ends {ends}: Cloud Director then suspends {vm.name}. {do}"
        )
    if lease.storage_s and (ends_at := lease.storage_ends):
        ends = f"at {ends_at:%Y-%m-%d %H:%M} UTC"
        warnings.append(
            f"The storage lease of {vapp} ends {ends}: Cloud Director may then delete {vm.name}. {do}"
        )
    elif lease.storage_s:
        days = f"{lease.storage_s / 86400:.3g} days after its VMs are stopped"
        warnings.append(f"The storage lease of {vapp} ends {days}: {vm.name} may then be deleted. {do}")
    return tuple(warnings)
