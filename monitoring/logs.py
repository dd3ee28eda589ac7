"""Log lines as JSON, each with the tenant, the replica, the workflow and the step that it belongs to."""

import contextlib
import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any  # Any: what a log record and a workflow's input may hold

from temporalio import activity, workflow
from temporalio.exceptions import TemporalError

replica: ContextVar[str | None] = ContextVar("replica", default=None)
"""The original VM or replica that the step at hand is about; set by the step interceptor."""


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and `tenant`, `replica`, `workflow`, `run`, `step`,
    `attempt` where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_where(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: int = logging.INFO) -> None:
    """Log to standard error; the libraries' own chatter only from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("asyncssh", "httpx"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def _where() -> dict[str, Any]:
    with contextlib.suppress(TemporalError, RuntimeError):
        if activity.in_activity():
            step = activity.info()
            return {
                "tenant": step.namespace,
                "replica": replica.get(),
                "workflow": step.workflow_id,
                "run": step.workflow_run_id,
                "step": step.activity_type,
                "attempt": step.attempt,
            }
        if workflow.in_workflow():
            run = workflow.info()
            return {"tenant": run.namespace, "workflow": run.workflow_id, "run": run.run_id}
    return {}
