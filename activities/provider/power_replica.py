"""Powering the replica on, and off again on undo."""

from activities.provider import marker
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.contracts import steps
from partial_failover.contracts.step_data import PoweredOff, ReplicaInput, StepResult


class PowerReplica(ProviderSteps):
    """PowerOnReplica, PowerOffReplica."""

    @provider_step(steps.POWER_ON_REPLICA)
    def power_on_replica(self, data: ReplicaInput) -> StepResult:
        """Power on through Cloud Director, which wires its networks."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_processing(self.tenant, vm, data.run)
        self.tenant.hardware(vm)
        changed = self.tenant.power_on(vm, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is powered on")

    @provider_step(steps.POWER_OFF_REPLICA)
    def power_off_replica(self, data: ReplicaInput) -> PoweredOff:
        """Power off and undeploy, as the undo of the power-on."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_processing(self.tenant, vm, data.run)
        changed = self.tenant.power_off(vm, attempt)
        vcenter, _ = self.tenant.hardware(vm)
        return PoweredOff(changed=changed, note=f"{vm.name} is powered off", at=vcenter.now())
