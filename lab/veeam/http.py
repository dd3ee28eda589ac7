"""HTTP over TLS on loopback, with a handler that gives the whole answer at once."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """One call as it came in."""

    method: str
    target: str
    """Path and query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes back. No `content`: an empty body."""

    status: int
    content: dict[str, Any] | None = None


Serve = Callable[[Request], Answer | None]
"""None: the connection closes without an answer."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, serve: Serve, tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.serve = serve
        self.connections: set[socket.socket] = set()
        # The handshake is left to the connection's own thread: one slow client must not stop the others.
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = -1  # head and body in one segment, or each answer waits 40 ms for an ACK
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass  # the client has gone

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass  # the client has gone, or does not trust the certificate

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k.lower(): v for k, v in self.headers.items()}
        answer = self.server.serve(Request(self.command, self.path, headers, body))
        if answer is None:
            self.close_connection = True
            return
        content = b"" if answer.content is None else json.dumps(answer.content).encode()
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """The audit of the faults has every call."""


class HttpServer:
    """Serves on 127.0.0.1 until closed; keeps its port when it is started again."""

    def __init__(self, serve: Serve, tls: ssl.SSLContext) -> None:
        self.port = 0
        self._serve, self._tls = serve, tls
        self._server: _Server | None = None

    def start(self) -> None:
        """Bind and serve in the background."""
        self._server = _Server(self.port, self._serve, self._tls)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut every connection, as a machine that goes down."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._server.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was closed by its own thread meanwhile
        self._server = None
