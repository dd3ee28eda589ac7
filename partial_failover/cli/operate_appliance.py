"""`partial-failover operate appliance`: what a network extension appliance needs for its first boot."""

import re
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from partial_failover.cli import cloud_init
from partial_failover.cli.shared import ConfigFile, settings
from partial_failover.connectors.appliance import public_key
from partial_failover.contracts.appliance import ApplianceRole
from partial_failover.settings import BadSettings, ProviderWorkerSettings

MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


def _mac(text: str) -> str:
    if not MAC.fullmatch(text.lower()):
        raise typer.BadParameter(f"{text!r} is no MAC, like 00:50:56:01:02:03")
    return text.lower()


def _host_name(text: str) -> str:
    if not HOST_NAME.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no host name")
    return text


def appliance(  # noqa: PLR0913  (one parameter is one option)
    config: ConfigFile,
    tls_crypt: Annotated[Path, Option(help="key that the pair's appliances share")],
    worker: Annotated[list[IPv4Address], Option(help="may use its SSH")],
    mac: Annotated[str, Option(parser=_mac, help="of its management NIC; the others are its interfaces")],
    into: Annotated[Path, Option(help="folder for the seed: user-data, meta-data, network-config")],
    gateway: Annotated[
        list[IPv4Address] | None, Option(help="may reach its VPN server (the provider's only)")
    ] = None,
    address: Annotated[
        IPv4Interface | None, Option(help="of its management NIC, with prefix; left out: by DHCP")
    ] = None,
    router: Annotated[IPv4Address | None, Option(help="its way out to the package mirror")] = None,
    dns: Annotated[list[IPv4Address] | None, Option(help="name server")] = None,
    name: Annotated[str, Option(parser=_host_name, help="its host name")] = "network-extension",
) -> None:
    """Write an appliance's cloud-init seed, a secret.

    For the side that the configuration is of; all its appliances differ only in what is given here.
    """
    loaded = settings(config)
    if loaded.appliance_key is None:
        raise BadSettings(f"{config}: appliance_key is not set")
    if address is not None and address.network.prefixlen == 32:
        raise BadSettings("--address: needs its prefix, like 10.99.0.11/24")
    is_provider = isinstance(loaded, ProviderWorkerSettings)
    new = cloud_init.NewAppliance(
        role=ApplianceRole.PROVIDER if is_provider else ApplianceRole.TENANT,
        worker_key=public_key(loaded.appliance_key),
        tls_crypt=tls_crypt.read_text(),
        workers=worker,
        management=cloud_init.ManagementNic(mac, address, router, dns or ()),
        gateways=gateway or (),
        name=name,
    )
    _write(cloud_init.seed(new), into)
    typer.echo(f"The {new.role} appliance's seed is in {into}; it is a secret")


def _write(seed: dict[str, str], folder: Path) -> None:
    """For its owner's eyes alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in seed.items():
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(text)
