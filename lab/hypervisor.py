"""The VMs of one vCenter: power, NICs, snapshots, and disks with contents.

This is the world behind the endpoints. The vSphere endpoint shows it as it is; the Cloud Director
endpoint keeps a view of its own and drives it, as the real one drives its vCenter.
"""

import datetime as dt
import itertools
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Literal, Protocol

MARK = "<RPData "
"""How the descriptions of replication's snapshots begin."""

PowerState = Literal["poweredOn", "poweredOff", "suspended"]


def utc_now() -> dt.datetime:
    """Now, with a time zone."""
    return dt.datetime.now(dt.UTC)


class Refused(Exception):
    """The hypervisor does not do this in this state; endpoints map the word `reason` to their faults."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _mark(created: dt.datetime, full: bool) -> str:
    """What Veeam's replication leaves as a snapshot's description (inferred): time in 100 ns since year 1."""
    ticks = (created - dt.datetime(1, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * 10
    kind = "EFull" if full else "EIncremental"
    return f'{MARK}PointTime="{ticks}" PointType="{kind}" DescriptionVersion="2" />'


@dataclass(eq=False)
class Disk:
    """One file of a disk's chain. Reads fall through to the parent; writes stay here."""

    file: str
    parent: "Disk | None" = None
    data: dict[str, str] = field(default_factory=dict)

    def read(self, key: str) -> str | None:
        """What the guest sees under `key`."""
        if key in self.data:
            return self.data[key]
        return self.parent.read(key) if self.parent else None

    def chain(self) -> "list[Disk]":
        """From this file down to the base."""
        return [self, *(self.parent.chain() if self.parent else [])]


@dataclass(frozen=True)
class Nic:
    """A virtual NIC. `network` is a port group's name, None when it is unplugged."""

    index: int
    mac: str
    network: str | None
    connected: bool = True


@dataclass(frozen=True)
class GuestAddress:
    """What the guest's own configuration gives to the NIC `index`."""

    index: int
    address: IPv4Interface
    gateway: IPv4Address | None = None


@dataclass(eq=False)
class Snapshot:
    """One restore point: the disk as it was, and the hardware as it was. Always taken of a powered-off VM."""

    moref: str
    number: int
    name: str
    description: str
    created: dt.datetime
    parent: "Snapshot | None"
    disk: Disk
    nics: tuple[Nic, ...]


@dataclass(eq=False)
class Vm:
    """A virtual machine. `kind` tells the fabric what boots: a guest or a network extension appliance."""

    moref: str
    name: str
    instance_uuid: str
    nics: tuple[Nic, ...]
    guest: tuple[GuestAddress, ...]
    disk: Disk
    kind: Literal["guest", "appliance"] = "guest"
    power: PowerState = "poweredOff"
    snapshots: list[Snapshot] = field(default_factory=list)
    current: Snapshot | None = None
    extra_config: dict[str, str] = field(default_factory=dict)
    boots: bool = True
    """Whether the guest comes up after power-on (tools, heartbeat, network)."""
    on_since: dt.datetime | None = None
    question: str | None = None
    """What it waits for an answer to, in the middle of its work: a full datastore, say."""
    programs: dict[str, int] = field(default_factory=dict)
    """What the guest can run, by path, with the exit code of each."""
    logins: dict[str, str] = field(default_factory=dict)
    """Accounts in the guest that may run programs, with their passwords."""
    torn: bool = False
    """Replication wrote onto a replica that was on or had been written to: its image is worthless."""
    reverts: list[str] = field(default_factory=list)
    """Audit: MoRefs of the snapshots that this VM was reverted to, and "on", "off", "suspended" for power."""

    def write(self, key: str, value: str) -> None:
        """The guest writes to its disk."""
        if self.power != "poweredOn":
            raise Refused("InvalidPowerState", f"{self.name} is not powered on")
        self.disk.data[key] = value


class Listener(Protocol):
    """Told after a change, outside of the hypervisor's lock."""

    def powered(self, vm: Vm) -> None:
        """`vm.power` has changed."""

    def rewired(self, vm: Vm) -> None:
        """`vm.nics` have changed while the VM is on."""


class Hypervisor:
    """All VMs of one vCenter. Thread safe: every method takes the lock."""

    def __init__(self, name: str, networks: Iterable[str] = ()) -> None:
        self.name = name
        self.instance_uuid = str(uuid.uuid4())
        self.lock = threading.RLock()
        self.networks = set(networks)
        self.vms: dict[str, Vm] = {}
        self.listeners: list[Listener] = []
        self._numbers = itertools.count(101)

    def number(self) -> int:
        """A number that this vCenter has not used yet, for MoRefs and MACs."""
        return next(self._numbers)

    def new_mac(self) -> str:
        """A MAC of VMware's range, unique over the whole lab as long as vCenters' names differ."""
        site = uuid.uuid5(uuid.NAMESPACE_DNS, self.name).bytes[0]
        number = self.number()
        return f"00:50:56:{site & 0x3F:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"

    def add_vm(
        self,
        name: str,
        networks: Iterable[str | None],
        guest: Iterable[GuestAddress] = (),
        data: dict[str, str] | None = None,
        kind: Literal["guest", "appliance"] = "guest",
    ) -> Vm:
        """A new VM, powered off, with one NIC for each network in `networks`."""
        with self.lock:
            moref = f"vm-{self.number()}"
            nics = tuple(Nic(i, self.new_mac(), n) for i, n in enumerate(networks))
            disk = Disk(f"[ds1] {name}/{name}.vmdk", data=dict(data or {}))
            vm = Vm(moref, name, str(uuid.uuid4()), nics, tuple(guest), disk, kind)
            self.vms[moref] = vm
            return vm

    def find(self, name: str) -> Vm | None:
        """The first VM of that name."""
        with self.lock:
            return next((v for v in self.vms.values() if v.name == name), None)

    def snapshot(
        self, vm: Vm, name: str, created: dt.datetime | None = None, description: str = ""
    ) -> Snapshot:
        """Freeze the disk that is written to now; a new delta goes on top of it."""
        with self.lock:
            snap = Snapshot(
                f"snapshot-{self.number()}",
                max((s.number for s in vm.snapshots), default=0) + 1,
                name,
                description,
                created or utc_now(),
                vm.current,
                vm.disk,
                vm.nics,
            )
            vm.snapshots.append(snap)
            vm.current = snap
            vm.disk = self._delta(vm, snap.disk)
            return snap

    def _delta(self, vm: Vm, parent: Disk) -> Disk:
        return Disk(f"[ds1] {vm.name}/{vm.name}-{self.number():06d}.vmdk", parent)

    def revert(self, vm: Vm, snap: Snapshot) -> None:
        """Back to the snapshot: its disk, its hardware, powered off (the snapshots here hold no memory)."""
        with self.lock:
            if snap not in vm.snapshots:
                raise Refused("ManagedObjectNotFound", f"{snap.moref} is not a snapshot of {vm.name}")
            was_on = vm.power == "poweredOn"
            vm.current = snap
            vm.disk = self._delta(vm, snap.disk)
            vm.nics = snap.nics
            vm.power = "poweredOff"
            vm.reverts.append(snap.moref)
        if was_on:
            self._tell_power(vm)

    def power_on(self, vm: Vm) -> None:
        """Refused when it is on."""
        with self.lock:
            if vm.power == "poweredOn":
                raise Refused("InvalidPowerState", f"{vm.name} is powered on")
            if vm.power == "poweredOff":  # what was suspended goes on
                vm.on_since = utc_now()
            vm.power = "poweredOn"
            vm.reverts.append("on")
        self._tell_power(vm)

    def power_off(self, vm: Vm) -> None:
        """Hard off; from suspended, too, and what the memory held is lost. Refused when it is off."""
        with self.lock:
            if vm.power == "poweredOff":
                raise Refused("InvalidPowerState", f"{vm.name} is powered off")
            vm.power = "poweredOff"
            vm.reverts.append("off")
        self._tell_power(vm)

    def suspend(self, vm: Vm) -> None:
        """What the memory holds is kept. Refused unless it is on."""
        with self.lock:
            if vm.power != "poweredOn":
                raise Refused("InvalidPowerState", f"{vm.name} is not powered on")
            vm.power = "suspended"
            vm.reverts.append("suspended")
        self._tell_power(vm)

    def set_nics(self, vm: Vm, nics: Iterable[Nic]) -> None:
        """The whole set of NICs, at most 10 (vSphere hardware version 7 and later)."""
        wanted = tuple(sorted(nics, key=lambda n: n.index))
        if len(wanted) > 10:
            raise Refused("TooManyDevices", f"{vm.name} would have {len(wanted)} NICs")
        for nic in wanted:
            if nic.network is not None and nic.network not in self.networks:
                raise Refused("InvalidDeviceBacking", f"no network {nic.network}")
        with self.lock:
            changed, vm.nics = vm.nics != wanted, wanted
            on = vm.power == "poweredOn"
        if changed and on:
            for listener in self.listeners:
                listener.rewired(vm)

    def replicate(self, vm: Vm, name: str, data: dict[str, str], created: dt.datetime | None = None) -> None:
        """One replication cycle writes `data` and makes a restore point of it.

        Nothing refuses this on a replica that is on or was written to, as nothing does in real life: the
        image is torn then, and only `torn` tells.
        """
        with self.lock:
            latest = max(vm.snapshots, key=lambda s: s.created, default=None)
            clean = vm.current is latest and (latest is None or not vm.disk.data)
            if vm.power != "poweredOff" or not clean:
                vm.torn = True
            vm.disk.data.update(data)
            self.snapshot(vm, name, created, _mark(created or utc_now(), latest is None))

    def plug(self, vm: Vm, index: int, network: str | None) -> None:
        """Connect one NIC to a network."""
        self.set_nics(vm, [replace(n, network=network) if n.index == index else n for n in vm.nics])

    def _tell_power(self, vm: Vm) -> None:
        for listener in self.listeners:
            listener.powered(vm)
