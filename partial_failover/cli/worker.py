"""`partial-failover worker config.yaml`: what `python -m worker` does, too."""

from pathlib import Path
from typing import Annotated

import typer

import worker
from partial_failover.process.run import run

PROVE = "with --check: exclude this VM, run its replication job, see whether it is left out, and undo that"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def serve(
    config: Annotated[Path, typer.Argument(help="YAML file; config.example.yaml explains every setting")],
    check: Annotated[bool, typer.Option("--check", help="look at everything it needs, and end")] = False,
    prove_hold: Annotated[str, typer.Option("--prove-hold", metavar="VM", help=PROVE)] = "",
) -> None:
    """Serve one role for many tenants. With --check: look at what it would need, change nothing."""
    if prove_hold and not check:
        raise typer.BadParameter("--prove-hold goes with --check")
    raise typer.Exit(run(config, check, worker.compose, prove_hold))
