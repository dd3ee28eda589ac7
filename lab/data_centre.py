"""The whole lab but Temporal: a provider with its tenants, behind real protocol endpoints.

Where the machine allows it the networks are real (namespaces, OpenVPN, HAProxy, sshd); elsewhere the
control plane alone is played.
"""

import datetime as dt
import secrets
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any  # Any: values of many kinds, only compared

from lab.cloud_director import CloudDirectorEndpoint, NicSpec
from lab.cloud_director.model import VApp, Vdc
from lab.fabric.appliance_vm import ApplianceVm
from lab.fabric.fabric import Fabric, Interface
from lab.fabric.provision import Access, memory
from lab.fabric.simulated import SimulatedFabric
from lab.hypervisor import GuestAddress, Hypervisor, Vm, utc_now
from lab.injected_faults import InjectedFaults
from lab.site import (
    APPLIANCE,
    USER,
    WAN,
    AnyFabric,
    Shared,
    TenantSite,
    build_site,
    gateway_address,
    vpn_address,
)
from lab.tenants import TENANTS, Machine, Tenant
from lab.tls import Authority
from lab.vsphere import User, VSphereEndpoint
from partial_failover.cli.gateway import Relay, render
from partial_failover.contracts.appliance import ApplianceRole
from partial_failover.contracts.network import AllocationMode
from partial_failover.contracts.plan import Extension
from partial_failover.site_check.privileges import CLOUD_DIRECTOR, FOR_PROGRAMS, ON_REPLICAS

MANAGEMENT = "provider/management"
SUFFIX = "_replica"
GUEST_USER, GUEST_PROGRAM = "failover-test", "/usr/local/bin/verify-orders"
"""An account in each replica's guest, and a program there that looks whether its data are sound."""
AGES = (dt.timedelta(days=3), dt.timedelta(days=1), dt.timedelta(hours=6), dt.timedelta(hours=1))
"""Ages of each replica's restore points."""


@dataclass
class DataCentre:
    """`start` it, look at it, `close` it. `real`: whether packets can be seen."""

    folder: Path
    faults: InjectedFaults = field(default_factory=InjectedFaults)
    simulated: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keys = self.folder / "keys"
        self.keys.mkdir(mode=0o700, exist_ok=True)
        self.proof_key = self.keys / "proof"
        self.authority = Authority(self.folder)
        self.password = secrets.token_urlsafe(12)
        self.lacking = Fabric.missing()
        self.real = not self.lacking and not self.simulated
        self.fabric: AnyFabric = (
            Fabric(self.folder / "fabric")
            if self.real
            else SimulatedFabric(self.folder / "fabric", self.faults)
        )
        self.sites: dict[str, TenantSite] = {}
        self.access: dict[str, Access] = {}
        self._groups: dict[str, str] = {}

    def start(self) -> None:
        """Build everything; production runs and replicas have restore points when it returns."""
        self.fabric.start()
        self.provider = Hypervisor("provider-vcenter")
        tls = self.authority.server_context
        self.cloud = CloudDirectorEndpoint(self.provider, self.faults, tls("cloud-director"))
        users = {USER: User(self.password, frozenset((*ON_REPLICAS, *FOR_PROGRAMS)))}
        self.vcenter = VSphereEndpoint(
            self.provider, self.faults, tls("provider-vcenter"), "provider-vcenter", users
        )
        self.cloud.vcenter_url = f"https://127.0.0.1:{self.vcenter.port}"
        self.api_token = self.cloud.api_token("failover-worker", rights=frozenset(CLOUD_DIRECTOR))
        self._provider_networks()
        for tenant in TENANTS:
            self._add_tenant(tenant)
        self.fabric.attach(self.provider, self._groups)
        self._gateway()
        self.cloud.start()
        self.vcenter.start()
        self.fabric.settle()

    def add_tenant(self, tenant: Tenant) -> None:
        """One more tenant while the others live on. The cloud gateway does not know it yet."""
        self._add_tenant(tenant)
        self.fabric.settle()

    def close(self) -> None:
        """End everything; the sandbox of the networks dies whole."""
        for site in self.sites.values():
            site.vcenter.close()
            site.backup.close()
        self.cloud.close()
        self.vcenter.close()
        self.fabric.close()

    def _provider_networks(self) -> None:
        for key in (WAN, MANAGEMENT):
            self.fabric.add_network(key)
        self.fabric.add_worker("provider-worker", Interface(MANAGEMENT, IPv4Interface("10.99.0.100/24")))

    def _gateway(self) -> None:
        relays = [
            Relay(tenant.name, gateway_address(tenant)[1], vpn_address(tenant))
            for tenant in TENANTS
            if tenant.extension is Extension.APPLIANCE
        ]
        interfaces = (
            Interface(WAN, IPv4Interface("203.0.113.1/24")),
            Interface(MANAGEMENT, IPv4Interface("10.99.0.1/24")),
        )
        self.fabric.add_gateway("cloud-gateway", *interfaces, config=render(relays))

    def _add_tenant(self, tenant: Tenant) -> None:
        tls = self.authority.server_context
        shared = Shared(self.provider, self.fabric, self.faults, tls, self.password, self.keys)
        site = build_site(tenant, shared)
        self.sites[tenant.name] = site
        vdc = self.cloud.add_vdc(self.cloud.add_org(tenant.name), f"{tenant.name}-vdc")
        groups = {}
        for lan in tenant.lans:
            kind = "NAT_ROUTED" if tenant.extension is Extension.NSX_EDGE else "ISOLATED"
            network = self.cloud.add_network(vdc, lan.name, lan.router, kind)
            groups[network.port_group] = f"provider/{lan.name}"
            self.fabric.add_network(groups[network.port_group])
            if tenant.extension is Extension.NSX_EDGE:
                self.fabric.join(f"{tenant.name}/{lan.name}", groups[network.port_group])
        if tenant.test_network is not None:
            tests = self.cloud.add_network(vdc, f"{tenant.name}-tests", tenant.test_network)
            groups[tests.port_group] = f"provider/{tests.name}"
            self.fabric.add_network(groups[tests.port_group])
        if tenant.extension is Extension.APPLIANCE:
            management = self.cloud.add_network(
                vdc, f"{tenant.name}-management", IPv4Interface("10.99.0.1/24"), "DIRECT"
            )
            groups[management.port_group] = MANAGEMENT
        self._groups |= groups
        vapp = self.cloud.add_vapp(vdc, f"{tenant.name}-replicas")
        pairs = [
            (site.vm(m.name), self._add_replica(tenant, vapp, m)) for m in tenant.machines if m.replicated
        ]
        site.backup.add_job(f"Replicate {tenant.name}", pairs)
        if tenant.extension is Extension.APPLIANCE:
            self.access[tenant.name] = self._add_appliance(tenant, vdc)
        site.vcenter.start()
        site.backup.start()

    def _add_replica(self, tenant: Tenant, vapp: VApp, machine: Machine) -> Vm:
        network = next(n for n in self.cloud.world.networks if n.name == machine.lan)
        address = IPv4Interface(f"{machine.address}/{network.gateway.network.prefixlen}")
        guest = [GuestAddress(0, address, network.gateway.ip)]
        name = machine.name + SUFFIX
        vm = self.provider.add_vm(name, [network.port_group], guest, {"host": machine.name})
        vm.programs, vm.logins = {GUEST_PROGRAM: 0}, {GUEST_USER: self.password}
        for number, age in enumerate(AGES, 1):
            written = {"orders": str(1000 * number)}
            self.provider.replicate(vm, f"Restore Point {number}", written, utc_now() - age)
        spec = NicSpec(machine.lan, AllocationMode.MANUAL, machine.address)
        self.cloud.add_vm(vapp, vm, [spec])
        return vm

    def _add_appliance(self, tenant: Tenant, vdc: Vdc) -> Access:
        management = next(n for n in self.cloud.world.networks if n.name == f"{tenant.name}-management")
        address = IPv4Interface(f"{vpn_address(tenant)}/24")
        name = f"{tenant.name}-{APPLIANCE}"
        vm = self.provider.add_vm(name, [management.port_group], [GuestAddress(0, address)], kind="appliance")
        spec = NicSpec(management.name, AllocationMode.MANUAL, address.ip)
        self.cloud.add_vm(self.cloud.add_vapp(vdc, name), vm, [spec])
        return self.fabric.add_appliance(
            ApplianceVm(
                self.provider,
                vm,
                ApplianceRole.PROVIDER,
                tenant.name,
                "provider-worker",
                self.keys / "provider-ssh",
                [IPv4Address("10.99.0.1")],
            )
        )

    def replica(self, vm: str) -> Vm:
        """The replica of an original, as the hypervisor has it."""
        replica = self.provider.find(vm + SUFFIX)
        assert replica is not None, vm
        return replica

    def replica_host(self, vm: str) -> str:
        """What the fabric calls a replica."""
        return f"{self.provider.name}/{vm}{SUFFIX}"

    def wait_idle(self, seconds: float = 60) -> None:
        """Until no task runs, of Cloud Director or of a vCenter. Raises TimeoutError."""
        self.cloud.tasks.wait_idle(seconds)
        for vcenter in (self.vcenter, *(site.vcenter for site in self.sites.values())):
            vcenter.tasks.wait_idle(seconds)

    def state(self) -> dict[str, Any]:
        """Everything that an ended failover must leave as it was; compare with an earlier one."""
        cloud = self.cloud.world
        sides = [self.provider, *(s.hypervisor for s in self.sites.values())]
        return {
            "power": {f"{h.name}/{v.name}": v.power for h in sides for v in h.vms.values()},
            "status": {v.name: (v.status, v.deployed) for v in cloud.vms},
            "wired": {f"{h.name}/{v.name}": v.nics for h in sides for v in h.vms.values()},
            "nics": {v.name: [(n.network, n.mac, n.address) for n in v.nics] for v in cloud.vms},
            "metadata": {v.name: dict(v.metadata) for v in cloud.vms},
            "vapps": {
                a.name: (sorted(n.name for n in a.networks), a.maintenance, dict(a.metadata))
                for a in cloud.vapps
            },
            "exclusions": {n: list(s.backup.exclusions) for n, s in self.sites.items()},
            "points": {v.name: [s.moref for s in v.snapshots] for v in self.provider.vms.values()},
            "stands on": {
                v.name: (v.current and v.current.moref, dict(v.disk.data)) for v in self.provider.vms.values()
            },
            "appliances": {name: memory(disk) for name, disk in self.fabric.disks.items()},
            "torn": [v.name for v in self.provider.vms.values() if v.torn],
        }
