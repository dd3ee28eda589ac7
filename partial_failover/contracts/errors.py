"""The closed set of errors that connectors raise and that tenants and operators read.

Each says what happened, what was left as it was, and what to do now. The class says who must act and
whether trying again can help; the class's name is the stable error type in Temporal's histories.
"""

from enum import StrEnum
from typing import ClassVar

from partial_failover.contracts.base import Contract

LONGEST_TEXT = 2000
"""Characters of an error's text that may enter a history; other systems' answers can be of any length."""


class Who(StrEnum):
    """Who must act for the failover to go on."""

    TENANT = "tenant"
    PROVIDER = "provider"
    NOBODY = "nobody yet"


class ErrorDetails(Contract):
    """An error as Temporal's failures carry it. `happened`: what, to what. `left`: what was left as it was.
    `do`: what to do now. `who`: must do it."""

    happened: str
    left: str = ""
    do: str = ""
    who: Who


class FailoverError(Exception):
    """Base of all. `happened`, `left`, `do`: as in `ErrorDetails`. `retry_after`: seconds that the system
    asked for before it is asked again."""

    who: ClassVar[Who] = Who.PROVIDER
    retryable: ClassVar[bool] = False

    def __init__(
        self, happened: str, *, left: str = "", do: str = "", retry_after: float | None = None
    ) -> None:
        self.retry_after = retry_after
        self.happened, self.left, self.do = (text.rstrip(".")[:LONGEST_TEXT] for text in (happened, left, do))
        parts = [self.happened, self.left, self.do]
        super().__init__((". ".join(p for p in parts if p) + ".")[:LONGEST_TEXT])

    @property
    def details(self) -> ErrorDetails:
        """The error in parts."""
        return ErrorDetails(happened=self.happened, left=self.left, do=self.do, who=self.who)


class BadRequest(FailoverError):
    """The request itself cannot be carried out as it stands."""

    who = Who.TENANT


class NotFound(FailoverError):
    """No such thing for this tenant. Also said of another tenant's things."""

    who = Who.TENANT


class NotReady(FailoverError):
    """Preflight found something that must be repaired first; nothing was touched."""

    who = Who.TENANT


class AlreadyInFailover(FailoverError):
    """Another workflow has this replica."""

    who = Who.TENANT


class AddressInUse(FailoverError):
    """Somebody on the production network still owns the replica's address."""

    who = Who.TENANT


class WrongState(FailoverError):
    """The thing is not in the state in which this step may act; acting would do harm."""


class NoRight(FailoverError):
    """The account may not do this, or its credentials were refused."""


class LimitReached(FailoverError):
    """A limit of the platform (NICs, networks, addresses) stands in the way."""


class Misconfigured(FailoverError):
    """A setting does not fit the system it speaks of (version, certificate, host key, name)."""


class LostLock(FailoverError):
    """This run no longer holds the replica (it was reset, or another took it over)."""

    who = Who.TENANT


class ForeignRun(FailoverError):
    """A step was asked for by another than the workflow run that it belongs to."""

    who = Who.TENANT


class Busy(FailoverError):
    """Another operation is in the way; it is waited for."""

    who = Who.NOBODY
    retryable = True


class Unavailable(FailoverError):
    """The system did not answer, or answered that it cannot at the moment."""

    who = Who.NOBODY
    retryable = True


class OutcomeUnknown(FailoverError):
    """A mutation was sent and its answer was lost; the next attempt looks before it acts."""

    who = Who.NOBODY
    retryable = True


class TaskFailed(FailoverError):
    """The system accepted the operation and then ended it in error, or it was cancelled."""

    who = Who.NOBODY
    retryable = True


class Expired(FailoverError):
    """This attempt's time is over, so it sends no mutation any more; the next attempt goes on."""

    who = Who.NOBODY
    retryable = True


class ApplianceChanged(FailoverError):
    """The appliance was switched off or rewired meanwhile. Not retried by itself: its side starts over."""

    who = Who.NOBODY
