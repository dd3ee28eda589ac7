"""A replica's chain of snapshots, changed by a test and put back after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from lab.hypervisor import Vm


@contextmanager
def kept(vm: Vm) -> Iterator[Vm]:
    """Snapshots, disk and NICs of `vm` are as they were afterwards."""
    points = [(p, replace(p)) for p in vm.snapshots]
    stood = vm.current, vm.disk, vm.nics
    yield vm
    vm.snapshots = [point for point, _ in points]
    for point, was in points:
        vars(point).update(vars(was))
    vm.current, vm.disk, vm.nics = stood
