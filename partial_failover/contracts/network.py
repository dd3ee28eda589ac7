"""Organization VDC networks and the NICs on them, and which of them an appliance extends."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Annotated

from partial_failover.contracts.appliance import Lease
from partial_failover.contracts.base import UNLESS_EMPTY, Contract

MOST_NETWORKS = 9
"""That one appliance extends: a VM has at most 10 NICs and one goes to the management network (documented
limit)."""


class Network(Contract):
    """One organization VDC network (source: Cloud Director OpenAPI `orgVdcNetworks`).

    Example: `{"id": "urn:vcloud:network:6f1c…", "name": "acme-lan-a", "subnet": "192.168.10.0/24",
    "gateway": "192.168.10.1", "isolated": true}`
    """

    id: str
    name: str
    subnet: IPv4Network
    gateway: IPv4Address
    isolated: bool = False
    """Nothing routes it, and it is on no network outside of Cloud Director (`networkType` is `ISOLATED`)."""

    def has_host(self, address: IPv4Address) -> bool:
        """Whether anything can have this address there."""
        ends = (self.subnet.network_address, self.subnet.broadcast_address)
        return address in self.subnet and address not in ends


def misfits(networks: Sequence[Network], spares: Mapping[str, IPv4Address]) -> list[str]:
    """Why an appliance with these spare addresses, by network, would refuse to extend these networks. Those
    without one it does not extend.

    The appliance's program has the same rules and shares no code with the rest (`appliance/model.py`).
    """
    extended = [n for n in networks if n.name in spares]
    reasons = [why for n in extended for why in _misfits(n, spares[n.name])]
    for one, other in combinations(extended, 2):
        if one.subnet.overlaps(other.subnet):
            reasons.append(
                f"{one.name} ({one.subnet}) overlaps {other.name} ({other.subnet}), "
                "and one tunnel cannot tell them apart"
            )
    return reasons


def at_a_spare(leases: Sequence[Lease], spares: Mapping[str, IPv4Address]) -> list[str]:
    """Addresses of a replica that an appliance has for itself."""
    return [
        f"{lease.address} on {lease.network} is its own spare address"
        for lease in leases
        if spares.get(lease.network) == lease.address
    ]


def _misfits(network: Network, spare: IPv4Address) -> list[str]:
    named, subnet = f"{network.name} ({network.subnet})", network.subnet
    if not 8 <= subnet.prefixlen <= 30 or subnet.is_multicast or subnet.is_loopback:
        return [f"{named} is not a unicast network from /8 to /30"]
    if not network.has_host(network.gateway):
        return [f"The gateway {network.gateway} is not the address of a host in {named}"]
    if not network.has_host(spare):
        return [f"The spare address {spare} is not the address of a host in {named}"]
    if spare == network.gateway:
        return [f"The spare address {spare} is the gateway's in {named}"]
    return []


class AllocationMode(StrEnum):
    """How a NIC gets its address in Cloud Director."""

    POOL = "POOL"
    DHCP = "DHCP"
    MANUAL = "MANUAL"
    NONE = "NONE"


class Nic(Contract):
    """One NIC of a VM. `network` is None for an unplugged one; `mac` is empty for one that is yet to be made.

    Example: `{"index": 0, "network": "acme-lan-a", "mac": "00:50:56:01:02:03", "mode": "MANUAL",
    "address": "192.168.10.21"}`
    """

    index: int
    network: str | None
    mac: str = ""
    mode: AllocationMode = AllocationMode.NONE
    address: IPv4Address | None = None
    connected: bool = True
    primary: bool = False
    others: Annotated[tuple[str, ...], UNLESS_EMPTY] = ()
    """What Cloud Director has of it beside that (a second address, say), as XML: it is put back as read."""
