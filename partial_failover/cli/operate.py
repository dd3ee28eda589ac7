"""For a service provider's operators: `python -m operate <command> config.yaml`.

No command needs a secret of the file, but the SSH key where appliances are asked.
"""

import argparse
import asyncio
import os
import re
import sys
import time
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from temporalio.service import RPCError

from partial_failover.cli import cloud_init, gateway, rotate
from partial_failover.connectors.appliance import public_key
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.appliance import ApplianceRole
from partial_failover.contracts.errors import FailoverError, Misconfigured
from partial_failover.settings import (
    BadSettings,
    ProviderWorkerSettings,
    TenantSiteWorkerSettings,
    WorkerSettings,
    load,
)
from partial_failover.temporal import namespaces as provision
from partial_failover.temporal.client import connect
from partial_failover.temporal.schedules import BadSchedules


def main() -> int:
    """Exit code 1: it was begun and failed; 2: the configuration is not in order."""
    arguments = parser().parse_args()
    try:
        _run(arguments, load(arguments.config, without_files=True))
    except (BadSettings, Misconfigured) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (provision.WrongType, BadSchedules, FailoverError, RPCError, RuntimeError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    made = argparse.ArgumentParser(prog="python -m operate", description="For a service provider's operators")
    commands = made.add_subparsers(dest="command", required=True)
    command = commands.add_parser("provision", help="create and update the tenants' namespaces and schedules")
    command.add_argument("--dry-run", action="store_true", help="say what would be changed, change nothing")
    commands.add_parser("gateway", help="print the cloud gateway's HAProxy configuration")
    _appliance_options(
        commands.add_parser("appliance", help="write an appliance's cloud-init seed, a secret")
    )
    _key_commands(commands)
    for command in commands.choices.values():
        command.add_argument("config", type=Path, help="the worker's YAML file")
    return made


def _key_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("ssh-keys", help="let the configured SSH key into the appliances")
    command.add_argument("--also", type=Path, action="append", help="file of another public key to let in")
    command = commands.add_parser("rotate-vpn-keys", help="new VPN keys for a tenant's appliances, or one")
    command.add_argument("--tenant", required=True, help="its namespace")
    command.add_argument("--site", type=Path, help="the tenant-site worker's file: both sides at once")
    command = commands.add_parser("pin-vpn-key", help="tell an appliance of the other end's new VPN key")
    command.add_argument("--tenant", required=True, help="its namespace")
    command.add_argument("--fingerprint", required=True, help="of the other end's certificate")
    command = commands.add_parser("host-key", help="have an appliance make another SSH host key, or use it")
    command.add_argument("--tenant", required=True, help="its namespace")
    command.add_argument("--use", action="store_true", help="serve new_host_key from now on")


def _appliance_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--tls-crypt", type=Path, required=True, help="key that the pair's appliances share")
    add("--worker", type=IPv4Address, action="append", required=True, help="may use its SSH")
    add("--gateway", type=IPv4Address, action="append", help="may reach its VPN server (the provider's only)")
    add("--mac", type=_mac, required=True, help="of its management NIC; the others are its interfaces")
    add("--address", type=IPv4Interface, help="of its management NIC, with prefix; left out: by DHCP")
    add("--router", type=IPv4Address, help="its way out to the package mirror")
    add("--dns", type=IPv4Address, action="append", help="name server")
    add("--name", type=_host_name, default="network-extension", help="its host name")
    add("--into", type=Path, required=True, help="folder for the seed: user-data, meta-data, network-config")


def _mac(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", text.lower()):
        raise argparse.ArgumentTypeError(f"{text!r} is no MAC, like 00:50:56:01:02:03")
    return text.lower()


def _host_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no host name")
    return text


def _run(arguments: argparse.Namespace, settings: WorkerSettings) -> None:
    if arguments.command == "appliance":
        _appliance(arguments, settings)
    elif arguments.command == "ssh-keys":
        asyncio.run(_authorize(settings, [file.read_text() for file in arguments.also or ()]))
    elif arguments.command == "rotate-vpn-keys" and arguments.site is None:
        asyncio.run(_rotate_one(settings, arguments.tenant))
    elif arguments.command == "pin-vpn-key":
        asyncio.run(_pin(settings, arguments.tenant, arguments.fingerprint))
    elif arguments.command == "host-key":
        asyncio.run(_host_key(settings, arguments.tenant, arguments.use))
    elif not isinstance(settings, ProviderWorkerSettings):
        raise BadSettings(f"{arguments.config}: is not a provider's (role: provider)")
    elif arguments.command == "gateway":
        sys.stdout.write(gateway.render(gateway.relays(settings)))
    elif arguments.command == "rotate-vpn-keys":
        site = load(arguments.site, without_files=True)
        asyncio.run(_rotate(settings, site, arguments.tenant))
    else:
        asyncio.run(_provision(settings, arguments.dry_run))


def _appliance(arguments: argparse.Namespace, settings: WorkerSettings) -> None:
    """For the side that the configuration is of; all its appliances differ only in what is given here."""
    if settings.appliance_key is None:
        raise BadSettings(f"{arguments.config}: appliance_key is not set")
    if arguments.address is not None and arguments.address.network.prefixlen == 32:
        raise BadSettings("--address: needs its prefix, like 10.99.0.11/24")
    is_provider = isinstance(settings, ProviderWorkerSettings)
    management = cloud_init.ManagementNic(
        arguments.mac, arguments.address, arguments.router, arguments.dns or ()
    )
    new = cloud_init.NewAppliance(
        role=ApplianceRole.PROVIDER if is_provider else ApplianceRole.TENANT,
        worker_key=public_key(settings.appliance_key),
        tls_crypt=arguments.tls_crypt.read_text(),
        workers=arguments.worker,
        management=management,
        gateways=arguments.gateway or (),
        name=arguments.name,
    )
    arguments.into.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in cloud_init.seed(new).items():
        file = arguments.into / name
        file.touch(mode=0o600)
        file.write_text(text)
    sys.stdout.write(f"The {new.role} appliance's seed is in {arguments.into}; it is a secret\n")


async def _authorize(settings: WorkerSettings, also: list[str]) -> None:
    said = await rotate.authorize(settings, also)
    for tenant, what in said.items():
        sys.stdout.write(f"{tenant}: {what}\n")
    if any(what.startswith("FAILED") for what in said.values()):
        raise RuntimeError("Not all appliances have the keys: run it again when they are on")


async def _rotate(provider: ProviderWorkerSettings, site: WorkerSettings, tenant: str) -> None:
    if not isinstance(site, TenantSiteWorkerSettings):
        raise BadSettings("--site: is not a tenant site's (role: tenant-site)")
    ends = rotate.appliance(provider, tenant), rotate.appliance(site, tenant)
    cut = await rotate.rotate(*ends, rotate.gateway(provider, tenant))
    tunnel = "there was no tunnel" if cut is None else f"the tunnel was down for {cut:.1f} s"
    sys.stdout.write(f"Both appliances of {tenant} have new VPN keys; {tunnel}\n")


async def _rotate_one(settings: WorkerSettings, tenant: str) -> None:
    fingerprint, cut = await rotate.rotate_one(rotate.appliance(settings, tenant))
    sys.stdout.write(f"{fingerprint}\n")
    if cut:
        sys.stderr.write(
            "The tunnel is down until the other end pins it; a failover that runs has it pinned\n"
        )


async def _pin(settings: WorkerSettings, tenant: str, fingerprint: str) -> None:
    attempt = Attempt(time.monotonic() + rotate.SECONDS)
    changed = await rotate.appliance(settings, tenant).pin(fingerprint, attempt)
    sys.stdout.write(f"{tenant}: {'done' if changed else 'there is no tunnel, or it was so already'}\n")


async def _host_key(settings: WorkerSettings, tenant: str, use: bool) -> None:
    appliance, attempt = rotate.appliance(settings, tenant), Attempt(time.monotonic() + rotate.SECONDS)
    if not use:
        sys.stdout.write(f"new_host_key: {await appliance.new_host_key(attempt)}\n")
        return
    key = rotate.ssh(settings, tenant).new_host_key
    if key is None:
        raise BadSettings(f"new_host_key of {tenant} is not set: whoever uses this file would be locked out")
    changed = await appliance.use_host_key(key, attempt)
    sys.stdout.write(f"{tenant}: {'done' if changed else 'was so already'}\n")


async def _provision(settings: ProviderWorkerSettings, dry_run: bool) -> None:
    client = await connect(settings.temporal)
    changes = await provision.provision(client, provision.wanted(settings), dry_run)
    for change in changes:
        sys.stdout.write(f"{'would be: ' if dry_run else ''}{change}\n")
    if not changes:
        sys.stdout.write(f"{len(settings.tenants)} namespaces are as they shall be\n")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as in worker.py: the SDK's native threads can crash an interpreter that is torn down
