"""What one tenant's namespace may touch at the provider. Authority comes from here, never from an input."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from activities.shared.fence import Fence
from activities.shared.proof import ProofKey
from partial_failover.connectors.appliance import Appliance
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director import OrganizationVdc
from partial_failover.connectors.pause import Pause
from partial_failover.connectors.vsphere import VSphere
from partial_failover.contracts.errors import Busy, Misconfigured, NotFound, TaskFailed
from partial_failover.contracts.network import Network
from partial_failover.contracts.replica import CloudVm, Power, VSphereVm
from partial_failover.settings import ProviderTenantSettings
from partial_failover.temporal.shares import Shares
from partial_failover.temporal.turns import urgency

BETWEEN_LOOKS = 0.2, 2.0
"""Seconds between two looks at a power state on which Cloud Director and vCenter differ: first, longest."""
AGREES_WITHIN = 30.0
"""Seconds that Cloud Director has to see what vCenter shows."""


@dataclass(frozen=True)
class VCenter:
    """One of the provider's. `operations`: the reverts and power-ons that may be under way at it."""

    connector: VSphere
    operations: Shares


class ProviderTenant:
    """One tenant: its org VDC, its replicas and its appliance, through the provider's own sessions."""

    def __init__(
        self,
        settings: ProviderTenantSettings,
        vdc: OrganizationVdc,
        vcenters: Mapping[str, VCenter],
        appliance: Appliance | None,
        fence: Fence,
        proof_key: ProofKey,
    ) -> None:
        self.settings = settings
        self.vdc = vdc
        self.vcenters = vcenters
        self.appliance = appliance
        self.fence = fence
        self.proof_key = proof_key

    def is_replica(self, vm: CloudVm) -> bool:
        """Replicas are told by the suffix that replication gives to their names."""
        return vm.name.endswith(self.settings.replica_suffix)

    def original_of(self, vm: CloudVm) -> str:
        """Name of the original VM."""
        return vm.name.removesuffix(self.settings.replica_suffix)

    def replica_of(self, original: str) -> CloudVm:
        """The replica of an original VM, by the original's name or the replica's own."""
        suffix = self.settings.replica_suffix
        return self.vdc.vm_named(original.removesuffix(suffix) + suffix)

    def replica(self, replica_id: str) -> CloudVm:
        """The replica with this id. Another tenant's, or a VM that is no replica, is not found."""
        vm = self.vdc.vm(replica_id)
        if not self.is_replica(vm):
            raise NotFound(f"There is no replica {replica_id} in your organization VDC")
        return vm

    def settled_replica(self, replica_id: str, attempt: Attempt) -> CloudVm:
        """The replica when no task runs on it any more: an earlier step's may still, if its worker died."""
        return self.vdc.settle(self.replica(replica_id).id, attempt)

    def hardware(self, vm: CloudVm) -> tuple[VSphere, VSphereVm]:
        """The vCenter of a replica, and the replica as it shows it now."""
        vcenter, moref = self.place(vm)
        return vcenter, vcenter.vm(moref)

    def place(self, vm: CloudVm) -> tuple[VSphere, str]:
        """The vCenter of a VM, and its reference there. Nothing is asked."""
        if vm.moref is None or vm.vcenter is None:
            raise Misconfigured(
                f"Cloud Director does not tell where {vm.name} runs",
                do="The worker's API token must belong to the System organization",
            )
        vcenter = self.vcenters.get(vm.vcenter)
        if vcenter is None:
            raise Misconfigured(
                f"{vm.name} runs in vCenter {vm.vcenter}, which is not in the worker's settings",
                do="Add it under vcenters",
            )
        return vcenter.connector, vm.moref

    @contextmanager
    def turn(self, vm: CloudVm, attempt: Attempt) -> Iterator[None]:
        """One of the few reverts and power-ons that a vCenter is asked for at the same time."""
        operations = self.vcenters[vm.vcenter or ""].operations
        turn = operations.ask(self.settings.namespace, urgency())
        try:
            while not wait({turn.begun}, timeout=1).done:
                if attempt.left() <= 0:
                    raise Busy(f"Too many other VMs are being worked on in the vCenter of {vm.name}")
                attempt.beat()
            yield
        finally:
            operations.end(turn)

    def power_on(self, vm: CloudVm, attempt: Attempt) -> bool:
        """Power on through Cloud Director, which wires its networks. On is what vCenter calls on."""
        with self.turn(vm, attempt):
            return self._until_vcenter_agrees(vm, Power.ON, self.vdc.power_on, attempt)

    def power_off(self, vm: CloudVm, attempt: Attempt) -> bool:
        """Power off and undeploy through Cloud Director. Off is what vCenter calls off."""
        return self._until_vcenter_agrees(vm, Power.OFF, self.vdc.undeploy, attempt)

    def power(self, vm: CloudVm) -> Power:
        """Whether it runs, as vCenter says: what Cloud Director shows may be what was."""
        vcenter, moref = self.place(vm)
        return vcenter.running(moref).power

    def is_off(self, vm: CloudVm) -> bool:
        """Whether both say so."""
        return vm.power is Power.OFF and self.power(vm) is Power.OFF

    def _until_vcenter_agrees(
        self, vm: CloudVm, wanted: Power, switch: Callable[[str, Attempt], bool], attempt: Attempt
    ) -> bool:
        """Cloud Director may show a power state that is over, and then does nothing. It is asked again when
        it has had time to see it, and in the end after it was made to look."""
        changed = switch(vm.id, attempt)
        pause, end = Pause(attempt, *BETWEEN_LOOKS), monotonic() + AGREES_WITHIN
        while self.power(vm) is not wanted:
            if monotonic() >= end or attempt.left() <= 0:
                break
            pause.rest()
            changed = switch(vm.id, attempt) or changed
        else:
            return changed
        self.vdc.reload_from_vcenter(vm.id, attempt)
        changed = switch(vm.id, attempt) or changed
        power = self.power(vm)
        if power is not wanted:
            raise TaskFailed(
                f"Cloud Director shows {vm.name} {wanted}, and vCenter shows it {power}",
                do="Nothing to do: it is tried again. If this lasts, see why the two disagree",
            )
        return changed

    def networks(self) -> tuple[Network, ...]:
        """All organization VDC networks, but for the appliance's own management network and the one for
        failover tests."""
        appliance, tests = self.settings.appliance, self.settings.test_network
        own = {appliance.management_network if appliance else None, tests.name if tests else None}
        return tuple(n for n in self.vdc.networks() if n.name not in own)

    def appliance_vm(self) -> CloudVm:
        """The tenant's network extension appliance in the org VDC."""
        if self.settings.appliance is None:
            raise Misconfigured("This tenant has no appliance at the provider")
        return self.vdc.vm_named(self.settings.appliance.vm)
