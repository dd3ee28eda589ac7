"""Log lines as JSON, each with the tenant, the replica, the workflow and the step that it belongs to."""

import contextlib
import json
import logging
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any  # Any: what a log record and a workflow's input may hold

from temporalio import activity, workflow
from temporalio.exceptions import TemporalError

from partial_failover.temporal.search_attributes import ORIGINAL_VM

tenant: ContextVar[str | None] = ContextVar("tenant", default=None)
"""The namespace that a task works for, where no step and no workflow says so: set once at its start."""
replica: ContextVar[str | None] = ContextVar("replica", default=None)
"""The original VM or replica that the step at hand is about; set by the step interceptor."""
_only: list[str] = []
"""The tenant of this process, if it serves no other: then every line is about it."""
LONGEST_FIELD = 2000
"""Characters of a value of the SDK's core: it writes whole failures, with their stacks."""


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message; `tenant`, `replica`, `workflow`, `step`, null where
    there is none; `run` and `attempt` where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_where(record),
            **_of_core(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: int = logging.INFO) -> None:
    """Log to standard error, and nothing but such lines; the libraries' own chatter only from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _thread_ended
    for chatty in ("asyncssh", "httpx"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    # The line says it already.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False


def serves(tenants: Sequence[str]) -> None:
    """Whom this process works for."""
    _only[:] = tenants if len(tenants) == 1 else []


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "?"
    what = (ended.exc_type, ended.exc_value or ended.exc_type(), ended.exc_traceback)
    logging.getLogger(__name__).error("the thread %s ended", name, exc_info=what)


def _where(record: logging.LogRecord) -> dict[str, Any]:
    known = tenant.get() or next(iter(_only), None)
    where: dict[str, Any] = {"tenant": known, "replica": replica.get(), "workflow": None, "step": None}
    with contextlib.suppress(TemporalError, RuntimeError):
        if activity.in_activity():
            step = activity.info()
            return where | {
                "tenant": step.namespace,
                "workflow": step.workflow_id,
                "run": step.workflow_run_id,
                "step": step.activity_type,
                "attempt": step.attempt,
            }
        if workflow.in_workflow():
            run = workflow.info()
            return where | {
                "tenant": run.namespace,
                "replica": run.typed_search_attributes.get(ORIGINAL_VM),
                "workflow": run.workflow_id,
                "run": run.run_id,
                "step": getattr(record, "step", None),
            }
    return where


def _of_core(record: logging.LogRecord) -> dict[str, Any]:
    """What the SDK's core says beside its message."""
    entry = getattr(record, "temporal_log", None)
    if entry is None:
        return {}
    fields = {name: str(value)[:LONGEST_FIELD] for name, value in entry.fields.items()}
    return {"core": fields} | ({"run": fields["run_id"]} if "run_id" in fields else {})
