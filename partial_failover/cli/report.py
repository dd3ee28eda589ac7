"""`python -m evidence --namespace acme <workflow id> > report.html`: the page of a test that has ended.

The Temporal server is found by Temporal's own environment configuration, as by the worker.
"""

import argparse
import asyncio
import sys

from pydantic import ValidationError
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

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
        found = await handle.result(follow_runs=False)
    except WorkflowFailureError as error:
        details = error.cause.details if isinstance(error.cause, ApplicationError) else ()
        if not details:
            raise NoReport(f"{workflow_id} ended without a report: {error.cause}") from None
        found = details[0]
    except RPCError as error:
        raise NoReport(f"{workflow_id}: {error.message}") from None
    try:
        return FailoverTestReport.model_validate(found)
    except ValidationError:
        raise NoReport(f"{workflow_id} is no FailoverTest that has ended with a report") from None


async def _fetch(namespace: str, workflow_id: str) -> str:
    try:
        base = await connect(TemporalSettings())
    except FailoverError as fault:
        raise NoReport(str(fault)) from None
    client = client_for(base, namespace)
    return page(await report_of(client, workflow_id))


def main() -> int:
    """Exit code 2: there is no such report."""
    parser = argparse.ArgumentParser(prog="python -m evidence", description="A failover test's report.")
    parser.add_argument("--namespace", required=True, help="the tenant's")
    parser.add_argument("workflow_id", help="of the FailoverTest, as the Web UI shows it")
    options = parser.parse_args()
    try:
        sys.stdout.write(asyncio.run(_fetch(options.namespace, options.workflow_id)))
    except NoReport as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
