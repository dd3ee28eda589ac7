"""The one way in which anything is changed: look, check the time, send once, wait, look again.

A `Change` is described by its `plan`, which reads the world afresh and says what is to be done now. The
same plan answers whether there is anything to do, whether a lost request took effect, and whether the
effect is really there at the end.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, RLock

from lxml import etree

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.errors import TRY_LATER, Lost
from partial_failover.connectors.cloud_director.transport import HttpRequest, Transport
from partial_failover.connectors.pause import Pause
from partial_failover.connectors.whole_call import within
from partial_failover.contracts.errors import (
    BadRequest,
    Busy,
    Expired,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
    Unavailable,
)

log = logging.getLogger(__name__)

FIRST_POLL, LONGEST_POLL = 0.2, 2.0
"""Seconds between two looks at a task."""
LONGEST_BUSY_PAUSE = 5.0
"""Seconds between two tries on an entity that is busy."""
GRACE = 5.0
"""Seconds after an attempt's last mutation in which a look may still end: less than the attempt's margin."""
LOOK_SECONDS = 2.0
"""How long the effect of a lost request is looked for before the attempt gives up."""
EFFECT_SECONDS = 30.0
"""How long an effect may be seen later than the success of the task that had it."""
MOST_FAILED_POLLS = 5
"""Looks at a task in a row that may fail before the attempt gives up waiting."""


@dataclass(frozen=True)
class Running:
    """A task is on the entity now: it is waited for before anything is sent."""

    task: str


@dataclass(frozen=True)
class Change:
    """Something that is to become true. `what` completes "could not …".

    `plan`: None when it is true and no task is under way that could undo it. `operation`: pattern of the
    operation names of its tasks, by which an earlier attempt's is known. `meanwhile`: asked at each look
    while a task runs: what must be sent for the task to go on. `traceless`: its effect cannot be read back,
    so only a task tells. `telling`: the name of its task says what the effect is, so one that ended well had
    it, whoever started it and seen or not.
    """

    what: str
    vapp: str
    entity: str
    """UUID of the VM or vApp that the tasks belong to."""
    plan: Callable[[], HttpRequest | Running | None]
    operation: str
    meanwhile: Callable[[], HttpRequest | None] = lambda: None
    traceless: bool = False
    telling: bool = False


@dataclass(frozen=True)
class Ended:
    """How a task ended. `gone`: Cloud Director forgot it, so only the entity can tell."""

    ok: bool
    reason: str = ""
    gone: bool = False
    operation: str = ""
    owner: str = ""


class Changer:
    """Carries changes out, one at a time for each vApp."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._locks: dict[str, RLock] = {}
        self._lock = Lock()

    @contextmanager
    def alone_in(self, vapp: str, attempt: Attempt) -> Iterator[None]:
        """Be this process's only writer of the vApp: sections are replaced whole, so two would undo
        each other."""
        with self._lock:
            lock = self._locks.setdefault(vapp, RLock())
        while not lock.acquire(timeout=min(1.0, max(0.01, attempt.left()))):
            attempt.beat()
            if attempt.left() <= 0:
                raise Busy("Another step is at work in the same vApp", left="Nothing was sent", do=TRY_LATER)
        try:
            yield
        finally:
            lock.release()

    def carry_out(self, change: Change, attempt: Attempt) -> bool:
        """Make it true. False when it was already, without any doing of this activity."""
        earlier = attempt.earlier_task
        while True:
            try:
                return self._carry_out(change, attempt, earlier)
            except (Unavailable, Busy) as error:
                if error.retry_after is None or error.retry_after >= attempt.left():
                    raise
                Pause(attempt, FIRST_POLL, LONGEST_POLL).rest_for(error.retry_after)
                earlier = attempt.task

    def _carry_out(self, change: Change, attempt: Attempt, earlier: str | None) -> bool:
        with self.alone_in(change.vapp, attempt), within(attempt.left() + GRACE):
            adopted = self._adopt_earlier(change, attempt, earlier)
            if adopted and change.traceless:
                return True
            return self._make_true(change, attempt, adopted)

    def wait_for(self, task: str, attempt: Attempt) -> None:
        """Wait for a task, whatever its end."""
        with within(attempt.left() + GRACE):
            self._wait(task, attempt, lambda: None)
        Pause(attempt, FIRST_POLL, LONGEST_POLL).rest()

    def _make_true(self, change: Change, attempt: Attempt, adopted: bool) -> bool:
        pause, done = Pause(attempt, FIRST_POLL, LONGEST_BUSY_PAUSE), adopted
        while True:
            step = self._seen(change, attempt) if done and change.telling else change.plan()
            if step is None:
                return adopted
            if isinstance(step, Running):
                ended = self._wait(step.task, attempt, change.meanwhile)
                done = _is_of(ended, change)
                if attempt.left() <= 0:
                    raise Busy(
                        f"Other tasks kept Cloud Director from it: could not {change.what}", do=TRY_LATER
                    )
                pause.rest()
                continue
            try:
                ended = self._send_and_wait(step, change, attempt)
            except Busy:
                if attempt.left() <= pause.seconds:
                    raise
                pause.rest()
                continue
            except BadRequest:  # it may be there already, and just not be seen yet
                if change.telling and self._seen(change, attempt) is None:
                    return adopted
                raise
            if not ended.ok:
                raise TaskFailed(f"Cloud Director could not {change.what}: {ended.reason}", do=TRY_LATER)
            return self._verified(change, attempt)

    def _send_and_wait(self, request: HttpRequest, change: Change, attempt: Attempt) -> Ended:
        try:
            task = self._send(request, attempt)
        except Lost as lost:
            return self._look_for(change, lost, attempt)
        return self._wait(task, attempt, change.meanwhile) if task else Ended(ok=True)

    def _send(self, request: HttpRequest, attempt: Attempt) -> str | None:
        """Every mutation of this connector passes here."""
        answer = self._transport.send(request, lambda: attempt.check(request.what))
        if answer is None or etree.QName(answer).localname != "Task":
            return None
        task = answer.get("href")
        if not task:
            raise Lost("The answer named no task")
        attempt.started(task)
        return task

    def _send_aside(self, request: HttpRequest | None, attempt: Attempt) -> None:
        """Send something that belongs to a running task and has none of its own, such as an answer."""
        if request is None:
            return
        try:
            self._send(request, attempt)
        except (Lost, Busy, Unavailable, BadRequest):
            log.info("Cloud Director: no clear answer, trying to %s; the task will tell", request.what)

    def _seen(self, change: Change, attempt: Attempt) -> HttpRequest | Running | None:
        """The plan, once nothing is left to be sent: a task's effect is seen some time after its success.
        A request where it is not seen for too long."""
        end = time.monotonic() + EFFECT_SECONDS
        pause = Pause(attempt, FIRST_POLL, LONGEST_POLL)
        while isinstance(step := change.plan(), HttpRequest):
            if time.monotonic() >= end or attempt.left() <= 0:
                break
            pause.watch()
        return step

    def _verified(self, change: Change, attempt: Attempt) -> bool:
        if not change.traceless and isinstance(self._seen(change, attempt), HttpRequest):
            raise TaskFailed(
                f"Cloud Director says that it is done, but could not {change.what}: nothing of it is seen",
                do=TRY_LATER,
            )
        return True

    def _look_for(self, change: Change, lost: Lost, attempt: Attempt) -> Ended:
        """After a lost reply: is the effect there, or a task that works on it? Nothing is sent again."""
        end = time.monotonic() + LOOK_SECONDS
        pause = Pause(attempt, FIRST_POLL, LONGEST_POLL)
        while time.monotonic() < end:
            try:
                step = change.plan()
            except (Unavailable, Busy):
                step = HttpRequest(change.what, "POST", "")  # not known: look again
            if step is None:
                return Ended(ok=True)
            if isinstance(step, Running):
                attempt.started(step.task)
                ended = self._wait(step.task, attempt, change.meanwhile)
                if (change.traceless and _is_of(ended, change)) or change.plan() is None:
                    return Ended(ok=True)
                break
            pause.watch()
        if lost.refused:
            raise Unavailable(
                f"{lost} when asked to {change.what}",
                left="No effect is seen",
                do=TRY_LATER,
                retry_after=lost.retry_after,
            )
        raise OutcomeUnknown(
            f"{lost} when Cloud Director was asked to {change.what}",
            left="No effect is seen so far",
            do="Nothing to do: the next try looks first",
        )

    def _adopt_earlier(self, change: Change, attempt: Attempt, earlier: str | None) -> bool:
        """Whether an earlier task made this change. Waits while it runs."""
        if not earlier:
            return False
        ended = self._wait(earlier, attempt, change.meanwhile, only_of=change.entity)
        return _is_of(ended, change)

    def _wait(
        self,
        task: str,
        attempt: Attempt,
        meanwhile: Callable[[], HttpRequest | None],
        only_of: str | None = None,
    ) -> Ended:
        """Wait for a task's end. pyvcloud's own waiter has no working timeout and misses cancelled tasks."""
        pause, failed = Pause(attempt, FIRST_POLL, LONGEST_POLL), 0
        while True:
            try:
                body = self._transport.get(task, "read a task", "The task is gone")
                failed = 0
            except NotFound:
                return Ended(ok=True, gone=True)
            except (Unavailable, Busy) as hiccup:
                failed += 1
                if failed >= MOST_FAILED_POLLS:
                    raise hiccup
                Pause(attempt, FIRST_POLL, LONGEST_POLL).watch_for(hiccup.retry_after or 0)
            else:
                ended = _ended(body)
                if ended is not None:
                    return ended
                if only_of is not None:
                    if _owner(body) != only_of:
                        return Ended(ok=False, reason="it belongs to something else")
                    attempt.started(task)
                self._send_aside(meanwhile(), attempt)
            if attempt.left() <= 0:
                raise Expired(
                    "This attempt's time ended while a task of Cloud Director was still running",
                    left="The task goes on",
                    do="Nothing to do: the next attempt waits for it",
                )
            pause.watch()


def _is_of(ended: Ended, change: Change) -> bool:
    mine = ended.ok and not ended.gone and ended.owner == change.entity
    return mine and re.search(change.operation, ended.operation, re.I) is not None


def _owner(task: etree._Element) -> str:
    owner = task.find("{*}Owner")
    return xml.uuid_in(owner.get("href", "")) if owner is not None else ""


def _ended(task: etree._Element) -> Ended | None:
    status, operation = task.get("status", ""), task.get("operationName", "")
    if status in xml.ACTIVE:
        return None
    if status == "success":
        return Ended(ok=True, operation=operation, owner=_owner(task))
    error = task.find("{*}Error")
    message = error.get("message", "") if error is not None else ""
    printable = "".join(c if c.isprintable() else " " for c in message)[:300]
    return Ended(ok=False, reason=printable or f"its task was {status or 'without state'}")
