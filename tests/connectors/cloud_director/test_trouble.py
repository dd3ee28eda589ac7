"""Trouble on the way."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.injected_faults import FaultKind
from lab.tls import Authority
from partial_failover.connectors.cloud_director import CloudDirector, OrganizationVdc
from partial_failover.contracts.errors import (
    Unavailable,
)
from tests.connectors.cloud_director.site import NOTE, ROOT, Site, attempt
from tests.waiting import PATIENCE


def test_html_of_a_proxy_is_unavailable(site: Site, client: CloudDirector, vdc: OrganizationVdc) -> None:
    client.check()
    site.plan("GET vm", FaultKind.REFUSE)
    assert vdc.vm(site.vm.id).name == "erp-db-01"
    site.plan("GET vm", FaultKind.REFUSE, times=2)
    with pytest.raises(Unavailable, match="503"):
        vdc.vm(site.vm.id)
    site.plan("GET orgVdcNetworks", FaultKind.REFUSE, times=2)
    with pytest.raises(Unavailable, match="503"):
        vdc.networks()
    site.plan("POST powerOn", FaultKind.REFUSE)
    with pytest.raises(Unavailable, match="503"):
        vdc.power_on(site.vm.id, attempt())
    assert site.vm.machine.reverts == []


def test_the_list_of_queries_is_read_again_after_it_failed(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("GET query", FaultKind.REFUSE, times=2)
    with pytest.raises(Unavailable):
        vdc.vms()
    assert len(vdc.vms()) == 1


def test_a_dropped_read_is_read_again(site: Site, vdc: OrganizationVdc) -> None:
    for call in ("GET vm", "GET query", "GET metadata"):
        site.plan(call, FaultKind.DROP_BEFORE)
    assert vdc.vm_named("erp-db-01").id == site.vm.id
    assert vdc.remembered.read(NOTE, site.vm.id) is None


def test_a_black_hole_is_left_in_time(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"https://127.0.0.1:{hole.getsockname()[1]}"
        client = CloudDirector(url, "token", authority.ca_file, timeout=(0.5, 0.5))
        began = time.monotonic()
        with pytest.raises(Unavailable):
            client.check()
        client.close()
        assert time.monotonic() - began < 3
    with pytest.raises(Unavailable):
        CloudDirector(url, "token", authority.ca_file, timeout=(0.5, 0.5)).check()


def test_a_task_on_another_host_is_not_followed(site: Site, vdc: OrganizationVdc) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.3)
        href = f"https://127.0.0.1:{other.getsockname()[1]}/api/task/00000000-0000-4000-8000-000000000000"
        with pytest.raises(Unavailable):
            vdc.power_on(site.vm.id, attempt(3, earlier=href))
        with pytest.raises(TimeoutError):
            other.accept()


def test_a_netrc_does_not_replace_the_login(
    site: Site, vdc: OrganizationVdc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login x password y\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert vdc.vm(site.vm.id).id == site.vm.id


def test_no_log_file_appears(site: Site, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from partial_failover.connectors.cloud_director import CloudDirector\n"
        "c = CloudDirector(sys.argv[1], sys.argv[2], Path(sys.argv[3]))\n"
        "print(c.check(), len(c.organization_vdc(*sys.argv[4:]).vms()))\n"
        "c.close()\n"
    )
    token = site.endpoint.api_token("operator")
    done = subprocess.run(
        [sys.executable, "-c", program, site.endpoint.url, token, str(site.ca_file), "acme", "acme-dr"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_close_logs_out(site: Site) -> None:
    client = site.client()
    client.check()
    assert len(site.endpoint.api.sessions) == 1
    client.close()
    client.close()
    assert not site.endpoint.api.sessions
