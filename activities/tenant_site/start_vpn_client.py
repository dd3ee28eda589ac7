"""The VPN client on the tenant's appliance."""

import asyncio

from activities.shared.appliances import unless_switched_off, wait_for_tunnel
from activities.tenant_site.appliance_steps import TenantApplianceSteps
from activities.tenant_site.steps import tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.step_data import ApplianceStep, StepResult, TunnelSeen, VpnClientInput


class VpnClient(TenantApplianceSteps):
    """StartVpnClient, VerifyTunnel."""

    @tenant_site_step(steps.START_VPN_CLIENT)
    def start_vpn_client(self, data: VpnClientInput) -> StepResult:
        """Start the VPN client; it dials the cloud gateway and accepts the one certificate."""
        attempt = self._begin(data)
        gateway = data.gateway
        with unless_switched_off(self._power):
            changed = asyncio.run(
                self.site.appliance.connect_vpn(gateway.host, gateway.port, data.peer_fingerprint, attempt)
            )
        return StepResult(changed=changed, note=f"The VPN client dials {gateway.host}:{gateway.port}")

    @tenant_site_step(steps.VERIFY_TENANT_TUNNEL)
    def verify_tunnel(self, data: ApplianceStep) -> TunnelSeen:
        """For a test: wait until the tunnel is connected. Nothing goes through it."""
        attempt = self._begin(data)
        with unless_switched_off(self._power):
            return wait_for_tunnel(self.site.appliance, attempt)
