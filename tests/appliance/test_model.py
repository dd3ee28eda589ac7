"""Hostile and mistaken values are refused before anything is done with them."""

from ipaddress import IPv4Address
from typing import Any

import pytest

from appliance import model
from appliance.errors import Refusal
from tests.appliance.networks import NETWORK, OTHER


def test_networks_are_accepted_and_numbered() -> None:
    one, two = model.networks([NETWORK, OTHER], ())
    assert (one.number, two.number) == (1, 2)
    assert one.interface == "leg005056010203"
    assert len(one.interface) <= 15


def test_a_network_keeps_its_number() -> None:
    first = model.networks([NETWORK, OTHER], ())
    assert [n.number for n in model.networks([OTHER], first)] == [2]
    third = {**NETWORK, "name": "c", "subnet": "10.1.0.0/16", "gateway": "10.1.0.1", "spare": "10.1.0.2"}
    again = model.networks([OTHER, third], model.networks([OTHER], first))
    assert [(n.name, n.number) for n in again] == [("acme-lan-b", 2), ("c", 1)]


@pytest.mark.parametrize(
    "change",
    [
        {"mac": "00:50:56:01:02:03; reboot"},
        {"mac": "01:50:56:01:02:03"},
        {"mac": "00:00:00:00:00:00"},
        {"mac": "00:50:56:01:02:0G"},
        {"mac": 5},
        {"subnet": "192.168.10.5/24"},
        {"subnet": "192.168.10.0"},
        {"subnet": "192.168.10.0/31"},
        {"subnet": "0.0.0.0/0"},
        {"subnet": "224.0.0.0/24"},
        {"subnet": 3232238080},
        {"gateway": "192.168.11.1"},
        {"gateway": "192.168.10.0"},
        {"gateway": "192.168.10.1\nflush ruleset"},
        {"gateway": 3232238081},
        {"gateway": "192.168.010.1"},
        {"spare": "192.168.10.255"},
        {"spare": "192.168.10.1"},
        {"spare": None},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 129},
        {"extra": 1},
    ],
)
def test_bad_networks_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        model.networks([{**NETWORK, **change}], ())
    assert refused.value.word == "invalid"


@pytest.mark.parametrize(
    "declaration",
    [
        None,
        {},
        [NETWORK, NETWORK],
        [NETWORK, {**OTHER, "mac": NETWORK["mac"]}],
        [NETWORK, {**NETWORK, "name": "b", "mac": OTHER["mac"]}],
        [[]],
        [{}],
        [{**OTHER, "name": str(i)} for i in range(10)],
    ],
)
def test_bad_declarations_are_refused(declaration: Any) -> None:
    with pytest.raises(Refusal):
        model.networks(declaration, ())


@pytest.mark.parametrize(
    "text", ["", "a b", "gw;id", "gw\npush x", "-gw", "gw..example", '"', "x" * 300, "gw.example\n", None, 1]
)
def test_bad_gateways_are_refused(text: Any) -> None:
    with pytest.raises(Refusal):
        model.host(text)


@pytest.mark.parametrize("text", ["203.0.113.1", "gw-1.cloud.example"])
def test_gateways(text: str) -> None:
    assert model.host(text) == text


@pytest.mark.parametrize(
    "text", ["../../etc/passwd", "00000000-0000-0000-0000-00000000000G", "", "x\n", None]
)
def test_bad_lease_ids_are_refused(text: Any) -> None:
    with pytest.raises(Refusal):
        model.lease_id(text)


@pytest.mark.parametrize("number", [0, 65536, -1, "6180", 6180.0, True, None])
def test_bad_ports_are_refused(number: Any) -> None:
    with pytest.raises(Refusal):
        model.port(number)


@pytest.mark.parametrize("text", ["aa:" * 31 + "aa", "AA" * 32, "AA:" * 31 + "AA\n", "AA:" * 30 + "AA", 7])
def test_bad_fingerprints_are_refused(text: Any) -> None:
    with pytest.raises(Refusal):
        model.fingerprint(text)


def test_addresses_that_a_vm_cannot_have() -> None:
    network = model.networks([NETWORK], ())[0]
    for text in ("192.168.10.0", "192.168.10.255", "192.168.10.1", "192.168.10.251", "192.168.11.4"):
        assert not network.holds(IPv4Address(text))
    assert network.holds(IPv4Address("192.168.10.50"))
