"""The steps on the tenant's network extension appliance."""

import asyncio

from temporalio import activity

from activities.provider.leases import require_own_networks
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
from activities.tenant_site.site import Site
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step import (
    ApplianceReady,
    ApplianceStep,
    Connectivity,
    Step,
    StepResult,
    TunnelSeen,
    VpnClientInput,
)

PING_SECONDS = 10.0
"""How long the replica is pinged through the tunnel while its guest boots, in one attempt."""


class TenantApplianceActivities:
    """For one tenant."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def _begin(self, data: ApplianceStep | VpnClientInput) -> Attempt:
        require_own_networks(self.site.appliance_settings.networks, data.leases)
        return current_attempt(self.site.fence, data)

    def _power(self) -> Power:
        return self.site.appliance_vm().power

    @activity.defn(name=Step.POWER_ON_TENANT_APPLIANCE, no_thread_cancel_exception=True)
    def power_on(self, data: ApplianceStep) -> ApplianceReady:
        """Power the appliance on, wait until it answers, and tell it its networks."""
        attempt = self._begin(data)
        vm = self.site.appliance_vm()
        changed = self.site.vcenter.power_on(vm.moref, attempt)
        status = wait_until_it_answers(self.site.appliance, self._power, attempt)
        require_open(status, lambda: self.site.vcenter.power_off(vm.moref, attempt))
        settings = self.site.appliance_settings.networks
        by_group = {nic.network: nic.mac for nic in vm.nics}
        macs = {n: by_group[s.port_group] for n, s in settings.items() if s.port_group in by_group}
        spares = {n: s.spare for n, s in settings.items()}
        declare_networks(self.site.appliance, data.networks, macs, spares, attempt)
        return ApplianceReady(
            changed=changed, note=f"{vm.name} is on and answers", fingerprint=status.fingerprint
        )

    @activity.defn(name=Step.START_VPN_CLIENT, no_thread_cancel_exception=True)
    def start_vpn_client(self, data: VpnClientInput) -> StepResult:
        """Start the VPN client; it dials the cloud gateway and accepts the one certificate."""
        attempt = self._begin(data)
        gateway = data.gateway
        with unless_switched_off(self._power):
            changed = asyncio.run(
                self.site.appliance.connect_vpn(gateway.host, gateway.port, data.peer_fingerprint, attempt)
            )
        return StepResult(changed=changed, note=f"The VPN client dials {gateway.host}:{gateway.port}")

    @activity.defn(name=Step.CONFIGURE_TENANT_PROXY_ARP, no_thread_cancel_exception=True)
    def configure_proxy_arp(self, data: ApplianceStep) -> StepResult:
        """Answer production's ARP requests for the replica, unless somebody owns its address."""
        attempt = self._begin(data)
        with unless_switched_off(self._power):
            changed = place_leases(self.site.appliance, data, attempt)
        note = "Answers production for " + ", ".join(str(lease.address) for lease in data.leases)
        return StepResult(changed=changed, note=note)

    @activity.defn(name=Step.VERIFY_CONNECTIVITY, no_thread_cancel_exception=True)
    def verify_connectivity(self, data: ApplianceStep) -> Connectivity:
        """Ping the replica from the tenant's side, through the tunnel and back."""
        attempt = self._begin(data)
        answers = []
        for lease in data.leases:
            attempt.beat()
            answers.append(asyncio.run(self.site.appliance.verify(lease.id, PING_SECONDS)))
        reachable = all(a.reachable for a in answers)
        rtt = max((a.rtt_ms for a in answers if a.rtt_ms is not None), default=None)
        note = "The replica answers through the tunnel" if reachable else "The replica does not answer a ping"
        return Connectivity(changed=True, note=note, reachable=reachable, rtt_ms=rtt)

    @activity.defn(name=Step.VERIFY_TUNNEL, no_thread_cancel_exception=True)
    def verify_tunnel(self, data: ApplianceStep) -> TunnelSeen:
        """For a test: wait until the tunnel is connected. Nothing goes through it."""
        attempt = self._begin(data)
        with unless_switched_off(self._power):
            return wait_for_tunnel(self.site.appliance, attempt)

    @activity.defn(name=Step.REMOVE_TENANT_PROXY_ARP, no_thread_cancel_exception=True)
    def remove_proxy_arp(self, data: ApplianceStep) -> StepResult:
        """Stop answering for the replica; with the last address the VPN client stops."""
        attempt = self._begin(data)
        vm = self.site.appliance_vm()
        if vm.power is not Power.ON and not data.placed:
            return StepResult(changed=False, note=f"{vm.name} is off and holds no lease of this failover")
        was_off = vm.power is not Power.ON
        if was_off:
            # A lease on its disk would come alive at the next boot, so it is taken out there.
            self.site.vcenter.power_on(vm.moref, attempt)
            wait_until_it_answers(self.site.appliance, self._power, attempt)
        released = release_leases(self.site.appliance, data, attempt)
        note = f"Addresses left on {vm.name}: {released.left}"
        return StepResult(changed=was_off or released.changed, note=note)

    @activity.defn(name=Step.POWER_OFF_TENANT_APPLIANCE, no_thread_cancel_exception=True)
    def power_off(self, data: ApplianceStep) -> StepResult:
        """Power the appliance off, if it has decided that nobody uses it any more."""
        attempt = self._begin(data)
        vm = self.site.appliance_vm()
        if vm.power is not Power.ON:
            return StepResult(changed=False, note=f"{vm.name} is powered off")
        if not may_go_off(self.site.appliance):
            return StepResult(changed=False, note=f"{vm.name} stays on: it is in use, or was on before")
        self.site.vcenter.power_off(vm.moref, attempt)
        return StepResult(changed=True, note=f"{vm.name} is powered off")
