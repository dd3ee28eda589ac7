"""The steps on the provider's network extension appliance."""

import asyncio

from temporalio import activity

from activities.provider.leases import require_own_leases
from activities.provider.tenant import ProviderTenant
from activities.shared.appliances import (
    declare_networks,
    may_go_off,
    place_leases,
    release_leases,
    require_open,
    unless_switched_off,
    wait_for_tunnel,
    wait_until_it_answers,
)
from activities.shared.attempt import current_attempt
from partial_failover.connectors.appliances import Appliance
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.base import Contract
from partial_failover.contracts.errors import LimitReached, Misconfigured
from partial_failover.contracts.network import AllocationMode, Network, Nic
from partial_failover.contracts.replica import CloudVm, Power
from partial_failover.contracts.step import (
    ApplianceReady,
    ApplianceStep,
    Step,
    StepResult,
    TunnelSeen,
    VpnServerInput,
)

KEY = "partial-failover.appliance"
MOST_NETWORKS = 9
"""A VM has at most 10 NICs and one goes to the management network (documented limit)."""


class WiringBefore(Contract):
    """How the appliance was wired before the first failover touched it; kept in its vApp's metadata."""

    networks: tuple[str, ...]
    nics: tuple[Nic, ...]


class ProviderApplianceActivities:
    """For one tenant."""

    def __init__(self, tenant: ProviderTenant) -> None:
        self.tenant = tenant

    @property
    def _appliance(self) -> Appliance:
        if self.tenant.appliance is None:
            raise Misconfigured("This tenant has no appliance at the provider")
        return self.tenant.appliance

    def _power(self) -> Power:
        return self.tenant.appliance_vm().power

    def _authorize(self, data: ApplianceStep) -> None:
        require_own_leases(self.tenant, data)

    @activity.defn(name=Step.CONNECT_NETWORKS, no_thread_cancel_exception=True)
    def connect_networks(self, data: ApplianceStep) -> StepResult:
        """Import every organization VDC network into the appliance's vApp and give each a NIC."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        cloud, vdc = self.tenant.cloud, self.tenant.vdc
        networks = self.tenant.networks()
        if len(networks) > MOST_NETWORKS:
            raise LimitReached(
                f"The organization VDC has {len(networks)} networks, and the appliance takes {MOST_NETWORKS}",
                left="No network was connected",
            )
        vm = self.tenant.appliance_vm()
        attached = cloud.vapp_networks(vdc, vm.vapp_id)
        wanted = wired(vm, networks)
        if wanted == vm.nics and all(n.name in attached for n in networks):
            return StepResult(changed=False, note=f"All {len(networks)} networks are connected")
        before = self._wiring_before(vm) or WiringBefore(networks=attached, nics=vm.nics)
        self._remember(vm, before, attempt)
        cloud.attach_networks(vdc, vm.vapp_id, networks, attempt)
        cloud.set_nics(vdc, vm.id, wanted, attempt)
        # The end of another failover, which took its own networks out meanwhile, may have forgotten it since.
        self._remember(vm, before, attempt)
        return StepResult(changed=True, note=f"Connected to {len(networks)} organization VDC networks")

    def _wiring_before(self, vm: CloudVm) -> WiringBefore | None:
        text = self.tenant.cloud.metadata(self.tenant.vdc, "vapp", vm.vapp_id, KEY)
        return None if text is None else WiringBefore.model_validate_json(text)

    def _remember(self, vm: CloudVm, before: WiringBefore, attempt: Attempt) -> None:
        if self._wiring_before(vm) is None:
            text = before.model_dump_json()
            self.tenant.cloud.set_metadata(self.tenant.vdc, "vapp", vm.vapp_id, KEY, text, attempt)

    @activity.defn(name=Step.POWER_ON_PROVIDER_APPLIANCE, no_thread_cancel_exception=True)
    def power_on(self, data: ApplianceStep) -> ApplianceReady:
        """Power the appliance on, wait until it answers, and tell it its networks."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        cloud, vdc = self.tenant.cloud, self.tenant.vdc
        vm = self.tenant.appliance_vm()
        changed = cloud.power_on(vdc, vm.id, attempt)
        status = wait_until_it_answers(self._appliance, self._power, attempt)
        require_open(status, lambda: cloud.undeploy(vdc, vm.id, attempt))
        macs = {nic.network: nic.mac for nic in self.tenant.appliance_vm().nics if nic.network}
        spares = self.tenant.settings.appliance.spares if self.tenant.settings.appliance else {}
        declare_networks(self._appliance, self.tenant.networks(), macs, spares, attempt)
        return ApplianceReady(
            changed=changed, note=f"{vm.name} is on and answers", fingerprint=status.fingerprint
        )

    @activity.defn(name=Step.START_VPN_SERVER, no_thread_cancel_exception=True)
    def start_vpn_server(self, data: VpnServerInput) -> StepResult:
        """Start the VPN server; it accepts the one certificate with that fingerprint."""
        attempt = current_attempt(self.tenant.fence, data)
        self.tenant.replica(data.replica_id)
        with unless_switched_off(self._power):
            changed = asyncio.run(self._appliance.serve_vpn(data.peer_fingerprint, attempt))
        return StepResult(changed=changed, note="The VPN server listens")

    @activity.defn(name=Step.CONFIGURE_PROVIDER_PROXY_ARP, no_thread_cancel_exception=True)
    def configure_proxy_arp(self, data: ApplianceStep) -> StepResult:
        """Register the replica's addresses: the appliance answers its ARP requests for production VMs."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        with unless_switched_off(self._power):
            changed = place_leases(self._appliance, data, attempt)
        return StepResult(changed=changed, note=_addresses(data))

    @activity.defn(name=Step.VERIFY_TUNNEL, no_thread_cancel_exception=True)
    def verify_tunnel(self, data: ApplianceStep) -> TunnelSeen:
        """For a test: wait until the tunnel is connected. Nothing goes through it."""
        self._authorize(data)
        with unless_switched_off(self._power):
            return wait_for_tunnel(self._appliance, current_attempt(self.tenant.fence, data))

    @activity.defn(name=Step.REMOVE_PROVIDER_PROXY_ARP, no_thread_cancel_exception=True)
    def remove_proxy_arp(self, data: ApplianceStep) -> StepResult:
        """Take the replica's addresses out; with the last one the VPN server stops."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        vm = self.tenant.appliance_vm()
        if vm.power is not Power.ON and not data.placed:
            return StepResult(changed=False, note=f"{vm.name} is off and holds no lease of this failover")
        was_off = vm.power is not Power.ON
        if was_off:
            # A lease on its disk would come alive at the next boot, so it is taken out there.
            self.tenant.cloud.power_on(self.tenant.vdc, vm.id, attempt)
            wait_until_it_answers(self._appliance, self._power, attempt)
        released = release_leases(self._appliance, data, attempt)
        note = f"Addresses left on {vm.name}: {released.left}"
        return StepResult(changed=was_off or released.changed, note=note)

    @activity.defn(name=Step.POWER_OFF_PROVIDER_APPLIANCE, no_thread_cancel_exception=True)
    def power_off(self, data: ApplianceStep) -> StepResult:
        """Power the appliance off, if it has decided that nobody uses it any more."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        vm = self.tenant.appliance_vm()
        if vm.power is not Power.ON:
            return StepResult(changed=False, note=f"{vm.name} is powered off")
        if not may_go_off(self._appliance):
            return StepResult(changed=False, note=f"{vm.name} stays on: it is in use, or was on before")
        self.tenant.cloud.undeploy(self.tenant.vdc, vm.id, attempt)
        return StepResult(changed=True, note=f"{vm.name} is powered off")

    @activity.defn(name=Step.DISCONNECT_NETWORKS, no_thread_cancel_exception=True)
    def disconnect_networks(self, data: ApplianceStep) -> StepResult:
        """Wire the appliance as it was before the first failover, once it is off."""
        attempt = current_attempt(self.tenant.fence, data)
        self._authorize(data)
        cloud, vdc = self.tenant.cloud, self.tenant.vdc
        vm = self.tenant.appliance_vm()
        before = self._wiring_before(vm)
        if before is None:
            return StepResult(changed=False, note="No network was connected by a failover")
        if vm.power is Power.ON:
            return StepResult(changed=False, note=f"{vm.name} is in use and keeps its networks")
        extra = [n for n in cloud.vapp_networks(vdc, vm.vapp_id) if n not in before.networks]
        cloud.set_nics(vdc, vm.id, before.nics, attempt)
        cloud.detach_networks(vdc, vm.vapp_id, extra, attempt)
        cloud.delete_metadata(vdc, "vapp", vm.vapp_id, KEY, attempt)
        if {nic.network for nic in self.tenant.appliance_vm().nics} != {nic.network for nic in before.nics}:
            # Another failover connected it meanwhile, and relied on what was just forgotten.
            self._remember(vm, before, attempt)
            return StepResult(changed=True, note=f"{vm.name} is in use again and keeps its networks")
        return StepResult(changed=True, note=f"Disconnected from {len(extra)} networks")


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


def _addresses(data: ApplianceStep) -> str:
    return "Answers for " + ", ".join(str(lease.address) for lease in data.leases)
