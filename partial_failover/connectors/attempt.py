"""One attempt of an activity, as a connector sees it: may I still act, and what did the last one start?"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic

from partial_failover.contracts.errors import Expired

FRESH = 10.0
"""Seconds for which a confirmation is worth something: a process may be frozen right after it."""


@dataclass
class Attempt:
    """A connector calls `check` right before it sends any mutation, `watch` while it waits for a task, and
    `beat` in all other waits. A cancelled activity ends at `check` and `beat`, never at `started` or
    `watch`: what is taken back next must not meet a task that nobody waits for.

    `deadline`: `time.monotonic()` seconds after which this attempt sends no mutation any more.
    `confirm`: asks the Temporal server whether this attempt is still the current one, and leaves the given
    task reference with it; raises when it is not, or when the server does not answer.
    `leave`: leaves the reference of a task that has just been started; raises as `confirm`, but not for a
    cancellation.
    `heartbeat`: the cheap one, called with the task reference while waiting. `listen`: raises when cancelled.
    `earlier_task`: the task reference that an earlier attempt left, to be adopted.
    """

    deadline: float
    heartbeat: Callable[[str | None], None] = lambda task: None
    earlier_task: str | None = None
    confirm: Callable[[str | None], None] = lambda task: None
    leave: Callable[[str], None] = lambda task: None
    listen: Callable[[], None] = lambda: None
    task: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.task = self.earlier_task

    def check(self, mutation: str) -> None:
        """Raise `Expired` when the attempt's time is over. `mutation`: what would be sent.

        Blocks for one question to the Temporal server: call it in a thread, not in an event loop.
        """
        asked = monotonic()
        if asked < self.deadline:
            self.confirm(self.task)
        now = monotonic()
        if now >= self.deadline or now - asked > FRESH:
            raise Expired(f"This attempt's time ended before it could {mutation}", left="Nothing was sent")

    def started(self, task: str) -> None:
        """Leave a task's reference with the Temporal server as soon as it is known, before waiting for it."""
        self.task = task
        self.leave(task)

    def watch(self) -> None:
        """Say that the wait for a task goes on. Raises when the worker shuts down: the next one adopts."""
        self.heartbeat(self.task)

    def beat(self) -> None:
        """As `watch`, where nothing of this attempt is under way. Raises when the activity is cancelled."""
        self.heartbeat(self.task)
        self.listen()

    def for_the_rest(self) -> "Attempt":
        """For the second half of what this attempt has just begun, where half of it is worse than the whole:
        within its time, whoever has taken its place or its replica by now."""
        return replace(self, confirm=lambda task: None)

    def left(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - monotonic())
