"""Removing a snapshot: its disk is merged with what was written on top of it."""

from lab.hypervisor import Snapshot, Vm


def remove_snapshot(vm: Vm, snap: Snapshot) -> None:
    """Forget the snapshot; no reader of any remaining disk sees a difference.

    The file keeps its name and takes up the one delta that stands on it (source: vSphere, consolidation
    writes the child into its parent). With several deltas on it, the file stays as their common parent;
    with none it goes.
    """
    for other in vm.snapshots:
        if other.parent is snap:
            other.parent = snap.parent
    if vm.current is snap:
        vm.current = snap.parent
    vm.snapshots.remove(snap)
    disks = {id(d): d for top in [vm.disk, *(s.disk for s in vm.snapshots)] for d in top.chain()}
    deltas = [d for d in disks.values() if d.parent is snap.disk]
    if len(deltas) == 1:
        (delta,) = deltas
        delta.file, delta.parent = snap.disk.file, snap.disk.parent
        delta.data = {**snap.disk.data, **delta.data}
