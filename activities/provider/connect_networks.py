"""The organization VDC networks of the provider's appliance: all are connected, and it is wired back."""

from activities.provider.appliance_steps import ProviderApplianceSteps
from activities.provider.steps import provider_step
from activities.shared.attempt import current_attempt
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director.metadata_store import APPLIANCE
from partial_failover.contracts import steps
from partial_failover.contracts.errors import LimitReached
from partial_failover.contracts.network import MOST_NETWORKS, AllocationMode, Network, Nic
from partial_failover.contracts.remembered import ApplianceWiring
from partial_failover.contracts.replica import CloudVm, Power
from partial_failover.contracts.step_data import ApplianceStep, StepResult


class ConnectNetworks(ProviderApplianceSteps):
    """ConnectNetworks, DisconnectNetworks."""

    @provider_step(steps.CONNECT_NETWORKS)
    def connect_networks(self, data: ApplianceStep) -> StepResult:
        """Import every organization VDC network into the appliance's vApp and give each a NIC."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        vdc = self.tenant.vdc
        networks = self.tenant.networks()
        if len(networks) > MOST_NETWORKS:
            raise LimitReached(
                f"The organization VDC has {len(networks)} networks, and the appliance takes {MOST_NETWORKS}",
                left="No network was connected",
            )
        vm = self.tenant.appliance_vm()
        attached = vdc.vapp_networks(vm.vapp_id)
        wanted = wired(vm, networks)
        bridged = set(attached) - set(vm.own_networks)
        if wanted == vm.nics and all(n.name in bridged for n in networks):
            return StepResult(changed=False, note=f"All {len(networks)} networks are connected")
        before = self._wiring_before(vm) or ApplianceWiring(networks=attached, nics=vm.nics)
        self._remember(vm, before, attempt)
        vdc.attach_networks(vm.vapp_id, networks, attempt)
        vdc.set_nics(vm.id, wanted, attempt)
        # The end of another failover, which took its own networks out meanwhile, may have forgotten it since.
        self._remember(vm, before, attempt)
        return StepResult(changed=True, note=f"Connected to {len(networks)} organization VDC networks")

    @provider_step(steps.DISCONNECT_NETWORKS)
    def disconnect_networks(self, data: ApplianceStep) -> StepResult:
        """Wire the appliance as it was before the first failover, once it is off."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        vdc = self.tenant.vdc
        vm = self.tenant.appliance_vm()
        before = self._wiring_before(vm)
        if before is None:
            return StepResult(changed=False, note="No network was connected by a failover")
        if self.tenant.power(vm) is Power.ON:
            return StepResult(changed=False, note=f"{vm.name} is in use and keeps its networks")
        extra = [n for n in vdc.vapp_networks(vm.vapp_id) if n not in before.networks]
        vdc.set_nics(vm.id, before.nics, attempt)
        vdc.detach_networks(vm.vapp_id, extra, attempt)
        vdc.remembered.forget(APPLIANCE, vm.vapp_id, attempt)
        if {nic.network for nic in self.tenant.appliance_vm().nics} != {nic.network for nic in before.nics}:
            # Another failover connected it meanwhile, and relied on what was just forgotten.
            self._remember(vm, before, attempt)
            return StepResult(changed=True, note=f"{vm.name} is in use again and keeps its networks")
        return StepResult(changed=True, note=f"Disconnected from {len(extra)} networks")

    def _wiring_before(self, vm: CloudVm) -> ApplianceWiring | None:
        return self.tenant.vdc.remembered.read(APPLIANCE, vm.vapp_id)

    def _remember(self, vm: CloudVm, before: ApplianceWiring, attempt: Attempt) -> None:
        if self._wiring_before(vm) is None:
            self.tenant.vdc.remembered.write(APPLIANCE, vm.vapp_id, before, attempt)


def wired(vm: CloudVm, networks: tuple[Network, ...]) -> tuple[Nic, ...]:
    """The NICs that the VM has, and one more for each network without one."""
    have = {nic.network for nic in vm.nics}
    free = (i for i in range(10) if i not in {nic.index for nic in vm.nics})
    missing = [n for n in networks if n.name not in have]
    new = [
        Nic(index=i, network=n.name, mode=AllocationMode.NONE) for i, n in zip(free, missing, strict=False)
    ]
    if len(new) < len(missing):
        raise LimitReached(
            f"{vm.name} has no NIC left for {len(missing) - len(new)} networks",
            do="Remove NICs from it that nothing uses, in Cloud Director",
        )
    return (*vm.nics, *new)
