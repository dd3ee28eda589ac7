"""`partial-failover worker config.yaml`: what `python -m worker` does, too."""

from pathlib import Path
from typing import Annotated

import typer

import worker
from partial_failover.process.run import run

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def serve(
    config: Annotated[Path, typer.Argument(help="YAML file; config.example.yaml explains every setting")],
    check: Annotated[bool, typer.Option("--check", help="look at everything it needs, and end")] = False,
) -> None:
    """Serve one role for many tenants. With --check: look at what it would need, change nothing."""
    raise typer.Exit(run(config, check, worker.compose))
