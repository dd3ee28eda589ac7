"""Tasks: they hold their entity while they run, and end well, in error, or cancelled."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from lab.cloud_director.model import ApiError, Entity, Principal, Task, TaskError, VApp
from lab.cloud_director.world import new_id, vapp_of
from lab.hypervisor import Refused
from lab.injected_faults import FaultKind, InjectedFaults

log = logging.getLogger(__name__)

TASK_KINDS = (FaultKind.TASK_ERROR, FaultKind.TASK_HANG, FaultKind.TASK_CANCEL)

Reach = Literal["vm", "vapp", "neighbours"]
"""What a VM's running task makes busy: the VM alone, its vApp as well, or its vApp with all that is in it.
Which of them the real one does is not known, so a client must be right with each; "vapp" is assumed."""


class Tasks:
    """`seconds`: how long a task of an operation takes."""

    def __init__(self, faults: InjectedFaults, seconds: float | Callable[[str], float]) -> None:
        self.seconds = seconds
        self.all: dict[str, Task] = {}
        self.reach: Reach = "vapp"
        self.refused: list[Task] = []
        """Audit: the tasks that were in the way of a write, at each refusal."""
        self.closing = threading.Event()
        self._faults = faults

    def start(
        self, call: str, operation: str, owner: Entity, user: Principal, effect: Callable[[Task], None]
    ) -> Task:
        """Run `effect` on a thread after the operation's time. `call`: the name that faults go by."""
        task = Task(new_id(), operation, owner, user, effect)
        self.all[task.id] = task
        rule = self._faults.take("cloud-director", call, TASK_KINDS, f"/api/vApp/{owner.ref}")
        kind, hang = (rule.kind, rule.seconds) if rule else (None, 0.0)
        threading.Thread(target=self._run, args=(task, kind, hang), name=operation, daemon=True).start()
        return task

    def _run(self, task: Task, kind: FaultKind | None, hang: float) -> None:
        task.status = "running"
        took = self.seconds(task.operation) if callable(self.seconds) else self.seconds
        task.cancel.wait(hang if kind is FaultKind.TASK_HANG else took)
        if self.closing.is_set():
            return
        if kind is FaultKind.TASK_CANCEL or task.cancel.is_set():
            task.status = "canceled"
            return
        try:
            if kind is FaultKind.TASK_ERROR:
                raise TaskError("Internal Server Error: planned by the lab")
            task.effect(task)
            task.status = "success"
        except (TaskError, Refused) as error:
            task.error, task.status = str(error), "error"
        except Exception as error:
            log.exception("a task of the lab failed by the lab's own mistake")
            task.error, task.status = f"lab: {error}", "error"

    def on(self, entity: Entity) -> list[Task]:
        """Its own tasks that run."""
        return [t for t in list(self.all.values()) if t.owner is entity and t.active]

    def busy_with(self, entity: Entity) -> Task | None:
        """The task that is in the way of a write."""
        vapp = vapp_of(entity)
        around: list[Entity] = [entity, vapp]
        if self.reach == "neighbours" or (self.reach == "vapp" and entity is vapp):
            around += vapp.vms
        return next((task for other in around for task in self.on(other)), None)

    def refuse_if_busy(self, entity: Entity) -> None:
        """A VM is busy with its vApp's tasks too; the rest is as far as `reach` says."""
        task = self.busy_with(entity)
        if task is not None:
            self.refused.append(task)
            raise busy(task.owner if task.owner is entity else vapp_of(entity), task)

    def wait_idle(self, seconds: float = 10.0, but: int = 0) -> None:
        """Until no more than `but` tasks run; for tests."""
        end = time.monotonic() + seconds
        while sum(t.active for t in list(self.all.values())) > but:
            if time.monotonic() > end:
                raise TimeoutError("tasks of the lab still run")
            time.sleep(0.01)

    def close(self) -> None:
        """End all threads; what they would have done is not done."""
        self.closing.set()
        for task in list(self.all.values()):
            task.cancel.set()


def busy(entity: Entity, task: Task) -> ApiError:
    """The refusal, in Cloud Director's words."""
    kind = "vApp" if isinstance(entity, VApp) else "vm"
    return ApiError(
        400,
        "BUSY_ENTITY",
        f"The entity Ref: com.vmware.vcloud.entity.{kind}:{entity.id} is busy completing an operation "
        f"{task.operation}. {task.operation}(com.vmware.vcloud.entity.task:{task.id})",
    )
