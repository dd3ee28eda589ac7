"""The long look at a failover from the tenant's site: is replication on hold, are the networks extended?"""

from activities.shared.attempt import current_attempt
from activities.tenant_site.steps import TenantSiteSteps, tenant_site_step
from partial_failover.connectors.pause import Pause
from partial_failover.contracts import steps
from partial_failover.contracts.appliance import ApplianceStatus, TunnelState
from partial_failover.contracts.errors import FailoverError
from partial_failover.contracts.step_data import WatchInput, WatchStatus

PAUSE = 10.0
"""Seconds between two looks. OpenVPN finds its other end again within that, so a tunnel is lost when two
looks in a row say so."""


class WatchFailover(TenantSiteSteps):
    """For one tenant. Async: most of it is waiting."""

    @tenant_site_step(steps.WATCH_FAILOVER)
    async def watch_failover(self, data: WatchInput) -> WatchStatus:
        """Look until two looks in a row agree that things stand otherwise than is known. Changes nothing."""
        if data.target is not None:
            await self.site.require_own(data.target)
        if data.leases:
            self.site.require_own_networks(data.leases)
        attempt, before = current_attempt(self.site.fence), data.known
        pause = Pause(attempt, PAUSE, PAUSE)
        while attempt.left() > 0:
            seen = await self._look(data)
            if seen == before != data.known:
                return seen
            before = seen
            await pause.rest_async()
        return data.known

    async def _look(self, data: WatchInput) -> WatchStatus:
        held = await self._held(data)
        if not data.leases:
            return data.known.model_copy(update={"held": held})
        try:
            status = await self.site.appliance.status()
        except FailoverError:
            return data.known.model_copy(update={"held": held, "connected": False})
        claims = {c for c in status.claims if c.address in {lease.address for lease in data.leases}}
        new = sorted(claims - set(data.known.claims), key=str)
        if status.vpn.state is TunnelState.UNKNOWN:
            seen = {"held": held, "unknown": True, "claims": (*data.known.claims, *new)}
            return data.known.model_copy(update=seen)
        return WatchStatus(held=held, connected=_connected(status, data), claims=(*data.known.claims, *new))

    async def _held(self, data: WatchInput) -> bool:
        """Any exclusion will do, whoever made it. A backup server that does not answer replicates nothing
        that this could stop."""
        if data.target is None:
            return True
        try:
            return await self.site.backup.hold_of(data.target) is not None
        except FailoverError:
            return data.known.held


def _connected(status: ApplianceStatus, data: WatchInput) -> bool:
    up = status.vpn.state is TunnelState.CONNECTED and not status.closing
    return up and set(data.leases) <= set(status.leases)
