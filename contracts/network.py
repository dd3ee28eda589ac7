"""Organization VDC networks and the NICs on them."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from contracts.base import Contract


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
