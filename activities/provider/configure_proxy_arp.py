"""Proxy ARP at the provider: the replica's ARP requests for production VMs are answered."""

from activities.provider.appliance_steps import ProviderApplianceSteps
from activities.provider.steps import provider_step
from activities.shared.appliances import (
    place_leases,
    release_leases,
    unless_switched_off,
    wait_until_it_answers,
)
from activities.shared.attempt import current_attempt
from partial_failover.contracts import steps
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step_data import ApplianceStep, StepResult


class ProviderProxyArp(ProviderApplianceSteps):
    """ConfigureProviderProxyArp, RemoveProviderProxyArp."""

    @provider_step(steps.CONFIGURE_PROVIDER_PROXY_ARP)
    def configure_proxy_arp(self, data: ApplianceStep) -> StepResult:
        """Register the replica's addresses: the appliance answers its ARP requests for production VMs."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        with unless_switched_off(self._power):
            changed = place_leases(self._appliance, data, attempt)
        return StepResult(changed=changed, note=_addresses(data))

    @provider_step(steps.REMOVE_PROVIDER_PROXY_ARP)
    def remove_proxy_arp(self, data: ApplianceStep) -> StepResult:
        """Take the replica's addresses out; with the last one the VPN server stops."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        vm = self.tenant.appliance_vm()
        was_off = self.tenant.power(vm) is not Power.ON
        if was_off and not data.placed:
            return StepResult(changed=False, note=f"{vm.name} is off and holds no lease of this failover")
        if was_off:
            # A lease on its disk would come alive at the next boot, so it is taken out there.
            self.tenant.power_on(vm, attempt)
            wait_until_it_answers(self._appliance, self._power, attempt)
        released = release_leases(self._appliance, data, attempt)
        note = f"Addresses left on {vm.name}: {released.left}"
        return StepResult(changed=was_off or released.changed, note=note)


def _addresses(data: ApplianceStep) -> str:
    return "Answers for " + ", ".join(str(lease.address) for lease in data.leases)
