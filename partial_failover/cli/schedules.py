"""`partial-failover schedules schedules.yaml`: scheduled failover tests of one tenant, created or updated.

The Temporal server is found by Temporal's own environment configuration, as by the worker. A schedule that
the file does not name is left alone; so is a pause that somebody set by hand, and what somebody changed by
hand until the file changes.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import Field, ValidationError

from partial_failover.cli.shared import refused
from partial_failover.contracts.base import Contract
from partial_failover.contracts.errors import FailoverError
from partial_failover.contracts.schedule import ScheduleName, TestSchedule
from partial_failover.settings import TemporalSettings
from partial_failover.temporal.client import client_for, connect
from partial_failover.temporal.schedules import BadSchedules, put_all


class Schedules(Contract):
    """The file: one tenant's namespace, and its tests by name."""

    namespace: str
    schedules: Annotated[dict[ScheduleName, TestSchedule], Field(min_length=1)]


def load(file: Path) -> Schedules:
    """Read and check the file. Raises `BadSchedules` with all problems at once."""
    try:
        return Schedules.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except OSError as error:
        raise BadSchedules(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadSchedules(f"{file}: is not text in UTF-8") from None
    except yaml.YAMLError as error:
        raise BadSchedules(f"{file}: is not YAML: {error}") from None
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise BadSchedules(f"{file}:\n" + "\n".join(lines)) from None


async def _run(wanted: Schedules, dry_run: bool) -> list[str]:
    try:
        connection = await connect(TemporalSettings())
    except FailoverError as error:
        raise BadSchedules(str(error)) from None
    return await put_all(client_for(connection, wanted.namespace), wanted.schedules, dry_run)


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def schedules(
    file: Annotated[Path, typer.Argument(help="YAML file; docs/failover-tests.md shows one")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be changed, change nothing")
    ] = False,
) -> None:
    """Create or update a tenant's scheduled failover tests.

    Exit code 2: the file is not in order, no server answers, or it refused a schedule.
    """
    try:
        wanted = load(file)
        changes = asyncio.run(_run(wanted, dry_run))
    except BadSchedules as error:
        raise refused(error, 2) from None
    for change in changes:
        typer.echo(f"{'would be: ' if dry_run else ''}{change}")
    if not changes:
        typer.echo(f"{len(wanted.schedules)} schedules are as they shall be")
