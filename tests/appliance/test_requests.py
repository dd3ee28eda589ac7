"""The requests of the real program, over a stand-in for kernel and network."""

import json
import shutil
import subprocess
import threading
import time
import uuid
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from appliance.command import CommandFailed
from appliance.model import Role
from appliance.requests import answer
from appliance.state import State
from lab.fabric.simulated import Pair, SimulatedSystem, World
from tests.appliance.networks import NETWORK, OTHER

LEGS = {"leg005056010203": "lan-a", "leg005056010204": "lan-b"}
FINGERPRINT = ":".join(["AB"] * 32)


class Bench:
    """One appliance under test."""

    def __init__(self, folder: Path, role: Role) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"role": role, "management": "00:50:56:01:02:01"}))
        self.world = World()
        self.boots = 0
        self.boot()

    def boot(self) -> None:
        """Power it off and on: what is in the runtime folder is gone."""
        self.boots += 1
        self.state = State(self.folder, self.folder.parent / f"run{self.boots}")
        self.system = SimulatedSystem(self.state, self.world, dict(LEGS), Pair())
        self.system.pair.systems[self.state.role] = self.system

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Through the same door as SSH."""
        return answer(json.dumps({"op": op, **fields}).encode(), self.state, self.system)

    def lease(self, number: int = 1, address: str = "192.168.10.50", **more: Any) -> dict[str, Any]:
        return self.ask("lease", id=str(uuid.UUID(int=number)), network="acme-lan-a", address=address, **more)

    def release(self, number: int = 1, **more: Any) -> dict[str, Any]:
        return self.ask("release", id=str(uuid.UUID(int=number)), **more)

    def files(self) -> dict[str, str]:
        """All that is stored."""
        return {str(p.relative_to(self.folder)): p.read_text() for p in self.folder.rglob("*.json")}


def make(folder: Path, role: Role) -> Bench:
    bench = Bench(folder / role, role)
    assert bench.ask("networks", networks=[NETWORK, OTHER]) == {"ok": True, "changed": True}
    return bench


@pytest.fixture
def tenant(tmp_path: Path) -> Bench:
    return make(tmp_path, Role.TENANT)


@pytest.fixture
def provider(tmp_path: Path) -> Bench:
    return make(tmp_path, Role.PROVIDER)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"op": "status", "x": 1}',
        b'{"op": ["lease"]}',
        b'{"op": "reboot"}',
        b'{"op": "lease", "id": "../../../etc/x", "network": "acme-lan-a", "address": "192.168.10.50"}',
        b'{"op": "lease", "id": "00000000-0000-0000-0000-000000000001", "network": "acme-lan-a",'
        b' "address": "192.168.10.50; flush ruleset"}',
        b'{"op": "lease", "id": "00000000-0000-0000-0000-000000000001", "network": "acme-lan-a",'
        b' "address": "192.168.10.50", "force": "yes"}',
        b'{"op": "networks", "networks": []} {"op": "status"}',
        b'{"op": "vpn-client", "gateway": "gw\\nscript-security 3", "port": 1, "peer_fingerprint": "x"}',
        b'{"op": "release", "id": "00000000-0000-0000-0000-000000000001",'
        b' "announce_mac": "ff:ff:ff:ff:ff:ff"}',
        b'{"op": "verify", "id": "00000000-0000-0000-0000-000000000001", "timeout": 1e9}',
        b'{"op": "verify", "id": "00000000-0000-0000-0000-000000000001", "timeout": NaN}',
        b"x" * 70_000,
    ],
)
def test_hostile_requests_are_refused_and_change_nothing(tenant: Bench, raw: bytes) -> None:
    before = tenant.files()
    refused = answer(raw, tenant.state, tenant.system)
    assert (refused["ok"], refused["error"]) == (False, "invalid")
    assert len(refused["message"]) < 1000
    assert tenant.files() == before


def test_status(tenant: Bench) -> None:
    tenant.lease(power_off_when_idle=True)
    status = tenant.ask("status")
    assert status["leases"] == [
        {"id": str(uuid.UUID(int=1)), "network": "acme-lan-a", "address": "192.168.10.50"}
    ]
    assert status["networks"] == [
        {"name": "acme-lan-a", "leg": "leg005056010203"},
        {"name": "acme-lan-b", "leg": "leg005056010204"},
    ]
    assert status["vpn"] == {"wanted": False, "state": "stopped", "since": None}
    assert status["power_off_when_idle"] is True


def test_a_lease_is_placed_once(tenant: Bench) -> None:
    assert tenant.lease() == {"ok": True, "changed": True}
    assert tenant.lease() == {"ok": True, "changed": False}
    assert tenant.lease(address="192.168.10.51")["error"] == "invalid"
    assert len(tenant.ask("status")["leases"]) == 1


def test_a_lease_needs_its_network_and_its_nic(tenant: Bench) -> None:
    lease = {"id": str(uuid.UUID(int=1)), "address": "192.168.10.50"}
    assert tenant.ask("lease", network="else", **lease)["error"] == "not-found"
    tenant.system.networks.clear()
    assert tenant.ask("lease", network="acme-lan-a", **lease)["error"] == "no-leg"
    assert tenant.ask("status")["networks"][0]["leg"] is None


@pytest.mark.parametrize("address", ["192.168.10.1", "192.168.10.251", "192.168.20.5", "192.168.10.255"])
def test_addresses_that_no_vm_may_have_are_not_leased(tenant: Bench, address: str) -> None:
    assert tenant.lease(address=address)["error"] == "invalid"


def test_an_address_in_use_is_refused_at_the_tenant(tenant: Bench) -> None:
    tenant.world.nodes["erp"] = [("lan-a", "02:00:00:00:00:01", IPv4Address("192.168.10.50"))]
    refused = tenant.lease()
    assert (refused["error"], refused["mac"]) == ("address-in-use", "02:00:00:00:00:01")
    assert tenant.ask("status")["leases"] == []
    assert tenant.lease(force=True)["ok"]
    assert tenant.lease() == {"ok": True, "changed": False}


def test_the_replica_on_its_own_network_is_no_conflict(provider: Bench) -> None:
    provider.world.nodes["erp"] = [("lan-a", "02:00:00:00:00:01", IPv4Address("192.168.10.50"))]
    assert provider.lease()["ok"]


def test_a_kernel_that_fails_leaves_no_lease(tenant: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise CommandFailed("nft ended with 1")

    monkeypatch.setattr(tenant.system, "apply", fail)
    assert tenant.lease()["error"] == "internal"
    assert tenant.ask("status")["leases"] == []


def test_closing(provider: Bench) -> None:
    provider.ask("vpn-server", peer_fingerprint=FINGERPRINT)
    provider.lease(1, power_off_when_idle=True)
    provider.lease(2, "192.168.10.51")
    kept = {"ok": True, "left": 1, "closing": False, "power_off": False}
    assert provider.release(1) == {**kept, "changed": True}
    assert provider.release(1) == {**kept, "changed": False}, "a lost answer can be asked for again"
    last = {"ok": True, "left": 0, "closing": True, "power_off": True}
    assert provider.release(2) == {**last, "changed": True}
    assert provider.release(2) == {**last, "changed": False}, "a lost answer can be asked for again"
    assert provider.ask("status")["vpn"] == {"wanted": False, "state": "stopped", "since": None}
    for refused in (
        provider.lease(3),
        provider.ask("vpn-server", peer_fingerprint=FINGERPRINT),
        provider.ask("networks", networks=[]),
    ):
        assert refused["error"] == "closing"
    provider.boot()
    assert provider.ask("status")["closing"] is False
    assert provider.lease(3)["ok"]
    assert provider.release(3)["power_off"] is False, "the mark went with the failover that set it"


def test_an_appliance_that_was_on_before_stays_on(tenant: Bench) -> None:
    tenant.lease()
    assert tenant.release() == {
        "ok": True,
        "left": 0,
        "closing": False,
        "power_off": False,
        "changed": True,
    }
    assert tenant.lease()["ok"]


def test_a_failover_that_never_placed_its_lease_can_close_what_it_powered_on(tenant: Bench) -> None:
    closed = tenant.release(7, power_off_when_idle=True)
    assert (closed["power_off"], closed["changed"]) == (True, True)


def test_a_failover_that_never_placed_its_lease_stops_a_tunnel_that_nobody_uses(tenant: Bench) -> None:
    tenant.ask("vpn-client", gateway="gw.example", port=6180, peer_fingerprint=FINGERPRINT)
    assert tenant.release(7)["changed"] is True
    assert tenant.release(7)["changed"] is False


def test_who_powered_it_on_without_a_lease_leaves_the_power_off_to_the_last(tenant: Bench) -> None:
    tenant.lease(1)
    assert tenant.release(7, power_off_when_idle=True)["power_off"] is False
    assert tenant.release(1)["power_off"] is True


def test_a_tunnel_stopped_by_another_release_comes_back_with_the_lease(tenant: Bench) -> None:
    tenant.lease(1)
    tenant.ask("vpn-client", gateway="gw.example", port=6180, peer_fingerprint=FINGERPRINT)
    tenant.release(1)
    assert tenant.ask("status")["vpn"]["wanted"] is False
    tenant.lease(2)
    assert tenant.ask("status")["vpn"]["wanted"] is True


def test_vpn_requests_belong_to_their_role(tenant: Bench, provider: Bench) -> None:
    client = {"gateway": "gw.example", "port": 6180, "peer_fingerprint": FINGERPRINT}
    assert provider.ask("vpn-client", **client)["error"] == "invalid"
    assert tenant.ask("vpn-server", peer_fingerprint=FINGERPRINT)["error"] == "invalid"
    assert tenant.ask("vpn-client", **client) == {"ok": True, "changed": True}
    assert tenant.ask("vpn-client", **client) == {"ok": True, "changed": False}


def test_networks_with_leases_are_not_taken_away(tenant: Bench) -> None:
    tenant.lease()
    assert tenant.ask("networks", networks=[OTHER])["error"] == "invalid"
    moved = {**NETWORK, "subnet": "10.0.0.0/24", "gateway": "10.0.0.1", "spare": "10.0.0.2"}
    assert tenant.ask("networks", networks=[moved, OTHER])["error"] == "invalid"
    assert tenant.ask("networks", networks=[OTHER, NETWORK]) == {"ok": True, "changed": False}


def test_the_original_is_announced_when_the_lease_ends(tenant: Bench) -> None:
    tenant.lease()
    tenant.release(announce_mac="02:00:00:00:00:01")
    assert tenant.system.announced == [("leg005056010203", "192.168.10.50", "02:00:00:00:00:01")]


def test_an_original_that_was_found_is_announced_when_the_lease_ends(tenant: Bench) -> None:
    tenant.world.nodes["erp"] = [("lan-a", "02:00:00:00:00:01", IPv4Address("192.168.10.50"))]
    tenant.lease(force=True)
    tenant.world.nodes.clear()
    tenant.release()
    assert tenant.system.announced == [("leg005056010203", "192.168.10.50", "02:00:00:00:00:01")]


def test_many_requests_at_once(provider: Bench) -> None:
    """20 failovers begin and end at the same time: exactly the last release closes."""
    answers: list[dict[str, Any]] = []
    start = threading.Barrier(20)

    def failover(number: int) -> None:
        start.wait()
        assert provider.lease(number, f"192.168.10.{100 + number}", power_off_when_idle=True)["ok"]
        start.wait()
        answers.append(provider.release(number))

    threads = [threading.Thread(target=failover, args=(n,)) for n in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a["left"] for a in answers) == list(range(20))
    assert [a["left"] for a in answers if a["power_off"]] == [0]


def test_a_spoilt_lease_file_is_an_error_and_no_missing_lease(provider: Bench) -> None:
    provider.lease(1, power_off_when_idle=True)
    provider.lease(2, "192.168.10.51")
    (provider.folder / "leases" / f"{uuid.UUID(int=1)}.json").write_text("{")
    assert "is spoilt" in provider.release(2)["message"]
    assert provider.ask("status")["error"] == "internal"


def test_ssh_keys_are_replaced_and_keep_their_restrictions(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "one", Role.PROVIDER)
    file = tmp_path / "one" / "ssh" / "authorized_keys"
    file.parent.mkdir()
    old, new = f"ssh-ed25519 {'A' * 68}", f"ssh-ed25519 {'B' * 68}"
    file.write_text(f'restrict,from="10.99.0.100" {old} worker\n')
    assert bench.ask("authorize", keys=[old]) == {"ok": True, "changed": False}
    assert bench.ask("authorize", keys=[old, new])["changed"]
    assert bench.ask("authorize", keys=[new])["changed"]
    assert file.read_text() == f'restrict,from="10.99.0.100" {new}\n'
    for hostile in ([], [f"{new}\nssh-rsa AAAA"], [f'command="sh" {new}'], [new] * 5, "x", [None]):
        assert bench.ask("authorize", keys=hostile)["error"] == "invalid"
    assert file.read_text() == f'restrict,from="10.99.0.100" {new}\n'


OTHER_FINGERPRINT = ":".join(["CD"] * 32)


def test_another_pin_changes_nothing_else_of_the_tunnel(provider: Bench) -> None:
    assert provider.ask("pin", peer_fingerprint=OTHER_FINGERPRINT) == {"ok": True, "changed": False}
    assert "vpn.json" not in provider.files(), "no tunnel was ever asked for"
    provider.ask("vpn-server", peer_fingerprint=FINGERPRINT)
    before = json.loads(provider.files()["vpn.json"])
    assert provider.ask("pin", peer_fingerprint=OTHER_FINGERPRINT) == {"ok": True, "changed": True}
    assert json.loads(provider.files()["vpn.json"]) == {**before, "peer_fingerprint": OTHER_FINGERPRINT}
    assert provider.ask("pin", peer_fingerprint=OTHER_FINGERPRINT)["changed"] is False
    assert provider.ask("pin", peer_fingerprint="AB")["error"] == "invalid"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_a_host_key_follows_another_only_when_it_was_made_here(tenant: Bench) -> None:
    ssh = tenant.folder / "ssh"
    ssh.mkdir()
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ssh / "host_ed25519")]
    subprocess.run(argv, check=True)
    old = " ".join((ssh / "host_ed25519.pub").read_text().split()[:2])
    new = tenant.ask("new-host-key")["host_key"]
    assert new != old and tenant.ask("new-host-key")["host_key"] == new, "it is made once"
    assert (ssh / "host_ed25519.next").stat().st_mode & 0o777 == 0o600
    foreign = "ssh-ed25519 " + "A" * 68
    assert tenant.ask("use-host-key", host_key=foreign)["error"] == "not-found"
    assert tenant.ask("use-host-key", host_key=f"{new}\n{foreign}")["error"] == "invalid"
    assert tenant.ask("use-host-key", host_key=old) == {"ok": True, "changed": False}
    assert tenant.ask("use-host-key", host_key=new) == {"ok": True, "changed": True}
    assert tenant.ask("use-host-key", host_key=new) == {"ok": True, "changed": False}
    assert sorted(f.name for f in ssh.iterdir()) == ["host_ed25519", "host_ed25519.pub"], (
        "the old one is gone"
    )
    assert (ssh / "host_ed25519.pub").read_text().startswith(new)
    assert tenant.ask("new-host-key")["host_key"] not in (old, new)


@pytest.fixture
def both(tmp_path: Path) -> tuple[Bench, Bench]:
    """The two ends of a tunnel that is up."""
    (tmp_path / "far").mkdir()
    tenant, provider = make(tmp_path, Role.TENANT), make(tmp_path / "far", Role.PROVIDER)
    provider.system.pair = tenant.system.pair
    tenant.system.pair.systems[Role.PROVIDER] = provider.system
    provider.ask("vpn-server", peer_fingerprint=FINGERPRINT)
    tenant.ask("vpn-client", gateway="203.0.113.1", port=6180, peer_fingerprint=FINGERPRINT)
    return tenant, provider


def large(bench: Bench) -> str:
    """What it finds, which its status repeats."""
    found = bench.ask("large-packets")
    assert found == {"ok": True, "large": bench.ask("status")["large"]}
    return str(found["large"])


def test_large_packets_are_lost_when_two_in_a_row_did_not_arrive(
    both: tuple[Bench, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now)
    for bench in both:
        assert bench.ask("status")["large"] == "unknown"
        assert large(bench) == "pass"
        bench.system.pair.drops_large = True
        assert large(bench) == "pass", "not tried again at once"
        now += 61
        assert bench.ask("status")["large"] == "unknown"
        assert [large(bench), large(bench)] == ["suspected", "lost"]
        bench.system.pair.drops_large = False
        now += 500
        assert large(bench) == "lost", "one that is lost stops the tunnel, so it is not sent often"
        now += 200
        assert large(bench) == "pass"


def test_what_does_not_answer_small_packets_says_nothing_of_large_ones(both: tuple[Bench, Bench]) -> None:
    tenant, _ = both
    tenant.system.pair.drops_large = True
    assert large(tenant) == "suspected"
    del tenant.system.pair.systems[Role.PROVIDER]
    assert large(tenant) == "suspected", "the line was cut, or only that"
    (tenant.state.runtime / "large-packets.json").unlink()
    assert large(tenant) == "unknown"
