"""Whether production reaches the replica through the tunnel. Measured; it decides nothing."""

import asyncio

from activities.tenant_site.appliance_steps import TenantApplianceSteps
from activities.tenant_site.steps import tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.step_data import ApplianceStep, Connectivity

PING_SECONDS = 10.0
"""How long the replica is pinged through the tunnel while its guest boots, in one attempt."""


class VerifyConnectivity(TenantApplianceSteps):
    """VerifyConnectivity."""

    @tenant_site_step(steps.VERIFY_CONNECTIVITY)
    def verify_connectivity(self, data: ApplianceStep) -> Connectivity:
        """Ping the replica from the tenant's side, through the tunnel and back."""
        attempt = self._begin(data)
        answers = []
        for lease in data.leases:
            attempt.beat()
            answers.append(asyncio.run(self.site.appliance.verify(lease.id, PING_SECONDS)))
        reachable = all(a.reachable for a in answers)
        rtt = max((a.rtt_ms for a in answers if a.rtt_ms is not None), default=None)
        note = "The replica answers through the tunnel" if reachable else "The replica does not answer a ping"
        return Connectivity(changed=True, note=note, reachable=reachable, rtt_ms=rtt)
