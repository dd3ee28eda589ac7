"""For a service provider's operators: `partial-failover operate <command> config.yaml`.

No command needs a secret of the file, but the SSH key where appliances are asked.
"""

import asyncio
from typing import Annotated, Any  # Any: the type of contexts is not public

import typer
from temporalio.service import RPCError
from typer.core import TyperGroup

from partial_failover.cli import gate as temporal_gate
from partial_failover.cli import gateway as cloud_gateway
from partial_failover.cli.operate_appliance import appliance
from partial_failover.cli.operate_keys import host_key, pin_vpn_key, rotate_vpn_keys, ssh_keys
from partial_failover.cli.shared import ConfigFile, provider_settings, refused
from partial_failover.contracts.errors import FailoverError, Misconfigured
from partial_failover.settings import BadSettings, ProviderWorkerSettings
from partial_failover.temporal import namespaces
from partial_failover.temporal.client import connect
from partial_failover.temporal.schedules import BadSchedules


class _Operate(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Exit code 1: it was begun and failed; 2: the configuration is not in order."""
        try:
            return super().invoke(ctx)
        except (BadSettings, Misconfigured) as error:
            raise refused(error, 2) from None
        except (namespaces.WrongType, BadSchedules, FailoverError, RPCError, OSError) as error:
            raise refused(error, 1) from None


app = typer.Typer(
    cls=_Operate,
    help="For a service provider's operators.",
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def provision(
    config: ConfigFile,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be changed, change nothing")
    ] = False,
) -> None:
    """Create and update the tenants' namespaces and schedules."""
    asyncio.run(_provision(provider_settings(config), dry_run))


@app.command()
def gateway(config: ConfigFile) -> None:
    """Print the cloud gateway's HAProxy configuration."""
    relays = cloud_gateway.relays(provider_settings(config))
    typer.echo(cloud_gateway.render(relays), nl=False)


@app.command()
def gate(config: ConfigFile) -> None:
    """Print the HAProxy configuration of the gate between tenants and Temporal."""
    typer.echo(temporal_gate.render(provider_settings(config)), nl=False)


app.command()(appliance)
app.command()(ssh_keys)
app.command()(rotate_vpn_keys)
app.command()(pin_vpn_key)
app.command()(host_key)


async def _provision(settings: ProviderWorkerSettings, dry_run: bool) -> None:
    client = await connect(settings.temporal)
    changes = await namespaces.provision(client, namespaces.wanted(settings), dry_run)
    for change in changes:
        typer.echo(f"{'would be: ' if dry_run else ''}{change}")
    if not changes:
        typer.echo(f"{len(settings.tenants)} namespaces are as they shall be")
