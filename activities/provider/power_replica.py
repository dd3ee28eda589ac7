"""Powering the replica on, and off again on undo."""

from activities.provider import marker
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.contracts import steps
from partial_failover.contracts.errors import Unavailable, WrongState
from partial_failover.contracts.replica import CloudVm, Power, RestorePoint, VSphereVm
from partial_failover.contracts.step_data import PoweredOff, PowerOnInput, ReplicaInput, StepResult


def _require_on(point: RestorePoint | None, vm: CloudVm, now: VSphereVm) -> None:
    """That nobody reverted it to another point since. What is on was powered on by this failover."""
    current = next((p for p in now.restore_points if p.id == now.current), None)
    if point is None or now.power is not Power.OFF or current is None or current.foreign:
        return
    if current.id != point.id and point.id in {p.id for p in now.restore_points}:
        raise WrongState(
            f"{vm.name} stands on {current.name}, not on {point.name}: somebody reverted it once more",
            left="It was not powered on",
            do="Find out who, then start again",
        )


class PowerReplica(ProviderSteps):
    """PowerOnReplica, ResumeReplica, PowerOffReplica."""

    @provider_step(steps.POWER_ON_REPLICA)
    def power_on_replica(self, data: PowerOnInput) -> StepResult:
        """Power on through Cloud Director, which wires its networks."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_processing(self.tenant, vm, data.run)
        _require_on(data.point, vm, self.tenant.hardware(vm)[1])
        changed = self.tenant.power_on(vm, attempt)
        return StepResult(changed=changed, note=f"{vm.name} is powered on")

    @provider_step(steps.RESUME_REPLICA)
    def resume_replica(self, data: ReplicaInput) -> StepResult:
        """On again, in Failover, from off or suspended. Nothing is reverted: what it wrote stays."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.settled_replica(data.replica_id, attempt)
        marker.require_failover(self.tenant, vm, data.run)
        vcenter, moref = self.tenant.place(vm)
        now = vcenter.running(moref)
        if now.question:
            raise WrongState(
                f"{vm.name} waits for an answer: {now.question}",
                left="Nothing was sent",
                do="Answer the question in Cloud Director or vCenter",
            )
        if now.power is Power.ON:
            return StepResult(changed=False, note=f"{vm.name} is on")
        if vm.power is not now.power:
            self.tenant.vdc.reload_from_vcenter(vm.id, attempt)
        with self.tenant.turn(vm, attempt):
            self.tenant.vdc.power_on(vm.id, attempt, resume=True)
        if vcenter.running(moref).power is not Power.ON:
            raise Unavailable(
                f"Cloud Director says that {vm.name} is on, and vCenter does not yet",
                do="It is looked at again",
            )
        return StepResult(changed=True, note=f"{vm.name} is on again, with all that it wrote")

    @provider_step(steps.POWER_OFF_REPLICA)
    def power_off_replica(self, data: ReplicaInput) -> PoweredOff:
        """Power off and undeploy, as the undo of the power-on."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = self.tenant.replica(data.replica_id)
        marker.require_processing(self.tenant, vm, data.run)
        changed = self.tenant.power_off(vm, attempt)
        vcenter, _ = self.tenant.hardware(vm)
        return PoweredOff(changed=changed, note=f"{vm.name} is powered off", at=vcenter.now())
