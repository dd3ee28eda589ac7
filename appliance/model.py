"""What an appliance is told, checked strictly before anything of it is stored or used."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Any  # JSON values, until they are checked here

from appliance.errors import invalid

MOST_NETWORKS = 9
"""A VM has at most 10 NICs and one goes to the management network (source: vSphere
configuration maximums)."""
MOST_LEASES = 1000

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_FINGERPRINT = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}")
_SSH_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9][A-Za-z0-9-]{0,62})*")


class Role(StrEnum):
    """Which end of the tunnel this appliance is."""

    PROVIDER = "provider"
    TENANT = "tenant"


def interface_name(mac: str) -> str:
    """Of the NIC with this MAC, in the data namespace. It fits into the kernel's 15 characters."""
    return "leg" + mac.replace(":", "")


@dataclass(frozen=True)
class Network:
    """One extended network. `spare` is this appliance's own address there; the other appliance has another.

    `number` (1 to 9) stays the same for as long as the network is declared: routing tables are named by it.
    """

    number: int
    name: str
    mac: str
    subnet: IPv4Network
    gateway: IPv4Address
    spare: IPv4Address

    @property
    def interface(self) -> str:
        """Name of its NIC in the data namespace."""
        return interface_name(self.mac)

    def holds(self, address: IPv4Address) -> bool:
        """Whether a VM can have this address in the network."""
        ends = (self.subnet.network_address, self.subnet.broadcast_address)
        return address in self.subnet and address not in (*ends, self.gateway, self.spare)


@dataclass(frozen=True)
class Lease:
    """One replica's address on one network, for as long as its failover lasts.

    `original`: MAC that answered for the address before, to be announced again at the end.
    """

    id: str
    network: str
    address: IPv4Address
    original: str | None = None


@dataclass(frozen=True)
class Vpn:
    """The tunnel as it was asked for. `gateway` is None at the server (the provider's appliance)."""

    peer_fingerprint: str
    port: int
    gateway: str | None
    wanted: bool


def lease_id(value: Any) -> str:
    """A UUID in lower case."""
    return _matching(value, _ID, "id", "a UUID in lower case")


def mac(value: Any, field: str = "mac") -> str:
    """A unicast MAC in lower case with colons."""
    checked = _matching(value, _MAC, field, "a unicast MAC in lower case, like 00:50:56:01:02:03")
    if checked == "00:00:00:00:00:00":
        raise invalid(f"{field} must not be zero")
    return checked


def fingerprint(value: Any) -> str:
    """SHA-256 of a certificate, in capital hex with colons."""
    return _matching(value, _FINGERPRINT, "peer_fingerprint", "32 pairs of capital hex digits with colons")


def ssh_keys(value: Any) -> tuple[str, ...]:
    """Public keys, without comments."""
    if not isinstance(value, list) or not 1 <= len(value) <= 4:
        raise invalid("keys must be a list of one to four")
    return tuple(_matching(key, _SSH_KEY, "keys", "public keys such as ssh-ed25519 AAAA…") for key in value)


def host(value: Any) -> str:
    """An IPv4 address or a host name."""
    return _matching(value, _HOST, "gateway", "an IPv4 address or a host name")


def port(value: Any) -> int:
    """A TCP port."""
    if type(value) is not int or not 1 <= value <= 65535:
        raise invalid("port must be a number from 1 to 65535")
    return value


def flag(value: Any, field: str) -> bool:
    """True or false, nothing that is like it."""
    if not isinstance(value, bool):
        raise invalid(f"{field} must be true or false")
    return value


def network_name(value: Any) -> str:
    """A network's name: only ever compared, never part of a command or a path."""
    if not isinstance(value, str) or not 1 <= len(value) <= 128 or not value.isprintable():
        raise invalid("network must be a name of 1 to 128 printable characters")
    return value


def address(value: Any, field: str = "address") -> IPv4Address:
    """A dotted IPv4 address."""
    try:
        return IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        raise invalid(f"{field} must be an IPv4 address, like 192.168.10.50") from None


def subnet(value: Any) -> IPv4Network:
    """An IPv4 network without host bits, from /8 to /30."""
    try:
        network = IPv4Network(value if isinstance(value, str) and "/" in value else "")
    except ValueError:
        raise invalid("subnet must be an IPv4 network, like 192.168.10.0/24") from None
    if not 8 <= network.prefixlen <= 30 or network.is_multicast or network.is_loopback:
        raise invalid("subnet must be a unicast network from /8 to /30")
    return network


def network(value: Any, number: int) -> Network:
    """One entry of a declaration."""
    only(value, {"name", "mac", "subnet", "gateway", "spare"})
    made = Network(
        number,
        network_name(value["name"]),
        mac(value["mac"]),
        subnet(value["subnet"]),
        address(value["gateway"], "gateway"),
        address(value["spare"], "spare"),
    )
    ends = (made.subnet.network_address, made.subnet.broadcast_address)
    for field, own in (("gateway", made.gateway), ("spare", made.spare)):
        if own not in made.subnet or own in ends:
            raise invalid(f"{field} {own} is not a host's address in {made.subnet}")
    if made.gateway == made.spare:
        raise invalid(f"gateway and spare of {made.subnet} are the same")
    return made


def networks(value: Any, known: tuple[Network, ...]) -> tuple[Network, ...]:
    """A whole declaration; networks that are `known` by name keep their number."""
    if not isinstance(value, list) or len(value) > MOST_NETWORKS:
        raise invalid(f"networks must be a list of at most {MOST_NETWORKS}")
    numbers = {n.name: n.number for n in known}
    names = [network(entry, 0).name for entry in value]
    free = [n for n in range(1, MOST_NETWORKS + 1) if n not in {numbers.get(name) for name in names}]
    made = tuple(network(e, numbers.get(name) or free.pop(0)) for e, name in zip(value, names, strict=True))
    for kind, values in (("name", names), ("mac", [n.mac for n in made])):
        if len(set(values)) != len(values):
            raise invalid(f"a {kind} is there twice")
    for n in made:
        if any(n.subnet.overlaps(other.subnet) for other in made if other is not n):
            raise invalid(f"{n.subnet} overlaps another network; one tunnel cannot tell them apart")
    return made


def only(value: Any, required: set[str], optional: frozenset[str] = frozenset()) -> None:
    """`value` must be an object with exactly these fields."""
    if not isinstance(value, dict):
        raise invalid("an object was expected")
    missing, unknown = required - value.keys(), value.keys() - required - optional
    if missing or unknown:
        raise invalid(
            f"missing fields: {sorted(missing)}, unknown fields: {sorted(map(str, unknown))[:5]}"[:300]
        )


def _matching(value: Any, pattern: re.Pattern[str], field: str, meaning: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise invalid(f"{field} must be {meaning}")
    return value
