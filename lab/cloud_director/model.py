"""What Cloud Director keeps, as plain data. Its view of a VM is its own, not the hypervisor's."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import Any

from lab import hypervisor
from partial_failover.contracts.network import AllocationMode

POWER_RIGHT = "vApp: Power Operations"
EDIT_RIGHT = "vApp: Edit Properties"
NETWORK_RIGHT = "vApp: Edit VM Network"
SNAPSHOT_RIGHT = "vApp: Snapshot Operations"
METADATA_RIGHT = "vApp: Edit VM Properties"
ALL_RIGHTS = frozenset({POWER_RIGHT, EDIT_RIGHT, NETWORK_RIGHT, SNAPSHOT_RIGHT, METADATA_RIGHT})

SYSTEM = "System"

ON, OFF, SUSPENDED, ASKING = 4, 8, 3, 5
"""`status` of a VM (source: `ResourceEntityType`)."""


Address = IPv4Address | IPv6Address


@dataclass(eq=False)
class Org:
    """An organization: one tenant."""

    id: str
    name: str


@dataclass(eq=False)
class Vdc:
    """An organization VDC."""

    id: str
    name: str
    org: Org


@dataclass(eq=False)
class VdcGroup:
    """A VDC group: its networks are there for each of its VDCs."""

    id: str
    name: str
    vdcs: tuple[Vdc, ...]


@dataclass(eq=False)
class OrgNetwork:
    """An organization VDC network. `vdc`: its owner, or with `group` the VDC that the group began with.
    `port_group`: its name at the hypervisor, unique over all tenants."""

    id: str
    name: str
    vdc: Vdc
    gateway: IPv4Interface
    type: str
    port_group: str
    group: VdcGroup | None = None
    fence = "bridged"

    @property
    def vdcs(self) -> tuple[Vdc, ...]:
        """Those that can use it."""
        return self.group.vdcs if self.group else (self.vdc,)


@dataclass(eq=False)
class VAppNetwork:
    """A network of one vApp. With a `parent` it is routed to that by NAT, without one isolated."""

    name: str
    gateway: IPv4Interface
    port_group: str
    parent: OrgNetwork | None = None

    @property
    def fence(self) -> str:
        """`FenceMode` (source: `NetworkConfigurationType`)."""
        return "natRouted" if self.parent else "isolated"


AnyNetwork = OrgNetwork | VAppNetwork
"""What a vApp can have attached: an organization VDC network is bridged under its own name."""


@dataclass(frozen=True)
class NicSpec:
    """A NIC as a builder of the lab asks for it."""

    network: str | None
    mode: AllocationMode = AllocationMode.NONE
    address: Address | None = None
    secondary: Address | None = None
    """A second address, MANUAL too, as of dual stack."""


@dataclass(frozen=True)
class CloudNic:
    """A NIC in Cloud Director's own section."""

    index: int
    network: str | None
    mac: str
    mode: AllocationMode = AllocationMode.NONE
    address: Address | None = None
    connected: bool = True
    adapter: str = "VMXNET3"
    secondary: Address | None = None
    secondary_mode: AllocationMode = AllocationMode.NONE


@dataclass(frozen=True)
class MetadataValue:
    """One entry; its domain and key are the key of the dictionary that holds it."""

    value: str
    visibility: str
    type: str = "MetadataStringValue"


Metadata = dict[tuple[str, str], MetadataValue]


@dataclass(frozen=True)
class Question:
    """What a VM asks before it goes on. The choice `go_on` lets the power-on go on."""

    text: str = (
        "msg.uuid.altered:This virtual machine might have been moved or copied. If you don't know, answer "
        "'I Copied It'."
    )
    choices: tuple[str, ...] = ("Cancel", "I Moved It", "I Copied It")
    go_on: str = "I Moved It"


@dataclass(eq=False, kw_only=True)
class Lagging:
    """Something whose effects may be seen late: see `World.lags`."""

    late: dict[str, tuple[Any, float]] = field(default_factory=dict)
    """By the attribute's name: what was there before, and the monotonic time until which that is shown."""

    def seen(self, name: str) -> Any:
        """The attribute as Cloud Director shows it now. Any: its type."""
        before, until = self.late.get(name, (None, 0.0))
        return before if time.monotonic() < until else getattr(self, name)


@dataclass(frozen=True)
class VAppLease:
    """0 s: for ever. An end is there once its lease has begun."""

    runtime_s: int = 0
    runtime_ends: datetime | None = None
    storage_s: int = 0
    storage_ends: datetime | None = None


@dataclass(eq=False)
class VApp(Lagging):
    """A vApp, or with `template` a vApp template."""

    id: str
    name: str
    vdc: Vdc
    template: bool = False
    networks: list[AnyNetwork] = field(default_factory=list)
    auto: bool = False
    """Cloud Director made it for the one stand-alone VM that it holds (`autoNature`)."""
    maintenance: bool = False
    metadata: Metadata = field(default_factory=dict)
    lease: "VAppLease" = field(default_factory=lambda: VAppLease())
    vms: list["Vm"] = field(default_factory=list)

    @property
    def ref(self) -> str:
        """Last part of its href."""
        return f"vapp-{self.id}"

    def network(self, name: str) -> AnyNetwork:
        """One of those that are attached."""
        return next(n for n in self.networks if n.name == name)


@dataclass(eq=False)
class Vm(Lagging):
    """A VM in Cloud Director. `machine` is the same at the hypervisor; `status` is what was seen last."""

    id: str
    name: str
    vapp: VApp
    machine: hypervisor.Vm
    nics: list[CloudNic] = field(default_factory=list)
    primary: int = 0
    status: int = OFF
    deployed: bool = False
    metadata: Metadata = field(default_factory=dict)
    elsewhere: str | None = None
    """UUID of another vCenter, which is said to be its."""
    asks: Question | None = None
    """Asked at the next power-on."""
    answers: list[str] = field(default_factory=list)
    """Audit: what its questions were answered."""
    answered: threading.Event = field(default_factory=threading.Event)

    @property
    def ref(self) -> str:
        """Last part of its href."""
        return f"vm-{self.id}"


Entity = VApp | Vm


@dataclass(frozen=True)
class Principal:
    """A user who is logged in. The provider's users are of the organization System."""

    user: str
    org: str
    rights: frozenset[str]

    @property
    def provider(self) -> bool:
        """Whether it sees all tenants."""
        return self.org == SYSTEM


@dataclass(eq=False)
class Task:
    """A task; `status` goes queued, running, then success, error or canceled."""

    id: str
    operation: str
    owner: Entity
    user: Principal
    effect: Callable[["Task"], None]
    status: str = "queued"
    error: str | None = None
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def active(self) -> bool:
        """Whether it holds its owner."""
        return self.status in ("queued", "running")


class ApiError(Exception):
    """Answered with this status and error body."""

    def __init__(self, status: int, minor: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.minor = minor


def bad(message: str) -> ApiError:
    """400 BAD_REQUEST."""
    return ApiError(400, "BAD_REQUEST", message)


def forbidden(message: str) -> ApiError:
    """403, said of what does not exist as well."""
    return ApiError(403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", message)


class TaskError(Exception):
    """Ends a task in error."""
