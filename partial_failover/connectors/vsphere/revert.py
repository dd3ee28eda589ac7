# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""What must hold before a VM is reverted, and what must be so afterwards."""

from collections.abc import Mapping
from typing import Any

from pyVmomi import vim

from partial_failover.connectors.vsphere.session import VSphereSession
from partial_failover.connectors.vsphere.view import (
    POWER_PATHS,
    disks,
    files,
    nodes,
    plain,
    point_of,
    power_of,
)
from partial_failover.contracts.errors import NotFound, WrongState
from partial_failover.contracts.replica import Power, RestorePoint

UNTOUCHED = "Nothing was touched"


def require_revertible(session: VSphereSession, vm: Any, instance_uuid: str, point: RestorePoint) -> None:
    """Raise unless VM and restore point are exactly those meant, and reverting leaves the VM powered off.

    MoRefs are given anew when a VM is registered again, and names of snapshots need not be unique.
    """
    paths = (*POWER_PATHS, "name", "config.instanceUuid", "snapshot")
    values = _values(session, vm, paths)
    name = plain(values.get("name", vm._moId))
    if values.get("config.instanceUuid") != instance_uuid:
        raise WrongState(
            f"{vm._moId} is {name!r}, another VM than the one meant", left=UNTOUCHED, do="Start again"
        )
    node = next((n for n in nodes(values.get("snapshot")) if n.snapshot._moId == point.id), None)
    if node is None:
        raise NotFound(
            f"{name!r} has no restore point {point.id} any more",
            left=UNTOUCHED,
            do="Choose another restore point",
        )
    existing = point_of(node)
    if (existing.number, existing.created) != (point.number, point.created):
        raise WrongState(
            f"{point.id} of {name!r} is another restore point than the one meant",
            left=UNTOUCHED,
            do="Choose a restore point again",
        )
    if node.state != "poweredOff":
        raise WrongState(
            f"Restore point {point.id} of {name!r} holds the memory of a running VM",
            left=UNTOUCHED,
            do="Choose a restore point that was taken of the powered-off replica",
        )
    power = power_of(values)
    if power is not Power.OFF:
        raise WrongState(
            f"{name!r} cannot be reverted, because it is not powered off (it is: {power})",
            left=UNTOUCHED,
            do="Power it off",
        )


def verify_reverted(session: VSphereSession, vm: Any, point: RestorePoint) -> None:
    """Raise unless the VM is off and every disk stands on the restore point's own.

    A task's success is not enough: a replica that runs on the wrong disk is lost.
    """
    now = _values(session, vm, (*POWER_PATHS, "snapshot", "config.hardware.device"))
    snapshot = session.object(vim.vm.Snapshot, point.id)
    then = _values(session, snapshot, ("config.hardware.device",))
    wrong = []
    tree = now.get("snapshot")
    if tree is None or tree.currentSnapshot is None or tree.currentSnapshot._moId != point.id:
        wrong.append("its current restore point is another")
    if power_of(now) is not Power.OFF:
        wrong.append(f"its power state is {power_of(now)}")
    live = {d.key: files(d) for d in disks(now.get("config.hardware.device", []))}
    kept = {d.key: files(d) for d in disks(then.get("config.hardware.device", []))}
    if not kept or live.keys() != kept.keys() or any(live[k][1:] != kept[k] for k in kept):
        wrong.append("its disks do not stand on the restore point's")
    if wrong:
        raise WrongState(
            f"{session.server} says that it reverted {vm._moId} to {point.id}, but {' and '.join(wrong)}",
            left="The VM was not powered on",
            do="Look at its snapshots and disks in vSphere before it is used",
        )


def _values(session: VSphereSession, ref: Any, paths: tuple[str, ...]) -> Mapping[str, Any]:
    return session.ask(lambda: session.retrieve(ref, {type(ref): paths})[0].values, f"show {ref._moId}")
