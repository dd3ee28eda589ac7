"""Hold and release of one original VM on the tenant's backup server."""

from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.shared.attempt import current_attempt
from activities.tenant_site.site import Site
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.step import HoldInput, ReleaseInput, Step, StepResult

PROOF_LASTS = timedelta(minutes=15)
"""A proof that the replica is Normal is worth little when it is old."""


class ReplicationActivities:
    """For one tenant. Async: the REST client is."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @activity.defn(name=Step.HOLD_REPLICATION)
    async def hold_replication(self, data: HoldInput) -> StepResult:
        """Exclude the original VM from all jobs, then wait until no run that has it is in flight."""
        attempt = current_attempt(self.site.fence, data)
        await self.site.require_own(data.target)
        changed = await self.site.backup.hold(data.target, data.replica_id, attempt)
        patience = self.site.settings.drain_patience.total_seconds()
        drained = await self.site.backup.drain(data.target, attempt, patience, data.may_stop)
        held = "held" if changed else "on hold already"
        return StepResult(changed=changed, note=f"Replication of {data.target.name} is {held}; {drained}")

    @activity.defn(name=Step.RELEASE_REPLICATION)
    async def release_replication(self, data: ReleaseInput) -> StepResult:
        """Let replication go on, only against a fresh proof that the replica is Normal."""
        proof = data.proof
        if proof.replica_id != data.replica_id or proof.run != data.run:
            raise WrongState("The proof is of another replica or run", left="Replication stays on hold")
        if datetime.now(UTC) - proof.read_at > PROOF_LASTS:
            raise WrongState(
                "The proof that the replica is Normal is too old", left="Replication stays on hold"
            )
        await self.site.require_own(data.target)
        changed = await self.site.backup.release(
            data.target, data.replica_id, current_attempt(self.site.fence, data), data.unsure
        )
        note = f"Replication of {data.target.name} goes on"
        return StepResult(changed=changed, note=note if changed else "No hold of this failover was left")
