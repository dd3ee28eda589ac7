# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""What activities do with a vCenter."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pyVmomi import vim

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.vsphere.faults import foreign
from partial_failover.connectors.vsphere.programs import Programs
from partial_failover.connectors.vsphere.revert import require_revertible, verify_reverted
from partial_failover.connectors.vsphere.session import VSphereSession
from partial_failover.connectors.vsphere.stub import VCenterLogin
from partial_failover.connectors.vsphere.tasks import TaskInfo, Tasks
from partial_failover.connectors.vsphere.view import (
    POWER_PATHS,
    RUNNING_PATHS,
    VM_AND_NETWORKS,
    plain,
    power_of,
    running_of,
    vm_of,
)
from partial_failover.connectors.whole_call import within
from partial_failover.contracts.errors import (
    BadRequest,
    Busy,
    Expired,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
    Unavailable,
    WrongState,
)
from partial_failover.contracts.replica import DiskChange, Power, RestorePoint, Running, VSphereVm

log = logging.getLogger(__name__)

REVERT, POWER_ON, POWER_OFF = "vm.Snapshot.revert", "VirtualMachine.powerOn", "VirtualMachine.powerOff"
"""DescriptionIds of vCenter's own task table."""
MERGING = "vm.Snapshot.remove", "VirtualMachine.removeAllSnapshots", "VirtualMachine.consolidateDisks"
"""Those of tasks that write one file of a disk into another (the last one is inferred)."""

_MOREF = re.compile(r"[A-Za-z0-9_.:-]{1,80}")


@contextmanager
def _in_time(attempt: Attempt) -> Iterator[None]:
    """No call in here lasts longer than the attempt."""
    try:
        with within(attempt.left()):
            yield
    except Unavailable as error:
        if attempt.left() > 0:
            raise
        # What was left is not known here: a task may have been sent before the time was over.
        raise Expired(
            f"This attempt's time ended: {error.happened}", do="The next attempt looks first"
        ) from error


class VSphere:
    """A vCenter. Safe to share between the threads of a worker; logs in when it is first used.

    Every method raises only the errors of `partial_failover.contracts.errors`.
    """

    def __init__(self, login: VCenterLogin) -> None:
        self._session = VSphereSession(login)
        self._tasks = Tasks(self._session)
        self._programs = Programs(self._session)

    def check(self) -> str:
        """Log in and ask for the time; the vCenter's name with its version."""
        self.now()
        return foreign(self._session.content().about.fullName)

    def now(self) -> datetime:
        """The vCenter's clock, in UTC."""
        now: datetime = self._session.now()
        return now.astimezone(UTC)

    def privileges(self, moref: str, asked: Sequence[str]) -> frozenset[str]:
        """Those of the privileges `asked` for that the account has on a VM."""
        vm = self._vm(moref)
        return self._session.ask(lambda: self._granted(vm, list(asked)), "show the account's privileges")

    def _granted(self, vm: Any, asked: list[str]) -> frozenset[str]:
        content = self._session.content()
        current = content.sessionManager.currentSession if content.sessionManager else None
        if current is None or content.authorizationManager is None:
            raise ValueError("no session")
        [answer] = content.authorizationManager.HasPrivilegeOnEntities([vm], current.key, asked)
        return frozenset(p.privId for p in answer.privAvailability if p.isGranted)

    def close(self) -> None:
        """Log out."""
        self._session.close()

    def vm(self, moref: str) -> VSphereVm:
        """A VM as it is now. Raises NotFound."""
        ref = self._vm(moref)
        return self._session.ask(
            lambda: vm_of(moref, self._session.retrieve(ref, VM_AND_NETWORKS, via="network")), f"show {moref}"
        )

    def running(self, moref: str) -> Running:
        """Whether a VM runs, in one small call. Raises NotFound."""
        ref, paths = self._vm(moref), {vim.VirtualMachine: RUNNING_PATHS}
        return self._session.ask(
            lambda: running_of(self._session.retrieve(ref, paths)[0].values), f"show {moref}"
        )

    def vm_named(self, name: str) -> VSphereVm:
        """The VM of exactly that name. Raises NotFound, and BadRequest when several have it."""
        morefs = self._session.ask(lambda: self._called(name), "list its VMs")
        if not morefs:
            raise NotFound(f"No VM in {self._session.server} is called {name!r}", do="Check the name")
        if len(morefs) > 1:
            raise BadRequest(
                f"{len(morefs)} VMs in {self._session.server} are called {name!r}: {', '.join(morefs)}",
                do="Rename all but one of them",
            )
        return self.vm(morefs[0])

    def revert(
        self, moref: str, instance_uuid: str, point: RestorePoint, not_before: datetime, attempt: Attempt
    ) -> bool:
        """Set a powered-off VM back to a restore point; False when that was done since `not_before` already.

        What was written since the restore point is lost. `not_before`: on the vCenter's clock (see `now`),
        when this failover began to act on the VM. Raises WrongState, nothing sent, unless the VM and the
        restore point are exactly the ones meant and the VM is powered off.
        """
        with _in_time(attempt):
            return self._revert(moref, instance_uuid, point, not_before, attempt)

    def _revert(
        self, moref: str, instance_uuid: str, point: RestorePoint, not_before: datetime, attempt: Attempt
    ) -> bool:
        what = f"revert {moref} to restore point {point.id}"
        vm = self._vm(moref)
        require_revertible(self._session, vm, instance_uuid, point)
        task = self._last_revert(moref, not_before)
        if task is not None and task.running:
            log.info("waiting for %s, which an earlier attempt started", task.moref)
            attempt.started(task.moref)
            self._tasks.wait(moref, task.moref, what, attempt)
        if task is not None and self.vm(moref).current == point.id:
            verify_reverted(self._session, vm, point)
            return task.running
        snapshot = self._session.object(vim.vm.Snapshot, point.id)
        send = partial(snapshot.RevertToSnapshot_Task, suppressPowerOn=True)
        self._run(moref, REVERT, what, send, attempt)
        verify_reverted(self._session, vm, point)
        return True

    def last_change(self, moref: str, not_before: datetime) -> DiskChange | None:
        """What was done last to the VM's disks since `not_before`, as the history of the vCenter's tasks
        tells. None where it tells of neither."""
        merged = False
        for task in self._tasks.since(moref, not_before):
            if task.description == REVERT and task.succeeded:
                return DiskChange.MERGED if merged else DiskChange.REVERTED
            merged = merged or (task.description in MERGING and not task.failed)
            # With DRS it is `Datacenter.ExecuteVmPowerOnLRO` and the like.
            if "poweron" in task.description.lower() and not task.failed:
                return DiskChange.STARTED
        return None

    def power_on(self, moref: str, attempt: Attempt) -> bool:
        """Power on; False when it was on already."""
        vm = self._vm(moref)
        with _in_time(attempt):
            return self._power(moref, Power.ON, POWER_ON, vm.PowerOnVM_Task, attempt)

    def power_off(self, moref: str, attempt: Attempt) -> bool:
        """Power off at once, without asking the guest; False when it was off already."""
        vm = self._vm(moref)
        with _in_time(attempt):
            return self._power(moref, Power.OFF, POWER_OFF, vm.PowerOffVM_Task, attempt)

    def run_in_guest(
        self, moref: str, username: str, password: str, path: str, arguments: str, attempt: Attempt
    ) -> int | None:
        """Exit code of a program in the guest, None while it runs. It is started by the first call of an
        attempt; later ones, and those of the next attempt, ask for the same process.

        Raises Unavailable while VMware Tools do not run in the guest.
        """
        with _in_time(attempt):
            return self._programs.run(self._vm(moref), username, password, path, arguments, attempt)

    def _called(self, name: str) -> list[str]:
        """MoRefs of the VMs of that name. The list is an object of the session, hence in one go."""
        content = self._session.content()
        if content.viewManager is None:
            raise ValueError("no view manager")
        view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
        try:
            vms = self._session.retrieve(view, {vim.VirtualMachine: ("name",)}, via="view")
        finally:
            view.Destroy()
        return [vm.ref._moId for vm in vms if plain(vm.values.get("name", "")) == name]

    def _vm(self, moref: str) -> Any:
        if not _MOREF.fullmatch(moref):
            raise NotFound(f"{foreign(moref)[:80]!r} is not the reference of a VM")
        return self._session.object(vim.VirtualMachine, moref)

    def _run(
        self, moref: str, description: str, what: str, send: Callable[[], vim.Task], attempt: Attempt
    ) -> None:
        task = self._tasks.submit(moref, description, what, send, attempt)
        log.info("%s is to %s", task, what)
        self._tasks.wait(moref, task, what, attempt)

    def _last_revert(self, moref: str, not_before: datetime) -> TaskInfo | None:
        """The revert by this account since `not_before`, if nothing else was done to the VM after it."""
        tasks = self._tasks.since(moref, not_before)
        last = next((t for t in tasks if t.running or t.succeeded), None)
        if last is None or last.description != REVERT or last.user != self._session.user:
            return None
        return last

    def _earlier(self, moref: str, description: str, attempt: Attempt) -> TaskInfo | None:
        """The task that an earlier attempt started, if it is of this VM and kind and still known."""
        if attempt.earlier_task is None or not _MOREF.fullmatch(attempt.earlier_task):
            return None
        task = self._tasks.find(attempt.earlier_task)
        return task if task and (task.vm, task.description) == (moref, description) else None

    def _power(
        self, moref: str, wanted: Power, description: str, send: Callable[[], vim.Task], attempt: Attempt
    ) -> bool:
        what = f"power {wanted} {moref}"
        self._settle(moref, description, attempt)
        power = self._power_now(moref)
        earlier = self._earlier(moref, description, attempt)
        if power is wanted:
            return earlier is not None and earlier.succeeded
        if power is Power.QUESTION or (wanted is Power.ON and power is not Power.OFF):
            raise WrongState(
                f"{moref} is in the power state {power!s}, so it was not asked to {what}",
                left="Nothing was sent",
                do="Answer its question or power it off in vSphere",
            )
        running = [t for t in self._tasks.recent(moref) if t.running and t.description == description]
        mine = [t for t in running if t.user == self._session.user]
        try:
            if mine:
                attempt.started(mine[0].moref)
                self._tasks.wait(moref, mine[0].moref, what, attempt)
            else:
                self._run(moref, description, what, send, attempt)
        except WrongState:
            if self._power_now(moref) is wanted:  # somebody else was faster
                return False
            raise
        if self._power_now(moref) is not wanted:
            raise TaskFailed(
                f"{self._session.server} says that it did {what}, but it is not so", do="It is tried again"
            )
        return True

    def _settle(self, moref: str, description: str, attempt: Attempt) -> None:
        """Wait for whatever else runs on the VM: a switch-on under way would undo a switch-off."""
        for task in self._tasks.recent(moref):
            if task.running and task.description != description:
                try:
                    self._tasks.wait(moref, task.moref, f"work on {moref}", attempt)
                except (TaskFailed, OutcomeUnknown, WrongState, Busy):
                    log.info("%s, which was waited for, did not end well", task.moref)

    def _power_now(self, moref: str) -> Power:
        vm, paths = self._session.object(vim.VirtualMachine, moref), {vim.VirtualMachine: POWER_PATHS}
        return self._session.ask(
            lambda: power_of(self._session.retrieve(vm, paths)[0].values), f"show {moref}"
        )
