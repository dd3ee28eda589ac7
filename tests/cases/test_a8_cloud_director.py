"""A Cloud Director that answers one byte every half second."""

import time

import pytest

from lab.injected_faults import FaultKind
from partial_failover.connectors.cloud_director import OrganizationVdc
from partial_failover.contracts.errors import Expired, FailoverError, Unavailable
from tests.connectors.cloud_director.conftest import authority, client, quick, site, vdc
from tests.connectors.cloud_director.site import Site, attempt, own_vdc

__all__ = ["authority", "client", "quick", "site", "vdc"]
LONG = 60.0
"""Far less than the answers take, byte by byte, and far more than a slow machine needs."""


@pytest.mark.parametrize("call", ["GET vm", "POST token"])
def test_a8_a_read_ends_as_a_whole(site: Site, call: str) -> None:
    vdc = own_vdc(site.client(timeout=(1, 2)))
    site.plan(call, FaultKind.TRICKLE, times=100)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="in time"):
        vdc.vm(site.vm.id)
    assert time.monotonic() - began < LONG


def test_a8_a_change_ends_with_its_attempt(site: Site, vdc: OrganizationVdc) -> None:
    vdc.vm(site.vm.id)
    site.plan("GET task", FaultKind.TRICKLE, times=100)
    began = time.monotonic()
    with pytest.raises((Unavailable, Expired)):
        vdc.power_on(site.vm.id, attempt(2))
    assert time.monotonic() - began < LONG


def test_a8_what_was_sent_and_answered_too_slowly_is_looked_for(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("POST powerOn", FaultKind.TRICKLE)
    own = own_vdc(site.client(timeout=(1, 2)))
    try:
        own.power_on(site.vm.id, attempt())
    except FailoverError as error:
        assert error.retryable
    vdc.power_on(site.vm.id, attempt())
    assert site.vm.machine.reverts == ["on"]
