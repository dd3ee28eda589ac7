# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""One login at one vCenter, shared by all threads of a worker."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from pyVmomi import vim, vmodl

from partial_failover.connectors.vsphere.faults import (
    NO_ANSWER,
    UNREADABLE,
    LostReply,
    SessionEnded,
    error_of,
    transport_words,
)
from partial_failover.connectors.vsphere.stub import CurrentStub, VCenterLogin, adapter, trust
from partial_failover.connectors.whole_call import seconds_left, within
from partial_failover.contracts.errors import FailoverError, Misconfigured, NoRight, Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

REFUSED_LOGIN_SECONDS = 300.0
"""After a refused login no other is sent for so long: repeated ones lock the account for everybody."""
MOST_PAGES = 100
"""Of one answer; vCenter puts about a hundred objects into each."""
LOGINS = 3
"""So many logins one call asks for, where its session is ended again and again."""
NOTHING_SENT = (ConnectionRefusedError, socket.gaierror)

PC = vmodl.query.PropertyCollector


@dataclass(frozen=True)
class ObjectProperties:
    """One object as it was read. `values`: by property path; what is unset is not in it."""

    ref: Any
    values: Mapping[str, Any]


class VSphereSession:
    """Sends calls, logs in when needed, and turns what goes wrong into the errors of the contracts."""

    def __init__(self, login: VCenterLogin) -> None:
        self.server = f"vCenter {login.host}:{login.port}"
        self.user = ""
        """The account as this vCenter writes it in sessions and tasks: `DOMAIN\\name`."""
        self._login = login
        self._trust = trust(login)
        adapter(login, self._trust)  # what is wrong with the settings shows at once
        self._stub = CurrentStub(login.version)
        self._instance = vim.ServiceInstance("ServiceInstance", self._stub)
        self._content: vim.ServiceInstanceContent | None = None
        self._lock = threading.Lock()
        self._logins = 0
        self._refused_until = 0.0

    def object(self, kind: type[T], moref: str) -> T:
        """A managed object to call methods of; nothing is sent."""
        return kind(moref, self._stub)  # type: ignore[call-arg]

    def content(self) -> vim.ServiceInstanceContent:
        """The vCenter's entry points. Logs in first."""
        if self._content is None:
            self._ensure_login(0)
        content = self._content
        if content is None:
            raise Unavailable(f"The connection to {self.server} was closed", do="It is tried again")
        return content

    def once(self, send: Callable[[], T], what: str) -> T:
        """Send a call. It is sent again only where it was refused for want of a session.

        Raises LostReply when it was sent and no answer could be read, `FailoverError` otherwise.
        """
        for _ in range(LOGINS):
            self.content()
            seen = self._logins
            try:
                return self._send(send, what)
            except SessionEnded:
                self._ensure_login(seen)
        raise Unavailable(
            f"{self.server} ends sessions at once, so it could not {what}", do="It is tried again"
        )

    def ask(self, send: Callable[[], T], what: str) -> T:
        """Send a call that changes nothing; once more after a transport error."""
        try:
            return self.once(send, what)
        except LostReply:
            pass
        try:
            return self.once(send, what)
        except LostReply as lost:
            raise Unavailable(
                f"{self.server} did not {what}: {lost}", left="Nothing was changed", do="It is tried again"
            ) from lost

    def retrieve(
        self, ref: Any, wanted: Mapping[type[Any], Sequence[str]], via: str | None = None
    ) -> list[ObjectProperties]:
        """Properties of `ref`, and of the objects that its property `via` leads to, in one moment.

        `wanted`: paths by type. Values of `ref` itself that cannot be read are an error; those of the others
        are left out. To be used inside of `ask`, together with what makes sense of the values.
        """
        follow = [PC.TraversalSpec(type=type(ref), path=via)] if via else []
        start = PC.ObjectSpec(obj=ref, skip=type(ref) not in wanted, selectSet=follow)
        kinds = [PC.PropertySpec(type=kind, pathSet=list(paths)) for kind, paths in wanted.items()]
        spec = PC.FilterSpec(objectSet=[start], propSet=kinds)
        collector = self.content().propertyCollector
        page = collector.RetrievePropertiesEx([spec], PC.RetrieveOptions())
        objects: list[ObjectProperties] = []
        for _ in range(MOST_PAGES):
            if page is None:
                return objects
            objects += [_object(o, ref) for o in page.objects]
            page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
        raise ValueError(f"a list that does not end after {len(objects)} entries")

    def _send(self, send: Callable[[], T], what: str) -> T:
        try:
            with within(self._login.timeout):
                return send()
        except FailoverError:
            raise
        except vim.fault.NotAuthenticated:
            raise SessionEnded from None
        except vmodl.MethodFault as error:
            raise error_of(error, self.server, what) from None
        except ssl.SSLCertVerificationError as error:
            raise Misconfigured(
                f"The certificate of {self.server} is not trusted: {error.verify_message}",
                left="Nothing was sent",
                do="Give the file of the CA that issued it, and the name that is in it",
            ) from error
        except NOTHING_SENT as error:
            raise Unavailable(
                f"{self.server} cannot be reached, so it could not {what}: {transport_words(error)}",
                left="Nothing was sent",
                do="Check the address and the network; it is tried again",
            ) from error
        except (*NO_ANSWER, *UNREADABLE) as error:
            raise self._lost(error, what) from None
        except Exception as error:
            if type(error) is not Exception:  # a cancellation, for instance
                raise
            raise self._lost(error, what) from None  # pyVmomi's for HTTP 500 without a fault

    def _lost(self, error: Exception, what: str) -> LostReply:
        """Without the cause: its text can be foreign and of any length, and causes enter histories, too."""
        log.debug("%s did not %s", self.server, what, exc_info=error)
        return LostReply(transport_words(error))

    def _ensure_login(self, seen: int) -> None:
        """Log in, unless another thread did since login number `seen`."""
        if not self._lock.acquire(timeout=seconds_left(self._login.timeout)):
            raise Unavailable(
                f"{self.server} does not answer a login that is under way", do="It is tried again"
            )
        try:
            if self._logins == seen:
                self._log_in()
        finally:
            self._lock.release()

    def _log_in(self) -> None:
        if monotonic() < self._refused_until:
            raise NoRight(
                f"{self.server} refused the login of {self._login.username} a short while ago",
                left="No other login was sent, because that could lock the account",
                do="Correct the account or its password and restart the worker",
            )
        aside = CurrentStub(self._login.version, self._stub)
        aside.adapter = adapter(self._login, self._trust)
        try:
            content, session = self._send(lambda: self._send_login(aside), "log in")
        except LostReply as lost:
            raise Unavailable(
                f"{self.server} did not log in: {lost}", left="Nothing was changed", do="It is tried again"
            ) from lost
        except NoRight:
            self._refused_until = monotonic() + REFUSED_LOGIN_SECONDS
            raise
        ended, self._stub.adapter = self._stub.adapter, aside.adapter
        self._content, self.user = content, session.userName
        self._logins += 1
        if ended is not None:
            ended.DropConnections()
        log.info("logged in at %s as %s", self.server, self.user)

    def _send_login(self, aside: CurrentStub) -> tuple[vim.ServiceInstanceContent, vim.UserSession]:
        """A login on a session that lives is refused like a wrong password: it goes by a stub of its own."""
        content = vim.ServiceInstance("ServiceInstance", aside).RetrieveContent()
        if content.sessionManager is None:
            raise ValueError("no session manager")
        manager = vim.SessionManager(content.sessionManager._moId, aside)
        session = manager.Login(self._login.username, self._login.password, None)
        if not isinstance(session, vim.UserSession):
            raise ValueError("no session")
        return content, session

    def now(self) -> Any:
        """The server's clock; also the cheapest way to find out whether the session lives."""

        def send() -> Any:
            answer = self._instance.CurrentTime()
            if answer is None:
                raise ValueError("no time")
            return answer

        return self.ask(send, "tell its time")

    def close(self) -> None:
        """Log out, if the vCenter still listens; an abandoned session would live on for half an hour."""
        with self._lock:
            content, self._content, self._logins = self._content, None, 0
            try:
                if content is not None and content.sessionManager is not None:
                    with within(self._login.timeout):
                        content.sessionManager.Logout()
            except (vmodl.MethodFault, *NO_ANSWER, *UNREADABLE) as error:
                log.debug("logging out at %s: %s", self.server, type(error).__name__)
            if self._stub.adapter is not None:
                self._stub.adapter.DropConnections()


def _object(content: Any, root: Any) -> ObjectProperties:
    """An expired session and missing rights show here and not as faults of the call."""
    if content.obj._moId == root._moId:
        for missing in content.missingSet:
            raise missing.fault
    return ObjectProperties(content.obj, {p.name: p.val for p in content.propSet})
