"""What several commands have in common."""

from pathlib import Path
from typing import Annotated

import typer

from partial_failover.settings import BadSettings, ProviderWorkerSettings, WorkerSettings, load

ConfigFile = Annotated[Path, typer.Argument(help="the worker's YAML file")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be changed, change nothing")]


def settings(config: Path) -> WorkerSettings:
    """Of a worker of either role, without the files and secrets that are named. Raises `BadSettings`."""
    return load(config, without_files=True)


def provider_settings(config: Path) -> ProviderWorkerSettings:
    """The same of the provider's worker. Raises `BadSettings` for the other role, too."""
    loaded = settings(config)
    if not isinstance(loaded, ProviderWorkerSettings):
        raise BadSettings(f"{config}: is not a provider's (role: provider)")
    return loaded


def refused(error: Exception | str, code: int) -> typer.Exit:
    """To be raised: the words on standard error, and the exit code."""
    typer.echo(str(error), err=True)
    return typer.Exit(code)
