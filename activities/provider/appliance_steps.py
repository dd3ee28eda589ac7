"""What the steps on the provider's network extension appliance share."""

from activities.provider.leases import require_own_leases
from activities.provider.steps import ProviderSteps
from partial_failover.connectors.appliance import Appliance
from partial_failover.contracts.errors import Misconfigured
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step_data import ApplianceStep


class ProviderApplianceSteps(ProviderSteps):
    """Base of those steps."""

    @property
    def _appliance(self) -> Appliance:
        if self.tenant.appliance is None:
            raise Misconfigured("This tenant has no appliance at the provider")
        return self.tenant.appliance

    def _power(self) -> Power:
        return self.tenant.power(self.tenant.appliance_vm())

    def _authorize(self, data: ApplianceStep) -> None:
        require_own_leases(self.tenant, data)
