"""Health over HTTP: `/live` says whether the process turns, `/work` whether it gets work for every tenant."""

import json
import logging
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from partial_failover.contracts.errors import Misconfigured
from partial_failover.monitoring.pollers import POLLS_WITHIN
from partial_failover.monitoring.step_metrics import StepMonitor
from partial_failover.monitoring.tenant_monitor import TenantMonitor

TURNS_WITHIN = 30.0
"""Seconds without a turn of the event loop after which the process is taken for stuck."""

Answer = tuple[bool, dict[str, object]]
log = logging.getLogger(__name__)


class Health:
    """Serves from a thread of its own, so that it answers also when the event loop is stuck."""

    def __init__(self, address: str, monitor: TenantMonitor, steps: StepMonitor) -> None:
        """`address`: host and port. Raises `Misconfigured` when it cannot be listened on."""
        self._monitor, self._steps = monitor, steps
        self.stopping = False
        self._began = time.monotonic()
        host, _, port = address.rpartition(":")
        pages = {"/live": self._live, "/work": self._work}
        try:
            self._server = _Server((host.strip("[]"), int(port)), _handler(pages))
        except (OSError, OverflowError) as error:
            text = f"Health cannot be served at {address}: {error}"
            raise Misconfigured(text, do="Free that address, or change health_address") from None
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _live(self) -> Answer:
        since = time.monotonic() - self._monitor.alive
        return since < TURNS_WITHIN, {"turned_s_ago": round(since, 1)}

    def _work(self) -> Answer:
        now = time.monotonic()
        polled = {t.name: round(now - t.polled, 1) if t.polled else None for t in self._monitor.tenants}
        within = POLLS_WITHIN.total_seconds()
        idle = sorted(name for name, ago in polled.items() if ago is None or ago > within)
        ended = self._steps.last_ended
        return self._live()[0] and not idle and not self.stopping, {
            "stopping": self.stopping,
            "tenants_without_work": idle,
            "polled_s_ago": polled,
            "steps_running": len(self._steps.at_work),
            "last_step_ended_s_ago": round(now - ended, 1) if ended else None,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A probe that hangs up early. The library would print a traceback."""
        log.debug("%s hung up", client_address, exc_info=True)


def _handler(pages: dict[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            page = pages.get(self.path)
            good, answer = page() if page else (False, {"pages": sorted(pages)})
            body = json.dumps(answer).encode()
            self.send_response(200 if good else 503 if page else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A probe every few seconds is no news."""

    return Handler
