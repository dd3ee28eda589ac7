"""A replica under test is isolated, and powered on only where production cannot see it."""

from activities.provider import isolation, marker, nic_memory
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.contracts import steps
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.step_data import IsolateInput, ReplicaInput, StepResult


class IsolateReplica(ProviderSteps):
    """IsolateReplica, PowerOnIsolated."""

    @provider_step(steps.ISOLATE_REPLICA)
    def isolate_replica(self, data: IsolateInput) -> StepResult:
        """For a test: take the replica off every network but the one for tests. How it was is kept."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_test(self.tenant, vm, data.run)
        if not self.tenant.is_off(vm):
            raise WrongState(f"{vm.name} is not off, too late to isolate it", left="Nothing was changed")
        vdc = self.tenant.vdc
        network = isolation.network_of(self.tenant)
        nic_memory.remember(self.tenant, vm, data.nics, attempt)
        if network is not None:
            vdc.attach_networks(vm.vapp_id, [network], attempt)
        changed = vdc.set_nics(vm.id, isolation.isolated(data.nics, network), attempt)
        where = f"connected to {network.name} alone" if network else "disconnected from every network"
        return StepResult(changed=changed, note=f"{vm.name} is {where}")

    @provider_step(steps.POWER_ON_ISOLATED)
    def power_on_isolated(self, data: ReplicaInput) -> StepResult:
        """For a test: power on, unless a NIC is on a network that production can see."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_test(self.tenant, vm, data.run)
        if not isolation.apart(self.tenant, vm):
            raise WrongState(
                f"{vm.name} is connected to a network that production can see",
                left="It was not powered on",
                do="Find out who rewired it during its test",
            )
        self.tenant.hardware(vm)
        changed = self.tenant.power_on(vm, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is powered on")
