"""What holds the replication of an original VM, and what its backup server knows of its replicas."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from partial_failover.contracts.base import Contract
from partial_failover.contracts.replica import RestorePoint

NEAR = timedelta(hours=1)
"""Between the times of a point and of its snapshot: two clocks, and the run that lies between them."""
IN_CONSOLE = {"failover", "failedfailover", "failback", "readytoswitch", "permanentfailover"}
"""States of Veeam's in which its own console has the replica (source: `EReplicaState`)."""


class HoldTarget(Contract):
    """An original VM as its backup server names it (source: Veeam `VmwareObjectModel`).

    Example: `{"name": "erp-db-01", "object_id": "vm-101", "host": "vcenter.acme.example",
    "jobs": ["Replicate ERP"]}`
    """

    name: str
    object_id: str
    """MoRef in the vCenter `host`."""
    host: str
    jobs: tuple[str, ...]
    """Names of the replication jobs that list this VM."""


class ReplicaPoint(Contract):
    """A replica's restore point as the backup server has it (source: Veeam `ReplicaPointModel`).

    Example: `{"created": "2026-11-22T06:00Z", "malware": "clean"}`
    """

    created: datetime
    """By the backup server's clock."""
    malware: str = ""
    """What its scans found, in lower case: clean, informative, suspicious or infected; empty if unsaid."""


class ReplicaRecord(Contract):
    """One replica of a VM as the backup server has it. `state`: Veeam's, in lower case, such as "ready" or
    "failover". `points`: oldest first."""

    state: str
    points: tuple[ReplicaPoint, ...]

    @property
    def in_console(self) -> bool:
        """Whether Veeam's own console has it in failover or failback."""
        return self.state in IN_CONSOLE

    def paired(self, snapshots: Sequence[RestorePoint]) -> dict[str, ReplicaPoint]:
        """By a restore point's id the server's point of it: the one that is nearest to it in time, where it
        is nearest in turn."""
        pairs: dict[str, ReplicaPoint] = {}
        for snapshot in snapshots if self.points else ():
            near = min(self.points, key=lambda known: abs(known.created - snapshot.created))
            back = min(snapshots, key=lambda s: abs(near.created - s.created))
            if back.id == snapshot.id and abs(near.created - snapshot.created) <= NEAR:
                pairs[snapshot.id] = near
        return pairs


def record_of(snapshots: Sequence[RestorePoint], records: Sequence[ReplicaRecord]) -> ReplicaRecord | None:
    """A VM may have several replicas; the one with these snapshots shares most points with them."""
    return max(records, key=lambda record: len(record.paired(snapshots)), default=None)


class Hold(Contract):
    """One global VM exclusion of the backup server, which keeps every job off the VM.

    Example: `{"exclusion_id": "0c7c…", "note": "partial-failover PartialFailover-erp", "ours": true}`
    """

    exclusion_id: str
    note: str
    ours: bool
    """Whether the note says that a failover of this product made it."""
