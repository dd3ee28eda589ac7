"""What the kernel of the data namespace should hold: pure functions of what the appliance was told.

At the tenant the kernel answers ARP for each replica (one proxy entry each) and routes it into the
tunnel. At the provider it answers a replica's ARP requests for all other addresses (`proxy_arp`) and
routes each replica by a host route. Routing is by source, so that two networks on one tunnel do not
bypass the tenant's router.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from appliance.model import Lease, Network, Role

NAMESPACE = "data"
TUNNEL = "tun0"
TUNNEL_MTU = 9000
TUNNEL_ENDS = {Role.PROVIDER: IPv4Address("169.254.77.1"), Role.TENANT: IPv4Address("169.254.77.2")}
"""Each appliance's address in the tunnel, at which it answers the other one alone. Link-local, because no
router knows those: no network that is extended has them."""
PROTOCOL = 77
"""Marks the routes and rules that are the appliance's own (rtnetlink `rtm_protocol`)."""
FIREWALL = "network_extension"
MOST_OF_ONE = 8192
"""Connections that one replica may have opened at a time, half-open ones included: what one sends must not
fill the kernel's table, which all of them share (65,536 and more entries, by the VM's memory)."""

GENERAL = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.icmp_errors_use_inbound_ifaddr": "0",
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv4.conf.all.accept_redirects": "0",
    **{
        f"net.ipv4.conf.{dev}.{key}": "0"
        for dev in ("all", "default")
        for key in ("rp_filter", "send_redirects")
    },
    **{f"net.ipv6.conf.{dev}.disable_ipv6": "1" for dev in ("all", "default")},
}
"""Settings of the whole data namespace, in force before the first NIC is moved into it."""


@dataclass(frozen=True, order=True)
class Route:
    """One IPv4 route. `via` is always on the link."""

    to: str
    dev: str
    table: str = "main"
    via: str | None = None

    def words(self) -> str:
        """As `ip route` takes it."""
        via = f" via {self.via}" if self.via else ""
        onlink = " onlink" if self.via else ""
        return f"{self.to}{via} dev {self.dev}{onlink} table {self.table} proto {PROTOCOL}"


@dataclass(frozen=True, order=True)
class Rule:
    """One routing rule."""

    pref: int
    source: str
    iif: str
    table: str

    def words(self) -> str:
        """As `ip rule` takes it."""
        return f"pref {self.pref} from {self.source} iif {self.iif} lookup {self.table} protocol {PROTOCOL}"


@dataclass(frozen=True, order=True)
class Proxy:
    """The kernel answers ARP requests for `address` on `dev`."""

    address: str
    dev: str

    def words(self) -> str:
        """As `ip neigh` takes it."""
        return f"proxy {self.address} dev {self.dev}"


@dataclass(frozen=True)
class Desired:
    """All of it. `addresses`: the one address of each interface."""

    firewall: str
    settings: dict[str, str]
    addresses: dict[str, str]
    routes: frozenset[Route]
    rules: frozenset[Rule]
    proxies: frozenset[Proxy]


def desired(
    role: Role, networks: Iterable[Network], leases: Iterable[Lease], devices: frozenset[str]
) -> Desired:
    """What to make of it with the `devices` that are in the data namespace now."""
    networks, leased = tuple(networks), _addresses(leases)
    settings: dict[str, str] = {}
    addresses: dict[str, str] = {}
    routes: set[Route] = set()
    rules: set[Rule] = set()
    proxies: set[Proxy] = set()
    tunnel = TUNNEL in devices
    for n in networks:
        if n.interface not in devices:
            continue
        replicas = leased.get(n.name, [])
        settings |= _interface_settings(role, n.interface)
        addresses[n.interface] = f"{n.spare}/32"
        if role is Role.TENANT:
            routes |= _tenant_routes(n, replicas, tunnel)
            rules.add(Rule(2000 + n.number, str(n.subnet), TUNNEL, str(200 + n.number)))
            proxies |= {Proxy(str(a), n.interface) for a in replicas}
        else:
            routes |= _provider_routes(n, replicas, tunnel)
            rules.add(Rule(1000 + n.number, "all", n.interface, str(100 + n.number)))
    if tunnel:
        own, other = tunnel_ends(role)
        addresses[TUNNEL] = f"{own}/32"
        routes.add(Route(f"{other}/32", TUNNEL))
        settings |= {f"net.ipv4.conf.{TUNNEL}.{key}": "0" for key in ("rp_filter", "send_redirects")}
    return Desired(
        firewall(role, networks, leased),
        settings,
        addresses,
        frozenset(routes),
        frozenset(rules),
        frozenset(proxies),
    )


def tunnel_ends(role: Role) -> tuple[IPv4Address, IPv4Address]:
    """The own address in the tunnel, and the other appliance's."""
    other = Role.TENANT if role is Role.PROVIDER else Role.PROVIDER
    return TUNNEL_ENDS[role], TUNNEL_ENDS[other]


def _addresses(leases: Iterable[Lease]) -> dict[str, list[IPv4Address]]:
    by_network: dict[str, set[IPv4Address]] = {}
    for lease in leases:
        by_network.setdefault(lease.network, set()).add(lease.address)
    return {name: sorted(addresses) for name, addresses in by_network.items()}


def _interface_settings(role: Role, interface: str) -> dict[str, str]:
    return {
        f"net.ipv4.conf.{interface}.proxy_arp": "1" if role is Role.PROVIDER else "0",
        # The default of 0.8 s is what a first packet would wait.
        f"net.ipv4.neigh.{interface}.proxy_delay": "0",
        f"net.ipv4.conf.{interface}.rp_filter": "0",
        f"net.ipv4.conf.{interface}.send_redirects": "0",
    }


def _tenant_routes(n: Network, replicas: list[IPv4Address], tunnel: bool) -> set[Route]:
    table = str(200 + n.number)
    routes = {
        Route(str(n.subnet), n.interface),
        Route(str(n.subnet), n.interface, table),
        Route("default", n.interface, table, via=str(n.gateway)),
    }
    return routes | ({Route(f"{a}/32", TUNNEL) for a in replicas} if tunnel else set())


def _provider_routes(n: Network, replicas: list[IPv4Address], tunnel: bool) -> set[Route]:
    table = str(100 + n.number)
    routes = {Route(f"{a}/32", n.interface, t) for a in replicas for t in ("main", table)}
    return routes | ({Route(str(n.subnet), TUNNEL), Route("default", TUNNEL, table)} if tunnel else set())


def firewall(role: Role, networks: tuple[Network, ...], leased: dict[str, list[IPv4Address]]) -> str:
    """One nftables transaction that replaces all that the appliance filters. Closed without networks."""
    sets = [_set(n, leased.get(n.name, [])) for n in networks]
    echo = [
        f'  iifname "{n.interface}" ip daddr {n.spare} icmp type echo-request limit rate 10/second accept'
        for n in networks
    ]
    own, other = tunnel_ends(role)
    ends = f"ip saddr {other} ip daddr {own}"
    echo.append(f'  iifname "{TUNNEL}" {ends} icmp type echo-request limit rate 10/second accept')
    bounds = [line for n in networks for line in _bounds(role, n, leased.get(n.name, []))]
    passes = [line for n in networks for line in _passes(role, n)]
    lines = [
        f"add table inet {FIREWALL}",
        f"delete table inet {FIREWALL}",
        f"add table arp {FIREWALL}",
        f"delete table arp {FIREWALL}",
        f"table inet {FIREWALL} {{",
        *sets,
        " chain input { type filter hook input priority 0; policy drop",
        '  iifname "lo" accept',
        *echo,
        "  ct state established,related accept",
        " }",
        " chain forward { type filter hook forward priority 0; policy drop",
        "  ct state invalid drop",
        *bounds,
        *passes,
        " }",
        " chain output { type filter hook output priority 0; policy drop",
        '  oifname "lo" accept',
        "  ct state established,related accept",
        "  icmp type { destination-unreachable, time-exceeded, echo-request } accept",
        " }",
        "}",
    ]
    return "\n".join(lines + (_arp_table(networks, sets) if role is Role.PROVIDER else [])) + "\n"


def _set(n: Network, replicas: list[IPv4Address]) -> str:
    elements = f" elements = {{ {', '.join(map(str, replicas))} }}" if replicas else ""
    return f" set replicas{n.number} {{ type ipv4_addr;{elements}\n }}"


def _bounds(role: Role, n: Network, replicas: list[IPv4Address]) -> list[str]:
    """A rule for each replica, which counts by itself. A set that counts by address would show what it
    counts, and look like drift."""
    if role is Role.TENANT:  # what comes through the tunnel was bounded at its other end
        return []
    return [
        f'  iifname "{n.interface}" ip saddr {address} ct state new ct count over {MOST_OF_ONE} drop'
        for address in replicas
    ]


def _passes(role: Role, n: Network) -> list[str]:
    """Only registered replicas, each only with its own network."""
    interface, replicas = f'"{n.interface}"', f"@replicas{n.number}"
    if role is Role.TENANT:
        return [
            f'  iifname {interface} oifname "{TUNNEL}" ip daddr {replicas} accept',
            f'  iifname "{TUNNEL}" oifname {interface} ip saddr {replicas} accept',
        ]
    return [
        f'  iifname {interface} oifname "{TUNNEL}" ip saddr {replicas} accept',
        f'  iifname "{TUNNEL}" oifname {interface} ip saddr != {replicas} ip daddr {replicas} accept',
    ]


def _arp_table(networks: tuple[Network, ...], sets: list[str]) -> list[str]:
    """The provider's appliance hears ARP of registered replicas only.

    With `proxy_arp` alone the kernel answers the announcement and the duplicate address probe of a
    replica that is not registered yet, and its guest then believes that its address is taken.
    """
    accepts = [f'  iifname "{n.interface}" arp saddr ip @replicas{n.number} accept' for n in networks]
    chain = " chain input { type filter hook input priority 0; policy drop"
    return [f"table arp {FIREWALL} {{", *sets, chain, *accepts, " }", "}"]
