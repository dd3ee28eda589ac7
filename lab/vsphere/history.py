# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""The task history of the lab's vCenter: collectors that page through the tasks of one entity."""

import itertools
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from lab.vsphere import rights, wire
from lab.vsphere.inventory import Inventory
from lab.vsphere.sessions import Session

COLLECTORS = 32
"""Task collectors of one session. Inferred: the number; that there is a limit is documented."""
LARGEST_PAGE = 1000


@dataclass
class History:
    """A collector: its filter, and how far it was read, from the oldest on."""

    filter: Any
    position: int = 0


class Histories:
    """The methods of TaskManager and TaskHistoryCollector that read the history.

    Inferred: a task is in the history as soon as it is queued.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._numbers = itertools.count(1)

    def create(self, session: Session, this: Any, filter: Any) -> Any:
        """CreateCollectorForTasks, by entity itself and queued time; the lab knows no other filter."""
        if filter.entity is None or filter.entity.recursion != "self":
            raise vmodl.fault.NotSupported(msg="The lab filters the task history by an entity itself only.")
        self._inventory.require(session, filter.entity.entity, rights.READ)  # inferred: which fault
        self._inventory.vm(filter.entity.entity)
        if sum(isinstance(o, History) for o in session.objects.values()) >= COLLECTORS:
            raise vim.fault.InvalidState(msg="The session has as many task collectors as it may.")
        moref = f"session[{session.key}]history-{next(self._numbers)}"
        session.objects[moref] = History(filter)
        return vim.TaskHistoryCollector(moref)

    def read_next(self, session: Session, this: Any, maxCount: int) -> Any:
        """ReadNextTasks: from the oldest on; nothing at the end."""
        history = self._of(session, this)
        if not 0 < maxCount <= LARGEST_PAGE:
            raise vmodl.fault.InvalidArgument(invalidProperty="maxCount", msg="The count is invalid.")
        begin = history.filter.time.beginTime if history.filter.time else None
        vm = self._inventory.vm(history.filter.entity.entity)
        tasks = [t for t in self._inventory.tasks.history(vm) if begin is None or t.queued >= begin]
        page = tasks[history.position : history.position + maxCount]
        history.position += len(page)
        return [t.info() for t in page]

    def destroy(self, session: Session, this: Any) -> None:
        """DestroyCollector."""
        self._of(session, this)
        del session.objects[this._moId]

    def _of(self, session: Session | None, this: Any) -> History:
        history = session.objects.get(this._moId) if session else None
        if not isinstance(history, History):
            raise wire.not_found(this)
        return history
