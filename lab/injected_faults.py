"""Injected faults, and an audit of every call that reached an endpoint of the lab."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar

Answer = TypeVar("Answer")

TRICKLE_SECONDS = 0.5
"""Between two bytes of an answer that trickles: less than any client's timeout for one wait."""


class FaultKind(StrEnum):
    """What goes wrong. The first group is of the call, the second of the task that it starts."""

    DELAY = "delay"
    """The answer comes `seconds` late; the effect happens at once."""
    REFUSE = "refuse"
    """Answered as unavailable (HTTP 503 or the protocol's like); no effect."""
    BUSY = "busy"
    """Refused because another task holds the entity; no effect."""
    DROP_BEFORE = "drop-before"
    """The connection closes before the effect."""
    DROP_AFTER = "drop-after"
    """The connection closes after the effect: the answer is lost."""
    TRICKLE = "trickle"
    """The answer comes byte by byte, each TRICKLE_SECONDS after the other; the effect happens at once."""
    EXPIRE_SESSION = "expire-session"
    """The caller's session ends before the call; no effect."""

    TASK_ERROR = "task-error"
    TASK_HANG = "task-hang"
    """The task stays running for `seconds`, then has its effect."""
    TASK_CANCEL = "task-cancel"


@dataclass
class FaultRule:
    """The next `times` calls of `call` (a glob, matched with case) at `endpoint` meet `kind`.

    `target`: a glob too; it and `passes` choose among the calls of one name, where the endpoint tells its
    targets. `passes`: so many that would fit are let go first. `when`: asked with the target of a call that
    would fit, whether it is meant; it may take its time. `act`: called at the moment when it happens, for
    DROP_AFTER once the effect is there; the connection stays open meanwhile.
    """

    endpoint: str
    call: str
    kind: FaultKind
    times: int = 1
    seconds: float = 0.0
    target: str = "*"
    passes: int = 0
    when: Callable[[str], bool] = lambda target: True
    act: Callable[[], None] = lambda: None
    happened: float | None = field(default=None, init=False)
    """When it did, as `time.time()`."""

    def happen(self) -> None:
        """Called by the endpoint when the fault has its moment."""
        self.happened = time.time()
        self.act()


@dataclass(frozen=True)
class AuditEntry:
    """One call that reached an endpoint."""

    endpoint: str
    user: str
    call: str
    target: str = ""
    at: float = field(default_factory=time.time)


@dataclass
class InjectedFaults:
    """Shared by all endpoints of one lab; thread safe."""

    rules: list[FaultRule] = field(default_factory=list)
    calls: list[AuditEntry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rule: FaultRule) -> None:
        """Plan a fault."""
        with self._lock:
            self.rules.append(rule)

    def clear(self) -> None:
        """Forget all planned faults; the audit stays."""
        with self._lock:
            self.rules.clear()

    def serve(
        self,
        call: AuditEntry,
        kinds: Sequence[FaultKind],
        effect: Callable[[FaultKind | None], Answer],
        wait: Callable[[float], object] = time.sleep,
    ) -> Answer | None:
        """Write a call into the audit and have its effect, with the fault of these kinds that is planned for
        it. None: the connection is to be cut. `effect` is told the fault, and refuses where that is one of
        those without effect."""
        with self._lock:
            self.calls.append(call)
        rule = self.take(call.endpoint, call.call, kinds, call.target)
        if rule is None:
            return effect(None)
        if rule.kind is FaultKind.DROP_BEFORE:
            return None
        answer = effect(rule.kind)
        if rule.kind is FaultKind.DROP_AFTER:
            rule.happen()
            return None
        if rule.kind is FaultKind.DELAY:
            wait(rule.seconds)
        return answer

    def take(
        self, endpoint: str, call: str, kinds: Sequence[FaultKind], target: str = ""
    ) -> FaultRule | None:
        """Use up one matching fault of these kinds, if one is planned. One that drops the connection after
        the effect is left to the endpoint to `happen`."""
        rule = self._match(endpoint, call, kinds, target)
        if rule is not None and rule.kind is not FaultKind.DROP_AFTER:
            rule.happen()
        return rule

    def _match(self, endpoint: str, call: str, kinds: Sequence[FaultKind], target: str) -> FaultRule | None:
        with self._lock:
            rules = list(self.rules)
        for rule in rules:
            fits = rule.kind in kinds and rule.endpoint == endpoint and fnmatchcase(call, rule.call)
            meant = fits and fnmatchcase(target, rule.target) and rule.times > 0 and rule.when(target)
            if meant and self._use(rule):
                return rule
        return None

    def _use(self, rule: FaultRule) -> bool:
        """Whether it is this call's turn."""
        with self._lock:
            if rule not in self.rules or rule.times <= 0:
                return False
            if rule.passes > 0:
                rule.passes -= 1
                return False
            rule.times -= 1
            return True
