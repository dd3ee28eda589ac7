"""Replication of the original VM is put on hold."""

from activities.shared.attempt import current_attempt
from activities.tenant_site.steps import TenantSiteSteps, tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.errors import FailoverError
from partial_failover.contracts.replication import ReplicaRecord
from partial_failover.contracts.step_data import HeldReplication, HoldInput


class HoldReplication(TenantSiteSteps):
    """HoldReplication. Async: the REST client is."""

    @tenant_site_step(steps.HOLD_REPLICATION)
    async def hold_replication(self, data: HoldInput) -> HeldReplication:
        """Exclude the original VM from all jobs, then wait until no run that has it is in flight. What the
        server knows of its replicas is read after that: a run may have made a point since the preflight."""
        attempt = current_attempt(self.site.fence, data)
        await self.site.require_own(data.target)
        changed = await self.site.backup.hold(data.target, data.replica_id, attempt)
        patience = self.site.settings.drain_patience.total_seconds()
        drained = await self.site.backup.drain(data.target, attempt, patience, data.may_stop)
        held = "held" if changed else "on hold already"
        return HeldReplication(
            changed=changed,
            note=f"Replication of {data.target.name} is {held}; {drained}",
            replicas=await self._replicas(data.target.name),
        )

    async def _replicas(self, vm: str) -> tuple[ReplicaRecord, ...] | None:
        """None where it cannot be asked: the snapshots have replication's marks."""
        try:
            return await self.site.backup.replicas_of(vm)
        except FailoverError:
            return None
