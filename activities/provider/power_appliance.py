"""Powering the provider's appliance on, and off when nobody uses it."""

from activities.provider.appliance_steps import ProviderApplianceSteps
from activities.provider.steps import provider_step
from activities.shared.appliances import declare_networks, may_go_off, require_open, wait_until_it_answers
from activities.shared.attempt import current_attempt
from partial_failover.contracts import steps
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step_data import ApplianceReady, ApplianceStep, StepResult


class PowerProviderAppliance(ProviderApplianceSteps):
    """PowerOnProviderAppliance, PowerOffProviderAppliance."""

    @provider_step(steps.POWER_ON_PROVIDER_APPLIANCE)
    def power_on(self, data: ApplianceStep) -> ApplianceReady:
        """Power the appliance on, wait until it answers, and tell it its networks."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        vm = self.tenant.appliance_vm()
        changed = self.tenant.power_on(vm, attempt)
        status = wait_until_it_answers(self._appliance, self._power, attempt)
        require_open(status, lambda: self.tenant.power_off(vm, attempt))
        macs = {nic.network: nic.mac for nic in self.tenant.appliance_vm().nics if nic.network}
        spares = self.tenant.settings.appliance.spares if self.tenant.settings.appliance else {}
        declare_networks(self._appliance, self.tenant.networks(), macs, spares, attempt)
        return ApplianceReady(
            changed=changed, note=f"{vm.name} is on and answers", fingerprint=status.fingerprint
        )

    @provider_step(steps.POWER_OFF_PROVIDER_APPLIANCE)
    def power_off(self, data: ApplianceStep) -> StepResult:
        """Power the appliance off, if it has decided that nobody uses it any more."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        vm = self.tenant.appliance_vm()
        power = self.tenant.power(vm)
        if power is not Power.ON:
            return StepResult(changed=False, note=f"{vm.name} is {power}")
        if not may_go_off(self._appliance):
            return StepResult(changed=False, note=f"{vm.name} stays on: it is in use, or was on before")
        self.tenant.power_off(vm, attempt)
        return StepResult(changed=True, note=f"{vm.name} is powered off")
