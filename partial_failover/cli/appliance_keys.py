"""What is done at the appliances for new keys, also while failovers run through them."""

import asyncio
import time
from collections.abc import Sequence

from partial_failover import factories
from partial_failover.connectors.appliance import Appliance, public_key
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.appliance import ApplianceStatus
from partial_failover.contracts.errors import FailoverError, Misconfigured, TaskFailed
from partial_failover.contracts.plan import CloudGateway
from partial_failover.settings import ProviderWorkerSettings, SshSettings, WorkerSettings

SECONDS = 60.0
"""For the whole rotation."""


async def rotate(provider: Appliance, tenant: Appliance, gateway: CloudGateway) -> float | None:
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


async def rotate_one(appliance: Appliance) -> tuple[str, bool]:
    """It makes a new VPN key; the fingerprint, and whether the tunnel is down until the other end pins it."""
    wanted = (await appliance.status()).vpn.wanted
    return await appliance.rotate_keys(Attempt(time.monotonic() + SECONDS)), wanted


async def authorize(settings: WorkerSettings, also: Sequence[str]) -> dict[str, str]:
    """Let the configured SSH key and `also` into each appliance, and no others; by tenant, what became of it.

    Raises `Misconfigured` where no key is configured.
    """
    if settings.appliance_key is None:
        raise Misconfigured("appliance_key is not set")
    keys = [public_key(settings.appliance_key), *also]
    outcomes: dict[str, str] = {}
    for tenant in settings.tenants:
        appliance = factories.appliance(tenant.appliance, settings.appliance_key)
        if appliance is None:
            continue
        try:
            changed = await appliance.authorize(keys, Attempt(time.monotonic() + SECONDS))
            outcomes[tenant.namespace] = "done" if changed else "was so already"
        except FailoverError as error:
            outcomes[tenant.namespace] = f"FAILED: {error}"
    return outcomes


def _connected(status: ApplianceStatus) -> bool:
    return status.vpn.state == "connected"


def appliance(settings: WorkerSettings, tenant: str) -> Appliance:
    """A tenant's, on the side that the settings are of. Raises `Misconfigured`."""
    connector = factories.appliance(ssh(settings, tenant), settings.appliance_key)
    if connector is None:
        raise Misconfigured("appliance_key is not set")
    return connector


def ssh(settings: WorkerSettings, tenant: str) -> SshSettings:
    """How a tenant's appliance is reached. Raises `Misconfigured`."""
    theirs = next((t for t in settings.tenants if t.namespace == tenant), None)
    if theirs is None or theirs.appliance is None:
        raise Misconfigured(f"The configuration names no appliance of {tenant}")
    return theirs.appliance


def gateway(settings: ProviderWorkerSettings, tenant: str) -> CloudGateway:
    """A tenant's way through the cloud gateway. Raises `Misconfigured`."""
    gateway = next((t.gateway for t in settings.tenants if t.namespace == tenant), None)
    if gateway is None:
        raise Misconfigured(f"The configuration names no gateway of {tenant}")
    return gateway
