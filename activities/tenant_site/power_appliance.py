"""Powering the tenant's appliance on, and off when nobody uses it."""

from activities.shared.appliances import declare_networks, may_go_off, require_open, wait_until_it_answers
from activities.tenant_site.appliance_steps import TenantApplianceSteps
from activities.tenant_site.steps import tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step_data import ApplianceReady, ApplianceStep, StepResult


class PowerTenantAppliance(TenantApplianceSteps):
    """PowerOnTenantAppliance, PowerOffTenantAppliance."""

    @tenant_site_step(steps.POWER_ON_TENANT_APPLIANCE)
    def power_on(self, data: ApplianceStep) -> ApplianceReady:
        """Power the appliance on, wait until it answers, and tell it its networks."""
        attempt = self._begin(data)
        vm = self.site.appliance_vm()
        changed = self.site.vcenter.power_on(vm.moref, attempt)
        status = wait_until_it_answers(self.site.appliance, self._power, attempt)
        require_open(status, lambda: self.site.vcenter.power_off(vm.moref, attempt))
        settings = self.site.appliance_settings.networks
        by_group = {nic.network: nic.mac for nic in vm.nics}
        macs = {n: by_group[s.port_group] for n, s in settings.items() if s.port_group in by_group}
        spares = {n: s.spare for n, s in settings.items()}
        declare_networks(self.site.appliance, data.networks, macs, spares, attempt)
        return ApplianceReady(
            changed=changed, note=f"{vm.name} is on and answers", fingerprint=status.fingerprint
        )

    @tenant_site_step(steps.POWER_OFF_TENANT_APPLIANCE)
    def power_off(self, data: ApplianceStep) -> StepResult:
        """Power the appliance off, if it has decided that nobody uses it any more."""
        attempt = self._begin(data)
        vm = self.site.appliance_vm()
        if vm.power is not Power.ON:
            return StepResult(changed=False, note=f"{vm.name} is powered off")
        if not may_go_off(self.site.appliance):
            return StepResult(changed=False, note=f"{vm.name} stays on: it is in use, or was on before")
        self.site.vcenter.power_off(vm.moref, attempt)
        return StepResult(changed=True, note=f"{vm.name} is powered off")
