# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""Who is logged in to the lab's vCenter, and what they may do."""

import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import vim

from lab.hypervisor import utc_now
from lab.vsphere.places import ROOT


@dataclass(frozen=True)
class User:
    """An account. `privileges`: ids as in pyVmomi's method table, which its role has; None: all of them.
    `vms`: MoRefs of the VMs that it has its role on, none means no access at all; None: on everything."""

    password: str
    privileges: frozenset[str] | None = None
    vms: frozenset[str] | None = None


@dataclass
class Session:
    """A login, with the collectors, filters and views that die with it."""

    user: str
    shown: Any
    """The `UserSession`; its `userName` is how vCenter writes the account: `DOMAIN\\name`."""
    privileges: frozenset[str] | None
    vms: frozenset[str] | None
    seen: float
    objects: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The cookie's value."""
        return str(self.shown.key)


class Sessions:
    """All sessions; thread safe."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self.users = dict(users)
        self.idle_seconds = 1800.0
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def login(self, current: Session | None, user: str, password: str) -> Session:
        """A new session. A second login on a live session is refused like a wrong password;
        NoPermission for an account without access (source: vSphere API, SessionManager)."""
        user = next((known for known in self.users if user.lower() in _names(known)), user)
        account = self.users.get(user)
        if current or account is None or account.password != password:
            raise vim.fault.InvalidLogin(
                msg="Cannot complete login due to an incorrect user name or password."
            )
        if account.vms is not None and not account.vms:
            raise vim.fault.NoPermission(
                object=vim.Folder(ROOT),
                privilegeId="System.View",
                msg="Permission to perform this operation was denied.",
            )
        now = utc_now()
        shown = vim.UserSession(
            key=str(uuid.uuid4()),
            userName=shown_name(user),
            fullName=user,
            loginTime=now,
            lastActiveTime=now,
            locale="en",
            messageLocale="en",
            extensionSession=False,
            ipAddress="127.0.0.1",
            userAgent="",
            callCount=0,
        )
        session = Session(user, shown, account.privileges, account.vms, time.monotonic())
        with self._lock:
            self._sessions[session.key] = session
        return session

    def find(self, key: str | None) -> Session | None:
        """The live session of a cookie; using it keeps it alive."""
        with self._lock:
            session = self._sessions.get(key or "")
            if session and time.monotonic() - session.seen > self.idle_seconds:
                del self._sessions[session.key]
                return None
            if session:
                session.seen = time.monotonic()
            return session

    def alive(self, session: Session) -> bool:
        """Whether it has not ended yet."""
        with self._lock:
            return session.key in self._sessions

    def end(self, session: Session) -> None:
        """Log out."""
        with self._lock:
            self._sessions.pop(session.key, None)

    def end_all(self) -> None:
        """What a restart of the vCenter does."""
        with self._lock:
            self._sessions.clear()

    def count(self) -> int:
        """Live sessions."""
        with self._lock:
            return len(self._sessions)


def shown_name(user: str) -> str:
    """`admin@vsphere.local` → `VSPHERE.LOCAL\\admin`, as sessions and tasks of a vCenter show it."""
    name, at, domain = user.partition("@")
    return f"{domain.upper()}\\{name}" if at else user


def _names(user: str) -> tuple[str, str]:
    """What an account may log in as, in lower case; vCenter does not tell capitals from small letters."""
    return user.lower(), shown_name(user).lower()
