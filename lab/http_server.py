"""HTTPS on loopback for the lab's endpoints, with the audit of their calls and the faults injected into them.

It is the standard library's server, one thread a connection: a handler may block for as long as it likes,
and an injected fault cuts the connection itself, which servers behind WSGI or ASGI keep to themselves.
"""

import contextlib
import json
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from lab.injected_faults import TRICKLE_SECONDS, AuditEntry, FaultKind, InjectedFaults

log = logging.getLogger(__name__)

CALL_FAULTS = (
    FaultKind.DELAY,
    FaultKind.REFUSE,
    FaultKind.THROTTLE,
    FaultKind.BUSY,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.TRICKLE,
    FaultKind.EXPIRE_SESSION,
)
HANDSHAKE_SECONDS = 10.0
LARGEST_BODY = 4 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """One request as it came in; `path` without its query, as it was quoted."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes

    @property
    def token(self) -> str:
        """The bearer token; empty without one."""
        return str(self.headers.get("Authorization", "")).removeprefix("Bearer ")


@dataclass(frozen=True)
class Response:
    """What goes back. `trickles`: byte by byte."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    trickles: bool = False


def json_response(status: int, content: object = None) -> Response:
    """No `content`: an empty body."""
    return Response(status, b"" if content is None else json.dumps(content).encode(), "application/json")


@dataclass(frozen=True)
class Call:
    """What a request asks for, as the audit names it, and what answers it.

    `answer` is told of the injected faults that only the endpoint can play: BUSY and EXPIRE_SESSION.
    """

    name: str
    user: str
    target: str
    answer: Callable[[FaultKind | None], Response]


ReadCall = Callable[[Request], Call | Response]
"""A response at once for what is no call at all."""

UNAVAILABLE = Response(503, b"<html><head><title>503</title><body><h1>Service Unavailable<br>", "text/html")
"""As a proxy in front of a server says it: no XML and no JSON."""

THROTTLED = Response(429, b"<html><h1>Too Many Requests", "text/html", {"Retry-After": "20"})


class HttpServer:
    """Listens from the start, answers from `start` on; after `close` it can be started again, on its port.

    `name`: the endpoint's in faults and in the audit. `kinds`: the faults that its calls know.
    """

    def __init__(
        self,
        name: str,
        faults: InjectedFaults,
        tls: ssl.SSLContext,
        kinds: Sequence[FaultKind] = CALL_FAULTS,
    ) -> None:
        self._name, self._faults, self._tls, self._kinds = name, faults, tls, kinds
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._listener: _Listener | None = _Listener(0, tls, self._exchange)
        self.port = self._listener.server_port
        self.url = f"https://127.0.0.1:{self.port}"

    def start(self, read: ReadCall) -> None:
        """Answer from now on, in the background."""
        self._read = read
        self._closing.clear()
        self._listener = self._listener or _Listener(self.port, self._tls, self._exchange)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name=self._name, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut every connection, as a machine that goes down."""
        self._closing.set()
        if self._listener is None:
            return
        if self._thread is not None:
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        for connection in list(self._listener.connections):
            cut(connection)
        self._listener = self._thread = None

    def _exchange(self, request: Request) -> Response | None:
        """None: the connection is to be cut."""
        call = self._read(request)
        if isinstance(call, Response):
            return call

        def effect(fault: FaultKind | None) -> Response:
            if fault is FaultKind.REFUSE:
                return UNAVAILABLE
            if fault is FaultKind.THROTTLE:
                return THROTTLED
            return replace(call.answer(fault), trickles=fault is FaultKind.TRICKLE)

        entry = AuditEntry(self._name, call.user, call.name, call.target)
        return self._faults.serve(entry, self._kinds, effect, self._closing.wait)


def cut(connection: socket.socket) -> None:
    """End it, whoever reads from it or writes to it."""
    with contextlib.suppress(OSError):  # its own thread has closed it, or the client
        connection.shutdown(socket.SHUT_RDWR)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, tls: ssl.SSLContext, exchange: Callable[[Request], Response | None]
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.exchange = exchange
        self.connections: set[socket.socket] = set()
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake runs in the connection's own thread, so that a silent client blocks nobody.

        Any: what `socketserver` passes on.
        """
        request.settimeout(HANDSHAKE_SECONDS)
        with self._tls.wrap_socket(request, server_side=True) as connection:
            connection.settimeout(None)
            self.connections.add(connection)
            try:
                super().finish_request(connection, client_address)
            finally:
                self.connections.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Any: as above."""
        if not isinstance(sys.exc_info()[1], OSError):  # TLS and connection errors are the clients' own
            log.exception("an endpoint of the lab failed on a request")


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one segment
    server: _Listener

    def log_message(self, format: str, *args: object) -> None:
        """The audit has every call."""

    def do_GET(self) -> None:
        """Any method."""
        body = self._body()
        url = urlsplit(self.path)
        response = body is not None and self.server.exchange(
            Request(self.command, url.path, url.query, self.headers, body)
        )
        if response:
            self._send(response)
        else:
            self.close_connection = True
            cut(self.connection)

    do_POST = do_PUT = do_DELETE = do_GET

    def _body(self) -> bytes | None:
        """None when it is larger than any call's, or the client went away in the middle."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= LARGEST_BODY:
            return None
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _chunks(self) -> bytes | None:
        """A body that comes in chunks, without its trailers."""
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0].strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
            if len(body) > LARGEST_BODY:
                return None
        while self.rfile.readline().strip():
            pass
        return body

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        headers = {"Content-Type": response.media_type, "Content-Length": str(len(response.body))}
        for key, value in ({} if response.status == 204 else headers).items():
            self.send_header(key, value)
        for key, value in response.headers.items():
            self.send_header(key, value)
        self.end_headers()
        pieces = [bytes([b]) for b in response.body] if response.trickles else [response.body]
        for piece in pieces:
            self.wfile.write(piece)
            if response.trickles:
                self.wfile.flush()
                time.sleep(TRICKLE_SECONDS)
