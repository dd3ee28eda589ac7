"""HTTP/1.1 over TLS around the API: versions, logins, errors, and faults on demand.

InjectedFaults are planned for the endpoint "cloud-director" and these calls, which the audit names too: GET
versions, POST token, GET session, GET current session, GET role rights, DELETE session, GET query, GET
vm, GET vApp, POST powerOn, POST powerOff, POST undeploy, POST reloadFromVc, POST createSnapshot, GET
question, POST answer, POST enterMaintenanceMode, POST exitMaintenanceMode, GET and PUT
networkConfigSection, GET and PUT networkConnectionSection, GET, POST and DELETE metadata, GET task, POST
cancel, GET orgVdcNetworks, GET vimServer.
"""

import contextlib
import json
import logging
import re
import socket
import ssl
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lxml import etree

from lab.cloud_director import render
from lab.cloud_director.api import Api
from lab.cloud_director.model import ApiError, bad
from lab.cloud_director.route import NOBODY, Answer, Asked, Route, refuse_media
from lab.injected_faults import FaultKind, InjectedFaults

log = logging.getLogger(__name__)

NAME = "cloud-director"
CALL_KINDS = (
    FaultKind.DELAY,
    FaultKind.REFUSE,
    FaultKind.BUSY,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.EXPIRE_SESSION,
)
HANDSHAKE_SECONDS = 10.0
LARGEST_BODY = 1_000_000


class Server(ThreadingHTTPServer):
    """One thread for each connection; the TLS handshake is made there too."""

    daemon_threads = True

    def __init__(self, faults: InjectedFaults, tls: ssl.SSLContext) -> None:
        self.faults, self.tls = faults, tls
        self.api: Api | None = None
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Any: what `socketserver` passes on."""
        request.settimeout(HANDSHAKE_SECONDS)
        try:
            connection = self.tls.wrap_socket(request, server_side=True)
        except OSError:
            return
        connection.settimeout(None)
        self._open.add(connection)
        try:
            super().finish_request(connection, client_address)
        finally:
            self._open.discard(connection)
            connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Any: as above. A client that has gone is no error."""
        log.debug("connection of the lab's Cloud Director ended", exc_info=True)

    def stop(self) -> None:
        """End the connections that are kept alive as well."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Any: as in the standard library. The audit is elsewhere."""

    def do_GET(self) -> None:
        """Any method."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, LARGEST_BODY))
        api = self.server.api
        assert api is not None
        parts = urlsplit(self.path)
        route, found = _routed(api, self.command, unquote(parts.path))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        who = api.principal(token) or NOBODY
        name = route.name if route else f"{self.command} unknown"
        self.server.faults.record(NAME, f"{who.user}@{who.org}", name, parts.path)
        asked = Asked(who, token, found, dict(parse_qsl(parts.query)), body)
        rule = self.server.faults.take(NAME, name, CALL_KINDS, parts.path)
        kind = rule.kind if rule else None
        if kind is FaultKind.DROP_BEFORE:
            return self._drop()
        if kind is FaultKind.REFUSE:
            return self._refuse()
        answer = self._answer(api, route, asked, kind)
        if kind is FaultKind.DROP_AFTER and rule is not None:
            rule.happen()
            return self._drop()
        if kind is FaultKind.DELAY and rule is not None:
            self.server.closing.wait(rule.seconds)
        return self._send(answer)

    do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self, api: Api, route: Route | None, asked: Asked, kind: FaultKind | None) -> Answer:
        try:
            if route is None:
                raise ApiError(404, "NOT_FOUND", f"HTTP 404 Not Found {self.path}")
            if route.name != "GET versions":
                self._check_version(api)
            if not route.public:
                if kind is FaultKind.EXPIRE_SESSION:
                    api.sessions.pop(asked.token, None)
                if api.principal(asked.token) is None:
                    return Answer(401)
            if kind is FaultKind.BUSY:
                raise ApiError(
                    400,
                    "BUSY_ENTITY",
                    f"The entity {asked.found.get('ref')} is busy completing an operation VAPP_UPDATE_VM.",
                )
            if asked.body:
                refuse_media(route, self.headers.get("Content-Type", ""))
            return route.do(asked)
        except ApiError as error:
            message = f"[ {uuid.uuid4()} ] {error}"
            return Answer(error.status, xml=render.error(error.status, error.minor, message))
        except ValueError as error:
            return Answer(400, xml=render.error(400, "BAD_REQUEST", str(bad(str(error)))))

    def _check_version(self, api: Api) -> None:
        if self._version() not in api.served:
            served = ", ".join(f"{v}[D]" if old else v for v, old in api.served.items())
            raise ApiError(
                406,
                "NOT_ACCEPTABLE",
                f"The request has invalid accept header. Supported API versions are: [{served}]",
            )

    def _version(self) -> str:
        found = re.search(r"version=([0-9.]+)", self.headers.get("Accept") or "")
        return found[1] if found else ""

    def _drop(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _refuse(self) -> None:
        page = b"<html><head><title>503</title><body><h1>Service Unavailable<br></body></html>"
        self._write(503, "text/html", page, {})

    def _send(self, answer: Answer) -> None:
        version = f";version={self._version()}" if self._version() else ""
        if answer.xml is not None:
            kind = "error" if answer.status >= 400 else etree.QName(answer.xml).localname
            media = f"{render.MEDIA}{kind[0].lower()}{kind[1:]}+xml{version}"
            self._write(answer.status, media, etree.tostring(answer.xml), answer.headers)
        elif answer.json is not None:
            media = f"application/json{version}"
            self._write(answer.status, media, json.dumps(answer.json).encode(), answer.headers)
        else:
            self._write(answer.status, "text/plain", b"", answer.headers)

    def _write(self, status: int, media: str, body: bytes, headers: dict[str, str]) -> None:
        client_id = self.headers.get("X-VMWARE-VCLOUD-CLIENT-REQUEST-ID", "")
        request_id = f"{client_id}-{uuid.uuid4()}".removeprefix("-")
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("X-VMWARE-VCLOUD-REQUEST-ID", request_id)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if status != 204:
            self.wfile.write(body)


def _routed(api: Api, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
    for route in api.routes:
        match = route.path.fullmatch(path)
        if match and route.method == method:
            return route, {k: v for k, v in match.groupdict().items() if v is not None}
    return None, {}
