"""The proof that replication may be released: the replica is powered off, reverted and Normal."""

from datetime import UTC, datetime

from activities.provider import marker
from activities.provider.release_gate import require_clean
from activities.provider.steps import ProviderSteps, provider_step
from partial_failover.contracts import steps
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.step_data import CleanInput, NormalProof


class ConfirmNormal(ProviderSteps):
    """ConfirmNormal."""

    @provider_step(steps.CONFIRM_NORMAL)
    def confirm_normal(self, data: CleanInput) -> NormalProof:
        """Through the gate of release, and Normal: read in Cloud Director and vCenter."""
        vm = self.tenant.replica(data.replica_id)
        existing = marker.read(self.tenant, vm)
        if existing is not None:
            raise WrongState(f"{vm.name} is {existing.state}, not Normal", left="Replication stays on hold")
        point = require_clean(self.tenant, vm, data)
        return self.tenant.proof_key.signed(
            NormalProof(replica_id=vm.id, run=data.run, restore_point=point, read_at=datetime.now(UTC))
        )
