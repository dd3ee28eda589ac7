"""Rolling the replica back: to the chosen restore point, and on undo to its latest. This destroys data."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.provider import marker, nic_memory
from activities.provider.addresses import of_replica
from activities.provider.restore_points import Choice, dated, latest
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts import steps
from partial_failover.contracts.errors import NotFound, WrongState
from partial_failover.contracts.network import Nic
from partial_failover.contracts.replica import CloudVm, Power, RestorePoint
from partial_failover.contracts.step_data import (
    Reverted,
    RevertInput,
    RevertToLatestInput,
    StepInput,
    StepResult,
)

LONG_AGO = timedelta(minutes=1)
"""Since a plan was made; its networks are looked at again after that."""

Pick = Callable[[Sequence[RestorePoint]], RestorePoint]
"""Chooses from a replica's chain."""


class RevertSnapshot(ProviderSteps):
    """RevertSnapshot, RevertToLatest."""

    @provider_step(steps.REVERT_SNAPSHOT)
    def revert_snapshot(self, data: RevertInput) -> Reverted:
        """Roll the replica back to the restore point that fits the request now. It was planned before a
        replication run in flight was waited for: that may have made a newer one, and others may be gone."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        self._revert_gate(vm, data)
        self._require_as_planned(vm, data)
        chosen = Choice(data.point, data.choice, data.replicas)
        changed, point, at = self._revert(vm, chosen.pick, data.not_before, data.nics, attempt)
        note = _reverted_to(vm, point)
        return Reverted(changed=changed, note=note, point=point, instead=chosen.instead(point), at=at)

    @provider_step(steps.REVERT_TO_LATEST)
    def revert_to_latest(self, data: RevertToLatestInput) -> StepResult:
        """Undo: back to the latest restore point; what the replica wrote is discarded."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        self._revert_gate(vm, data)
        changed, point, _ = self._revert(vm, latest, data.not_before, data.nics, attempt)
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

    def _require_as_planned(self, vm: CloudVm, data: RevertInput) -> None:
        """The NICs that are put back must be those that the replica has, and fit the networks still.

        While a revert of an earlier attempt is under way, its maintenance mode says so, they are not."""
        if not data.choice or data.adopted or (vm.in_maintenance and activity.info().attempt > 1):
            return
        wrong = [] if vm.nics == data.nics else [f"The NICs of {vm.name} were changed after it was planned"]
        if any(record.in_console for record in data.replicas or ()):
            wrong.append(f"Veeam's own console has a replica of {self.tenant.original_of(vm)} in failover")
        if not wrong and datetime.now(UTC) - data.not_before > LONG_AGO:
            wrong = [p.what for p in of_replica(vm, self.tenant.networks(), extended=False)]
        if wrong:
            raise WrongState(
                "; ".join(wrong), left="Nothing was reverted", do="Correct it if need be, then start again"
            )

    def _revert(
        self, vm: CloudVm, pick: Pick, not_before: datetime, nics: Sequence[Nic], attempt: Attempt
    ) -> tuple[bool, RestorePoint, datetime]:
        """Revert in vCenter under maintenance mode, then make Cloud Director see it. Says whether there was
        anything to do, the restore point, and vCenter's clock when it was picked.

        A revert rolls the hardware back too, so the NICs are put back as Cloud Director had them; until then
        they are remembered there, for whoever takes over.
        """
        vdc = self.tenant.vdc
        vcenter, hardware = self.tenant.hardware(vm)
        point, at = pick(hardware.restore_points), vcenter.now()
        nic_memory.remember(self.tenant, vm, nics, attempt)
        vdc.hold_maintenance(vm.vapp_id, vm.id, attempt)
        with self.tenant.turn(vm, attempt):
            ids = hardware.moref, hardware.instance_uuid
            try:
                changed = vcenter.revert(*ids, point, not_before, attempt)
            except NotFound:  # it was removed in between
                point = pick(self.tenant.hardware(vm)[1].restore_points)
                changed = vcenter.revert(*ids, point, not_before, attempt)
        vdc.reload_from_vcenter(vm.id, attempt)
        vdc.set_nics(vm.id, nics, attempt)
        nic_memory.forget(self.tenant, vm, attempt)
        vdc.release_maintenance(vm.vapp_id, vm.id, attempt)
        return changed, point, at


def _reverted_to(vm: CloudVm, point: RestorePoint) -> str:
    return f"{vm.name} is at restore point {dated(point)}"
