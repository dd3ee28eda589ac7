# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""The lab's vCenter: one hypervisor behind the vSphere SOAP API."""

import ssl
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pyVmomi import vmodl

from lab.hypervisor import Hypervisor
from lab.injected_faults import FaultKind, FaultRule, InjectedFaults
from lab.vsphere import wire
from lab.vsphere.collector import Collectors
from lab.vsphere.guests import GUEST_PRIVILEGES
from lab.vsphere.inventory import Inventory
from lab.vsphere.methods import Handler, Methods, reconfigure_privileges
from lab.vsphere.server import Answer, Dropped, Server, Unavailable
from lab.vsphere.sessions import Session, Sessions, User, require
from lab.vsphere.tasks import Tasks, in_progress

API = "8.0.3.0"
DEFAULT_USERS: Mapping[str, User] = MappingProxyType({"failover@vsphere.local": User("lab-vsphere")})
BEFORE = (FaultKind.EXPIRE_SESSION, FaultKind.DROP_BEFORE, FaultKind.REFUSE, FaultKind.BUSY)
FATES = (FaultKind.TASK_ERROR, FaultKind.TASK_HANG, FaultKind.TASK_CANCEL)


class VSphereEndpoint:
    """SOAP over TLS on loopback. `name`: under which `faults` knows it.

    `tasks` is open to other endpoints of the lab that drive the same VMs: `tasks.start(vm, description,
    effect, user)` runs an effect under the VM's one-task-at-a-time rule. `tasks.seconds` sets durations.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        faults: InjectedFaults,
        tls: ssl.SSLContext,
        name: str = "vsphere",
        users: Mapping[str, User] = DEFAULT_USERS,
    ) -> None:
        self.name = name
        self.faults = faults
        self.tasks = Tasks(hypervisor)
        self.sessions = Sessions(users)
        self.inventory = Inventory(hypervisor, self.tasks, API)
        self.collectors = Collectors(self.inventory, self.sessions)
        methods = Methods(self.inventory, self.sessions, self.tasks)
        self._operations = methods.operations()
        self._plain: dict[str, Handler] = methods.plain() | {
            "RetrievePropertiesEx": self.collectors.retrieve,
            "ContinueRetrievePropertiesEx": self.collectors.proceed,
            "CreatePropertyCollector": self.collectors.create,
            "DestroyPropertyCollector": self.collectors.destroy,
            "CreateFilter": self.collectors.create_filter,
            "DestroyPropertyFilter": self.collectors.destroy_filter,
            "WaitForUpdatesEx": self.collectors.wait,
        }
        self._server = Server(self.answer, tls, name)
        self._closing = threading.Event()

    @property
    def port(self) -> int:
        """Of the listener on 127.0.0.1; it is known before `start`."""
        return self._server.port

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()

    def close(self) -> None:
        """Stop answering; tasks that run end without effect."""
        self._closing.set()
        self.tasks.close()
        self.sessions.end_all()
        self._server.close()

    def answer(self, cookie: str | None, api: str, body: bytes) -> Answer:
        """One call. Raises `Dropped` and `Unavailable` for planned faults."""
        version = wire.BY_ID.get(api, wire.BY_ID[API])
        try:
            if api not in wire.BY_ID or wire.VERSIONS.index(version) < wire.VERSIONS.index(wire.BY_ID[API]):
                raise vmodl.fault.InvalidRequest(msg=f'Unsupported version URI "urn:vim25/{api}"')
            request = wire.parse(body, version)
            value, kind = self._serve(cookie, request)
        except vmodl.MethodFault as error:
            return Answer(500, wire.envelope(wire.fault(error, version)))
        text = wire.envelope(wire.reply(request.method, value, kind, version))
        return Answer(200, text, str(value.key) if request.method == "Login" else None)

    def _serve(self, cookie: str | None, request: wire.Request) -> tuple[Any, Any]:
        """The call's value and its declared type, with the planned faults around it."""
        session = self.sessions.find(cookie)
        self.faults.record(self.name, session.user if session else "", request.method, request.this._moId)
        planned = self._take(request, BEFORE)
        if planned is not None:
            session = self._go_wrong(planned, session)
        value, kind = self._call(session, request)
        slow = self._take(request, (FaultKind.DELAY,))
        if slow is not None:
            self._closing.wait(slow.seconds)
        dropped = self._take(request, (FaultKind.DROP_AFTER,))
        if dropped is not None:
            dropped.happen()
            raise Dropped
        return value, kind

    def _take(self, request: wire.Request, kinds: tuple[FaultKind, ...]) -> FaultRule | None:
        return self.faults.take(self.name, request.method, kinds, request.this._moId)

    def _go_wrong(self, planned: FaultRule, session: Session | None) -> Session | None:
        if planned.kind is FaultKind.DROP_BEFORE:
            raise Dropped
        if planned.kind is FaultKind.REFUSE:
            raise Unavailable
        if planned.kind is FaultKind.BUSY:
            raise in_progress("task-1")
        if session is not None:
            self.sessions.end(session)
        return None

    def _call(self, session: Session | None, request: wire.Request) -> tuple[Any, Any]:
        if request.method == "Fetch":
            return self._fetch(session, request.this, request.args["prop"])
        if request.info is None:
            raise vmodl.fault.MethodNotFound(
                receiver=request.this, method=request.method, msg="Unknown method."
            )
        operation = self._operations.get(request.method)
        handler = operation or self._plain.get(request.method)
        if handler is None:
            raise vmodl.fault.NotSupported(msg=f"The lab does not model {request.method}.")
        needed = [request.info.privId or GUEST_PRIVILEGES.get(request.method, "System.View")]
        if request.method == "ReconfigVM_Task":
            needed = ["System.View", *reconfigure_privileges(request.args["spec"])]
        require(session, request.this, needed)
        args = request.args | ({"fate": self._take(request, FATES)} if operation else {})
        return handler(session, request.this, **args), request.info.result

    def _fetch(self, session: Session | None, this: Any, name: str) -> tuple[Any, Any]:
        """Reading an attribute, as pyVmomi does it (`Fetch` is undocumented)."""
        if name not in ("currentSession", "content"):
            require(session, this, ["System.Read"])
        return self.inventory.read(this, name, session), wire.property_type(type(this), name)
