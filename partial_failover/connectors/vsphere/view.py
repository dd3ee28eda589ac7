# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""VMs as vSphere describes them, as contract models."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim

from partial_failover.connectors.vsphere.faults import foreign
from partial_failover.connectors.vsphere.session import ObjectProperties
from partial_failover.contracts.errors import Unavailable
from partial_failover.contracts.replica import DiskChain, Power, RestorePoint, Running, VSphereNic, VSphereVm

POWER_PATHS = ("runtime.powerState", "runtime.question")
RUNNING_PATHS = (*POWER_PATHS, "runtime.bootTime", "snapshot.currentSnapshot")
VM_PATHS = (
    *POWER_PATHS,
    "name",
    "config.instanceUuid",
    "config.hardware.device",
    "snapshot",
    "guest.toolsRunningStatus",
    "guest.ipAddress",
    "guestHeartbeatStatus",
    "summary.quickStats.uptimeSeconds",
)
VM_AND_NETWORKS: Mapping[type[Any], Sequence[str]] = {
    vim.VirtualMachine: VM_PATHS,
    vim.Network: ("name",),
    vim.dvs.DistributedVirtualPortgroup: ("name", "key"),
}

POINT_TIME = re.compile(r"\s*<\w+\b[^>]*\bPointTime\s*=", re.IGNORECASE)
_POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}


def vm_of(moref: str, objects: Sequence[ObjectProperties]) -> VSphereVm:
    """A VM from what was read with VM_AND_NETWORKS."""
    values = next(o.values for o in objects if o.ref._moId == moref)
    if "config.instanceUuid" not in values or "config.hardware.device" not in values:
        raise Unavailable(
            f"vCenter cannot tell the configuration of {moref}: its host or datastore is not accessible",
            do="It is tried again",
        )
    portgroups = {o.values["key"]: plain(o.values["name"]) for o in objects if "key" in o.values}
    devices = values["config.hardware.device"]
    snapshot = values.get("snapshot")
    points = [point_of(node) for node in nodes(snapshot)]
    return VSphereVm(
        moref=moref,
        name=plain(values["name"]),
        instance_uuid=values["config.instanceUuid"],
        power=power_of(values),
        restore_points=tuple(sorted(points, key=lambda p: (p.created, p.number))),
        current=snapshot.currentSnapshot._moId if snapshot and snapshot.currentSnapshot else None,
        disks=tuple(DiskChain(label=_label(d), files=files(d)) for d in disks(devices)),
        nics=tuple(
            nic_of(d, portgroups) for d in devices if isinstance(d, vim.vm.device.VirtualEthernetCard)
        ),
        tools_running=values.get("guest.toolsRunningStatus") == "guestToolsRunning",
        guest_heartbeat=values.get("guestHeartbeatStatus") or "gray",
        guest_address=values.get("guest.ipAddress"),
        uptime_s=values.get("summary.quickStats.uptimeSeconds"),
    )


def running_of(values: Mapping[str, Any]) -> Running:
    """From what was read with RUNNING_PATHS. A VM that waits for an answer keeps its power state."""
    question, booted = values.get("runtime.question"), values.get("runtime.bootTime")
    current = values.get("snapshot.currentSnapshot")
    return Running(
        power=_POWER.get(values.get("runtime.powerState", ""), Power.OTHER),
        question=foreign(question.text) if question is not None else "",
        booted=booted.astimezone(UTC) if booted is not None else None,
        current=current._moId if current is not None else None,
    )


def power_of(values: Mapping[str, Any]) -> Power:
    """From what was read with POWER_PATHS."""
    if values.get("runtime.question") is not None:
        return Power.QUESTION
    return _POWER.get(values.get("runtime.powerState", ""), Power.OTHER)


def plain(name: str) -> str:
    """A name as people know it. vSphere writes `%`, `/` and `\\` as escapes (source: ManagedEntity.name)."""
    return re.sub("%(25|2f|5c)", lambda escape: unquote(escape[0]), name, flags=re.IGNORECASE)


def nodes(snapshot: Any) -> Iterator[Any]:
    """All `VirtualMachineSnapshotTree` nodes. Without recursion: a chain can be long."""
    waiting = list(snapshot.rootSnapshotList) if snapshot else []
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.childSnapshotList)


def point_of(node: Any) -> RestorePoint:
    """A restore point from a node of the tree."""
    created: datetime = node.createTime
    name = plain(node.name)
    return RestorePoint(
        id=node.snapshot._moId,
        number=node.id,
        name=name,
        created=created.astimezone(UTC),
        foreign=not _replicated(name, node.description or ""),
    )


def _replicated(name: str, description: str) -> bool:
    """Whether a snapshot has the marks of Veeam's replication: its name, or a description that is an XML
    element with the point's time (inferred, see docs/limits.md). Backup programs and people have others."""
    return name.casefold().startswith("restore point") or bool(POINT_TIME.match(description))


def disks(devices: Sequence[Any]) -> list[Any]:
    """The virtual disks among the devices."""
    return [d for d in devices if isinstance(d, vim.vm.device.VirtualDisk)]


def files(disk: Any) -> tuple[str, ...]:
    """A disk's files from the live one to the base. Backings without files or parents end the chain."""
    chain = []
    backing = disk.backing
    while isinstance(backing, vim.vm.device.VirtualDevice.FileBackingInfo):
        chain.append(backing.fileName)
        backing = getattr(backing, "parent", None)
    return tuple(chain)


def nic_of(device: Any, portgroups: Mapping[str, str]) -> VSphereNic:
    """A NIC. `portgroups`: names of distributed port groups by their keys."""
    card = vim.vm.device.VirtualEthernetCard
    network: str | None = None
    if isinstance(device.backing, card.NetworkBackingInfo):
        network = plain(device.backing.deviceName)
    elif isinstance(device.backing, card.DistributedVirtualPortBackingInfo):
        key = device.backing.port.portgroupKey
        network = portgroups.get(key or "", key)
    elif isinstance(device.backing, card.OpaqueNetworkBackingInfo):
        network = device.backing.opaqueNetworkId
    connected = bool(device.connectable and device.connectable.connected)
    return VSphereNic(mac=device.macAddress or "", network=network, connected=connected)


def _label(device: Any) -> str:
    return str(device.deviceInfo.label) if device.deviceInfo else f"disk {device.key}"
