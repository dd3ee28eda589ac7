"""OpenVPN's configuration and the appliance's keys."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import vpn
from appliance.model import Role, Vpn
from appliance.state import State

FINGERPRINT = ":".join(["AB"] * 32)


def state(folder: Path, role: Role) -> State:
    (folder / "config.json").write_text(json.dumps({"role": role, "management": "00:50:56:01:02:01"}))
    return State(folder, folder / "run")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_keys_are_made_once_and_the_fingerprint_is_openssls(tmp_path: Path) -> None:
    own = state(tmp_path, Role.PROVIDER)
    fingerprint = vpn.make_keys(own)
    assert vpn.make_keys(own) == fingerprint
    argv = [
        "openssl",
        "x509",
        "-in",
        str(tmp_path / "vpn.crt"),
        "-noout",
        "-fingerprint",
        "-sha256",
        "-subject",
    ]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert fingerprint in shown
    assert re.search(r"CN ?= ?network-extension-provider", shown)
    assert (tmp_path / "vpn.key").stat().st_mode & 0o077 == 0


def test_the_server_takes_one_peer_and_drops_what_is_not_its_own(tmp_path: Path) -> None:
    text = vpn.configuration(state(tmp_path, Role.PROVIDER), Vpn(FINGERPRINT, 6180, None, True))
    for line in ("mode server", "ccd-exclusive", "user nobody", "keepalive 2 8", "tun-mtu 9000", "port 6180"):
        assert f"\n{line}\n" in text
    assert f"<peer-fingerprint>\n{FINGERPRINT}\n</peer-fingerprint>" in text
    client = tmp_path / "run/clients/network-extension-tenant"
    assert client.read_text() == "iroute 0.0.0.0 0.0.0.0\n"


def test_the_client_accepts_nothing_that_could_change_its_routes(tmp_path: Path) -> None:
    text = vpn.configuration(state(tmp_path, Role.TENANT), Vpn(FINGERPRINT, 6180, "203.0.113.1", True))
    assert "\nremote 203.0.113.1 6180 tcp-client\n" in text
    assert text.rstrip().endswith('pull-filter ignore ""')
    assert 'accept "route' not in text


def test_a_tunnel_that_does_not_run_is_stopped(tmp_path: Path) -> None:
    own = state(tmp_path, Role.TENANT)
    assert vpn.tunnel(own).state == "stopped"
    own.set_vpn(Vpn(FINGERPRINT, 6180, "203.0.113.1", True))
    assert vpn.tunnel(own).state == "stopped"
