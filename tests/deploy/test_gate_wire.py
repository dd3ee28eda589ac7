"""What somebody sends to the gate who does not use an SDK: nothing of it comes to Temporal."""

import asyncio
import socket
import ssl
import subprocess
from contextlib import ExitStack

import pytest

from lab.ports import free_port
from partial_failover.cli.gate import SERVICE
from tests.deploy.commands import tool
from tests.deploy.gate import TOKEN, Credentials, Gate
from tests.waiting import PATIENCE, until

LISTED = f"{SERVICE}StartWorkflowExecution"
REFUSED = f"{SERVICE}TerminateWorkflowExecution"
CONTROL = f"{SERVICE}GetSystemInfo"
MESSAGE = bytes(5)
"""Of gRPC: not compressed, and of no bytes."""


async def sent(gate: Gate, path: str, *options: str, caller: Credentials | None = None) -> str:
    """The head of the answer to a call as the SDK makes it, to a path as it stands here; or curl's words."""
    caller = caller or gate.person
    certificate = ("--cert", str(caller.certificate)) if caller.certificate else ()
    ran = await asyncio.to_thread(
        subprocess.run,
        [
            tool("curl"),
            *("--silent", "--show-error", "--max-time", "20", "--http2", "--noproxy", "*"),
            *("--cacert", str(gate.folder / "ca.pem"), *certificate),
            *("--resolve", f"gate:{caller.port}:127.0.0.1", "--request-target", path),
            *("--header", "content-type: application/grpc", "--header", "te: trailers"),
            *("--header", f"authorization: Bearer {TOKEN}", "--data-binary", "@-"),
            *("--dump-header", "-", "--output", "/dev/null", *options),
            f"https://gate:{caller.port}/",
        ],
        input=MESSAGE,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return (ran.stdout + ran.stderr).decode(errors="replace").lower()


async def passed_on(gate: Gate, before: int) -> list[str]:
    """What came to Temporal since then, when a call that is listed has come there too."""
    assert "grpc-status: 0" in await sent(gate, CONTROL)
    await until(lambda: CONTROL in "".join(gate.arrived()[before:]))
    return [line for line in gate.arrived()[before:] if not line.startswith(f"{CONTROL} ")]


async def test_what_is_listed_comes_through_with_its_token_and_without_what_is_temporals_own(
    gate: Gate,
) -> None:
    before = len(gate.arrived())
    own = ("caller-type: operator", "caller-name: temporal-system", "temporal-principal-name: root", "x: y")
    headers = [word for header in own for word in ("--header", header)]
    answer = await sent(gate, CONTROL, "--header", "temporal-namespace: globex", *headers)
    assert "grpc-status: 0" in answer
    await until(lambda: len(gate.arrived()) > before)
    [line] = gate.arrived()[before:]
    path, status, names, token = line.split(maxsplit=3)
    assert (path, status, token) == (CONTROL, "200", f"Bearer {TOKEN}")
    mine = {"host", "user-agent", "content-type", "te", "authorization", "temporal-namespace"}
    assert set(names.split(",")) == mine
    assert TOKEN not in "".join(gate.seen())


TRICKS = [
    REFUSED,
    f"/{REFUSED}",
    LISTED.lower(),
    f"/{LISTED}",
    f"{LISTED}/",
    f"{LISTED}?",
    f"{LISTED}?/TerminateWorkflowExecution",
    f"{LISTED}#x",
    f"{LISTED}%00",
    f"{LISTED};x",
    f"{LISTED}/../TerminateWorkflowExecution",
    f"{SERVICE}./StartWorkflowExecution",
    f"{SERVICE}%53tartWorkflowExecution",
    f"{SERVICE}%54erminateWorkflowExecution",
    f"{SERVICE.replace('/', '%2f')}TerminateWorkflowExecution",
    f"https://gate{REFUSED}",
    f"https://gate{LISTED}?{REFUSED}",
    LISTED[1:],
    "*",
    "/",
    "/api/v1/namespaces/initech/workflows",
    "/temporal.api.operatorservice.v1.OperatorService/DeleteNamespace",
    "/temporal.api.operatorservice.v1.OperatorService/StartWorkflowExecution",
    "/temporal.api.cloud.cloudservice.v1.CloudService/DeleteUser",
    "/temporal.server.api.adminservice.v1.AdminService/DescribeCluster",
    "/temporal.server.api.historyservice.v1.HistoryService/TerminateWorkflowExecution",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.health.v1.Health/Check",
]


OTHER_METHODS = ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "CONNECT", "PRI", "post")
NO_CALLS_OF_GRPC = [
    ("--http1.1",),
    ("--http1.1", "--no-alpn"),
    ("--http1.1", "--no-alpn", "--header", "upgrade: h2c", "--header", "connection: upgrade, http2-settings"),
    ("--header", f"x-large: {'x' * 100_000}"),
    ("--header", f"authorization: {'x' * 20_000}"),
]


def is_refused(answer: str) -> bool:
    """By the words of gRPC, or because it is no HTTP/2 that the gate takes: then curl complains."""
    return "grpc-status: 7" in answer or answer.startswith(("http/2 400", "curl: "))


async def test_a_path_that_is_not_listed_letter_by_letter_is_refused(gate: Gate) -> None:
    before = len(gate.arrived())
    answers = await asyncio.gather(*(sent(gate, path) for path in TRICKS))
    assert [path for path, answer in zip(TRICKS, answers, strict=True) if not is_refused(answer)] == []
    assert await passed_on(gate, before) == []


async def test_what_is_no_call_of_grpc_is_not_passed_on(gate: Gate) -> None:
    before = len(gate.arrived())
    asked = [("--request", method) for method in OTHER_METHODS] + NO_CALLS_OF_GRPC
    answers = await asyncio.gather(*(sent(gate, LISTED, *options) for options in asked))
    odd = [options for options, answer in zip(asked, answers, strict=True) if not is_refused(answer)]
    assert odd == []
    assert await passed_on(gate, before) == []


async def test_only_a_certificate_of_a_tenants_worker_opens_the_workers_port(gate: Gate) -> None:
    before, asked = len(gate.arrived()), f"{SERVICE}DescribeTaskQueue"
    without = Credentials(gate.worker.port)
    assert (await sent(gate, asked, caller=without)).startswith("curl: ")
    assert (await sent(gate, asked, caller=gate.foreign)).startswith("curl: "), "of another authority"
    answer = await sent(gate, asked, caller=gate.stranger)
    assert "grpc-status: 7" in answer and "the certificate names no tenant" in answer
    assert await passed_on(gate, before) == []
    assert "grpc-status: 3" in await sent(gate, asked, caller=gate.worker), "passed on, to be found empty"


async def test_a_workers_certificate_gives_nothing_more_at_the_peoples_port(gate: Gate) -> None:
    caller = Credentials(gate.person.port, gate.worker.certificate)
    assert "grpc-status: 7" in await sent(gate, f"{SERVICE}PollActivityTaskQueue", caller=caller)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda v: v.name)
def test_a_session_of_the_peoples_port_is_not_resumed_at_the_workers(
    gate: Gate, version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=gate.folder / "ca.pem")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])

    def greeted(port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        """By HTTP/2, so the handshake was accepted; the session that could be resumed."""
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, server_hostname="gate", session=session) as tls,
        ):
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            assert tls.recv(9)
            return tls.session

    session = greeted(gate.person.port, None)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        greeted(gate.worker.port, session)


async def test_a_temporal_that_is_not_there_or_not_itself_is_told_in_words_that_clients_try_again(
    gate: Gate,
) -> None:
    nobody = await gate.changed(f"127.0.0.1:{gate.frontend}", f"127.0.0.1:{free_port()}")
    other = await gate.changed("ca-file frontend-ca.pem", "ca-file workers-ca.pem")
    before = len(gate.arrived())
    for answer in await asyncio.gather(*(sent(gate, CONTROL, caller=caller) for caller in (nobody, other))):
        assert "grpc-status: 14" in answer and "grpc-message: the gate does not reach temporal" in answer
        assert "content-type: application/grpc" in answer
    assert await passed_on(gate, before) == []


async def test_nobody_keeps_the_others_out_by_connections_from_one_address(gate: Gate) -> None:
    def hung_up(end: socket.socket) -> bool:
        try:
            return end.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    with ExitStack() as stack:
        ends = []
        for _ in range(65):
            try:
                ends.append(
                    stack.enter_context(socket.create_connection(("127.0.0.1", gate.person.port), 10))
                )
                ends[-1].setblocking(False)
            except ConnectionResetError:
                pass
        await until(lambda: 65 - len(ends) + sum(map(hung_up, ends)))
        assert 65 - len(ends) + sum(map(hung_up, ends)) < 10, "the others stay"
