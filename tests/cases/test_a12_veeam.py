"""A backup server that asks for a pause gets it."""

import time

import pytest

from lab import http_server
from lab.http_server import Response
from lab.injected_faults import FaultKind
from partial_failover.contracts.errors import Unavailable
from tests.connectors.veeam.conftest import authority, make_site, site
from tests.connectors.veeam.site import EXCLUDE, Site, attempt

__all__ = ["authority", "make_site", "site"]


async def test_a12_a_long_pause_is_passed_on_and_a_short_one_waited(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.inject(EXCLUDE, FaultKind.THROTTLE)
    with pytest.raises(Unavailable) as refused:
        await client.hold(target, "run-1", attempt())
    assert refused.value.retry_after == 20 and not site.endpoint.exclusions
    monkeypatch.setattr(http_server, "THROTTLED", Response(429, headers={"Retry-After": "1"}))
    site.inject(EXCLUDE, FaultKind.THROTTLE)
    began = time.monotonic()
    assert await client.hold(target, "run-1", attempt())
    assert time.monotonic() - began >= 1 and len(site.endpoint.exclusions) == 1
