"""`partial-failover report --namespace acme <workflow id> > report.html`: the page of a test that has ended.

The Temporal server is found by Temporal's own environment configuration, as by the worker.
"""

import asyncio
from typing import Annotated

import typer
from pydantic import ValidationError
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from partial_failover.cli.shared import refused
from partial_failover.contracts.errors import FailoverError
from partial_failover.contracts.failover_test import FailoverTestReport
from partial_failover.reports.page import page
from partial_failover.settings import TemporalSettings
from partial_failover.temporal.client import client_for, connect


class NoReport(Exception):
    """There is no report to be had; the text says why."""


async def report_of(client: Client, workflow_id: str) -> FailoverTestReport:
    """The report of a `FailoverTest`; one that could not be put back left it in its failure."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        result = await handle.result(follow_runs=False)
    except WorkflowFailureError as error:
        details = error.cause.details if isinstance(error.cause, ApplicationError) else ()
        if not details:
            raise NoReport(f"{workflow_id} ended without a report: {error.cause}") from None
        result = details[0]
    except RPCError as error:
        raise NoReport(f"{workflow_id}: {error.message}") from None
    try:
        return FailoverTestReport.model_validate(result)
    except ValidationError:
        raise NoReport(f"{workflow_id} is no FailoverTest that has ended with a report") from None


async def _fetch(namespace: str, workflow_id: str) -> FailoverTestReport:
    try:
        base = await connect(TemporalSettings())
    except FailoverError as error:
        raise NoReport(str(error)) from None
    return await report_of(client_for(base, namespace), workflow_id)


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    workflow_id: Annotated[str, typer.Argument(help="of the FailoverTest, as the Web UI shows it")],
    namespace: Annotated[str, typer.Option(help="the tenant's")],
) -> None:
    """A failover test's report, as a page of HTML. Exit code 2: there is no such report."""
    try:
        typer.echo(page(asyncio.run(_fetch(namespace, workflow_id))), nl=False)
    except NoReport as error:
        raise refused(error, 2) from None
