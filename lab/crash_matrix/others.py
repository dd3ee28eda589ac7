"""What somebody else does to a replica that fails over, and how a person puts it in order afterwards."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any  # Any: what a task of the lab's vCenter gives back

from lab.cloud_director.model import OFF, ON, SUSPENDED
from lab.crash_matrix.cases import Case, Change, Phase
from lab.crash_matrix.driver import Driver
from lab.crash_matrix.rules import VM
from lab.data_centre import SUFFIX
from lab.hypervisor import Refused, Snapshot
from lab.vsphere.snapshots import remove_snapshot
from lab.vsphere.tasks import Task
from partial_failover.contracts.run import lock_id
from partial_failover.contracts.step import StepName

SEEN_WITHIN = 2.0
"""Seconds until Cloud Director shows what was done in vCenter. Inferred: the number."""
BUSY_FOR = 5.0
"""Seconds for which somebody tries again, while a task holds the VM."""


class Others:
    """Somebody with rights on everything, at the provider and at the tenant's site."""

    def __init__(self, driver: Driver) -> None:
        self._driver, self._rules = driver, driver.rules
        self._centre, self._machine = driver.lab.centre, driver.rules.replica
        self._cloud = self._centre.cloud.vm(VM + SUFFIX)
        self._nics = list(self._cloud.nics), self._machine.nics
        self._chain = [(s, s.parent, s.disk, s.disk.file, s.disk.parent) for s in self._machine.snapshots]
        self._data = [dict(s.disk.data) for s in self._machine.snapshots]

    def doing(self, case: Case) -> Callable[[], None]:
        """What the case's change is, to be called at its moment."""
        changes: dict[Change, Callable[[], None]] = {
            Change.SWITCHED: partial(self._switch, case.variant // 6),
            Change.REVERTED: partial(self._revert, self._rules.points[0]),
            Change.SNAPSHOT_MADE: self._make_snapshot,
            Change.SNAPSHOT_REMOVED: partial(self._remove_snapshot, case.point.phase),
            Change.NIC_CHANGED: self._unplug,
            Change.EXCLUSION_DELETED: self._delete_exclusion,
            Change.LOCK_ENDED: self._end_lock,
        }
        kind = Change(case.intervention)
        # The proof is made by then, and at the tenant's site nobody sees the replica.
        unseen = case.point.step == StepName.RELEASE_REPLICATION

        def act() -> None:
            self._rules.disturb(kind, unseen)
            changes[kind]()

        return act

    def put_in_order(self) -> None:
        """A person makes the replica what replication left: off, clean, on its newest point, plugged in."""
        newest, machine = self._rules.points[-1], self._machine
        if machine.power != "poweredOff":
            self._switch_off()
        chain = [s for s, *_ in self._chain]
        if machine.snapshots != chain:
            self._restore_chain()
        if machine.current is not newest or machine.disk.data:
            self._revert(newest)
        self._plug(*self._nics)
        self._see()
        self._cloud.deployed = False

    def _restore_chain(self) -> None:
        """No person can: what was removed is there again, for the next case."""
        with self._centre.provider.lock:
            self._machine.snapshots[:] = [s for s, *_ in self._chain]
            for (snap, parent, disk, file, below), data in zip(self._chain, self._data, strict=True):
                snap.parent, snap.disk = parent, disk
                disk.file, disk.parent, disk.data = file, below, dict(data)
            self._machine.current = None  # it stands on none of them until it is reverted

    def _switch(self, variant: int) -> None:
        if self._machine.power != "poweredOff":
            self._switch_off() if variant % 2 else self._suspend()
            return
        self._as_task("VirtualMachine.powerOn", lambda: self._centre.provider.power_on(self._machine))
        self._machine.write("by somebody", "used")
        if variant % 2:
            self._switch_off()
        self._see_later()

    def _switch_off(self) -> None:
        self._as_task("VirtualMachine.powerOff", lambda: self._centre.provider.power_off(self._machine))
        self._see_later()

    def _suspend(self) -> None:
        self._as_task("VirtualMachine.suspend", lambda: self._centre.provider.suspend(self._machine))
        self._see_later()

    def _revert(self, point: Snapshot) -> None:
        self._as_task("vm.Snapshot.revert", lambda: self._centre.provider.revert(self._machine, point))
        self._see_later()

    def _make_snapshot(self) -> None:
        def make() -> None:
            self._centre.provider.snapshot(self._machine, "before the patch")

        self._as_task("VirtualMachine.createSnapshot", make)

    def _remove_snapshot(self, phase: Phase) -> None:
        """The one that the failover, or its undo, goes to."""
        point = self._rules.point if phase is Phase.FAILOVER else self._rules.points[-1]

        def remove() -> None:
            with self._centre.provider.lock:
                remove_snapshot(self._machine, point)

        self._as_task("vm.Snapshot.remove", remove)

    def _unplug(self) -> None:
        """In Cloud Director, by a person: the first NIC."""
        cloud = [replace(nic, network=None, connected=False, address=None) for nic in self._cloud.nics[:1]]
        machine = [replace(nic, network=None, connected=False) for nic in self._machine.nics[:1]]
        self._plug([*cloud, *self._cloud.nics[1:]], (*machine, *self._machine.nics[1:]))

    def _plug(self, cloud: list[Any], machine: tuple[Any, ...]) -> None:
        world = self._centre.cloud.world
        with world.lock:
            world.change(self._cloud, nics=cloud)
        self._centre.provider.set_nics(self._machine, machine)

    def _delete_exclusion(self) -> None:
        replication = self._driver.site.backup.replication
        with replication.lock:
            moref = self._rules.original.moref
            for exclusion in [e for e in replication.exclusions.values() if e.object_id == moref]:
                del replication.exclusions[exclusion.id]

    def _end_lock(self) -> None:
        lock = self._driver.client.get_workflow_handle(lock_id(self._cloud.id))
        asyncio.run_coroutine_threadsafe(lock.terminate(), self._driver.loop).result(10)

    def _as_task(self, description: str, effect: Callable[[], None]) -> None:
        """As vCenter does it: a task of its own, when the VM is free."""
        tasks, end = self._centre.vcenter.tasks, time.monotonic() + BUSY_FOR
        while True:
            task: Task = tasks.start(self._machine, description, effect, "VSPHERE.LOCAL\\somebody")
            while task.completed is None:
                tasks.wait(tasks.revision, 0.1)
            if task.error is None:
                return
            if time.monotonic() > end:
                raise Refused("TaskInProgress", f"somebody could not do {description}: {task.error.msg}")
            time.sleep(0.05)

    def _see_later(self) -> None:
        threading.Timer(SEEN_WITHIN, self._see).start()

    def _see(self) -> None:
        """Cloud Director shows the power that there is, as its inventory service does by itself."""
        world, shown = self._centre.cloud.world, {"poweredOn": ON, "poweredOff": OFF, "suspended": SUSPENDED}
        with world.lock:
            power = self._machine.power
            deployed = self._cloud.deployed or power == "poweredOn"  # what is off stays deployed
            world.change(self._cloud, status=shown[power], deployed=deployed)
