"""Rolling the replica back: to the chosen restore point, and on undo to its latest. This destroys data."""

from collections.abc import Sequence
from datetime import datetime

from activities.provider import marker, nic_memory
from activities.provider.restore_points import latest
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts import steps
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.network import Nic
from partial_failover.contracts.replica import CloudVm, Power, RestorePoint
from partial_failover.contracts.step_data import RevertInput, RevertToLatestInput, StepInput, StepResult


class RevertSnapshot(ProviderSteps):
    """RevertSnapshot, RevertToLatest."""

    @provider_step(steps.REVERT_SNAPSHOT)
    def revert_snapshot(self, data: RevertInput) -> StepResult:
        """Roll the replica back to the chosen restore point."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        self._revert_gate(vm, data)
        changed = self._revert(vm, data.point, data.not_before, data.nics, attempt)
        return StepResult(changed=changed, note=_reverted_to(vm, data.point))

    @provider_step(steps.REVERT_TO_LATEST)
    def revert_to_latest(self, data: RevertToLatestInput) -> StepResult:
        """Undo: back to the latest restore point; what the replica wrote is discarded."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        self._revert_gate(vm, data)
        _, hardware = self.tenant.hardware(vm)
        point = latest(hardware.restore_points)
        changed = self._revert(vm, point, data.not_before, data.nics, attempt)
        return StepResult(changed=changed, note=_reverted_to(vm, point))

    def _revert_gate(self, vm: CloudVm, data: StepInput) -> None:
        """A revert destroys data: powered off, marked Processing by this run, and the lock still held."""
        if vm.power is not Power.OFF:
            raise WrongState(
                f"{vm.name} is {vm.power}, and only a powered-off replica is reverted",
                left="Nothing was reverted",
            )
        marker.require_nothing_to_lose(self.tenant, vm, data.run)
        self.tenant.fence.confirm_lock(data.replica_id, data.run)

    def _revert(
        self, vm: CloudVm, point: RestorePoint, not_before: datetime, nics: Sequence[Nic], attempt: Attempt
    ) -> bool:
        """Revert in vCenter under maintenance mode, then make Cloud Director see it.

        A revert rolls the hardware back too, so the NICs are put back as Cloud Director had them; until then
        they are remembered there, for whoever takes over.
        """
        vdc = self.tenant.vdc
        vcenter, hardware = self.tenant.hardware(vm)
        nic_memory.remember(self.tenant, vm, nics, attempt)
        vdc.hold_maintenance(vm.vapp_id, vm.id, attempt)
        with self.tenant.turn(vm, attempt):
            changed = vcenter.revert(hardware.moref, hardware.instance_uuid, point, not_before, attempt)
        vdc.reload_from_vcenter(vm.id, attempt)
        vdc.set_nics(vm.id, nics, attempt)
        nic_memory.forget(self.tenant, vm, attempt)
        vdc.release_maintenance(vm.vapp_id, vm.id, attempt)
        return changed


def _reverted_to(vm: CloudVm, point: RestorePoint) -> str:
    return f"{vm.name} is at restore point {point.name} of {point.created:%Y-%m-%d %H:%M:%S} UTC"
