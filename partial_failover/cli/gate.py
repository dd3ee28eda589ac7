"""The gate's HAProxy configuration, from the provider's: who may call what of Temporal."""

from collections.abc import Iterable
from importlib import resources
from string import Template

from partial_failover.cli.haproxy import word
from partial_failover.settings import BadSettings, ProviderWorkerSettings

FILES = resources.files("partial_failover") / "deploy" / "temporal" / "gate"
SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
"""Of which the calls below are, where nothing else is said."""

PEOPLE = (
    "GetSystemInfo",
    "GetClusterInfo",
    "DescribeNamespace",
    "StartWorkflowExecution",
    "SignalWithStartWorkflowExecution",
    "ExecuteMultiOperation",
    "SignalWorkflowExecution",
    "UpdateWorkflowExecution",
    "PollWorkflowExecutionUpdate",
    "QueryWorkflow",
    "RequestCancelWorkflowExecution",
    "DescribeWorkflowExecution",
    "ListWorkflowExecutions",
    "CountWorkflowExecutions",
    "GetWorkflowExecutionHistory",
    "GetWorkflowExecutionHistoryReverse",
    "CreateSchedule",
    "DescribeSchedule",
    "UpdateSchedule",
    "PatchSchedule",
    "DeleteSchedule",
    "ListSchedules",
    "CountSchedules",
    "ListScheduleMatchingTimes",
)
"""What a tenant's people and their programs use of failovers. A call that a new version of Temporal brings is
refused until it is written here."""

TENANT_SITE_WORKER = (
    "GetSystemInfo",
    "DescribeNamespace",
    "/temporal.api.operatorservice.v1.OperatorService/ListSearchAttributes",
    "PollActivityTaskQueue",
    "RecordActivityTaskHeartbeat",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RespondActivityTaskCanceled",
    "RecordWorkerHeartbeat",
    "ShutdownWorker",
    "DescribeTaskQueue",
    "DescribeWorkflowExecution",
    "ListWorkflowExecutions",
)
"""What the tenant-site worker calls. It answers by the token of a task that it was given: what answers by the
IDs of a workflow and an activity is not here, nor is what polls for workflows."""


def render(settings: ProviderWorkerSettings) -> str:
    """The whole file. Raises `BadSettings` where the configuration has no gate."""
    gate = settings.gate
    if gate is None:
        raise BadSettings("gate is not set: it says where the gate finds Temporal's frontend")
    tenants = [f"    acl tenant ssl_c_s_dn(CN) -m str -- {word(t.namespace)}" for t in settings.tenants]
    return "".join(
        (
            _filled(
                "haproxy.cfg",
                frontend=f"{gate.frontend.host}:{gate.frontend.port}",
                name=gate.server_name or gate.frontend.host,
                certificate=" crt client.pem" if gate.client_certificate else "",
            ),
            _callers("people", gate.people_port, PEOPLE, who="a tenant's people", certificate="", rules=""),
            _callers(
                "tenant-site-workers",
                gate.workers_port,
                TENANT_SITE_WORKER,
                who="a tenant-site worker",
                certificate=" verify required ca-file workers-ca.pem",
                rules=_filled("certificate.cfg", tenants="\n".join(tenants)),
            ),
        )
    )


def _callers(name: str, port: int, calls: Iterable[str], **rest: str) -> str:
    paths = (call if call.startswith("/") else SERVICE + call for call in calls)
    listed = "\n".join(f"    acl listed pathq -m str {path}" for path in paths)
    return _filled("callers.cfg", name=name, port=str(port), calls=listed, **rest)


def _filled(file: str, **values: str) -> str:
    return Template((FILES / file).read_text()).substitute(values)
