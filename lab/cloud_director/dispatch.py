"""From a request to the row of the API that answers it: versions, logins, media types, errors.

Faults are injected into the endpoint "cloud-director" and these calls, which the audit names too: GET
versions, POST token, GET session, GET current session, GET role rights, DELETE session, GET orgs, GET org,
GET vdc, GET query, GET vm, GET vApp, POST powerOn, POST powerOff, POST suspend, POST discardSuspendedState,
POST undeploy, POST reloadFromVc, POST createSnapshot, GET question, POST answer, POST enterMaintenanceMode,
POST exitMaintenanceMode, GET and PUT networkConfigSection, GET and PUT networkConnectionSection, GET
virtualHardwareSection, GET operatingSystemSection, GET guestCustomizationSection, GET, POST and DELETE
metadata, GET task, POST cancel, GET orgVdcNetworks, GET vimServer.
"""

import json
import re
import uuid
from functools import partial
from urllib.parse import parse_qsl, unquote

from lxml import etree

from lab.cloud_director import render
from lab.cloud_director.api import Api
from lab.cloud_director.model import ApiError, bad
from lab.cloud_director.route import NOBODY, Answer, Asked, Route, refuse_media
from lab.cloud_director.xml import MEDIA
from lab.http_server import Call, Request, Response
from lab.injected_faults import FaultKind


class Dispatcher:
    """Reads requests to one API."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def read(self, request: Request) -> Call:
        """What it asks for; nothing is done yet."""
        route, groups = self._routed(request.method, unquote(request.path))
        who = self.api.principal(request.token) or NOBODY
        asked = Asked(who, request.token, groups, dict(parse_qsl(request.query)), request.body)
        name = route.name if route else f"{request.method} unknown"
        answer = partial(self._response, route, asked, request)
        return Call(name, f"{who.user}@{who.org}", request.path, answer)

    def _routed(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        for route in self.api.routes:
            match = route.path.fullmatch(path)
            if match and route.method == method:
                return route, {k: v for k, v in match.groupdict().items() if v is not None}
        return None, {}

    def _response(
        self, route: Route | None, asked: Asked, request: Request, fault: FaultKind | None
    ) -> Response:
        try:
            answer = self._answer(route, asked, request, fault)
        except ApiError as error:
            message = f"[ {uuid.uuid4()} ] {error}"
            answer = Answer(error.status, xml=render.error(error.status, error.minor, message))
        except ValueError as error:
            answer = Answer(400, xml=render.error(400, "BAD_REQUEST", str(bad(str(error)))))
        return _encoded(answer, request)

    def _answer(self, route: Route | None, asked: Asked, request: Request, fault: FaultKind | None) -> Answer:
        if route is None:
            raise ApiError(404, "NOT_FOUND", f"HTTP 404 Not Found {request.path}")
        if route.name != "GET versions":
            self._check_version(request)
        if not route.public:
            if fault is FaultKind.EXPIRE_SESSION:
                self.api.sessions.pop(asked.token, None)
            if self.api.principal(asked.token) is None:
                return Answer(401)
        if fault is FaultKind.BUSY:
            entity = asked.groups.get("ref")
            message = f"The entity {entity} is busy completing an operation VAPP_UPDATE_VM."
            raise ApiError(400, "BUSY_ENTITY", message)
        if asked.body:
            refuse_media(route, request.headers.get("Content-Type", ""))
        return route.do(asked)

    def _check_version(self, request: Request) -> None:
        if _version(request) not in self.api.served:
            served = ", ".join(f"{v}[D]" if old else v for v, old in self.api.served.items())
            raise ApiError(
                406,
                "NOT_ACCEPTABLE",
                f"The request has invalid accept header. Supported API versions are: [{served}]",
            )


def _version(request: Request) -> str:
    """Empty when the request names none."""
    match = re.search(r"version=([0-9.]+)", request.headers.get("Accept", ""))
    return match[1] if match else ""


def _encoded(answer: Answer, request: Request) -> Response:
    version = f";version={_version(request)}" if _version(request) else ""
    body, media_type = b"", "text/plain"
    if answer.xml is not None:
        kind = "error" if answer.status >= 400 else etree.QName(answer.xml).localname
        media_type = f"{MEDIA}{kind[0].lower()}{kind[1:]}+xml{version}"
        body = etree.tostring(answer.xml)
    elif answer.json is not None:
        media_type = f"application/json{version}"
        body = json.dumps(answer.json).encode()
    client_id = request.headers.get("X-VMWARE-VCLOUD-CLIENT-REQUEST-ID", "")
    request_id = f"{client_id}-{uuid.uuid4()}".removeprefix("-")
    headers = {"X-VMWARE-VCLOUD-REQUEST-ID": request_id, **answer.headers}
    return Response(answer.status, body, media_type, headers)
