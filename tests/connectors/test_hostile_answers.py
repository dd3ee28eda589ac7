"""Whatever a tenant's own vCenter and backup server answer: memory stays bounded, the error is in words."""

import json
import socket
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.tls import Authority
from partial_failover.connectors.veeam import Veeam
from partial_failover.connectors.vsphere import VCenterLogin, VSphere
from partial_failover.contracts.errors import FailoverError

MEGABYTE = 1 << 20
BOUND = 200 * MEGABYTE
"""Of memory, for one answer that is kept and read."""
TOKEN = {
    "access_token": "a",
    "token_type": "bearer",
    "refresh_token": "r",
    "expires_in": 900,
    ".issued": "2026-11-29T12:00:00Z",
    ".expires": "2026-11-29T12:15:00Z",
}
SOAP = b"<soapenv:Envelope xmlns:soapenv='http://schemas.xmlsoap.org/soap/envelope/'><soapenv:Body>"
Answer = Callable[[str, bytes], Iterator[bytes]]
"""Of a path and a body what is sent, piece by piece."""


class Server:
    """HTTPS on loopback that sends what it is told, and counts it."""

    def __init__(self, authority: Authority) -> None:
        self.answer: Answer = lambda path, body: iter(())
        self.sent = 0
        self.asked = 0
        self._context = authority.server_context("hostile")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(raw,), daemon=True).start()

    def _talk(self, raw: socket.socket) -> None:
        try:
            with self._context.wrap_socket(raw, server_side=True) as tls:
                while request := _request(tls):
                    self.asked += 1
                    for piece in self.answer(*request):
                        tls.sendall(piece)
                        self.sent += len(piece)
        except (OSError, ValueError):
            pass


def _request(tls: ssl.SSLSocket) -> tuple[str, bytes] | None:
    """Path and body of the next one."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += (more := tls.recv(65536))
        if not more:
            return None
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += tls.recv(65536)
    return head.split(b" ")[1].decode(), body


def reply(body: bytes, *headers: str, status: str = "200 OK") -> Iterator[bytes]:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    yield "\r\n".join([*head, "", ""]).encode()
    yield body


def endless(begin: bytes, piece: bytes) -> Iterator[bytes]:
    """As much as the other side takes."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n" + begin
    while True:
        yield piece


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    made = Server(authority)
    yield made
    made.close()


@pytest.fixture
def memory() -> Iterator[None]:
    """Bounded, whatever happens in the test."""
    tracemalloc.start(1)
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BOUND, f"{peak / MEGABYTE:.0f} MiB"


def bomb() -> bytes:
    """A gigabyte of zeros, packed."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(1024)) + packer.flush()


def page(items: object, total: int) -> bytes:
    counted = {"total": total, "count": 1, "skip": 0, "limit": 200}
    return json.dumps({"data": items, "pagination": counted}).encode()


VEEAM: dict[str, Callable[[], Iterator[bytes]]] = {
    "as much as it likes": lambda: endless(b'{"data": ["', b"x" * MEGABYTE),
    "a bomb": lambda: reply(bomb(), "Content-Encoding: gzip"),
    "pages without an end": lambda: reply(page(["x" * 1_000_000], 10**9)),
    "a page of more than was asked for": lambda: reply(page([{}] * 1_000_000, 10**9)),
    "deep nesting": lambda: reply(b"[" * 20_000_000),
    "another type": lambda: reply(b'"text"'),
    "numbers without an end": lambda: reply(b'{"data": [' + b"9" * 10_000_000 + b"]}"),
    "a redirect": lambda: reply(b"", "Location: http://127.0.0.1:1/", status="302 Found"),
    "no HTTP": lambda: iter([b"\x00" * 100_000]),
}


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("what", VEEAM)
async def test_a_backup_server(server: Server, authority: Authority, what: str) -> None:
    def answer(path: str, body: bytes) -> Iterator[bytes]:
        return reply(json.dumps(TOKEN).encode()) if path.startswith("/api/oauth2") else VEEAM[what]()

    server.answer = answer
    veeam = Veeam(f"https://127.0.0.1:{server.port}", "u", "p", authority.ca_file)
    with pytest.raises(FailoverError) as refused:
        await veeam.replicas_of("erp-db-01")
    await veeam.close()
    assert len(str(refused.value)) < 1000 and server.asked < 100


VSPHERE: dict[str, Callable[[], Iterator[bytes]]] = {
    "as much as it likes": lambda: endless(SOAP + b"<x>", b"x" * MEGABYTE),
    "elements without an end": lambda: endless(SOAP, b"<x>" * 100_000),
    "a bomb": lambda: reply(bomb(), "Content-Encoding: gzip"),
    "entities that multiply": lambda: reply(
        b'<!DOCTYPE x [<!ENTITY a "'
        + b"a" * 1000
        + b'">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 50) for n in range(8))
        + b"]>"
        + SOAP
        + b"<x>&i;</x>"
    ),
    "a file of this machine": lambda: reply(
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + SOAP + b"<x>&f;</x>"
    ),
    "a redirect": lambda: reply(b"", "Location: http://127.0.0.1:1/", status="302 Found"),
    "another type": lambda: reply(b"[1, 2]"),
    "headers without an end": lambda: iter([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000]),
}


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("what", VSPHERE)
def test_a_vcenter(server: Server, authority: Authority, what: str) -> None:
    server.answer = lambda path, body: VSPHERE[what]()
    vcenter = VSphere(VCenterLogin("127.0.0.1", server.port, "u", "p", authority.ca_file, timeout=30))
    with pytest.raises(FailoverError) as refused:
        vcenter.check()
    assert len(str(refused.value)) < 1000 and "root:" not in str(refused.value)
    assert server.sent < 200 * MEGABYTE
