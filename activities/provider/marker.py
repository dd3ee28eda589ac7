"""The state marker in the replica's SYSTEM metadata: evidence of who did what, and the revert's gate."""

from datetime import UTC, datetime

from activities.provider.tenant import ProviderTenant
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director.metadata_store import MARKER
from partial_failover.contracts.errors import AlreadyInFailover, WrongState
from partial_failover.contracts.replica import CloudVm, Marker, ReplicaState
from partial_failover.contracts.run import WorkflowRun
from partial_failover.contracts.step_data import MarkInput


def read(tenant: ProviderTenant, vm: CloudVm) -> Marker | None:
    """The marker, None for a replica that no failover has."""
    return tenant.vdc.remembered.read(MARKER, vm.id)


def write(
    tenant: ProviderTenant, vm: CloudVm, state: ReplicaState, data: MarkInput, attempt: Attempt
) -> bool:
    """Write the marker of this run. False when it said so already. Refuses over another run's, but for the
    one that `data` takes over."""
    existing = read(tenant, vm)
    if existing is not None and existing.run_id != data.takes_over:
        require_own(vm, existing, data.run)
    wrote = state is ReplicaState.FAILOVER or (existing is not None and existing.written and not data.discard)
    marker = Marker(
        state=state,
        workflow_id=data.run.workflow_id,
        run_id=data.run.run_id,
        since=datetime.now(UTC),
        restore_point=data.restore_point or (existing.restore_point if existing else None),
        written=wrote,
        test=data.test or (existing is not None and existing.run_id == data.run.run_id and existing.test),
    )
    if existing is not None and existing.model_copy(update={"since": marker.since}) == marker:
        return False
    return tenant.vdc.remembered.write(MARKER, vm.id, marker, attempt)


def clear(tenant: ProviderTenant, vm: CloudVm, attempt: Attempt) -> bool:
    """Remove the marker: the replica is Normal. False when there was none."""
    return tenant.vdc.remembered.forget(MARKER, vm.id, attempt)


def require_own(vm: CloudVm, existing: Marker, run: WorkflowRun) -> None:
    """Raise unless the marker names this run."""
    if existing.run_id != run.run_id:
        raise AlreadyInFailover(
            f"{vm.name} is in state {existing.state} since {existing.since:%Y-%m-%d %H:%M} UTC, "
            f"by workflow {existing.workflow_id}",
            left="Nothing was changed",
            do="Finish that failover first",
        )


def require_processing(tenant: ProviderTenant, vm: CloudVm, run: WorkflowRun) -> Marker:
    """The gate of everything that destroys data or powers on: Processing, by this very run."""
    return _require(tenant, vm, run, ReplicaState.PROCESSING)


def require_failover(tenant: ProviderTenant, vm: CloudVm, run: WorkflowRun) -> Marker:
    """The gate of what is done to a replica that works: in Failover, by this very run."""
    return _require(tenant, vm, run, ReplicaState.FAILOVER)


def _require(tenant: ProviderTenant, vm: CloudVm, run: WorkflowRun, state: ReplicaState) -> Marker:
    existing = read(tenant, vm)
    if existing is None or existing.run_id != run.run_id or existing.state is not state:
        says = f"{existing.state} of {existing.workflow_id}" if existing else "nothing"
        raise WrongState(
            f"The state marker of {vm.name} says {says}, not {state} of this run",
            left="The replica was left as it is",
            do="Look at the newest PartialFailover of this VM",
        )
    return existing


def require_test(tenant: ProviderTenant, vm: CloudVm, run: WorkflowRun) -> None:
    """The gate of steps that are of tests alone."""
    if not require_processing(tenant, vm, run).test:
        raise WrongState(f"{vm.name} is in a failover, not in a test", left="The replica was left as it is")


def require_nothing_to_lose(tenant: ProviderTenant, vm: CloudVm, run: WorkflowRun) -> None:
    """The gate of every revert: Processing by this run, and no writes of a Failover that nobody gave up."""
    if require_processing(tenant, vm, run).written:
        raise WrongState(
            f"{vm.name} has written in Failover, and no undo said that this may be lost",
            left="Nothing was reverted",
            do="Send undo to its PartialFailover, or adopt it and undo that",
        )
