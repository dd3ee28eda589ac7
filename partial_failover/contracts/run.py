"""Names that bind a run to what it holds."""

from uuid import UUID, uuid5

from partial_failover.contracts.base import Contract


class WorkflowRun(Contract):
    """Which run of which workflow acts. Markers name it, and steps check that they are still its."""

    workflow_id: str
    run_id: str


LOCKS = "replica-lock/"
"""What the workflow IDs of locks begin with, and no others."""


def lock_id(replica_id: str) -> str:
    """Workflow ID of the lock of a replica: unique in the tenant's namespace by Temporal's own rule."""
    return f"{LOCKS}{replica_id}"


def lease_id(replica_id: str, nic: int) -> str:
    """Id of the lease of one NIC of a replica on an appliance."""
    return str(uuid5(UUID(replica_id), f"nic-{nic}"))
