"""Tasks: they hold their entity while they run, and end well, in error, or cancelled."""

import logging
import threading
import time
from collections.abc import Callable

from lab.cloud_director.model import ApiError, Entity, Principal, Task, TaskError, VApp
from lab.cloud_director.world import new_id, vapp_of
from lab.hypervisor import Refused
from lab.injected_faults import FaultKind, InjectedFaults

log = logging.getLogger(__name__)

TASK_KINDS = (FaultKind.TASK_ERROR, FaultKind.TASK_HANG, FaultKind.TASK_CANCEL)


class Tasks:
    """`seconds`: how long a task of an operation takes."""

    def __init__(self, faults: InjectedFaults, seconds: float | Callable[[str], float]) -> None:
        self.seconds = seconds
        self.all: dict[str, Task] = {}
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

    def refuse_if_busy(self, entity: Entity) -> None:
        """A VM is busy with its vApp's tasks too, and a vApp with those of its VMs (assumed)."""
        around: list[Entity] = [entity, vapp_of(entity)]
        if isinstance(entity, VApp):
            around += entity.vms
        for other in around:
            for task in self.on(other):
                raise busy(other, task)

    def wait_idle(self, seconds: float = 10.0) -> None:
        """Until nothing runs; for tests."""
        end = time.monotonic() + seconds
        while any(t.active for t in list(self.all.values())):
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
