# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""TaskHistoryCollector of the lab's vCenter: the tasks of one VM, from the oldest on, in pages."""

import itertools
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from lab.vsphere import wire
from lab.vsphere.inventory import Inventory
from lab.vsphere.sessions import Session

MOST_COLLECTORS = 32
"""Of one session (source: vSphere API, TaskManager.maxCollector)."""


@dataclass
class History:
    """What a collector has not handed out yet."""

    tasks: list[Any]


class TaskHistory:
    """Filters by entity and time of queueing; the lab has no others."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._numbers = itertools.count(1)

    def create(self, session: Session, this: Any, filter: Any) -> Any:
        """CreateCollectorForTasks."""
        if filter.entity is None or filter.entity.recursion != "self":
            raise vmodl.fault.NotSupported(msg="The lab's history is asked for one entity.")
        if sum(isinstance(o, History) for o in session.objects.values()) >= MOST_COLLECTORS:
            raise vim.fault.InvalidState(msg="The session has too many collectors.")
        vm = self._inventory.vm(filter.entity.entity)
        tasks = self._inventory.tasks.history(vm, filter.time.beginTime if filter.time else None)
        moref = f"session[{session.key}]history-{next(self._numbers)}"
        session.objects[moref] = History([task.info() for task in tasks])
        return vim.TaskHistoryCollector(moref)

    def read(self, session: Session, this: Any, maxCount: int) -> Any:
        """ReadNextTasks."""
        history = self._of(session, this)
        page, history.tasks = history.tasks[:maxCount], history.tasks[maxCount:]
        return page

    def destroy(self, session: Session, this: Any) -> None:
        """DestroyCollector."""
        self._of(session, this)
        del session.objects[this._moId]

    def _of(self, session: Session, this: Any) -> History:
        history = session.objects.get(this._moId)
        if not isinstance(history, History):
            raise wire.not_found(this)
        return history
