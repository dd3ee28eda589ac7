"""What is scarce, handed out in turn among the tenants that wait, so that none of them takes all of it."""

import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

MIDDLE = 3
"""Urgency of what has none of its own: as Temporal's priorities, 1 is before 5."""


@dataclass(order=True)
class Turn:
    """One tenant's wish for one place. Ended once, in any case: then the place is given back, or nobody waits
    for it any more."""

    urgency: int
    number: int
    tenant: str = field(compare=False)
    begun: Future[None] = field(compare=False, default_factory=Future)
    """Done when the place is had."""


class Shares:
    """So many `places`. Whoever has fewest of them is next; of one tenant's wishes the most urgent is, and of
    those the oldest. Thread-safe."""

    def __init__(self, places: int, kept: int, few: int = 1) -> None:
        """`kept`: so many of them only a tenant that has less than a `few` gets, whoever else waits."""
        self.places, self.kept, self.few = places, kept, few
        self._lock = threading.Lock()
        self._numbers = count()
        self._has: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._waiting: dict[str, list[Turn]] = {}

    def ask(self, tenant: str, urgency: int = MIDDLE) -> Turn:
        """A turn, which begins now or later."""
        with self._lock:
            turn = Turn(urgency, next(self._numbers), tenant)
            turn.begun.set_running_or_notify_cancel()  # whoever stops waiting for it cannot cancel it
            heappush(self._waiting.setdefault(tenant, []), turn)
            self._hand_out()
        return turn

    def end(self, turn: Turn) -> None:
        """Of one that has begun, or of one that is no longer waited for."""
        with self._lock:
            if turn.begun.done():
                self._has[turn.tenant] -= 1
                self._has += Counter()  # whoever has none needs no entry
            else:
                waiting = self._waiting[turn.tenant]
                self._waiting[turn.tenant] = sorted(other for other in waiting if other is not turn)
                self._forget(turn.tenant)
            self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting:
            tenant = min(self._waiting, key=lambda t: (self._has[t], self._served.get(t, -1)))
            free = self.places - self._has.total()
            if free <= (self.kept if self._has[tenant] >= self.few else 0):
                return
            turn = heappop(self._waiting[tenant])
            self._has[tenant] += 1
            self._served[tenant] = next(self._numbers)
            self._forget(tenant)
            turn.begun.set_result(None)

    def _forget(self, tenant: str) -> None:
        if not self._waiting[tenant]:
            del self._waiting[tenant]
