"""What pyvmomi raises, and the errors of the contracts that it becomes."""

import zlib
from http.client import HTTPException
from xml.parsers.expat import ExpatError

from pyVmomi import vim, vmodl

from partial_failover.contracts.errors import (
    Busy,
    FailoverError,
    LimitReached,
    Misconfigured,
    NoRight,
    NotFound,
    TaskFailed,
    Unavailable,
    WrongState,
)

NO_ANSWER = (OSError, HTTPException)
"""The connection failed, timed out or answered another HTTP status than 200 and 500."""
UNREADABLE = (ExpatError, zlib.error, ValueError, TypeError, LookupError, AttributeError)
"""What pyVmomi raises while it reads an answer that is not of the vSphere API."""

LONGEST_FOREIGN_TEXT = 300

_CLASSES: tuple[tuple[type[vmodl.MethodFault], type[FailoverError], str], ...] = (
    (vim.fault.InvalidLogin, NoRight, "Correct the account or its password; it is not tried again by itself"),
    (vim.fault.NoPermission, NoRight, "Give the account that privilege"),
    (vmodl.fault.ManagedObjectNotFound, NotFound, "Look up the VM and its restore points again"),
    (vim.fault.GuestOperationsUnavailable, Unavailable, "It is tried again while the guest boots"),
    (vim.fault.InvalidGuestLogin, NoRight, "Correct the guest account in the worker's settings"),
    (vim.fault.GuestPermissionDenied, NoRight, "Let the guest account run the program"),
    (vim.fault.FileNotFound, NotFound, "Correct the program's path in the worker's settings"),
    (vim.fault.TaskInProgress, Busy, "It is tried again"),
    (vim.fault.ConcurrentAccess, Busy, "It is tried again"),
    (vim.fault.InvalidState, WrongState, "Look at the VM in vSphere"),
    (vim.fault.TooManyDevices, LimitReached, "Remove a device from the VM"),
    (vmodl.fault.HostCommunication, Unavailable, "It is tried again"),
    (vmodl.fault.SystemError, Unavailable, "It is tried again"),
    (vmodl.fault.InvalidRequest, Misconfigured, "Check that the API version set suits this vCenter"),
    (vmodl.fault.NotSupported, Misconfigured, "Check that the address is a vCenter's"),
    (vmodl.fault.MethodNotFound, Misconfigured, "Check that the API version set suits this vCenter"),
)


class LostReply(Exception):
    """A request was sent, perhaps accepted, and no answer to it could be read. Never leaves the connector."""


class SessionEnded(Exception):
    """Refused before acceptance, for want of a session. Never leaves the connector."""


def error_of(error: vmodl.MethodFault, server: str, what: str) -> FailoverError:
    """The error for a vim fault, also for one that ended a task. `what`: the step, such as "read vm-12"."""
    kind: type[FailoverError] = TaskFailed
    do = "It is tried again"
    for theirs, ours, advice in _CLASSES:
        if isinstance(error, theirs):
            kind, do = ours, advice
            break
    text = foreign(getattr(error, "msg", None)) or type(error).__name__.rpartition(".")[2]
    if isinstance(error, vim.fault.NoPermission):
        text += f" (privilege {foreign(error.privilegeId)})"
    return kind(f"{server} did not {what}: {text}", do=do)


def foreign(text: object) -> str:
    """Another system's text, fit for a message: printable and short."""
    shown = "".join(c if c.isprintable() else " " for c in str(text or ""))
    return " ".join(shown.split())[:LONGEST_FOREIGN_TEXT].rstrip(".")


def transport_words(error: Exception) -> str:
    """Why there was no answer, without anything that was sent."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return foreign(error.strerror or type(error).__name__)
    if isinstance(error, HTTPException):
        return foreign(error) or "the connection was closed"
    return "the answer is not one of the vSphere API"
