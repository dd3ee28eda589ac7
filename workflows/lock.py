"""One failover per replica, by Temporal's own uniqueness of workflow IDs.

The lock is a tiny child whose ID is made from the replica's id. The server ends it with its parent
(parent close policy), so it can neither leak nor be forgotten. Before each mutation a step asks the server
whether the lock's parent is still its own run (`activities.shared.fence`).
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError

from workflows.failures import refusal

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts.errors import AlreadyInFailover, BadRequest
    from partial_failover.contracts.run import LOCKS, lock_id


@workflow.defn(name="ReplicaLock")
class ReplicaLock:
    """Runs as long as its parent holds the replica."""

    def __init__(self) -> None:
        self._released = False

    @workflow.run
    async def run(self) -> None:
        """Wait to be released; the server ends it where the parent cannot. One that a person started would
        stand in the way of every failover, and nothing would end it."""
        if workflow.info().parent is None:
            error = BadRequest(
                "ReplicaLock is not started by hand: a failover takes the lock of its replica itself",
                left="Nothing was changed",
                do="Start PartialFailover, or a FailoverTest",
            )
            raise refusal(error)
        await workflow.wait_condition(lambda: self._released)

    @workflow.signal
    def release(self) -> None:
        """Sent by the parent when it is done."""
        self._released = True


def refuse_its_id() -> None:
    """First of all in every other workflow: under a lock's ID it would keep a replica's failovers out."""
    workflow_id = workflow.info().workflow_id
    if workflow_id.startswith(LOCKS):
        error = BadRequest(
            f"A workflow ID that begins with {LOCKS} is kept for locks, and this workflow is none",
            left="Nothing was changed",
            do=f"Start it again under another ID than {workflow_id}",
        )
        raise refusal(error)


class Held:
    """The lock, held. `release` ends it in good order."""

    def __init__(self, handle: workflow.ChildWorkflowHandle[ReplicaLock, None]) -> None:
        self._handle = handle

    @property
    def is_gone(self) -> bool:
        """Whether somebody ended it."""
        return self._handle.done()

    async def release(self) -> None:
        """Release the replica. A lock that somebody ended already is released too."""
        try:
            await self._handle.signal(ReplicaLock.release)
            await self._handle
        except FailureError:
            workflow.logger.warning("The lock had been ended before it was released")


async def take(vm: str, replica_id: str) -> Held:
    """Take the lock of a replica, or refuse in words of the tenant."""
    try:
        handle = await workflow.start_child_workflow(
            ReplicaLock.run,
            id=lock_id(replica_id),
            parent_close_policy=workflow.ParentClosePolicy.TERMINATE,
            cancellation_type=workflow.ChildWorkflowCancellationType.ABANDON,
            task_timeout=timedelta(seconds=10),
            static_summary=f"{vm} belongs to {workflow.info().workflow_id}",
        )
    except WorkflowAlreadyStartedError:
        error = AlreadyInFailover(
            f"Another failover, or a failover test, of {vm} is under way",
            left="Nothing was changed",
            do="Finish it first: send undo to a failover, cancel a test. The summary of the workflow "
            f"{lock_id(replica_id)} says which one it is",
        )
        raise refusal(error) from None
    return Held(handle)
