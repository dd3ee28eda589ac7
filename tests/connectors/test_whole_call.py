"""A thread's deadline over TLS, against a server that trickles."""

import ssl
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from lab.http_server import Call, HttpServer, Response
from lab.injected_faults import FaultKind, FaultRule, InjectedFaults
from lab.tls import Authority
from partial_failover.connectors.whole_call import bounded, seconds_left, within

OWN_SECONDS = 20.0
"""The connections' own timeout for one wait."""


@pytest.fixture
def faults() -> InjectedFaults:
    return InjectedFaults()


@pytest.fixture
def connection(tmp_path: Path, faults: InjectedFaults) -> Iterator[HTTPSConnection]:
    authority = Authority(tmp_path)
    server = HttpServer("some", faults, authority.server_context("some"))
    answer = Response(200, b"x" * 60)
    server.start(lambda request: Call("Ask", "", "", lambda fault: answer))
    context = bounded(ssl.create_default_context(cafile=str(authority.ca_file)))
    made = HTTPSConnection("127.0.0.1", server.port, context=context, timeout=OWN_SECONDS)
    yield made
    made.close()
    server.close()


def ask(connection: HTTPSConnection) -> bytes:
    connection.request("GET", "/")
    return connection.getresponse().read()


def test_an_answer_that_trickles_ends_in_time(connection: HTTPSConnection, faults: InjectedFaults) -> None:
    faults.add(FaultRule("some", "Ask", FaultKind.TRICKLE))
    began = time.monotonic()
    with pytest.raises(TimeoutError), within(1.5):
        ask(connection)
    assert time.monotonic() - began < 10  # the whole answer takes 30 s


def test_a_pooled_connection_keeps_its_own_timeout(connection: HTTPSConnection) -> None:
    with within(60):
        assert len(ask(connection)) == 60
    assert connection.sock is not None and connection.sock.gettimeout() == OWN_SECONDS
    assert len(ask(connection)) == 60


def test_the_earlier_end_counts(connection: HTTPSConnection) -> None:
    with within(0):
        with within(60), pytest.raises(TimeoutError):
            ask(connection)
        assert seconds_left(5) == 0
    assert seconds_left(5) == 5
