"""The cloud gateway's HAProxy configuration, from the provider's."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from ipaddress import IPv4Address
from string import Template

from partial_failover.cli.haproxy import word
from partial_failover.connectors.appliance import VPN_PORT
from partial_failover.settings import BadSettings, ProviderWorkerSettings

FILES = resources.files("partial_failover") / "deploy" / "gateway"


@dataclass(frozen=True)
class Relay:
    """One tenant's way: the port that its appliance dials, and the provider's appliance behind it."""

    tenant: str
    port: int
    appliance: IPv4Address


def relays(settings: ProviderWorkerSettings) -> list[Relay]:
    """One for each tenant with an appliance. Raises `BadSettings` where the configuration leaves no way."""
    made: list[Relay] = []
    for tenant in settings.tenants:
        if tenant.appliance is None or tenant.gateway is None:
            continue
        if any(relay.port == tenant.gateway.port for relay in made):
            raise BadSettings(f"port {tenant.gateway.port} of the gateway is given to two tenants")
        try:
            address = tenant.appliance.vpn_address or IPv4Address(tenant.appliance.host)
        except ValueError:
            raise BadSettings(
                f"{tenant.namespace}: appliance.host is no IPv4 address, so appliance.vpn_address is needed"
            ) from None
        made.append(Relay(word(tenant.namespace), tenant.gateway.port, address))
    return made


def render(tenants: Iterable[Relay]) -> str:
    """The whole file."""
    section = Template((FILES / "tenant.cfg").read_text())
    parts = [
        section.substitute(tenant=relay.tenant, port=relay.port, appliance=f"{relay.appliance}:{VPN_PORT}")
        for relay in tenants
    ]
    return (FILES / "haproxy.cfg").read_text() + "".join(parts)
