"""The backup server's REST API.

Calls, statuses, models and roles are those of Veeam's OpenAPI schema, revisions 1.3-rev0 to 1.3-rev2.
Inferred, because the schema is silent: the status of a refused log-in (401), the refusal of a second
exclusion of the same VM (400), and that a list of jobs holds whole jobs.
"""

import json
import re
import ssl
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs

from lab.http_server import CALL_FAULTS, Call, HttpServer, Request, Response, json_response
from lab.hypervisor import Hypervisor, Vm
from lab.injected_faults import FaultKind, InjectedFaults
from lab.veeam import views
from lab.veeam.accounts import Accounts, Role, Token, User
from lab.veeam.replication import Cycle, Exclusion, Job, Replication

VERSIONS = ("1.3-rev0", "1.3-rev1", "1.3-rev2")
BUILDS = {"1.3-rev0": "13.0.0.4967", "1.3-rev1": "13.0.1.180", "1.3-rev2": "13.1.0.411"}

ANYBODY = tuple(Role)
ADMINISTRATOR = (Role.ADMINISTRATOR,)
STARTERS = (Role.ADMINISTRATOR, Role.BACKUP_OPERATOR)

RESTORERS = (Role.ADMINISTRATOR, Role.RESTORE_OPERATOR)
LONGEST_NOTE = 1000
"""Characters (inferred: the schema names no bound)."""

Thing = TypeVar("Thing")


class Refusal(Exception):
    """An answer other than the wanted one."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.response = json_response(status, {"errorCode": code, "message": message, "resourceId": ""})


@dataclass(frozen=True)
class Exchange:
    """One call after its checks."""

    request: Request
    version: str
    query: dict[str, list[str]]
    call: str = ""
    id: uuid.UUID | None = None

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError as error:
            raise Refusal(400, "UnexpectedContent", "The body is not JSON") from error
        if not isinstance(body, dict):
            raise Refusal(400, "UnexpectedContent", "The body is not an object")
        return body

    def page(self, items: Iterable[views.View]) -> Response:
        """The page of `items` that `skip` and `limit` ask for."""
        skip, limit = self._number("skip", 0), self._number("limit", 200)
        return json_response(200, views.page(list(items), skip, limit))

    def _number(self, name: str, default: int) -> int:
        text = self.query.get(name, [str(default)])[0]
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise Refusal(400, "UnexpectedContent", f"The value '{text}' is not valid for {name}")
        return int(text)

    def word(self, name: str) -> str:
        """A filter of the query, empty where there is none."""
        return self.query.get(name, [""])[0]


@dataclass(frozen=True)
class Route:
    """One call of the API, who may make it, and what serves it."""

    method: str
    template: str
    roles: Sequence[Role]
    serve: Callable[[Exchange], Response]

    @property
    def call(self) -> str:
        """How faults and audit name it."""
        return f"{self.method} {self.template}"

    def match(self, method: str, path: str) -> re.Match[str] | None:
        """Whether it is this call that was made."""
        pattern = re.escape(self.template).replace(r"\{id\}", "(?P<id>[0-9a-f-]{36})")
        return re.fullmatch(pattern, path) if method == self.method else None


class VeeamEndpoint:
    """Veeam Backup & Replication at the tenant's site: `site` has the originals, `replicas` the replicas."""

    def __init__(
        self,
        site: Hypervisor,
        replicas: Hypervisor,
        faults: InjectedFaults,
        tls: ssl.SSLContext,
        name: str = "veeam",
        version: str = "1.3-rev1",
    ) -> None:
        self.name = name
        self.replication = Replication(site, replicas)
        self.accounts = Accounts()
        self.cycle_seconds = 0.2
        """Processing time of each VM in cycles that are started over the API."""
        self.brief_lists = False
        """Whether a list of jobs leaves out the VMs of each job."""
        self._faults = faults
        self._served = VERSIONS[: VERSIONS.index(version) + 1]
        self._routes = self._all_routes()
        kinds = [kind for kind in CALL_FAULTS if kind is not FaultKind.BUSY]  # nothing here says "busy"
        self._server = HttpServer(name, faults, tls, kinds)

    @property
    def port(self) -> int:
        """On loopback, the same after each start."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where it is served."""
        return self._server.url

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """The global VM exclusions as they are now."""
        with self.replication.lock:
            return tuple(self.replication.exclusions.values())

    def start(self) -> None:
        """Serve, also after a `close`."""
        self._server.start(self._read)

    def close(self) -> None:
        """Stop serving, cut connections and give up running cycles."""
        self._server.close()
        self.replication.close()

    def add_user(self, name: str, password: str, role: Role = Role.ADMINISTRATOR) -> None:
        """An account that may log in."""
        self.accounts.add(User(name, password, role))

    def add_job(self, name: str, vms: Sequence[tuple[Vm, Vm]], kind: str = "VSphereReplica") -> Job:
        """A replication job of pairs (original VM, replica)."""
        return self.replication.add_job(name, vms, kind)

    def start_cycle(self, job: Job, seconds: float) -> Cycle:
        """Run a job in the background; the processing of each VM takes `seconds`."""
        return self.replication.start_cycle(job, seconds)

    def _all_routes(self) -> tuple[Route, ...]:
        jobs, sessions = "/api/v1/jobs", "/api/v1/sessions"
        exclusions = "/api/v1/globalExclusions/vm"
        return (
            Route("POST", "/api/oauth2/token", ANYBODY, self._token),
            Route("POST", "/api/oauth2/logout", ANYBODY, self._logout),
            Route("GET", "/api/v1/serverInfo", ANYBODY, self._server_info),
            Route("GET", jobs, ANYBODY, self._jobs),
            Route("GET", f"{jobs}/states", ANYBODY, self._states),
            Route("GET", f"{jobs}/{{id}}", ANYBODY, self._job),
            Route("POST", f"{jobs}/{{id}}/start", STARTERS, self._start),
            Route("POST", f"{jobs}/{{id}}/stop", STARTERS, self._stop),
            Route("GET", sessions, ANYBODY, self._sessions),
            Route("GET", f"{sessions}/{{id}}", ANYBODY, self._session),
            Route("GET", f"{sessions}/{{id}}/taskSessions", ANYBODY, self._tasks),
            Route("POST", f"{sessions}/{{id}}/stop", STARTERS, self._stop_session),
            Route("GET", exclusions, ADMINISTRATOR, self._exclusions),
            Route("POST", exclusions, ADMINISTRATOR, self._exclude),
            Route("GET", f"{exclusions}/{{id}}", ADMINISTRATOR, self._exclusion),
            Route("DELETE", f"{exclusions}/{{id}}", ADMINISTRATOR, self._include),
            Route("PUT", f"{exclusions}/{{id}}/note", ADMINISTRATOR, self._note),
            Route("GET", "/api/v1/replicas", RESTORERS, self._replicas),
            Route("GET", "/api/v1/replicas/{id}/replicaPoints", RESTORERS, self._points),
            Route("GET", "/api/v1/replicaPoints", RESTORERS, self._points),
        )

    def _read(self, request: Request) -> Call:
        matches = ((r, m) for r in self._routes if (m := r.match(request.method, request.path)))
        route, match = next(matches, (None, None))
        user = self.accounts.who(request.token)
        call = route.call if route else f"{request.method} ?"
        entity = uuid.UUID(match["id"]) if match and "id" in match.groupdict() else None
        answer = partial(self._answer, route, request, entity)
        return Call(call, user.name if user else "", request.path, answer)

    def _answer(
        self, route: Route | None, request: Request, entity: uuid.UUID | None, fault: FaultKind | None
    ) -> Response:
        try:
            if route is None:
                raise Refusal(404, "InvalidURI", "No such call")
            if fault is FaultKind.EXPIRE_SESSION:
                self.accounts.log_out(request.token)
                return Response(401)
            exchange = Exchange(request, self._version(request), parse_qs(request.query), route.call, entity)
            if route.template != "/api/oauth2/token":
                self._authorize(self.accounts.who(request.token), route)
            return route.serve(exchange)
        except Refusal as refusal:
            return refusal.response

    def _version(self, request: Request) -> str:
        version = request.headers.get("x-api-version", "")
        if version not in self._served:
            raise Refusal(
                400,
                "UnknownError",
                "Unsupported RESTAPI version. The following versions are supported: "
                + ", ".join(self._served),
            )
        return version

    def _authorize(self, user: User | None, route: Route) -> None:
        if user is None:
            raise Refusal(401, "ExpiredToken", "The access token is invalid or has expired")
        if user.role not in route.roles:
            raise Refusal(403, "AccessDenied", f"The role {user.role} does not allow this operation")

    def _token(self, exchange: Exchange) -> Response:
        form = {k: v[0] for k, v in parse_qs(exchange.request.body.decode()).items()}
        grant = form.get("grant_type", "")
        if exchange.request.headers.get("content-type") != "application/x-www-form-urlencoded":
            raise Refusal(400, "UnexpectedContent", "The body is not a form")
        if grant == views.casing("Password", exchange.version):
            token = self.accounts.log_in(form.get("username", ""), form.get("password", ""))
        elif grant == views.casing("Refresh_token", exchange.version):
            token = self.accounts.renew(form.get("refresh_token", ""))
        else:
            raise Refusal(400, "UnexpectedContent", "Unknown grant_type")
        if token is None:
            raise Refusal(401, "AccessDenied", "Invalid username, password or refresh token")
        return self._token_answer(token)

    def _token_answer(self, token: Token) -> Response:
        return json_response(
            200,
            views.token_view(token.access, token.refresh, max(1, round(self.accounts.token_seconds))),
        )

    def _logout(self, exchange: Exchange) -> Response:
        self.accounts.log_out(exchange.request.token)
        return json_response(200, {})

    def _server_info(self, exchange: Exchange) -> Response:
        return json_response(200, views.server_info(f"{self.name}.lab", BUILDS[self._served[-1]]))

    def _jobs(self, exchange: Exchange) -> Response:
        jobs = self._of_type(exchange)
        if self.brief_lists:
            return exchange.page(views.brief_job_view(j) for j in jobs)
        return exchange.page(views.job_view(j, self.replication.site.name) for j in jobs)

    def _states(self, exchange: Exchange) -> Response:
        with self.replication.lock:
            return exchange.page(views.job_state_view(j, exchange.version) for j in self._of_type(exchange))

    def _of_type(self, exchange: Exchange) -> list[Job]:
        wanted = exchange.word("typeFilter")
        return [job for job in self.replication.jobs.values() if wanted in ("", job.kind)]

    def _job(self, exchange: Exchange) -> Response:
        return json_response(200, views.job_view(self._the_job(exchange), self.replication.site.name))

    def _start(self, exchange: Exchange) -> Response:
        try:
            cycle = self.start_cycle(self._the_job(exchange), self.cycle_seconds)
        except RuntimeError as error:
            raise Refusal(400, "UnknownError", str(error)) from error
        return json_response(201, views.session_view(cycle))

    def _stop(self, exchange: Exchange) -> Response:
        cycle = self._the_job(exchange).last
        if cycle is None or cycle.ended is not None:
            raise Refusal(400, "UnknownError", "The job is not running")
        self._stop_cycle(exchange, cycle, bool(exchange.json().get("gracefulStop", True)))
        return json_response(201, views.session_view(cycle))

    def _stop_session(self, exchange: Exchange) -> Response:
        self._stop_cycle(exchange, self._the_cycle(exchange), graceful=False)
        return json_response(200, {})

    def _stop_cycle(self, exchange: Exchange, cycle: Cycle, graceful: bool) -> None:
        hang = self._faults.take(self.name, exchange.call, (FaultKind.TASK_HANG,))
        self.replication.stop_cycle(cycle, graceful, hang.seconds if hang else 0.0)

    def _sessions(self, exchange: Exchange) -> Response:
        job = exchange.query.get("jobIdFilter")
        with self.replication.lock:
            cycles = [c for c in self.replication.cycles.values() if not job or [str(c.job.id)] == job]
            return exchange.page(views.session_view(c) for c in cycles)

    def _session(self, exchange: Exchange) -> Response:
        with self.replication.lock:
            return json_response(200, views.session_view(self._the_cycle(exchange)))

    def _tasks(self, exchange: Exchange) -> Response:
        with self.replication.lock:
            cycle = self._the_cycle(exchange)
            return exchange.page(views.task_view(cycle, t) for t in cycle.tasks)

    def _exclusions(self, exchange: Exchange) -> Response:
        return exchange.page(views.exclusion_view(e) for e in self.exclusions)

    def _exclude(self, exchange: Exchange) -> Response:
        body = exchange.json()
        vm = body.get("vmObject")
        if set(body) != {"vmObject"} or not isinstance(vm, dict):
            raise Refusal(400, "UnexpectedContent", "Exactly vmObject is expected")
        if (vm.get("platform"), vm.get("type")) != ("VSphere", "VirtualMachine"):
            raise Refusal(400, "UnexpectedContent", "Only virtual machines can be excluded")
        site, object_id = self.replication.site, str(vm.get("objectId"))
        if vm.get("hostName") != site.name or object_id not in site.vms:
            raise Refusal(400, "UnknownError", "The inventory has no such object")
        exclusion = self.replication.exclude(site.name, site.vms[object_id].name, object_id)
        if exclusion is None:
            raise Refusal(400, "UnknownError", "The virtual machine is excluded already")
        return json_response(201, views.exclusion_view(exclusion))

    def _exclusion(self, exchange: Exchange) -> Response:
        with self.replication.lock:
            return json_response(200, views.exclusion_view(_get(self.replication.exclusions, exchange.id)))

    def _note(self, exchange: Exchange) -> Response:
        note = exchange.json().get("note")
        if not isinstance(note, str) or len(note) > LONGEST_NOTE:
            raise Refusal(400, "UnexpectedContent", f"note must be a string of {LONGEST_NOTE} characters")
        with self.replication.lock:
            exclusion = replace(_get(self.replication.exclusions, exchange.id), note=note)
            self.replication.exclusions[exclusion.id] = exclusion
        return json_response(200, views.exclusion_view(exclusion))

    def _include(self, exchange: Exchange) -> Response:
        with self.replication.lock:
            del self.replication.exclusions[_get(self.replication.exclusions, exchange.id).id]
        return json_response(204)

    def _replicas(self, exchange: Exchange) -> Response:
        jobs = [job for job in self.replication.jobs.values() if job.kind == "VSphereReplica"]
        of_all = [(job, replica) for job in jobs for _, replica in job.vms]
        return exchange.page(
            views.replica_view(job, vm, self._replica_state(vm), exchange.version) for job, vm in of_all
        )

    def _replica_state(self, replica: Vm) -> str:
        return self.replication.console.get(replica.name, "Ready")

    def _points(self, exchange: Exchange) -> Response:
        name, replica = exchange.word("nameFilter"), exchange.id
        return exchange.page(
            views.point_view(point, self._replica_state(point.replica))
            for point in self.replication.points()
            if name in ("", point.original.name) and replica in (None, point.job.replica_id(point.replica))
        )

    def _the_job(self, exchange: Exchange) -> Job:
        return _get(self.replication.jobs, exchange.id)

    def _the_cycle(self, exchange: Exchange) -> Cycle:
        return _get(self.replication.cycles, exchange.id)


def _get(things: dict[uuid.UUID, Thing], key: uuid.UUID | None) -> Thing:
    if key is None or key not in things:
        raise Refusal(404, "NotFound", f"There is no {key}")
    return things[key]
