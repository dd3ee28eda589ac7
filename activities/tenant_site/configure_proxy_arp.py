"""Proxy ARP at the tenant's site: production's ARP requests for the replica are answered."""

from activities.shared.appliances import (
    place_leases,
    release_leases,
    unless_switched_off,
    wait_until_it_answers,
)
from activities.tenant_site.appliance_steps import TenantApplianceSteps
from activities.tenant_site.steps import tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step_data import ApplianceStep, StepResult


class TenantProxyArp(TenantApplianceSteps):
    """ConfigureTenantProxyArp, RemoveTenantProxyArp."""

    @tenant_site_step(steps.CONFIGURE_TENANT_PROXY_ARP)
    def configure_proxy_arp(self, data: ApplianceStep) -> StepResult:
        """Answer production's ARP requests for the replica, unless somebody owns its address."""
        attempt = self._begin(data)
        with unless_switched_off(self._power):
            changed = place_leases(self.site.appliance, data, attempt)
        note = "Answers production for " + ", ".join(str(lease.address) for lease in data.leases)
        return StepResult(changed=changed, note=note)

    @tenant_site_step(steps.REMOVE_TENANT_PROXY_ARP)
    def remove_proxy_arp(self, data: ApplianceStep) -> StepResult:
        """Stop answering for the replica; with the last address the VPN client stops."""
        attempt = self._begin(data)
        vm = self.site.appliance_vm()
        if vm.power is not Power.ON and not data.placed:
            return StepResult(changed=False, note=f"{vm.name} is off and holds no lease of this failover")
        was_off = vm.power is not Power.ON
        if was_off:
            # A lease on its disk would come alive at the next boot, so it is taken out there.
            self.site.vcenter.power_on(vm.moref, attempt)
            wait_until_it_answers(self.site.appliance, self._power, attempt)
        released = release_leases(self.site.appliance, data, attempt)
        note = f"Addresses left on {vm.name}: {released.left}"
        return StepResult(changed=was_off or released.changed, note=note)
