"""New keys for appliances, also while failovers run through them."""

import asyncio
import time
from collections.abc import Sequence

import connect
from connectors.appliances import Appliance, public_key
from connectors.attempt import Attempt
from contracts.appliance import ApplianceStatus
from contracts.errors import Fault, Misconfigured, TaskFailed
from contracts.plan import Gateway
from settings import ProviderWorkerSettings, TenantSiteWorkerSettings, WorkerSettings

SECONDS = 60.0
"""For the whole rotation."""


async def rotate(provider: Appliance, tenant: Appliance, gateway: Gateway) -> float | None:
    """Both make new keys and are told the other's. Seconds without tunnel; None: there was none.

    Both must be on. Nothing is changed unless both answer. When it fails half-way, run it again.
    """
    attempt = Attempt(time.monotonic() + SECONDS)
    before = await asyncio.gather(provider.status(), tenant.status())
    began = time.monotonic()
    of_tenant, of_provider = await asyncio.gather(tenant.rotate_keys(attempt), provider.rotate_keys(attempt))
    if not all(status.vpn.wanted for status in before):
        return None
    await asyncio.gather(
        provider.serve_vpn(of_tenant, attempt),
        tenant.connect_vpn(gateway.host, gateway.port, of_provider, attempt),
    )
    while not _connected(await tenant.status()):
        if attempt.left() <= 0:
            raise TaskFailed("Both appliances have new keys, but the tunnel is down", do="Run it again")
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def authorize(settings: WorkerSettings, also: Sequence[str]) -> dict[str, str]:
    """Let the configured SSH key and `also` into each appliance, and no others; by tenant, what became of it.

    Raises `Misconfigured` where no key is configured.
    """
    if settings.appliance_key is None:
        raise Misconfigured("appliance_key is not set")
    keys = [public_key(settings.appliance_key), *also]
    said: dict[str, str] = {}
    for tenant in settings.tenants:
        appliance = connect.appliance(tenant.appliance, settings.appliance_key)
        if appliance is None:
            continue
        try:
            changed = await appliance.authorize(keys, Attempt(time.monotonic() + SECONDS))
            said[tenant.namespace] = "done" if changed else "was so already"
        except Fault as fault:
            said[tenant.namespace] = f"FAILED: {fault}"
    return said


def _connected(status: ApplianceStatus) -> bool:
    return status.vpn.state == "connected"


def appliances(
    provider: ProviderWorkerSettings, site: TenantSiteWorkerSettings, tenant: str
) -> tuple[Appliance, Appliance, Gateway]:
    """The two of a tenant, and its way through the gateway. Raises `Misconfigured`."""
    here = next((t for t in provider.tenants if t.namespace == tenant), None)
    there = next((t for t in site.tenants if t.namespace == tenant), None)
    one = connect.appliance(here.appliance if here else None, provider.appliance_key)
    other = connect.appliance(there.appliance if there else None, site.appliance_key)
    if here is None or here.gateway is None or one is None or other is None:
        raise Misconfigured(f"The configurations do not name both appliances of {tenant}")
    return one, other, here.gateway
