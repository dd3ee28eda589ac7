# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""Tasks of the lab's vCenter: one at a time for each VM, with a duration, an outcome and a history."""

import datetime as dt
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from lab.hypervisor import Hypervisor, Refused, Vm, utc_now
from lab.injected_faults import FaultKind, FaultRule

SOMEBODY = "VSPHERE.LOCAL\\cloud-director"
KEPT = 200
"""Completed tasks that a vCenter still shows (source: vSphere API, TaskManager)."""


@dataclass(eq=False)
class Task:
    """One operation. `description`: vCenter's descriptionId, for instance `vm.Snapshot.revert`."""

    moref: str
    vm: Vm
    description: str
    user: str
    queued: dt.datetime
    state: str = "queued"
    started: dt.datetime | None = None
    completed: dt.datetime | None = None
    error: Any = None
    result: Any = None
    cancelled: bool = False

    def info(self) -> Any:
        """As a vCenter shows it."""
        return vim.TaskInfo(
            key=self.moref,
            task=vim.Task(self.moref),
            descriptionId=self.description,
            entity=vim.VirtualMachine(self.vm.moref),
            entityName=self.vm.name,
            state=self.state,
            cancelled=self.cancelled,
            cancelable=False,
            error=self.error,
            result=self.result,
            reason=vim.TaskReasonUser(userName=self.user),
            queueTime=self.queued,
            startTime=self.started,
            completeTime=self.completed,
            eventChainId=0,
        )


class Tasks:
    """Starts tasks and remembers them. `revision` grows with every change of a task."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.seconds: float | Callable[[str], float] = 0.0
        """Duration, or a function of the descriptionId."""
        self.revision = 0
        self._changed = threading.Condition()
        self._hypervisor = hypervisor
        self._tasks: deque[Task] = deque(maxlen=KEPT)
        self._history: list[Task] = []
        """All tasks, as a vCenter's database has them for weeks."""
        self._busy: dict[str, Task] = {}
        self._closing = threading.Event()
        hypervisor.listeners.append(self)

    def powered(self, vm: Vm) -> None:
        """Cloud Director, or a person at a console, switched a VM: a vCenter shows that as a task too."""
        with self._changed:
            if vm.moref in self._busy:
                return  # it is this task that switched it
            done = "VirtualMachine.powerOn" if vm.power == "poweredOn" else "VirtualMachine.powerOff"
            now = utc_now()
            task = Task(f"task-{self._hypervisor.number()}", vm, done, SOMEBODY, now, "success", now, now)
            self._add(task)

    def rewired(self, vm: Vm) -> None:
        """Nobody asks for the tasks of that."""

    def start(
        self, vm: Vm, description: str, effect: Callable[[], Any], user: str, fate: FaultRule | None = None
    ) -> Task:
        """Queue a task. While another holds the VM it ends at once in TaskInProgress, without effect."""
        task = Task(f"task-{self._hypervisor.number()}", vm, description, user, utc_now())
        with self._changed:
            holder = self._busy.get(vm.moref)
            if holder is None:
                self._busy[vm.moref] = task
            self._add(task)
        if holder is not None:
            self._end(task, in_progress(holder.moref))
        else:
            threading.Thread(target=self._run, args=(task, effect, fate), daemon=True).start()
        return task

    def _run(self, task: Task, effect: Callable[[], Any], fate: FaultRule | None) -> None:
        with self._changed:
            task.state, task.started = "running", utc_now()
            self._tell()
        seconds = self.seconds(task.description) if callable(self.seconds) else self.seconds
        if fate is not None and fate.kind is FaultKind.TASK_HANG:
            seconds += fate.seconds
        if self._closing.wait(seconds):
            return
        error = None
        try:
            if fate is not None and fate.kind is FaultKind.TASK_ERROR:
                raise vim.fault.GenericVmConfigFault(
                    reason="lab", msg="An error occurred while saving the snapshot."
                )
            if fate is not None and fate.kind is FaultKind.TASK_CANCEL:
                task.cancelled = True
                raise vmodl.fault.RequestCanceled(msg="The task was canceled by a user.")
            task.result = effect()
        except vmodl.MethodFault as fault:
            error = fault
        except Refused as refusal:
            error = fault_of(refusal, task.vm)
        self._end(task, error)

    def _end(self, task: Task, error: Any) -> None:
        with self._changed:
            task.error, task.state, task.completed = error, "error" if error else "success", utc_now()
            if self._busy.get(task.vm.moref) is task:
                del self._busy[task.vm.moref]
            self._tell()

    def _add(self, task: Task) -> None:
        self._tasks.append(task)
        self._history.append(task)
        self._tell()

    def _tell(self) -> None:
        self.revision += 1
        self._changed.notify_all()

    def wait(self, revision: int, seconds: float) -> None:
        """Until something is newer than `revision`, at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self.revision != revision, seconds)

    def wait_idle(self, seconds: float) -> None:
        """Until no VM is held by a task. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._busy, seconds):
                raise TimeoutError("tasks of a vCenter still run")

    def find(self, moref: str) -> Task | None:
        """A task that is still remembered."""
        with self._changed:
            return next((t for t in self._tasks if t.moref == moref), None)

    def recent(self, vm: Vm | None = None) -> list[Task]:
        """Oldest first; of one VM, or of all."""
        with self._changed:
            return [t for t in self._tasks if vm is None or t.vm is vm]

    def history(self, vm: Vm) -> list[Task]:
        """Oldest first: what the vCenter's database keeps of one VM, whatever `recent` still shows."""
        with self._changed:
            return [t for t in self._history if t.vm is vm]

    def forget(self) -> None:
        """What a restart of the vCenter, or enough time, does to the tasks; the history stays."""
        with self._changed:
            self._tasks.clear()

    def forget_history(self) -> None:
        """What the vCenter's retention of tasks does, 30 days by default."""
        with self._changed:
            self._history.clear()

    def close(self) -> None:
        """Tasks that still run end without effect."""
        self._closing.set()


def in_progress(task: str) -> Any:
    """The fault that says that another task holds the VM."""
    return vim.fault.TaskInProgress(task=vim.Task(task), msg="Another task is already in progress.")


def fault_of(refusal: Refused, vm: Vm) -> Any:
    """The vim fault for what the hypervisor refused."""
    text = str(refusal)
    if refusal.reason == "InvalidPowerState":
        return vim.fault.InvalidPowerState(existingState=vm.power, msg=text)
    if refusal.reason == "TooManyDevices":
        return vim.fault.TooManyDevices(property="configSpec.deviceChange", msg=text)
    if refusal.reason == "InvalidDeviceBacking":
        return vim.fault.InvalidDeviceBacking(deviceIndex=0, property="device.backing", msg=text)
    return vmodl.fault.ManagedObjectNotFound(obj=vim.VirtualMachine(vm.moref), msg=text)
