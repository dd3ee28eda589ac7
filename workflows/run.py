"""Who acts: the names that bind every step of a workflow to this very run."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts.run import WorkflowRun
    from partial_failover.contracts.step_data import ReplicaKey


def this_run() -> WorkflowRun:
    """This run of this workflow."""
    info = workflow.info()
    return WorkflowRun(workflow_id=info.workflow_id, run_id=info.run_id)


def replica_key(replica_id: str) -> ReplicaKey:
    """What the input of every step on the replica begins with: `RevertInput(**key, point=…)`."""
    return ReplicaKey(replica_id=replica_id, run=this_run())
