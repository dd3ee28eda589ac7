"""Replication of the original VM is released, only against the proof that its replica is Normal."""

from datetime import UTC, datetime, timedelta

from activities.shared.attempt import current_attempt
from activities.shared.proof import require_signed
from activities.tenant_site.steps import TenantSiteSteps, tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.step_data import ReleaseInput, StepResult

PROOF_LASTS = timedelta(minutes=15)
"""A proof that the replica is Normal is worth little when it is old."""


class ReleaseReplication(TenantSiteSteps):
    """ReleaseReplication."""

    @tenant_site_step(steps.RELEASE_REPLICATION)
    async def release_replication(self, data: ReleaseInput) -> StepResult:
        """Let replication go on, only against a fresh proof that the replica is Normal."""
        proof = data.proof
        if proof.replica_id != data.replica_id or proof.run != data.run:
            raise WrongState("The proof is of another replica or run", left="Replication stays on hold")
        if datetime.now(UTC) - proof.read_at > PROOF_LASTS:
            raise WrongState(
                "The proof that the replica is Normal is too old", left="Replication stays on hold"
            )
        require_signed(proof, self.site.proof_keys)
        await self.site.require_own(data.target)
        changed = await self.site.backup.release(
            data.target, data.replica_id, current_attempt(self.site.fence, data), data.unsure
        )
        note = f"Replication of {data.target.name} goes on"
        return StepResult(changed=changed, note=note if changed else "No hold of this failover was left")
