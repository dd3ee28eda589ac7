"""The steps on the replica itself: its state, its restore point, its power."""

from collections.abc import Sequence
from datetime import UTC, datetime

from temporalio import activity

from activities.provider import isolation, marker
from activities.provider.restore_points import latest
from activities.provider.tenant import ProviderTenant
from activities.shared.attempt import current_attempt
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.network import Nic
from partial_failover.contracts.replica import CloudVm, Power, ReplicaState, RestorePoint
from partial_failover.contracts.step import (
    CleanInput,
    IsolateInput,
    MarkInput,
    NormalProof,
    PoweredOff,
    ReplicaStep,
    RevertInput,
    RevertToLatestInput,
    Step,
    StepResult,
)


class ReplicaActivities:
    """For one tenant. Sync: the clients behind block."""

    def __init__(self, tenant: ProviderTenant) -> None:
        self.tenant = tenant

    @activity.defn(name=Step.MARK_PROCESSING, no_thread_cancel_exception=True)
    def mark_processing(self, data: MarkInput) -> StepResult:
        """Normal or Failover becomes Processing. Refused unless this run holds the replica's lock."""
        self.tenant.fence.confirm_lock(data.replica_id, data.run)
        return self._mark(data, ReplicaState.PROCESSING)

    @activity.defn(name=Step.MARK_FAILOVER, no_thread_cancel_exception=True)
    def mark_failover(self, data: MarkInput) -> StepResult:
        """Processing becomes Failover: from here on the replica's writes are kept until undo. Refused unless
        the replica is on."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.settled_replica(data.replica_id, attempt)
        found = marker.read(self.tenant, vm)
        if found is None or found.state is not ReplicaState.FAILOVER:
            marker.require_processing(self.tenant, vm, data.run)
        if vm.power is not Power.ON:
            raise WrongState(
                f"{vm.name} is {vm.power}, not on, so it is not in Failover",
                left="What it wrote is as it was",
                do="Find out who switched it off, then start again",
            )
        changed = marker.write(self.tenant, vm, ReplicaState.FAILOVER, data, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is {ReplicaState.FAILOVER}")

    @activity.defn(name=Step.MARK_FAILED_FAILOVER, no_thread_cancel_exception=True)
    def mark_failed_failover(self, data: MarkInput) -> StepResult:
        """Something could not be undone: a person must look."""
        return self._mark(data, ReplicaState.FAILED_FAILOVER)

    def _mark(self, data: MarkInput, state: ReplicaState) -> StepResult:
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.settled_replica(data.replica_id, attempt)
        changed = marker.write(self.tenant, vm, state, data, attempt)
        if data.nics:  # after the marker: what has none is taken for untouched
            isolation.remember(self.tenant, vm, data.nics, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is {state}")

    @activity.defn(name=Step.REVERT_SNAPSHOT, no_thread_cancel_exception=True)
    def revert_snapshot(self, data: RevertInput) -> StepResult:
        """Roll the replica back to the chosen restore point."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        self._revert_gate(vm, data)
        changed = self._revert(vm, data.point, data.not_before, data.nics, attempt)
        return StepResult(changed=changed, note=_reverted_to(vm, data.point))

    @activity.defn(name=Step.REVERT_TO_LATEST, no_thread_cancel_exception=True)
    def revert_to_latest(self, data: RevertToLatestInput) -> StepResult:
        """Undo: back to the latest restore point; what the replica wrote is discarded."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        self._revert_gate(vm, data)
        _, hardware = self.tenant.hardware(vm)
        point = latest(hardware.restore_points)
        changed = self._revert(vm, point, data.not_before, data.nics, attempt)
        return StepResult(changed=changed, note=_reverted_to(vm, point))

    def _revert_gate(self, vm: CloudVm, data: ReplicaStep) -> None:
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
        cloud, vdc = self.tenant.cloud, self.tenant.vdc
        vcenter, hardware = self.tenant.hardware(vm)
        isolation.remember(self.tenant, vm, nics, attempt)
        cloud.hold_maintenance(vdc, vm.vapp_id, vm.id, attempt)
        with self.tenant.turn(vm, attempt):
            changed = vcenter.revert(hardware.moref, hardware.instance_uuid, point, not_before, attempt)
        cloud.reload_from_vcenter(vdc, vm.id, attempt)
        cloud.set_nics(vdc, vm.id, nics, attempt)
        isolation.forget(self.tenant, vm, attempt)
        cloud.release_maintenance(vdc, vm.vapp_id, vm.id, attempt)
        return changed

    @activity.defn(name=Step.POWER_ON_REPLICA, no_thread_cancel_exception=True)
    def power_on_replica(self, data: ReplicaStep) -> StepResult:
        """Power on through Cloud Director, which wires its networks."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_processing(self.tenant, vm, data.run)
        self.tenant.hardware(vm)
        with self.tenant.turn(vm, attempt):
            changed = self.tenant.cloud.power_on(self.tenant.vdc, vm.id, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is powered on")

    @activity.defn(name=Step.ISOLATE_REPLICA, no_thread_cancel_exception=True)
    def isolate_replica(self, data: IsolateInput) -> StepResult:
        """For a test: take the replica off every network but the one for tests. How it was is kept."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_test(self.tenant, vm, data.run)
        if vm.power is not Power.OFF:
            raise WrongState(f"{vm.name} is {vm.power}, too late to isolate it", left="Nothing was changed")
        cloud, vdc = self.tenant.cloud, self.tenant.vdc
        network = isolation.network_of(self.tenant)
        isolation.remember(self.tenant, vm, data.nics, attempt)
        if network is not None:
            cloud.attach_networks(vdc, vm.vapp_id, [network], attempt)
        changed = cloud.set_nics(vdc, vm.id, isolation.isolated(data.nics, network), attempt)
        where = f"connected to {network.name} alone" if network else "disconnected from every network"
        return StepResult(changed=changed, note=f"{vm.name} is {where}")

    @activity.defn(name=Step.POWER_ON_ISOLATED, no_thread_cancel_exception=True)
    def power_on_isolated(self, data: ReplicaStep) -> StepResult:
        """For a test: power on, unless a NIC is on a network that production can see."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_test(self.tenant, vm, data.run)
        if not isolation.apart(self.tenant, vm):
            raise WrongState(
                f"{vm.name} is connected to a network that production can see",
                left="It was not powered on",
                do="Find out who rewired it during its test",
            )
        self.tenant.hardware(vm)
        with self.tenant.turn(vm, attempt):
            changed = self.tenant.cloud.power_on(self.tenant.vdc, vm.id, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is powered on")

    @activity.defn(name=Step.POWER_OFF_REPLICA, no_thread_cancel_exception=True)
    def power_off_replica(self, data: ReplicaStep) -> PoweredOff:
        """Power off and undeploy, as the undo of the power-on."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_processing(self.tenant, vm, data.run)
        changed = self.tenant.cloud.undeploy(self.tenant.vdc, vm.id, attempt)
        vcenter, _ = self.tenant.hardware(vm)
        return PoweredOff(changed=changed, note=f"{vm.name} is powered off", at=vcenter.now())

    @activity.defn(name=Step.MARK_NORMAL, no_thread_cancel_exception=True)
    def mark_normal(self, data: CleanInput) -> StepResult:
        """Normal again: only when powered off and at its latest restore point. Another run's marker stays."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.settled_replica(data.replica_id, attempt)
        found = marker.read(self.tenant, vm)
        if found is None:
            return StepResult(changed=False, note=f"{vm.name} is Normal")
        if found.run_id != data.run.run_id:
            return StepResult(changed=False, note=f"{vm.name} belongs to {found.workflow_id}")
        self._require_clean(vm, data)
        isolation.forget(self.tenant, vm, attempt)
        changed = marker.clear(self.tenant, vm, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is Normal")

    @activity.defn(name=Step.CONFIRM_NORMAL, no_thread_cancel_exception=True)
    def confirm_normal(self, data: CleanInput) -> NormalProof:
        """The gate of release: powered off, reverted, Normal, read in Cloud Director and vCenter."""
        vm = self.tenant.replica(data.replica_id)
        found = marker.read(self.tenant, vm)
        if found is not None:
            raise WrongState(f"{vm.name} is {found.state}, not Normal", left="Replication stays on hold")
        self.tenant.fence.confirm_lock(data.replica_id, data.run)
        point = self._require_clean(vm, data)
        return NormalProof(replica_id=vm.id, run=data.run, restore_point=point, read_at=datetime.now(UTC))

    def _require_clean(self, vm: CloudVm, data: CleanInput) -> RestorePoint:
        """Replicating onto a replica that is on or was written to tears its image silently."""
        vcenter, hardware = self.tenant.hardware(vm)
        point = latest(hardware.restore_points)
        off = vm.power is Power.OFF and hardware.power is Power.OFF
        if not off or hardware.current != point.id:
            raise WrongState(
                f"{vm.name} is {hardware.power} and stands on {hardware.current}, "
                f"not powered off on its latest restore point {point.id}",
                left="Replication stays on hold",
                do="Undo the failover again, or power it off and revert it to its latest restore point",
            )
        if data.not_before and vcenter.started_since_revert(hardware.moref, data.not_before):
            raise WrongState(
                f"Somebody powered {vm.name} on after it was reverted, so it may have been written to",
                left="It was left as it is, and replication stays on hold",
                do="Find out who; when nothing of what it wrote is needed, let it be taken back once more",
            )
        return point


def _reverted_to(vm: CloudVm, point: RestorePoint) -> str:
    return f"{vm.name} is at restore point {point.name} of {point.created:%Y-%m-%d %H:%M:%S} UTC"
