"""The desired state of the kernel, without a kernel."""

from ipaddress import IPv4Address

from appliance import model
from appliance.kernel import Proxy, Route, Rule, desired
from appliance.model import Lease, Network, Role
from tests.appliance.networks import NETWORK, OTHER

A, B = "leg005056010203", "leg005056010204"
REPLICA = Lease("00000000-0000-0000-0000-000000000001", "acme-lan-a", IPv4Address("192.168.10.50"))


def networks() -> tuple[Network, ...]:
    return model.networks([NETWORK, OTHER], ())


def test_the_tenant_answers_for_the_replica_only_and_routes_it_into_the_tunnel() -> None:
    want = desired(Role.TENANT, networks(), [REPLICA], frozenset({A, B, "tun0"}))
    assert want.proxies == {Proxy("192.168.10.50", A)}
    assert Route("192.168.10.50/32", "tun0") in want.routes
    assert Rule(2001, "192.168.10.0/24", "tun0", "201") in want.rules
    assert Route("default", A, "201", via="192.168.10.1") in want.routes
    assert want.settings[f"net.ipv4.conf.{A}.proxy_arp"] == "0"
    assert want.addresses == {
        A: "192.168.10.251/32",
        B: "192.168.20.251/32",
        "tun0": "169.254.77.2/32",
    }


def test_the_provider_routes_the_replica_to_its_interface_and_the_rest_into_the_tunnel() -> None:
    want = desired(Role.PROVIDER, networks(), [REPLICA], frozenset({A, B, "tun0"}))
    assert want.proxies == frozenset()
    assert {Route("192.168.10.50/32", A), Route("192.168.10.50/32", A, "101")} <= want.routes
    assert {Route("192.168.10.0/24", "tun0"), Route("default", "tun0", "101")} <= want.routes
    assert want.settings[f"net.ipv4.conf.{A}.proxy_arp"] == "1"
    assert want.settings[f"net.ipv4.neigh.{A}.proxy_delay"] == "0"


def test_the_ends_of_the_tunnel_answer_each_other_and_nobody_else() -> None:
    for role, own, other in ((Role.TENANT, 2, 1), (Role.PROVIDER, 1, 2)):
        want = desired(role, networks(), [], frozenset({A, "tun0"}))
        assert want.addresses["tun0"] == f"169.254.77.{own}/32"
        assert Route(f"169.254.77.{other}/32", "tun0") in want.routes
        ends = f"ip saddr 169.254.77.{other} ip daddr 169.254.77.{own} icmp type echo-request"
        assert [line for line in want.firewall.splitlines() if "169.254" in line] == [
            f'  iifname "tun0" {ends} limit rate 10/second accept'
        ]


def test_without_a_tunnel_nothing_leads_into_it() -> None:
    for role in Role:
        want = desired(role, networks(), [REPLICA], frozenset({A, B}))
        assert not [route for route in want.routes if route.dev == "tun0"]


def test_a_network_without_its_nic_is_left_out() -> None:
    want = desired(Role.TENANT, networks(), [REPLICA], frozenset({B, "tun0"}))
    assert not [route for route in want.routes if route.dev == A]
    assert want.proxies == frozenset()


def test_two_leases_of_one_address_are_one_address() -> None:
    again = Lease("00000000-0000-0000-0000-000000000002", REPLICA.network, REPLICA.address)
    want = desired(Role.TENANT, networks(), [REPLICA, again], frozenset({A, "tun0"}))
    assert want.proxies == {Proxy("192.168.10.50", A)}
    assert "elements = { 192.168.10.50 }" in want.firewall


def test_the_firewall_is_closed_without_leases() -> None:
    for role in Role:
        text = desired(role, (), [], frozenset()).firewall
        assert text.count("policy drop") == (4 if role is Role.PROVIDER else 3)
        assert "oifname leg" not in text


def test_only_the_provider_filters_arp() -> None:
    accepted = f'iifname "{A}" arp saddr ip @replicas1 accept'
    assert accepted in desired(Role.PROVIDER, networks(), [REPLICA], frozenset({A})).firewall
    assert accepted not in desired(Role.TENANT, networks(), [REPLICA], frozenset({A})).firewall
