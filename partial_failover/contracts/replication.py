"""What holds the replication of an original VM."""

from datetime import datetime

from partial_failover.contracts.base import Contract


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


class Hold(Contract):
    """One global VM exclusion of the backup server, which keeps every job off the VM.

    Example: `{"exclusion_id": "0c7c…", "note": "partial-failover PartialFailover-erp", "ours": true}`
    """

    exclusion_id: str
    note: str
    ours: bool
    """Whether the note says that a failover of this product made it."""
