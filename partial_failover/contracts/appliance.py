"""What a network extension appliance is told, and what it answers."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import StringConstraints

from partial_failover.contracts.base import Contract

HostKey = Annotated[str, StringConstraints(pattern=r"^ssh-ed25519 [A-Za-z0-9+/=]+$")]
"""Public half of an SSH key."""
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{2}(:[0-9A-F]{2}){31}$")]
"""SHA-256 of a certificate in capital hex with colons, as OpenVPN's `peer-fingerprint` takes it."""
Mac = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$")]
"""Made lower case, as the appliance and the kernel write it."""
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class ApplianceRole(StrEnum):
    """Which end of the tunnel an appliance is."""

    PROVIDER = "provider"
    TENANT = "tenant"


class TunnelState(StrEnum):
    """What the appliance's OpenVPN says of itself."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    UNKNOWN = "unknown"
    """It runs, and another program holds its management socket."""


class LargePackets(StrEnum):
    """Whether large packets arrive at the other end of a tunnel that small ones pass."""

    PASS = "pass"
    LOST = "lost"
    """The line drops them without a word."""
    SUSPECTED = "suspected"
    """One did not arrive. Another one tells."""
    UNKNOWN = "unknown"
    """Not tried yet, or the other end does not answer such a question."""


class ApplianceNetwork(Contract):
    """One network to extend. `spare` is an unused address of the subnet for this appliance alone; the
    appliance at the other end has a different one.

    Example: `{"name": "acme-lan-a", "mac": "00:50:56:01:02:03", "subnet": "192.168.10.0/24",
    "gateway": "192.168.10.1", "spare": "192.168.10.251"}`
    """

    name: str
    mac: Mac
    """MAC of the appliance's NIC on the network."""
    subnet: IPv4Network
    gateway: IPv4Address
    spare: IPv4Address


class Lease(Contract):
    """One replica's address on one extended network, for as long as its failover lasts.

    Example: `{"id": "0191b6c4-…", "network": "acme-lan-a", "address": "192.168.10.50"}`
    """

    id: Uuid
    network: str
    address: IPv4Address


class Interface(Contract):
    """The appliance's interface on a declared network. `leg`, as its protocol calls it: the interface's name,
    None when no NIC with its MAC is plugged in."""

    name: str
    leg: str | None


class Tunnel(Contract):
    """`wanted`: it was asked for. `since`: Unix time at which it connected."""

    wanted: bool
    state: TunnelState
    since: int | None


class Claim(Contract):
    """Somebody else on the LAN who claims a leased address: as a rule the original, switched on again."""

    address: IPv4Address
    mac: Mac


class ApplianceStatus(Contract):
    """All that an appliance says of itself. `claims`: heard within the last two minutes."""

    version: str
    role: ApplianceRole
    fingerprint: Fingerprint
    closing: bool
    """The last lease is gone and the appliance waits to be powered off: it leases nothing any more."""
    power_off_when_idle: bool
    leases: tuple[Lease, ...]
    networks: tuple[Interface, ...]
    vpn: Tunnel
    claims: tuple[Claim, ...] = ()
    large: LargePackets | None = None
    """Found last. None: of a program that cannot try it."""


class Released(Contract):
    """`left`: leases that remain. `power_off`: the caller must power the appliance off. `changed`: there was
    something to do; programs before version 3 do not say it."""

    left: int
    closing: bool
    power_off: bool
    changed: bool = True


class Verified(Contract):
    """Whether a leased address answered. `rtt_ms`: milliseconds there and back, when it answered to ping."""

    reachable: bool
    rtt_ms: float | None
    how: Literal["ping", "arp"]
