# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""Tasks of a vCenter: started exactly once, found again, and waited for with an end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pyVmomi import vim, vmodl

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.pause import Pause
from partial_failover.connectors.vsphere.faults import LostReply, error_of
from partial_failover.connectors.vsphere.session import MOST_PAGES, ObjectProperties, VSphereSession
from partial_failover.contracts.errors import (
    Expired,
    FailoverError,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
    Unavailable,
)

PC = vmodl.query.PropertyCollector
TASK_PATHS = (
    "info.descriptionId",
    "info.state",
    "info.queueTime",
    "info.reason",
    "info.entity",
    "info.error",
)
LONGEST_TASK = timedelta(days=1)
"""No task that is waited for began earlier."""
PAGE = 100
"""Tasks in one answer of the history."""
SLICE_SECONDS = 1
"""Longest time between two heartbeats of a wait."""
LOOK_SECONDS = 3.0
"""How long a task is looked for whose reference was lost with the answer."""
LOOK_PAUSE = 0.3
"""Seconds between two of those looks."""


@dataclass(frozen=True)
class TaskInfo:
    """A task as it was seen. `vm` and `user` are None for tasks of other things and of vCenter itself."""

    moref: str
    description: str
    state: str
    queued: datetime
    user: str | None
    vm: str | None
    error: vmodl.MethodFault | None

    @property
    def running(self) -> bool:
        """Queued or running."""
        return self.state in ("queued", "running")

    @property
    def failed(self) -> bool:
        """Ended in error, or was cancelled."""
        return self.state == "error"

    @property
    def succeeded(self) -> bool:
        """Ended well."""
        return self.state == "success"


class Tasks:
    """The tasks of one session's vCenter."""

    def __init__(self, session: VSphereSession) -> None:
        self._session = session

    def recent(self, moref: str) -> list[TaskInfo]:
        """Tasks on a VM of about the last ten minutes, newest first (source: vSphere API, TaskManager)."""
        vm = self._session.object(vim.VirtualMachine, moref)

        def send() -> list[TaskInfo]:
            tasks = self._session.retrieve(vm, {vim.Task: TASK_PATHS}, via="recentTask")
            return [_task_info(t) for t in tasks if t.values]

        tasks = self._session.ask(send, f"list the tasks of {moref}")
        return sorted(tasks, key=lambda t: t.queued, reverse=True)

    def since(self, moref: str, when: datetime) -> list[TaskInfo]:
        """Tasks on a VM that were queued since `when`, on the vCenter's clock, newest first.

        Besides those that it still shows, of which there are 200 for the whole vCenter, those of its history,
        which it keeps for weeks (source: vSphere API, TaskHistoryCollector and `task.maxAge`).
        """
        found = {task.moref: task for task in self._history(moref, when)}
        found |= {task.moref: task for task in self.recent(moref) if task.queued >= when}
        return sorted(found.values(), key=lambda t: t.queued, reverse=True)

    def _history(self, moref: str, when: datetime) -> list[TaskInfo]:
        vm = self._session.object(vim.VirtualMachine, moref)
        of_vm = vim.TaskFilterSpec.ByEntity(entity=vm, recursion="self")
        since = vim.TaskFilterSpec.ByTime(timeType="queuedTime", beginTime=when)
        wanted = vim.TaskFilterSpec(entity=of_vm, time=since)

        def send() -> list[TaskInfo]:
            manager = self._session.content().taskManager
            if manager is None:
                raise ValueError("no task manager")
            collector, tasks = manager.CreateCollectorForTasks(wanted), list[TaskInfo]()
            try:
                for _ in range(MOST_PAGES):
                    if not (page := collector.ReadNextTasks(PAGE)):
                        break
                    tasks += [_of_history(info) for info in page]
                else:
                    raise ValueError(f"a history that does not end after {len(tasks)} tasks")
            finally:
                collector.DestroyCollector()
            return [task for task in tasks if task.queued >= when]

        return self._session.ask(send, f"list the tasks of {moref}")

    def find(self, task: str) -> TaskInfo | None:
        """A task by its reference; None when the vCenter has forgotten it."""
        ref = self._session.object(vim.Task, task)
        try:
            return self._session.ask(
                lambda: _task_info(self._session.retrieve(ref, {vim.Task: TASK_PATHS})[0]), f"show {task}"
            )
        except NotFound:
            return None

    def submit(
        self, moref: str, description: str, what: str, send: Callable[[], vim.Task], attempt: Attempt
    ) -> str:
        """Start a task on a VM, exactly once; its reference. The one place that sends mutations.

        `description`: the descriptionId under which it is looked for when the answer is lost.
        """
        since = self._session.now()

        def checked() -> vim.Task:
            attempt.check(what)
            task = send()
            if not isinstance(task, vim.Task):
                raise ValueError("no task in the answer")
            return task

        try:
            reference = str(self._session.once(checked, what)._moId)
        except LostReply as lost:
            reference = self._look(moref, description, since, what, attempt, lost)
        attempt.started(reference)
        return reference

    def _look(
        self, moref: str, description: str, since: datetime, what: str, attempt: Attempt, lost: LostReply
    ) -> str:
        """The task that a call started whose answer was lost. Raises OutcomeUnknown."""
        end = time.monotonic() + min(LOOK_SECONDS, attempt.left())
        pause = Pause(attempt, LOOK_PAUSE, LOOK_PAUSE)
        while True:
            try:
                for task in self.since(moref, since):
                    if task.user == self._session.user and task.description == description:
                        return task.moref
            except Unavailable:
                pass
            if time.monotonic() >= end:
                break
            pause.watch()
        raise OutcomeUnknown(
            f"{self._session.server} was asked to {what} and its answer was lost: {lost}",
            left="No task of it was found, so probably nothing was changed",
            do="The next attempt looks first",
        ) from lost

    def wait(self, moref: str, task: str, what: str, attempt: Attempt) -> None:
        """Until the task on a VM ended well. Raises the error of a task that did not, and Expired.

        The wait survives the loss of the session, because the task's reference does.
        """
        with _TaskWait(self._session, task) as watch:
            while True:
                seen = self._find_sent(task, what, attempt) or self._of_the_past(moref, task)
                if seen is None:
                    raise OutcomeUnknown(
                        f"{self._session.server} has forgotten {task}, which was to {what}",
                        do="The next attempt looks first",
                    )
                if seen.succeeded:
                    return
                if not seen.running:
                    raise self._failure(seen, what)
                attempt.watch()
                if attempt.left() <= 0:
                    raise self._still_works(task, what)
                watch.pause()

    def _of_the_past(self, moref: str, task: str) -> TaskInfo | None:
        """A task that ended, and that so many others followed that the vCenter shows it no more."""
        tasks = self.since(moref, self._session.now() - LONGEST_TASK)
        return next((t for t in tasks if t.moref == task), None)

    def _find_sent(self, task: str, what: str, attempt: Attempt) -> TaskInfo | None:
        """As `find`, of a task that is waited for: whatever the question meets, the task was sent."""
        try:
            return self.find(task)
        except FailoverError as error:
            if attempt.left() <= 0:
                raise self._still_works(task, what) from None
            raise type(error)(
                f"{self._session.server} was asked to {what} and took that as {task}, but cannot be asked "
                f"how it ended: {error.happened}",
                left="The request was sent and goes on there",
                do="The next attempt waits for it",
            ) from error

    def _still_works(self, task: str, what: str) -> Expired:
        return Expired(
            f"{self._session.server} still works on {task}, which is to {what}",
            left="It goes on there",
            do="The next attempt waits for it",
        )

    def _failure(self, seen: TaskInfo, what: str) -> FailoverError:
        if seen.error is None or isinstance(seen.error, vmodl.fault.RequestCanceled):
            return TaskFailed(
                f"{seen.moref} at {self._session.server}, which was to {what}, was cancelled",
                do="It is tried again",
            )
        return error_of(seen.error, self._session.server, what)


class _TaskWait:
    """A collector of its own for one wait: with a shared one, threads take each other's updates."""

    def __init__(self, session: VSphereSession, task: str) -> None:
        self._session = session
        self._task = session.object(vim.Task, task)
        self._collector: PC | None = None
        self._version = ""

    def __enter__(self) -> "_TaskWait":
        return self

    def __exit__(self, *error: object) -> None:
        collector = self._collector
        if collector is not None:
            try:
                self._session.once(collector.Destroy, "end a wait")
            except (FailoverError, LostReply):
                pass  # it dies with the session

    def pause(self) -> None:
        """Until the task's state changes, at most a slice. On trouble only time passes: the caller looks."""
        try:
            self._session.once(self._next, f"wait for {self._task._moId}")
        except (FailoverError, LostReply):
            self._collector = None
            time.sleep(0.5)

    def _next(self) -> None:
        if self._collector is None:
            self._collector, self._version = self._create(), ""
        update = self._collector.WaitForUpdatesEx(self._version, PC.WaitOptions(maxWaitSeconds=SLICE_SECONDS))
        if update is not None:
            self._version = update.version

    def _create(self) -> PC:
        collector = self._session.content().propertyCollector.CreatePropertyCollector()
        start = PC.ObjectSpec(obj=self._task)
        state = PC.PropertySpec(type=vim.Task, pathSet=["info.state"])
        collector.CreateFilter(PC.FilterSpec(objectSet=[start], propSet=[state]), True)
        return collector


def _task_info(task: ObjectProperties) -> TaskInfo:
    values = {path.removeprefix("info."): value for path, value in task.values.items()}
    return _of_values(task.ref._moId, values)


def _of_history(info: vim.TaskInfo) -> TaskInfo:
    return _of_values(info.task._moId, vars(info))


def _of_values(moref: str, values: Mapping[str, Any]) -> TaskInfo:
    """Any: values of many types, by their names in the API's TaskInfo."""
    reason, entity = values.get("reason"), values.get("entity")
    return TaskInfo(
        moref=moref,
        description=values["descriptionId"],
        state=values["state"],
        queued=values["queueTime"],
        user=reason.userName if isinstance(reason, vim.TaskReasonUser) else None,
        vm=entity._moId if isinstance(entity, vim.VirtualMachine) else None,
        error=values.get("error"),
    )
