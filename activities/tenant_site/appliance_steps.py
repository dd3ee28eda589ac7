"""What the steps on the tenant's network extension appliance share."""

from activities.shared.attempt import current_attempt
from activities.tenant_site.steps import TenantSiteSteps
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step_data import ApplianceStep, VpnClientInput


class TenantApplianceSteps(TenantSiteSteps):
    """Base of those steps."""

    def _begin(self, data: ApplianceStep | VpnClientInput) -> Attempt:
        self.site.require_own_networks(data.leases)
        return current_attempt(self.site.fence, data)

    def _power(self) -> Power:
        return self.site.appliance_vm().power
