"""A server that asks for a pause gets it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lab import http_server
from lab.http_server import Response
from lab.injected_faults import FaultKind, FaultRule
from partial_failover.connectors.cloud_director import OrganizationVdc
from partial_failover.connectors.retry_after import LONGEST, seconds_of
from partial_failover.contracts.errors import Unavailable, WrongState
from partial_failover.temporal.interceptors import as_failure
from tests.connectors.cloud_director.conftest import authority, client, quick, site, vdc
from tests.connectors.cloud_director.site import Beats, Site, attempt

__all__ = ["authority", "client", "quick", "site", "vdc"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """The pause that the lab asks for, in seconds."""
    monkeypatch.setattr(http_server, "THROTTLED", Response(429, headers={"Retry-After": "3"}))
    yield 3


def test_a12_seconds_and_dates_are_understood_and_nonsense_is_bounded() -> None:
    assert seconds_of("20") == 20
    assert seconds_of(" 0 ") == 0
    assert seconds_of("9" * 5000) == LONGEST
    for nonsense in (None, "", "soon", "-5", "1e9", "٣", "\x00"):
        assert seconds_of(nonsense) is None
    now = datetime.now(UTC)
    assert 50 < (seconds_of(format_datetime(now + timedelta(minutes=1), usegmt=True)) or 0) <= 60
    assert seconds_of(format_datetime(now - timedelta(days=1), usegmt=True)) == 0
    assert seconds_of("Sun, 06 Nov 9994 08:49:37 GMT") == LONGEST


def test_a12_a_read_waits_a_short_pause_and_passes_a_long_one_on(
    site: Site, vdc: OrganizationVdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    vdc.vm(site.vm.id)
    site.plan("GET vm", FaultKind.THROTTLE)
    with pytest.raises(Unavailable) as refused:
        vdc.vm(site.vm.id)
    assert refused.value.retry_after == 20
    assert as_failure(refused.value).next_retry_delay == timedelta(seconds=20)
    monkeypatch.setattr(http_server, "THROTTLED", Response(429, headers={"Retry-After": "1"}))
    site.plan("GET vm", FaultKind.THROTTLE)
    began = time.monotonic()
    assert vdc.vm(site.vm.id).id == site.vm.id
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("call", ["POST powerOn", "GET task"])
def test_a12_a_change_waits_within_its_attempt(
    site: Site, vdc: OrganizationVdc, short: float, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partial_failover.connectors.retry_after.AT_ONCE", 0.0)
    vdc.vm(site.vm.id)
    beats, began = Beats(), time.monotonic()
    site.plan(call, FaultKind.THROTTLE, times=2)
    assert vdc.power_on(site.vm.id, beats.attempt()) is True
    assert time.monotonic() - began >= 2 * short - 0.1
    assert site.vm.machine.reverts == ["on"] and len(beats.seen) > 3


def test_a12_what_does_not_fit_into_the_attempt_is_left_to_the_next(site: Site, vdc: OrganizationVdc) -> None:
    vdc.vm(site.vm.id)
    site.plan("POST powerOn", FaultKind.THROTTLE)
    with pytest.raises(Unavailable) as refused:
        vdc.power_on(site.vm.id, attempt(15))
    assert refused.value.retry_after == 20 and site.count("POST powerOn") == 1
    assert site.vm.machine.reverts == []


def test_a12_what_is_never_tried_again_has_no_pause() -> None:
    assert as_failure(WrongState("x", retry_after=20)).next_retry_delay is None
    assert as_failure(Unavailable("x")).next_retry_delay is None


def test_a12_a_login_that_is_asked_to_wait_says_so(site: Site, vdc: OrganizationVdc) -> None:
    site.faults.add(FaultRule("cloud-director", "POST token", FaultKind.THROTTLE))
    with pytest.raises(Unavailable) as refused:
        vdc.vm(site.vm.id)
    assert refused.value.retry_after == 20
