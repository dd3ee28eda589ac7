"""Which run holds a replica: the parent of the workflow that is its lock, as the Temporal server knows it."""

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from partial_failover.contracts.errors import LostLock
from partial_failover.contracts.run import WorkflowRun, lock_id


async def holder_of(client: Client, replica_id: str) -> WorkflowRun | None:
    """None when nothing holds it. A lock that nobody's workflow started is its own holder, so that a refusal
    can name what is in the way. Raises the SDK's `RPCError`."""
    try:
        lock = await client.get_workflow_handle(lock_id(replica_id)).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    if lock.status is not WorkflowExecutionStatus.RUNNING:
        return None
    return WorkflowRun(workflow_id=lock.parent_id or lock.id, run_id=lock.parent_run_id or lock.run_id)


async def require_held(client: Client, replica_id: str, run: WorkflowRun) -> None:
    """Raise `LostLock` unless the lock's holder is this very run (a reset makes a new one)."""
    holder = await holder_of(client, replica_id)
    if holder is None or holder.run_id != run.run_id:
        raise LostLock(
            f"This run of {run.workflow_id} no longer holds the replica",
            left="Nothing was changed",
            do='Look at the newest PartialFailover of this VM; if none runs, start it with "adopt": true',
        )
