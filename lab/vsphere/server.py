"""HTTPS on loopback for the SOAP endpoint."""

import logging
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

log = logging.getLogger(__name__)

COOKIE = "vmware_soap_session"
HANDSHAKE_SECONDS = 10.0
LONGEST_BODY = 4 * 1024 * 1024


class Dropped(Exception):
    """Close the connection instead of answering."""


class Unavailable(Exception):
    """Answer HTTP 503."""


@dataclass
class Answer:
    """`session`: value of the session cookie to set."""

    status: int
    body: bytes
    session: str | None = None


Answering = Callable[[str | None, str, bytes], Answer]
"""(session cookie, API version id such as `8.0.3.0`, request body) → answer."""


class Server:
    """Listens from the start; answers from `start` on."""

    def __init__(self, answer: Answering, tls: ssl.SSLContext, name: str) -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        self._server = _Listener(("127.0.0.1", 0), handler, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name=f"{name}-soap", daemon=True
        )
        self.port = int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type["_Handler"], tls: ssl.SSLContext) -> None:
        super().__init__(address, handler)
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake runs in the connection's own thread, so that a silent client blocks nobody."""
        request.settimeout(HANDSHAKE_SECONDS)
        secure = self._tls.wrap_socket(request, server_side=True)
        secure.settimeout(None)
        super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # TLS and connection errors are the clients' own
            log.exception("the vSphere endpoint failed on a request")


class _Handler(BaseHTTPRequestHandler):
    answer: Answering
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            self.close_connection = True
            return
        api = self.headers.get("SOAPAction", "").strip('"').rpartition("/")[2]
        try:
            answer = self.answer(self._cookie(), api, body)
        except Dropped:
            self.close_connection = True
            self.connection.close()
            return
        except Unavailable:
            answer = Answer(503, b"")
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.session:
            self.send_header("Set-Cookie", f'{COOKIE}="{answer.session}"; Path=/; HttpOnly; Secure;')
        self.end_headers()
        self.wfile.write(answer.body)

    def _body(self) -> bytes | None:
        """None when the client went away in the middle, or sent no length."""
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 < length <= LONGEST_BODY:
            return None
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _cookie(self) -> str | None:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return found.value if found else None
