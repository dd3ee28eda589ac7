"""The long look at a failover from the tenant's site: is replication on hold, are the networks extended?"""

from activities.shared.attempt import current_attempt
from activities.tenant_site.steps import TenantSiteSteps, tenant_site_step
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.pause import Pause
from partial_failover.contracts import steps
from partial_failover.contracts.appliance import ApplianceStatus, LargePackets, TunnelState
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
            seen = await self._look(data, attempt)
            if seen == before != data.known:
                return seen
            before = seen
            await pause.rest_async()
        return data.known

    async def _look(self, data: WatchInput, attempt: Attempt) -> WatchStatus:
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
        attempt.beat()
        return WatchStatus(
            held=held,
            connected=_connected(status, data),
            claims=(*data.known.claims, *new),
            large_lost=await self._large_lost(status, data.known.large_lost),
        )

    async def _large_lost(self, status: ApplianceStatus, known: bool) -> bool:
        """Tried where the appliance has not seen one arrive just now."""
        large = status.large
        if large not in (None, LargePackets.PASS) and status.vpn.state is TunnelState.CONNECTED:
            try:
                large = await self.site.appliance.large_packets()
            except FailoverError:
                large = None
        return large is LargePackets.LOST or (known and large is not LargePackets.PASS)

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
