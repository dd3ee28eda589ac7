"""Rights, TLS, the network, and traps of the library."""

import logging
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from pyVmomi import vim

from lab.tls import Authority
from partial_failover import connectors
from partial_failover.connectors.vsphere import VCenterLogin, VSphere
from partial_failover.connectors.vsphere.view import nic_of
from partial_failover.contracts.errors import (
    Misconfigured,
    NoRight,
    Unavailable,
)
from partial_failover.contracts.replica import Power
from tests.connectors.vsphere.world import ADMIN, PASSWORD, READER, World, attempt


def test_missing_privilege(world: World) -> None:
    client = world.client(READER)
    assert client.vm(world.replica.moref).power is Power.OFF
    with pytest.raises(NoRight, match=r"VirtualMachine\.State\.RevertToSnapshot") as caught:
        world.revert(client, 1, attempt())
    assert caught.value.__cause__ is None  # foreign text of any length would enter histories through it
    with pytest.raises(NoRight):
        client.power_on(world.replica.moref, attempt())
    assert world.replica.reverts == []


def test_wrong_password_is_tried_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = world.client(password="wr0ng-password")
    for _ in range(3):
        with pytest.raises(NoRight) as caught:
            client.check()
        assert "wr0ng-password" not in str(caught.value)
    assert world.sent("Login") == 1
    assert "wr0ng-password" not in caplog.text


def test_certificate_of_another_authority(world: World, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    client = VSphere(VCenterLogin("127.0.0.1", world.endpoint.port, ADMIN, PASSWORD, other.ca_file))
    with pytest.raises(Misconfigured, match="not trusted"):
        client.check()
    assert world.faults.calls == []


def test_settings_that_cannot_work(world: World, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="CA file"):
        VSphere(VCenterLogin("127.0.0.1", 1, ADMIN, PASSWORD, tmp_path / "none.pem"))
    with pytest.raises(Misconfigured, match="version"):
        VSphere(
            VCenterLogin("127.0.0.1", 1, ADMIN, PASSWORD, world.authority.ca_file, version="vim.version.v1")
        )
    newer = VSphere(
        VCenterLogin(
            "127.0.0.1",
            world.endpoint.port,
            ADMIN,
            PASSWORD,
            world.authority.ca_file,
            version="vim.version.v9_0_0_0",
        )
    )
    with pytest.raises(Misconfigured, match="version"):
        newer.check()


def test_host_that_swallows_everything(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = VSphere(VCenterLogin("127.0.0.1", port, ADMIN, PASSWORD, authority.ca_file, timeout=1))
        started = time.monotonic()
        with pytest.raises(Unavailable):
            client.check()
        assert time.monotonic() - started < 5


def test_host_that_refuses(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable):
        VSphere(VCenterLogin("127.0.0.1", port, ADMIN, PASSWORD, authority.ca_file)).check()


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b"\xff\x00", b"<a><b></a>", b'{"a": 1}'])
def test_host_that_is_no_vcenter(authority: Authority, status: int, body: bytes) -> None:
    tls = authority.server_context("web")
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
                with tls.wrap_socket(plain, server_side=True) as connection:
                    request = b""
                    while b"Envelope>" not in request:
                        request += connection.recv(65536)
                    connection.sendall(head + body)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        client = VSphere(VCenterLogin("127.0.0.1", port, ADMIN, PASSWORD, authority.ca_file, timeout=2))
        with pytest.raises(Unavailable):
            client.check()
        listener.shutdown(socket.SHUT_RDWR)


def test_close_logs_out(world: World) -> None:
    client = world.client()
    client.check()
    assert world.endpoint.sessions.count() == 1
    client.close()
    assert world.endpoint.sessions.count() == 0
    client.check()


def test_standard_port_group_is_shown_by_its_name() -> None:
    card = vim.vm.device.VirtualEthernetCard
    device = vim.vm.device.VirtualVmxnet3(macAddress="00:50:56:00:00:01")  # type: ignore[no-untyped-call]
    device.backing = card.NetworkBackingInfo(deviceName="VM Network")  # type: ignore[no-untyped-call]
    assert nic_of(device, {}).network == "VM Network"


def test_dangerous_helpers_of_the_library_are_not_used() -> None:
    banned = re.compile(
        "SmartConnect|WaitForTask|SessionOrientedStub|serverPemCert|thumbprint|disableSslCertValidation"
    )
    folder = Path(connectors.__file__).parent
    files = sorted(folder.rglob("*.py"))
    assert files
    assert [f.name for f in files if banned.search(f.read_text())] == []
