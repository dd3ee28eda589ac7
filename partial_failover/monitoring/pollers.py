"""Which processes ask Temporal for a tenant's work. The server alone knows."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from partial_failover.contracts.queues import PROVIDER, PROVIDER_WATCH, TENANT_SITE, TENANT_SITE_WATCH

POLLS_WITHIN = timedelta(minutes=3)
"""A poll for work lasts up to 70 s, and the watch looks every 30."""
_KINDS = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


@dataclass(frozen=True)
class Work:
    """What is polled for. `kind`: "workflow" or "activity"."""

    queue: str
    kind: str


OF_ROLE = {
    PROVIDER: (Work(PROVIDER, "workflow"), Work(PROVIDER, "activity"), Work(PROVIDER_WATCH, "activity")),
    TENANT_SITE: (Work(TENANT_SITE, "activity"), Work(TENANT_SITE_WATCH, "activity")),
}
"""By role, which is called as its task queue is: what each process of it polls for."""


@dataclass(frozen=True)
class Polled:
    """`processes`: how many polled within `POLLS_WITHIN`. `own`: when this one did last, on the clock of
    `time.monotonic`; 0: never."""

    processes: int
    own: float


async def polled(client: Client, work: Work) -> Polled:
    """What the server says of the client's namespace."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=work.queue),
        task_queue_type=_KINDS[work.kind],
    )
    answer = await client.workflow_service.describe_task_queue(request)
    ages = {p.identity: datetime.now(UTC) - p.last_access_time.ToDatetime(UTC) for p in answer.pollers}
    own = ages.get(client.identity)
    return Polled(
        processes=sum(age < POLLS_WITHIN for age in ages.values()),
        own=time.monotonic() - own.total_seconds() if own is not None else 0.0,
    )
