"""A tenant's site and its org VDC for tests: two networks, a router, production, replicas, two appliances."""

import time
import uuid
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from lab.fabric.appliance_vm import ApplianceVm
from lab.fabric.fabric import Fabric, Interface
from lab.fabric.provision import Access
from lab.hypervisor import GuestAddress, Hypervisor, Vm
from partial_failover.cli.gateway import Relay, render
from partial_failover.connectors.appliance import Appliance
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.appliance import ApplianceNetwork, ApplianceRole, ApplianceStatus, Lease
from partial_failover.contracts.errors import Unavailable
from tests.waiting import PATIENCE, NotYet, until

PRODUCTION = "192.168.10.20"
NEIGHBOUR = "192.168.10.21"
PRODUCTION_B = "192.168.20.20"
REPLICA = "192.168.10.50"
SECOND = "192.168.10.51"
REPLICA_B = "192.168.20.60"
OUTSIDE = "198.51.100.1"
GATEWAY = "203.0.113.1"
SUBNETS = {"lan-a": "192.168.10", "lan-b": "192.168.20"}
LAST = {"provider": 252, "tenant": 251}


@dataclass
class Site:
    """Everything that a test looks at."""

    fabric: Fabric
    tenant_side: Hypervisor
    provider_side: Hypervisor
    vms: dict[str, Vm]
    provider: Appliance
    tenant: Appliance
    provider_access: Access
    tenant_access: Access

    def name(self, vm: str) -> str:
        """The fabric's name of a VM."""
        side = self.tenant_side if self.vms[vm] in self.tenant_side.vms.values() else self.provider_side
        return f"{side.name}/{self.vms[vm].name}"

    def power_on(self, *names: str) -> None:
        """Power VMs on and wait until the fabric has followed."""
        for name in names:
            side = self.tenant_side if self.vms[name] in self.tenant_side.vms.values() else self.provider_side
            side.power_on(self.vms[name])
        self.fabric.settle()

    def power_off(self, *names: str) -> None:
        """Power VMs off and wait until the fabric has followed."""
        for name in names:
            side = self.tenant_side if self.vms[name] in self.tenant_side.vms.values() else self.provider_side
            side.power_off(self.vms[name])
        self.fabric.settle()

    def networks(self, role: str) -> list[ApplianceNetwork]:
        """The declaration for an appliance."""
        vm = self.vms[f"{role}-appliance"]
        return [
            ApplianceNetwork.model_validate(
                {
                    "name": name,
                    "mac": vm.nics[index].mac,
                    "subnet": f"{net}.0/24",
                    "gateway": f"{net}.1",
                    "spare": f"{net}.{LAST[role]}",
                }
            )
            for index, (name, net) in enumerate(SUBNETS.items(), 1)
        ]

    def inside(self, role: str, *argv: str) -> str:
        """What a command prints in an appliance's data namespace."""
        argv = ("ip", "netns", "exec", "data", *argv)
        return self.fabric.exec(self.name(f"{role}-appliance"), argv)[1]


def build(folder: Path) -> Site:
    """Start a fabric with one site in it; all VMs are off."""
    fabric = Fabric(folder)
    fabric.start()
    try:
        return _furnish(fabric, folder)
    except BaseException:
        fabric.close()
        raise


def _furnish(fabric: Fabric, folder: Path) -> Site:
    _add_hosts(fabric)
    tenant_side = Hypervisor("acme-vcenter", ["LAN A", "LAN B", "Management"])
    provider_side = Hypervisor("provider-vcenter", ["dvpg-a", "dvpg-b", "dvpg-management"])
    fabric.attach(tenant_side, {"LAN A": "acme/lan-a", "LAN B": "acme/lan-b", "Management": "wan"})
    fabric.attach(
        provider_side,
        {
            "dvpg-a": "provider/lan-a",
            "dvpg-b": "provider/lan-b",
            "dvpg-management": "provider/management",
        },
    )
    vms = _add_vms(tenant_side, provider_side)
    tenant, provider = ApplianceRole.TENANT, ApplianceRole.PROVIDER
    ta = fabric.add_appliance(
        ApplianceVm(
            tenant_side, vms["tenant-appliance"], tenant, "acme", "tenant-worker", folder / "tenant-key"
        )
    )
    pa = fabric.add_appliance(
        ApplianceVm(
            provider_side,
            vms["provider-appliance"],
            provider,
            "acme",
            "provider-worker",
            folder / "provider-key",
            [IPv4Address("10.99.0.1")],
        )
    )
    return Site(fabric, tenant_side, provider_side, vms, connect(pa), connect(ta), pa, ta)


def _add_hosts(fabric: Fabric) -> None:
    """The networks, and what is always on in them."""
    for key in ("acme/lan-a", "acme/lan-b", "wan", "provider/lan-a", "provider/lan-b", "provider/management"):
        fabric.add_network(key)
    fabric.add_host(
        "router",
        _interface("acme/lan-a", "192.168.10.1/24"),
        _interface("acme/lan-b", "192.168.20.1/24"),
        forward=True,
    )
    fabric.exec("router", ["ip", "addr", "add", f"{OUTSIDE}/32", "dev", "lo"])
    fabric.add_host("production", _interface("acme/lan-a", f"{PRODUCTION}/24", "192.168.10.1"))
    fabric.add_host("neighbour", _interface("acme/lan-a", f"{NEIGHBOUR}/24", "192.168.10.1"))
    fabric.add_host("production-b", _interface("acme/lan-b", f"{PRODUCTION_B}/24", "192.168.20.1"))
    fabric.add_worker("provider-worker", _interface("provider/management", "10.99.0.100/24"))
    fabric.add_worker("tenant-worker", _interface("wan", "203.0.113.100/24"))
    fabric.add_host("provider-stranger", _interface("provider/management", "10.99.0.66/24"))
    fabric.add_host("tenant-stranger", _interface("wan", "203.0.113.66/24"))
    fabric.add_gateway(
        "gateway",
        _interface("wan", f"{GATEWAY}/24"),
        _interface("provider/management", "10.99.0.1/24"),
        config=render([Relay("acme", 6180, IPv4Address("10.99.0.2"))]),
    )


def _add_vms(tenant_side: Hypervisor, provider_side: Hypervisor) -> dict[str, Vm]:
    return {
        "original": tenant_side.add_vm("erp", ["LAN A"], _guest(f"{REPLICA}/24", "192.168.10.1")),
        "replica": provider_side.add_vm("erp", ["dvpg-a"], _guest(f"{REPLICA}/24", "192.168.10.1")),
        "second": provider_side.add_vm("web", ["dvpg-a"], _guest(f"{SECOND}/24", "192.168.10.1")),
        "replica-b": provider_side.add_vm("mail", ["dvpg-b"], _guest(f"{REPLICA_B}/24", "192.168.20.1")),
        "tenant-appliance": tenant_side.add_vm(
            "extension", ["Management", "LAN A", "LAN B"], _guest("203.0.113.10/24"), kind="appliance"
        ),
        "provider-appliance": provider_side.add_vm(
            "extension", ["dvpg-management", "dvpg-a", "dvpg-b"], _guest("10.99.0.2/24"), kind="appliance"
        ),
    }


def _interface(network: str, address: str, gateway: str | None = None) -> Interface:
    return Interface(network, IPv4Interface(address), IPv4Address(gateway) if gateway else None)


def _guest(address: str, gateway: str | None = None) -> list[GuestAddress]:
    return [GuestAddress(0, IPv4Interface(address), IPv4Address(gateway) if gateway else None)]


def connect(access: Access) -> Appliance:
    """The product's own connector."""
    return Appliance(access.host, access.port, access.host_key, access.key_file, timeout=PATIENCE)


def attempt(seconds: float = PATIENCE) -> Attempt:
    """One attempt of an activity."""
    return Attempt(time.monotonic() + seconds)


def lease(number: int, address: str = REPLICA, network: str = "lan-a") -> Lease:
    """The lease of a test's own number."""
    return Lease(id=str(uuid.UUID(int=number)), network=network, address=IPv4Address(address))


async def booted(appliance: Appliance) -> ApplianceStatus:
    """Wait for an appliance that was powered on."""

    async def answers() -> bool:
        try:
            await appliance.status()
        except Unavailable as error:
            raise NotYet(str(error)) from error
        return True

    await until(answers)
    return await appliance.status()


async def connect_appliances(site: Site) -> None:
    """Boot both, declare their networks and build the tunnel."""
    site.power_on("tenant-appliance", "provider-appliance")
    provider, tenant = await booted(site.provider), await booted(site.tenant)
    await site.provider.declare_networks(site.networks("provider"), attempt())
    await site.tenant.declare_networks(site.networks("tenant"), attempt())
    await site.provider.serve_vpn(tenant.fingerprint, attempt())
    await site.tenant.connect_vpn(GATEWAY, 6180, provider.fingerprint, attempt())
    for appliance in (site.tenant, site.provider):
        await until(partial(connected, appliance))


async def connected(appliance: Appliance) -> bool:
    """The tunnel is there, as the appliance sees it."""
    return (await appliance.status()).vpn.state == "connected"
