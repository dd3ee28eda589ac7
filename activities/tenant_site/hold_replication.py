"""Replication of the original VM is put on hold."""

from activities.shared.attempt import current_attempt
from activities.tenant_site.steps import TenantSiteSteps, tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.step_data import HoldInput, StepResult


class HoldReplication(TenantSiteSteps):
    """HoldReplication. Async: the REST client is."""

    @tenant_site_step(steps.HOLD_REPLICATION)
    async def hold_replication(self, data: HoldInput) -> StepResult:
        """Exclude the original VM from all jobs, then wait until no run that has it is in flight."""
        attempt = current_attempt(self.site.fence, data)
        await self.site.require_own(data.target)
        changed = await self.site.backup.hold(data.target, data.replica_id, attempt)
        patience = self.site.settings.drain_patience.total_seconds()
        drained = await self.site.backup.drain(data.target, attempt, patience, data.may_stop)
        held = "held" if changed else "on hold already"
        return StepResult(changed=changed, note=f"Replication of {data.target.name} is {held}; {drained}")
