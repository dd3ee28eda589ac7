"""The steps that mark the replica's state: Processing, Failover, FailedFailover, Normal."""

from activities.provider import marker, nic_memory
from activities.provider.release_gate import require_clean
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.contracts import steps
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.replica import Power, ReplicaState
from partial_failover.contracts.step_data import CleanInput, MarkInput, StepResult


class MarkReplica(ProviderSteps):
    """MarkProcessing, MarkFailover, MarkFailedFailover, MarkNormal."""

    @provider_step(steps.MARK_PROCESSING)
    def mark_processing(self, data: MarkInput) -> StepResult:
        """Normal or Failover becomes Processing."""
        return self._mark(data, ReplicaState.PROCESSING)

    @provider_step(steps.MARK_FAILOVER)
    def mark_failover(self, data: MarkInput) -> StepResult:
        """Processing becomes Failover: from here on the replica's writes are kept until undo. Refused unless
        the replica is on."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.settled_replica(data.replica_id, attempt)
        existing = marker.read(self.tenant, vm)
        if existing is None or existing.state is not ReplicaState.FAILOVER:
            marker.require_processing(self.tenant, vm, data.run)
        if vm.power is not Power.ON:
            raise WrongState(
                f"{vm.name} is {vm.power}, not on, so it is not in Failover",
                left="What it wrote is as it was",
                do="Find out who switched it off, then start again",
            )
        changed = marker.write(self.tenant, vm, ReplicaState.FAILOVER, data, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is {ReplicaState.FAILOVER}")

    @provider_step(steps.MARK_FAILED_FAILOVER)
    def mark_failed_failover(self, data: MarkInput) -> StepResult:
        """Something could not be undone: a person must look."""
        return self._mark(data, ReplicaState.FAILED_FAILOVER)

    @provider_step(steps.MARK_NORMAL)
    def mark_normal(self, data: CleanInput) -> StepResult:
        """Normal again: only when powered off and at its latest restore point. Another run's marker stays."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.settled_replica(data.replica_id, attempt)
        existing = marker.read(self.tenant, vm)
        if existing is None:
            return StepResult(changed=False, note=f"{vm.name} is Normal")
        if existing.run_id != data.run.run_id:
            return StepResult(changed=False, note=f"{vm.name} belongs to {existing.workflow_id}")
        require_clean(self.tenant, vm, data)
        nic_memory.forget(self.tenant, vm, attempt)
        changed = marker.clear(self.tenant, vm, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is Normal")

    def _mark(self, data: MarkInput, state: ReplicaState) -> StepResult:
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.settled_replica(data.replica_id, attempt)
        changed = marker.write(self.tenant, vm, state, data, attempt)
        if data.nics:  # after the marker: what has none is taken for untouched
            nic_memory.remember(self.tenant, vm, data.nics, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is {state}")
