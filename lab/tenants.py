"""Who lives in the lab's data centre: plain data, no behaviour."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from partial_failover.contracts.plan import Extension


@dataclass(frozen=True)
class Lan:
    """A production network, and the organization VDC network of the same subnet.

    `router`: the tenant's own, with prefix. `provider_spare`, `tenant_spare`: addresses of the appliances.
    """

    name: str
    port_group: str
    router: IPv4Interface
    provider_spare: IPv4Address
    tenant_spare: IPv4Address


@dataclass(frozen=True)
class Machine:
    """A production VM. `replicated`: it has a replica at the provider."""

    name: str
    lan: str
    address: IPv4Address
    replicated: bool = False


@dataclass(frozen=True)
class Tenant:
    """A tenant: its networks, its VMs, its way to the provider. `number` keeps addresses apart.
    `test_network`: router, with prefix, of an isolated network at the provider for failover tests."""

    name: str
    number: int
    extension: Extension
    lans: tuple[Lan, ...]
    machines: tuple[Machine, ...]
    test_network: IPv4Interface | None = None

    def lan(self, name: str) -> Lan:
        """One of its networks."""
        return next(lan for lan in self.lans if lan.name == name)


def _lan(name: str, port_group: str, net: str) -> Lan:
    return Lan(
        name,
        port_group,
        IPv4Interface(f"{net}.1/24"),
        IPv4Address(f"{net}.251"),
        IPv4Address(f"{net}.252"),
    )


def _vm(name: str, lan: str, address: str, replicated: bool = False) -> Machine:
    return Machine(name, lan, IPv4Address(address), replicated)


ACME = Tenant(
    "acme",
    1,
    Extension.APPLIANCE,
    (
        _lan("acme-lan-a", "LAN A", "192.168.10"),
        _lan("acme-lan-b", "LAN B", "192.168.20"),
    ),
    (
        _vm("erp-db-01", "acme-lan-a", "192.168.10.50", replicated=True),
        _vm("erp-web-01", "acme-lan-a", "192.168.10.51", replicated=True),
        _vm("mail-01", "acme-lan-b", "192.168.20.60", replicated=True),
        _vm("erp-app-01", "acme-lan-a", "192.168.10.20"),
        _vm("erp-app-02", "acme-lan-a", "192.168.10.21"),
        _vm("file-01", "acme-lan-b", "192.168.20.20"),
    ),
)
# The same subnets as acme's: nothing may ever cross between the two.
GLOBEX = Tenant(
    "globex",
    2,
    Extension.APPLIANCE,
    (
        _lan("globex-lan-a", "Office", "192.168.10"),
        _lan("globex-lan-b", "Servers", "192.168.20"),
    ),
    (
        _vm("crm-db-01", "globex-lan-a", "192.168.10.50", replicated=True),
        _vm("crm-app-01", "globex-lan-a", "192.168.10.20"),
    ),
    IPv4Interface("192.168.10.1/24"),
)
INITECH = Tenant(
    "initech",
    3,
    Extension.NSX_EDGE,
    (_lan("initech-lan", "Floor 2", "10.20.0"),),
    (
        _vm("tps-01", "initech-lan", "10.20.0.50", replicated=True),
        _vm("tps-app-01", "initech-lan", "10.20.0.20"),
    ),
)
TENANTS = (ACME, GLOBEX, INITECH)
