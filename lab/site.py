"""One tenant's site: production VMs, vCenter, backup server and, where it has one, an appliance."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from lab.fabric.appliance_vm import ApplianceVm
from lab.fabric.fabric import Fabric, Interface
from lab.fabric.provision import Access
from lab.fabric.simulated import SimulatedFabric
from lab.hypervisor import GuestAddress, Hypervisor, Vm
from lab.injected_faults import InjectedFaults
from lab.tenants import Tenant
from lab.veeam import VeeamEndpoint
from lab.veeam.accounts import Role
from lab.vsphere import User, VSphereEndpoint
from partial_failover.contracts.appliance import ApplianceRole
from partial_failover.contracts.plan import Extension
from partial_failover.site_check.privileges import ON_TENANT_APPLIANCE

AnyFabric = Fabric | SimulatedFabric
WAN = "wan"
APPLIANCE = "network-extension"
USER = "failover@vsphere.local"
BACKUP_USER = "failover"


@dataclass
class TenantSite:
    """Everything at a tenant's site. `access` is None where the networks are joined otherwise."""

    tenant: Tenant
    hypervisor: Hypervisor
    vcenter: VSphereEndpoint
    backup: VeeamEndpoint
    password: str
    access: Access | None = None

    def vm(self, name: str) -> Vm:
        """A VM of the site."""
        vm = self.hypervisor.find(name)
        assert vm is not None, name
        return vm

    def host(self, name: str) -> str:
        """What the fabric calls a VM of the site."""
        return f"{self.hypervisor.name}/{name}"

    def set_backup_role(self, role: Role) -> None:
        """What the product's account at the backup server may do from now on."""
        self.backup.add_user(BACKUP_USER, self.password, role)


@dataclass(frozen=True)
class Shared:
    """What the sites of all tenants have of the data centre. `keys`: folder of the workers' SSH keys."""

    provider: Hypervisor
    fabric: AnyFabric
    faults: InjectedFaults
    tls: Callable[[str], ssl.SSLContext]
    password: str
    keys: Path


def build_site(tenant: Tenant, shared: Shared) -> TenantSite:
    """Networks, router, endpoints, VMs; production is powered on."""
    fabric, faults, tls = shared.fabric, shared.faults, shared.tls
    name = f"{tenant.name}-vcenter"
    groups = {lan.port_group: f"{tenant.name}/{lan.name}" for lan in tenant.lans}
    hypervisor = Hypervisor(name, [*groups, "Management"])
    for key in groups.values():
        fabric.add_network(key)
    fabric.attach(hypervisor, groups | {"Management": WAN})
    routers = [Interface(groups[lan.port_group], lan.router) for lan in tenant.lans]
    fabric.add_host(f"{tenant.name}-router", *routers, forward=True)
    vcenter = VSphereEndpoint(
        hypervisor, faults, tls(name), name, {USER: User(shared.password, frozenset(ON_TENANT_APPLIANCE))}
    )
    veeam = f"{tenant.name}-veeam"
    backup = VeeamEndpoint(hypervisor, shared.provider, faults, tls(veeam), veeam)
    site = TenantSite(tenant, hypervisor, vcenter, backup, shared.password)
    site.set_backup_role(Role.ADMINISTRATOR)
    for machine in tenant.machines:
        lan = tenant.lan(machine.lan)
        address = IPv4Interface(f"{machine.address}/{lan.router.network.prefixlen}")
        guest = [GuestAddress(0, address, lan.router.ip)]
        vm = hypervisor.add_vm(machine.name, [lan.port_group], guest, {"host": machine.name})
        hypervisor.power_on(vm)
    if tenant.extension is Extension.APPLIANCE:
        site.access = _add_appliance(site, shared)
    return site


def _add_appliance(site: TenantSite, shared: Shared) -> Access:
    tenant = site.tenant
    worker = f"{tenant.name}-worker"
    shared.fabric.add_worker(worker, Interface(WAN, IPv4Interface(f"203.0.113.{100 + tenant.number}/24")))
    address = IPv4Interface(f"203.0.113.{10 + tenant.number}/24")
    groups = [lan.port_group for lan in tenant.lans]
    vm = site.hypervisor.add_vm(
        APPLIANCE, ["Management", *groups], [GuestAddress(0, address)], kind="appliance"
    )
    key_file = shared.keys / f"{tenant.name}-ssh"
    return shared.fabric.add_appliance(
        ApplianceVm(site.hypervisor, vm, ApplianceRole.TENANT, tenant.name, worker, key_file)
    )


def vpn_address(tenant: Tenant) -> IPv4Address:
    """Of the provider's appliance on its management network, where the cloud gateway reaches it."""
    return IPv4Address(f"10.99.0.{10 + tenant.number}")


def gateway_address(tenant: Tenant) -> tuple[IPv4Address, int]:
    """The cloud gateway's address and this tenant's port on it."""
    return IPv4Address("203.0.113.1"), 6180 + tenant.number
