"""The command `partial-failover`, and what its subcommands have in common."""

from importlib import import_module
from typing import Any, NoReturn  # Any: the types of contexts and commands are not public

import typer
from typer.core import TyperGroup

from partial_failover.process import lifecycle

SUBCOMMANDS = ("operate", "schedules", "report", "worker")
"""Each is the `app` of the module of that name."""


class _Subcommands(TyperGroup):
    """A subcommand's module is imported when it is asked for: some bring
    the client libraries of three systems."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in SUBCOMMANDS:
            return None
        return typer.main.get_command(import_module(f"partial_failover.cli.{cmd_name}").app)


app = typer.Typer(
    cls=_Subcommands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def partial_failover() -> None:
    """Partial site failover to VMware Cloud Director."""


def main() -> NoReturn:
    """Exit code 2: wrong usage; each subcommand says what its others mean."""
    try:
        app(prog_name="partial-failover")
    except SystemExit as end:
        lifecycle.end(end.code if isinstance(end.code, int) else 1)
    lifecycle.end(0)
