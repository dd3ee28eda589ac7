"""What somebody sends to the gate who does not use an SDK: nothing of it comes to Temporal."""

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from lab.lab import Lab
from partial_failover.cli.gate import SERVICE
from tests.deploy.commands import tool
from tests.deploy.gate import TOKEN, Credentials, Gate
from tests.waiting import PATIENCE, until

LISTED = f"{SERVICE}StartWorkflowExecution"
REFUSED = f"{SERVICE}TerminateWorkflowExecution"
EMPTY = "\0" * 5
"""A message of gRPC: not compressed, of no bytes."""


async def sent(gate: Gate, path: str, *options: str, caller: Credentials | None = None) -> str:
    """The head of the answer to a call as the SDK makes it, to a path as it stands here; or curl's words."""
    caller = caller or gate.person
    message = gate.folder / "message"
    message.write_bytes(b"\0" * 5)
    certificate = ("--cert", str(caller.certificate)) if caller.certificate else ()
    ran = await asyncio.to_thread(
        subprocess.run,
        [
            tool("curl"),
            *("--silent", "--show-error", "--max-time", "20", "--http2", "--noproxy", "*"),
            *("--cacert", str(gate.folder / "ca.pem"), *certificate),
            *("--resolve", f"gate:{caller.port}:127.0.0.1", "--request-target", path),
            *("--header", "content-type: application/grpc", "--header", "te: trailers"),
            *("--header", f"authorization: Bearer {TOKEN}", "--data-binary", f"@{message}"),
            *("--dump-header", "-", "--output", "/dev/null", *options),
            f"https://gate:{caller.port}/",
        ],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return (ran.stdout + ran.stderr).decode(errors="replace").lower()


async def test_what_is_listed_comes_through_with_its_token_and_without_what_is_temporals_own(
    gate: Gate,
) -> None:
    before = len(gate.arrived())
    own = ("caller-type: operator", "caller-name: temporal-system", "temporal-principal-name: root", "x-more: x")
    headers = [word for header in own for word in ("--header", header)]
    answer = await sent(gate, f"{SERVICE}GetSystemInfo", "--header", "temporal-namespace: globex", *headers)
    assert "grpc-status: 0" in answer
    await until(lambda: len(gate.arrived()) > before)
    [line] = gate.arrived()[before:]
    path, status, names, token = line.split(maxsplit=3)
    assert (path, status, token) == (f"{SERVICE}GetSystemInfo", "200", f"Bearer {TOKEN}")
    assert set(names.split(",")) == {
        *("host", "user-agent", "content-type", "te", "authorization", "temporal-namespace"),
        *("content-length", "accept"),
    } - {"content-length", "accept"}
    assert TOKEN not in (gate.folder / "gate.log").read_text()


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


@pytest.mark.parametrize("path", TRICKS)
async def test_a_path_that_is_not_listed_letter_by_letter_is_refused(gate: Gate, path: str) -> None:
    before = len(gate.arrived())
    answer = await sent(gate, path)
    print(answer)
    assert "grpc-status: 7" in answer or "http/2 400" in answer or "curl:" in answer
    assert gate.arrived()[before:] == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "CONNECT", "PRI", "post"])
async def test_other_methods_than_post_are_refused(gate: Gate, method: str) -> None:
    before = len(gate.arrived())
    answer = await sent(gate, LISTED, "--request", method)
    print(answer)
    assert "grpc-status: 0" not in answer
    assert gate.arrived()[before:] == []


@pytest.mark.parametrize(
    "options",
    [
        ("--http1.1",),
        ("--http1.1", "--no-alpn"),
        ("--http1.1", "--no-alpn", "--header", "upgrade: h2c", "--header", "connection: upgrade, http2-settings"),
        ("--header", f"x-large: {'x' * 100_000}"),
        ("--header", f"authorization: {'x' * 20_000}"),
    ],
    ids=["http/1.1", "without alpn", "upgrade", "large header", "large token"],
)
async def test_what_is_no_call_of_grpc_is_not_passed_on(gate: Gate, options: tuple[str, ...]) -> None:
    before = len(gate.arrived())
    answer = await sent(gate, f"{SERVICE}GetSystemInfo", *options)
    print(answer)
    assert "grpc-status: 0" not in answer
    assert gate.arrived()[before:] == []
    assert "grpc-status: 0" in await sent(gate, f"{SERVICE}GetSystemInfo"), "others go on"


async def test_only_a_certificate_of_a_tenants_worker_opens_the_workers_port(gate: Gate) -> None:
    before, asked = len(gate.arrived()), f"{SERVICE}DescribeTaskQueue"
    without = Credentials(gate.worker.port)
    assert "alert" in await sent(gate, asked, caller=without)
    assert "alert" in await sent(gate, asked, caller=gate.foreign), "of another authority"
    answer = await sent(gate, asked, caller=gate.stranger)
    assert "grpc-status: 7" in answer and "the certificate names no tenant" in answer
    assert gate.arrived()[before:] == []
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
