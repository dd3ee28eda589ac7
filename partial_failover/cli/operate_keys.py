"""`partial-failover operate …`: new keys for appliances, also while failovers run through them."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from partial_failover.cli import appliance_keys
from partial_failover.cli.shared import ConfigFile, provider_settings, refused, settings
from partial_failover.connectors.attempt import Attempt
from partial_failover.settings import BadSettings, TenantSiteWorkerSettings

Tenant = Annotated[str, Option(help="its namespace")]


def ssh_keys(
    config: ConfigFile,
    also: Annotated[list[Path] | None, Option(help="file of another public key to let in")] = None,
) -> None:
    """Let the configured SSH key into the appliances."""
    loaded = settings(config)
    outcomes = asyncio.run(appliance_keys.authorize(loaded, [file.read_text() for file in also or ()]))
    for tenant, outcome in outcomes.items():
        typer.echo(f"{tenant}: {outcome}")
    if any(outcome.startswith("FAILED") for outcome in outcomes.values()):
        raise refused("Not all appliances have the keys: run it again when they are on", 1)


def rotate_vpn_keys(
    config: ConfigFile,
    tenant: Tenant,
    site: Annotated[Path | None, Option(help="the tenant-site worker's file: both sides at once")] = None,
) -> None:
    """New VPN keys for a tenant's appliances, or one."""
    if site is None:
        _rotate_one(config, tenant)
    else:
        _rotate_both(config, site, tenant)


def _rotate_one(config: Path, tenant: str) -> None:
    fingerprint, cut = asyncio.run(
        appliance_keys.rotate_one(appliance_keys.appliance(settings(config), tenant))
    )
    typer.echo(fingerprint)
    if cut:
        typer.echo(
            "The tunnel is down until the other end pins it; a failover that runs has it pinned", err=True
        )


def _rotate_both(config: Path, site: Path, tenant: str) -> None:
    provider, tenant_site = provider_settings(config), settings(site)
    if not isinstance(tenant_site, TenantSiteWorkerSettings):
        raise BadSettings("--site: is not a tenant site's (role: tenant-site)")
    ends = appliance_keys.appliance(provider, tenant), appliance_keys.appliance(tenant_site, tenant)
    cut = asyncio.run(appliance_keys.rotate(*ends, appliance_keys.gateway(provider, tenant)))
    tunnel = "there was no tunnel" if cut is None else f"the tunnel was down for {cut:.1f} s"
    typer.echo(f"Both appliances of {tenant} have new VPN keys; {tunnel}")


def pin_vpn_key(
    config: ConfigFile,
    tenant: Tenant,
    fingerprint: Annotated[str, Option(help="of the other end's certificate")],
) -> None:
    """Tell an appliance of the other end's new VPN key."""
    appliance = appliance_keys.appliance(settings(config), tenant)
    changed = asyncio.run(appliance.pin(fingerprint, _attempt()))
    typer.echo(f"{tenant}: {'done' if changed else 'there is no tunnel, or it was so already'}")


def host_key(
    config: ConfigFile,
    tenant: Tenant,
    use: Annotated[bool, Option("--use", help="serve new_host_key from now on")] = False,
) -> None:
    """Have an appliance make another SSH host key, or use it."""
    loaded = settings(config)
    appliance = appliance_keys.appliance(loaded, tenant)
    if not use:
        typer.echo(f"new_host_key: {asyncio.run(appliance.new_host_key(_attempt()))}")
        return
    key = appliance_keys.ssh(loaded, tenant).new_host_key
    if key is None:
        raise BadSettings(f"new_host_key of {tenant} is not set: whoever uses this file would be locked out")
    changed = asyncio.run(appliance.use_host_key(key, _attempt()))
    typer.echo(f"{tenant}: {'done' if changed else 'was so already'}")


def _attempt() -> Attempt:
    return Attempt(time.monotonic() + appliance_keys.SECONDS)
