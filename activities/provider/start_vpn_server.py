"""The VPN server on the provider's appliance."""

import asyncio

from activities.provider.appliance_steps import ProviderApplianceSteps
from activities.provider.steps import provider_step
from activities.shared.appliances import unless_switched_off, wait_for_tunnel
from activities.shared.attempt import current_attempt
from partial_failover.contracts import steps
from partial_failover.contracts.step_data import ApplianceStep, StepResult, TunnelSeen, VpnServerInput


class VpnServer(ProviderApplianceSteps):
    """StartVpnServer, VerifyTunnel."""

    @provider_step(steps.START_VPN_SERVER)
    def start_vpn_server(self, data: VpnServerInput) -> StepResult:
        """Start the VPN server; it accepts the one certificate with that fingerprint."""
        attempt = current_attempt(self.tenant.fence, data)
        self.tenant.replica(data.replica_id)
        with unless_switched_off(self._power):
            changed = asyncio.run(self._appliance.serve_vpn(data.peer_fingerprint, attempt))
        return StepResult(changed=changed, note="The VPN server listens")

    @provider_step(steps.VERIFY_PROVIDER_TUNNEL)
    def verify_tunnel(self, data: ApplianceStep) -> TunnelSeen:
        """For a test: wait until the tunnel is connected. Nothing goes through it."""
        self._authorize(data)
        with unless_switched_off(self._power):
            return wait_for_tunnel(self._appliance, current_attempt(self.tenant.fence, data))
