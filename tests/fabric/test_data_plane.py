"""Real appliances, driven by the product's connector, between real hosts. Each test goes on from the last."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.model import interface_name
from partial_failover.contracts.errors import AddressInUse, BadRequest
from tests.fabric.conftest import needs_root
from tests.fabric.site import (
    NEIGHBOUR,
    OUTSIDE,
    PRODUCTION,
    PRODUCTION_B,
    REPLICA,
    REPLICA_B,
    SECOND,
    Site,
    attempt,
    connect_appliances,
    lease,
)
from tests.waiting import until

pytestmark = [pytest.mark.root, needs_root]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(site: Site) -> AsyncIterator[Site]:
    """Both appliances are on and connected; the original has talked to production and is off now."""
    site.power_on("original")
    await until(lambda: site.fabric.ping("production", REPLICA) is not None)
    await connect_appliances(site)
    yield site


def pings(site: Site, name: str, address: str) -> bool:
    return site.fabric.ping(name, address, 0.5) is not None


async def any_ping(site: Site, name: str, *addresses: str) -> bool:
    """Whether any of them answers; all are asked at once."""
    asked = (asyncio.to_thread(pings, site, name, address) for address in addresses)
    return any(await asyncio.gather(*asked))


def arping(site: Site, name: str, address: str, *options: str) -> str:
    """What a who-has brings: MACs that answered, in lower case."""
    argv = ["arping", "-c", "2", "-w", "1", "-I", "eth0", *options, address]
    shown = site.fabric.exec(name, argv)[1]
    assert "Sent " in shown, shown
    return " ".join(re.findall(r"\[([0-9A-Fa-f:]{17})\]", shown)).lower()


def packets(site: Site, host: str, seconds: float, expression: str) -> "asyncio.Future[tuple[int, str]]":
    argv = ["timeout", str(seconds), "tcpdump", "-l", "-n", "-i", "eth0", expression]
    return asyncio.ensure_future(asyncio.to_thread(site.fabric.exec, host, argv, seconds + 5))


async def test_an_address_that_the_original_still_has_is_not_leased(pair: Site) -> None:
    with pytest.raises(AddressInUse) as refused:
        await pair.tenant.lease(lease(1), False, False, attempt())
    assert pair.vms["original"].nics[0].mac in str(refused.value)
    assert (await pair.tenant.status()).leases == ()


async def test_production_reaches_the_replica_in_spite_of_its_arp_table(pair: Site) -> None:
    """Without the announcement production keeps the original's MAC for about 38 s."""
    pair.power_off("original")
    pair.power_on("replica")
    assert await pair.provider.lease(lease(1), False, False, attempt())
    assert await pair.tenant.lease(lease(1), False, False, attempt())
    await until(lambda: pings(pair, "production", REPLICA))


async def test_the_replica_reaches_production_and_the_outside(pair: Site) -> None:
    replica = pair.name("replica")
    assert pings(pair, replica, PRODUCTION)
    assert pings(pair, replica, OUTSIDE)


async def test_end_to_end_verification_from_both_ends(pair: Site) -> None:
    for appliance in (pair.tenant, pair.provider):
        verified = await appliance.verify(lease(1).id, 5)
        assert verified.reachable and verified.how == "ping"
        assert verified.rtt_ms is not None and verified.rtt_ms > 0


async def test_a_replica_that_filters_ping_still_answers_arp_at_the_provider(pair: Site) -> None:
    filtered = "add table inet f; add chain inet f i { type filter hook input priority 0; policy drop; }"
    pair.fabric.exec(pair.name("replica"), ["nft", filtered])
    verified = await pair.provider.verify(lease(1).id, 0)
    unreachable = await pair.tenant.verify(lease(1).id, 0)
    pair.fabric.exec(pair.name("replica"), ["nft", "delete", "table", "inet", "f"])
    assert (verified.reachable, verified.how) == (True, "arp")
    assert not unreachable.reachable


async def test_arp_is_answered_for_the_replica_and_nothing_else(pair: Site) -> None:
    interface = pair.vms["tenant-appliance"].nics[1].mac
    assert set(arping(pair, "neighbour", REPLICA).split()) == {interface}
    assert interface not in arping(pair, "neighbour", PRODUCTION)
    silent = ("192.168.10.99", PRODUCTION_B, "8.8.8.8", SECOND)
    asked = (asyncio.to_thread(arping, pair, "neighbour", address) for address in silent)
    assert set(await asyncio.gather(*asked)) == {""}


async def test_an_unregistered_replica_hears_nothing_until_its_lease(pair: Site) -> None:
    """Neither its announcement nor its duplicate address probe is answered: its guest comes up in peace."""
    pair.power_on("second")
    second = pair.name("second")
    asked = [(SECOND, "-D"), (SECOND, "-A"), (SECOND, "-U"), (PRODUCTION, "-b")]
    heard = await asyncio.gather(*(asyncio.to_thread(arping, pair, second, *words) for words in asked))
    assert set(heard) == {""}
    assert not pings(pair, second, PRODUCTION)
    await pair.provider.lease(lease(2, SECOND), False, False, attempt())
    await pair.tenant.lease(lease(2, SECOND), False, False, attempt())
    await until(lambda: pings(pair, second, PRODUCTION))
    assert pings(pair, "neighbour", SECOND)
    assert pair.vms["provider-appliance"].nics[1].mac in arping(pair, second, PRODUCTION)


async def test_a_registered_replica_is_not_told_that_its_own_address_is_taken(pair: Site) -> None:
    assert arping(pair, pair.name("replica"), REPLICA, "-D") == ""
    assert arping(pair, pair.name("replica"), REPLICA, "-U") == ""


async def test_the_second_network_goes_by_the_tenants_router(pair: Site) -> None:
    pair.power_on("replica-b")
    third = lease(3, REPLICA_B, "lan-b")
    await pair.provider.lease(third, False, False, attempt())
    await pair.tenant.lease(third, False, False, attempt())
    await until(lambda: pings(pair, pair.name("replica-b"), PRODUCTION_B))
    await until(lambda: pings(pair, pair.name("replica"), REPLICA_B))
    forward = "net.ipv4.ip_forward"
    pair.fabric.exec("router", ["sysctl", "-w", f"{forward}=0"])
    around = pings(pair, pair.name("replica"), REPLICA_B)
    pair.fabric.exec("router", ["sysctl", "-w", f"{forward}=1"])
    assert not around


async def test_replicas_cannot_reach_management(pair: Site) -> None:
    forbidden = ("10.99.0.2", "10.99.0.100", "203.0.113.10", "203.0.113.1", "100.127.0.1")
    assert not await any_ping(pair, pair.name("replica"), *forbidden)


async def test_management_is_closed_to_all_but_worker_and_gateway(pair: Site) -> None:
    def opens(host: str, address: str, port: int) -> bool:
        script = f"exec 3<>/dev/tcp/{address}/{port}"
        return pair.fabric.exec(host, ["timeout", "0.7", "bash", "-c", script])[0] == 0

    expected = {
        ("provider-worker", "10.99.0.2", 22): True,
        ("gateway", "10.99.0.2", 22): False,
        ("provider-stranger", "10.99.0.2", 22): False,
        ("gateway", "10.99.0.2", 6180): True,
        ("provider-worker", "10.99.0.2", 6180): False,
        ("provider-stranger", "10.99.0.2", 6180): False,
        ("tenant-worker", "203.0.113.10", 22): True,
        ("gateway", "203.0.113.10", 22): False,
        ("tenant-stranger", "203.0.113.10", 22): False,
    }
    found = await asyncio.gather(*(asyncio.to_thread(opens, *words) for words in expected))
    assert dict(zip(expected, found, strict=True)) == expected
    strangers = {"provider-stranger": "10.99.0.2", "tenant-stranger": "203.0.113.10"}
    assert not any(pings(pair, host, address) for host, address in strangers.items())


async def test_a_spoofed_source_is_dropped(pair: Site) -> None:
    replica = pair.name("replica")
    seen = packets(pair, "production", 2, "icmp and not src 192.168.10.50")
    await asyncio.sleep(0.7)
    for source in ("192.168.10.99", REPLICA_B):
        pair.fabric.exec(replica, ["ip", "addr", "add", f"{source}/32", "dev", "lo"])
        pair.fabric.exec(replica, ["ping", "-I", source, "-c", "1", "-W", "0.3", PRODUCTION])
        pair.fabric.exec(replica, ["ip", "addr", "del", f"{source}/32", "dev", "lo"])
    assert re.search(r"\b0 packets captured", (await seen)[1])


async def test_a_hostile_tenant_appliance_reaches_leased_replicas_only(pair: Site) -> None:
    """Its own firewall is off and it sends what it likes into the tunnel."""
    pair.inside("tenant", "nft", "flush", "ruleset")
    for address in ("10.99.0.100", "10.99.0.2", "100.127.0.1", "192.168.10.77", "192.168.20.252"):
        pair.inside("tenant", "ip", "route", "replace", f"{address}/32", "dev", "tun0")
        shown = pair.inside("tenant", "ping", "-I", "192.168.10.251", "-c", "1", "-W", "0.4", address)
        pair.inside("tenant", "ip", "route", "del", f"{address}/32", "dev", "tun0")
        assert "100% packet loss" in shown
    pair.inside("tenant", "ip", "addr", "add", f"{SECOND}/32", "dev", "lo")
    forged = pair.inside("tenant", "ping", "-I", SECOND, "-c", "1", "-W", "0.4", REPLICA)
    pair.inside("tenant", "ip", "addr", "del", f"{SECOND}/32", "dev", "lo")
    assert "100% packet loss" in forged
    await pair.tenant.declare_networks(pair.networks("tenant"), attempt())
    assert "policy drop" in pair.inside("tenant", "nft", "list", "ruleset"), "it is repaired at the next look"


def _kernel(site: Site, role: str) -> str:
    """All that the program owns, as the kernel shows it; `nft -a` handles tell of every reload."""
    shown = [
        site.inside(role, "nft", "-a", "list", "ruleset"),
        site.inside(role, "ip", "route", "show", "table", "all", "proto", "77"),
        site.inside(role, "ip", "rule", "show"),
        site.inside(role, "ip", "neigh", "show", "proxy"),
        site.inside(role, "ip", "-4", "addr", "show"),
    ]
    assert all(shown[:3])
    return "\n".join(shown)


async def test_applying_again_changes_nothing(pair: Site) -> None:
    for role, appliance in (("provider", pair.provider), ("tenant", pair.tenant)):
        before = _kernel(pair, role)
        assert await appliance.declare_networks(pair.networks(role), attempt()) is False
        assert await appliance.lease(lease(1), False, False, attempt()) is False
        assert _kernel(pair, role) == before


async def test_drift_is_repaired_and_what_is_not_ours_stays(pair: Site) -> None:
    before = _kernel(pair, "tenant")
    interface = interface_name(pair.vms["tenant-appliance"].nics[1].mac)
    pair.inside("tenant", "ip", "neigh", "del", "proxy", REPLICA, "dev", interface)
    pair.inside("tenant", "ip", "route", "del", f"{REPLICA}/32", "dev", "tun0")
    pair.inside("tenant", "ip", "rule", "del", "pref", "2001")
    pair.inside("tenant", "ip", "route", "add", "10.0.0.0/8", "dev", "tun0", "proto", "77")
    pair.inside("tenant", "ip", "route", "add", "172.16.0.0/12", "dev", "tun0")
    await pair.tenant.declare_networks(pair.networks("tenant"), attempt())
    assert _kernel(pair, "tenant") == before
    assert "172.16.0.0/12" in pair.inside("tenant", "ip", "route")
    pair.inside("tenant", "ip", "route", "del", "172.16.0.0/12", "dev", "tun0")


async def test_hostile_values_change_nothing(pair: Site) -> None:
    """Past the contracts: what a caller with the key could send."""
    before = _kernel(pair, "tenant")
    for request in (
        {"op": "lease", "id": "../../x", "network": "lan-a", "address": REPLICA},
        {"op": "lease", "id": lease(9).id, "network": "lan-a", "address": f"{REPLICA}; flush ruleset"},
        {"op": "vpn-client", "gateway": "x\nup /bin/sh", "port": 1, "peer_fingerprint": "AB"},
        {"op": "$(reboot)"},
    ):
        with pytest.raises(BadRequest):
            await pair.tenant._requests.ask(request, 10)
    assert _kernel(pair, "tenant") == before


def openvpn(site: Site, name: str) -> str:
    """Process numbers of OpenVPN in an appliance."""
    return site.fabric.exec(name, ["pgrep", "-x", "openvpn"])[1].strip()


@pytest.mark.parametrize("role", ["tenant", "provider"])
async def test_a_killed_openvpn_comes_back_with_its_routes(pair: Site, role: str) -> None:
    name = pair.name(f"{role}-appliance")
    before = openvpn(pair, name)
    assert pair.fabric.exec(name, ["kill", "-KILL", before])[0] == 0
    await until(lambda: openvpn(pair, name) not in ("", before))
    await until(lambda: pings(pair, pair.name("replica"), PRODUCTION))
    await until(lambda: pings(pair, "production", REPLICA))


async def test_a_killed_serve_comes_back_and_its_openvpn_does_not_outlive_it(pair: Site) -> None:
    name = pair.name("tenant-appliance")
    before = openvpn(pair, name)
    assert pair.fabric.exec(name, ["pkill", "-KILL", "-f", "appliance serve"])[0] == 0
    await until(lambda: openvpn(pair, name) not in ("", before))
    assert openvpn(pair, name).count("\n") == 0
    await until(lambda: pings(pair, pair.name("replica"), PRODUCTION))


async def test_without_a_tunnel_nothing_is_answered_and_it_heals(pair: Site) -> None:
    pair.fabric.set_carrier("gateway", False)
    assert not pings(pair, pair.name("replica"), PRODUCTION)
    pair.fabric.set_carrier("gateway", True)
    await until(lambda: pings(pair, pair.name("replica"), PRODUCTION))


async def test_the_gateway_tells_who_dialled_in_and_is_not_root(pair: Site) -> None:
    users = pair.fabric.exec("gateway", ["ps", "-C", "haproxy", "-o", "user=,args="])[1].splitlines()
    assert len(users) == 2 and sum(line.startswith("haproxy ") for line in users) == 1, "one is the master"
    log = pair.fabric.folder / "gateway.log"
    ended_well = r"203\.0\.113\.10:\d+ \[.+\] tenant-acme tenant-acme/appliance \S+ \d+ -- \d+/\d+/\d+/\d+/0 "
    await until(lambda: re.search(ended_well, log.read_text()) is not None)


async def test_an_original_that_is_switched_on_hears_of_the_conflict(pair: Site) -> None:
    """The kernel answers no address probe for a proxied address; the program does."""
    assert pair.vms["tenant-appliance"].nics[1].mac in arping(pair, "neighbour", REPLICA, "-D")


async def test_many_failovers_at_once(pair: Site) -> None:
    numbers = range(100, 120)
    placed = await asyncio.gather(
        *(pair.provider.lease(lease(n, f"192.168.10.{n}"), False, False, attempt()) for n in numbers)
    )
    assert all(placed)
    shown = pair.inside("provider", "nft", "list", "set", "inet", "network_extension", "replicas1")
    assert all(f"192.168.10.{n}" in shown or "-" in shown for n in numbers)
    released = await asyncio.gather(*(pair.provider.release(lease(n).id, False, attempt()) for n in numbers))
    assert sorted(r.left for r in released) == list(range(3, 23))
    assert pings(pair, pair.name("replica"), PRODUCTION)


async def test_undo_gives_the_address_back_to_the_original_at_once(pair: Site) -> None:
    assert pings(pair, "production", REPLICA)
    pair.power_off("replica")
    pair.power_on("original")
    await pair.tenant.release(lease(1).id, False, attempt(), pair.vms["original"].nics[0].mac)
    await pair.provider.release(lease(1).id, False, attempt())
    await until(lambda: pings(pair, "production", REPLICA), within=2)
    assert pair.vms["original"].nics[0].mac in arping(pair, "neighbour", REPLICA)
    pair.power_off("original")
    pair.power_on("replica")
    assert not pings(pair, pair.name("replica"), PRODUCTION), "no lease, no contact"
    assert pings(pair, pair.name("second"), NEIGHBOUR), "the others are untouched"


async def test_the_last_release_leaves_nothing_and_closes(pair: Site) -> None:
    for number in (2, 3):
        await pair.tenant.release(lease(number).id, number == 3, attempt())
        last = await pair.provider.release(lease(number).id, number == 3, attempt())
    assert last.closing and last.power_off and last.left == 0
    again = await pair.provider.release(lease(3).id, True, attempt())
    assert last.changed and again == last.model_copy(update={"changed": False})
    for role in ("tenant", "provider"):
        assert "tun0" not in pair.inside(role, "ip", "link", "show")
        assert pair.inside(role, "ip", "neigh", "show", "proxy") == ""
        assert "192.168.10.5" not in pair.inside(role, "ip", "route", "show", "table", "all", "proto", "77")
    pair.power_off("tenant-appliance", "provider-appliance")
