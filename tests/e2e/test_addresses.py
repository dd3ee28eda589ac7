"""Addresses and networks that an appliance would refuse later are refused before anything is touched."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pytest
from temporalio.client import Client

from lab.data_centre import DataCentre
from lab.lab import Lab
from tests.e2e import inject
from tests.e2e.calls import changes
from tests.e2e.driver import failure_of, in_failover, start, undo
from tests.e2e.inject import at

Spoil = Callable[[DataCentre], AbstractContextManager[None]]
DB = {"vm": "erp-db-01"}
lan_b = partial(inject.with_router, "acme-lan-b")
PROVIDER, TENANT = (f"The {who}'s appliance cannot extend the networks: " for who in ("provider", "tenant"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (at("192.168.10.0"), "has 192.168.10.0, which no host of 192.168.10.0/24 can have"),
        (at("192.168.10.255"), "has 192.168.10.255, which no host of 192.168.10.0/24 can have"),
        (at("192.168.10.1"), "has the gateway's address 192.168.10.1"),
        (at("192.168.10.251"), f"{PROVIDER}192.168.10.251 on acme-lan-a is its own spare address"),
        (at("192.168.10.252"), f"{TENANT}192.168.10.252 on acme-lan-a is its own spare address"),
        (lan_b("192.168.20.251/24"), f"{PROVIDER}The spare address 192.168.20.251 is the gateway's"),
        (lan_b("192.168.20.252/24"), f"{TENANT}The spare address 192.168.20.252 is the gateway's"),
        (lan_b("192.168.0.1/16"), f"{PROVIDER}acme-lan-a (192.168.10.0/24) overlaps acme-lan-b"),
        (lan_b("192.168.20.1/7"), f"{PROVIDER}acme-lan-b (192.0.0.0/7) is not a unicast network from /8"),
        (
            lan_b("192.168.30.1/24"),
            f"{PROVIDER}The spare address 192.168.20.251 is not the address of a host",
        ),
        (inject.appliance_full, "acme-network-extension has no NIC left for 2 networks"),
        (inject.management_renamed, "acme-network-extension has no NIC on acme-management"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_refused_before_anything_is_touched(lab: Lab, acme: Client, wrong: Spoil, says: str) -> None:
    since = len(lab.centre.faults.calls)
    with wrong(lab.centre):
        failure = await failure_of(await start(acme, DB))
    assert failure.type == "NotReady"
    assert says in failure.message and "(provider)" in failure.message
    assert changes(lab, since) == []


async def test_behind_an_nsx_edge_the_gateway_is_the_tenants_own_affair(lab: Lab, initech: Client) -> None:
    """A replica may be the router of a network that no appliance extends."""
    with inject.with_router("initech-lan", "10.20.0.50/24")(lab.centre):
        report = await undo(await in_failover(initech, {"vm": "tps-01"}))
    assert report.state == "Normal"
