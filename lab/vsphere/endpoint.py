# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""The lab's vCenter: one hypervisor behind the vSphere SOAP API."""

import ssl
import uuid
from collections.abc import Mapping
from functools import partial
from http.cookies import CookieError, SimpleCookie
from types import MappingProxyType
from typing import Any

from pyVmomi import vim, vmodl

from lab.http_server import Call, HttpServer, Request, Response
from lab.hypervisor import Hypervisor
from lab.injected_faults import FaultKind, InjectedFaults
from lab.vsphere import rights, wire
from lab.vsphere.collector import Collectors
from lab.vsphere.history import Histories
from lab.vsphere.inventory import Inventory
from lab.vsphere.methods import Handler, Methods, reconfigure_privileges
from lab.vsphere.places import NETWORK_FOLDER
from lab.vsphere.sessions import Session, Sessions, User
from lab.vsphere.tasks import Tasks, in_progress
from lab.vsphere.views import Views

API = "8.0.3.0"
DEFAULT_USERS: Mapping[str, User] = MappingProxyType({"failover@vsphere.local": User("lab-vsphere")})
PATHS = ("/sdk", "/sdk/", "/sdk/vimService")
VERSIONS_PATH = "/sdk/vimServiceVersions.xml"
COOKIE = "vmware_soap_session"
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
        histories, views = Histories(self.inventory), Views(self.inventory)
        methods = Methods(self.inventory, self.sessions, self.tasks)
        self._operations = methods.operations()
        self._plain: dict[str, Handler] = methods.plain() | {
            "RetrieveProperties": self.collectors.retrieve_all,
            "RetrievePropertiesEx": self.collectors.retrieve,
            "ContinueRetrievePropertiesEx": self.collectors.proceed,
            "CreatePropertyCollector": self.collectors.create,
            "DestroyPropertyCollector": self.collectors.destroy,
            "CreateFilter": self.collectors.create_filter,
            "DestroyPropertyFilter": self.collectors.destroy_filter,
            "WaitForUpdates": self.collectors.wait_long,
            "WaitForUpdatesEx": self.collectors.wait,
            "CreateContainerView": views.create_container,
            "CreateListView": views.create_list,
            "DestroyView": views.destroy,
            "CreateCollectorForTasks": histories.create,
            "ReadNextTasks": histories.read_next,
            "DestroyCollector": histories.destroy,
        }
        self._server = HttpServer(name, faults, tls)

    @property
    def port(self) -> int:
        """Of the listener on 127.0.0.1; it is known before `start`."""
        return self._server.port

    def start(self) -> None:
        """Answer from now on."""
        self._server.start(self._read)

    def close(self) -> None:
        """Stop answering; tasks that run end without effect."""
        self.tasks.close()
        self.sessions.end_all()
        self._server.close()

    def _read(self, request: Request) -> Call | Response:
        """`SOAPAction` names the version of the API, such as `8.0.3.0`. Inferred: the statuses of HTTP."""
        if request.path == VERSIONS_PATH and request.method == "GET":
            return Response(200, wire.service_versions(API), "text/xml")
        if request.path not in PATHS:
            return Response(404)
        if request.method != "POST":
            return Response(405)
        if request.headers.get_content_type() != "text/xml":
            return Response(415)
        api = request.headers.get("SOAPAction", "").strip('"').rpartition("/")[2]
        version = wire.BY_ID.get(api, wire.BY_ID[API])
        try:
            if api not in wire.served(API):
                raise vmodl.fault.InvalidRequest(msg=f'Unsupported version URI "urn:vim25/{api}"')
            method = wire.parse(request.body, version)
        except vmodl.MethodFault as error:
            return _soap(500, wire.fault(error, version))
        session = self.sessions.find(_cookie(request))
        user = session.user if session else ""
        answer = partial(self._answer, session, method, version)
        return Call(method.method, user, method.this._moId, answer)

    def _answer(
        self, session: Session | None, request: wire.Request, version: str, fault: FaultKind | None
    ) -> Response:
        try:
            if fault is FaultKind.BUSY:
                raise in_progress("task-1")
            if fault is FaultKind.EXPIRE_SESSION and session is not None:
                self.sessions.end(session)
                session = None
            value, kind = self._call(session, request)
        except vmodl.MethodFault as error:
            return _soap(500, wire.fault(error, version), _fresh_cookie(session))
        cookie = _cookie_of(value.key) if request.method == "Login" else _fresh_cookie(session)
        return _soap(200, wire.reply(request.method, value, kind, version), cookie)

    def _call(self, session: Session | None, request: wire.Request) -> tuple[Any, Any]:
        """The call's value and its declared type."""
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
        self._check_rights(session, request)
        args = dict(request.args)
        if operation:
            args["fate"] = self.faults.take(self.name, request.method, FATES, request.this._moId)
        return handler(session, request.this, **args), request.info.result

    def _check_rights(self, session: Session | None, request: wire.Request) -> None:
        """As pyVmomi's table of methods has them: on the object, and on those that are named to it."""
        needed = [request.info.privId or rights.VIEW]
        if request.method == "ReconfigVM_Task":
            needed += reconfigure_privileges(request.args["spec"])
        self.inventory.require(session, request.this, *needed)
        if rights.ASSIGN in needed:
            # It counts on the networks, which all have the rights of their folder.
            self.inventory.require(session, vim.Folder(NETWORK_FOLDER), rights.ASSIGN)
        for param in request.info.params:
            value = request.args.get(param.name) if param.privId else None
            for ref in value if isinstance(value, list) else [value] if value else []:
                self.inventory.require(session, ref, param.privId)

    def _fetch(self, session: Session | None, this: Any, name: str) -> tuple[Any, Any]:
        """Reading an attribute, as pyVmomi does it (`Fetch` is undocumented)."""
        return self.inventory.read(this, name, session), wire.property_info(type(this), name).type


def _soap(status: int, content: str, cookie: str = "") -> Response:
    headers = {"Set-Cookie": cookie} if cookie else {}
    return Response(status, wire.envelope(content), "text/xml; charset=utf-8", headers)


def _fresh_cookie(session: Session | None) -> str:
    """Whoever comes without a session gets a cookie, of which a session may be made. Inferred: also who comes
    with one that has ended; and that a login gives another one."""
    return "" if session else _cookie_of(str(uuid.uuid4()))


def _cookie_of(key: str) -> str:
    return f'{COOKIE}="{key}"; Path=/; HttpOnly; Secure;'


def _cookie(request: Request) -> str | None:
    try:
        session = SimpleCookie(request.headers.get("Cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return session.value if session else None
