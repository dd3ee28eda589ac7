"""Around every activity: when its attempt began, and how its errors become Temporal failures."""

import logging
from contextvars import ContextVar
from datetime import timedelta
from time import monotonic
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from partial_failover.contracts.check import CheckResult
from partial_failover.contracts.errors import LONGEST_TEXT, ErrorDetails, FailoverError, Who
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.step_data import StepOutcome

attempt_ends: ContextVar[float] = ContextVar("attempt_ends")
"""Monotonic time at which this attempt is over: it has begun when the worker took it up."""
log = logging.getLogger(__name__)


class ErrorInterceptor(Interceptor):
    """Gives each failure its stable type, whether it is retried, and a bounded text."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(super().intercept_activity(next))


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # Any: as the SDK declares it
        info = activity.info()
        attempt_ends.set(monotonic() + lasts(info, input).total_seconds())
        where = f"{info.namespace} {info.workflow_id} {info.activity_type} attempt {info.attempt}"
        try:
            result = await super().execute_activity(input)
        except FailoverError as error:
            log.warning("%s: %s: %s", where, type(error).__name__, error)
            raise as_failure(error) from None
        except FailureError:
            raise
        except Exception as error:
            log.exception("%s: unexpected", where)
            raise _unexpected(error, info) from None
        log.info("%s: done", where)
        if isinstance(result, StepOutcome | CheckResult):  # the report says how many attempts it took
            return result.model_copy(update={"attempt": info.attempt})
        return result


def lasts(info: activity.Info, input: ExecuteActivityInput) -> timedelta:
    """Until this attempt is timed out, or the whole step is, by the server's clock. Never longer than the
    step is declared with: whatever a namespace holds can schedule a step with any timeout."""
    limits = [info.start_to_close_timeout or timedelta(minutes=1)]
    if info.schedule_to_close_timeout is not None:
        limits.append(info.schedule_to_close_timeout - (info.started_time - info.scheduled_time))
    step = getattr(input.fn, "carries_out", None)
    if step is not None:
        limits.append(step.budget.attempt)
    return min(limits)


def as_failure(error: FailoverError) -> ApplicationError:
    """The failure that enters the history: the error's own text with who must act, no stack of wrappers."""
    who = "" if error.who is Who.NOBODY else f" Who must act: the {error.who}."
    pause = timedelta(seconds=error.retry_after) if error.retryable and error.retry_after else None
    return ApplicationError(
        f"{error}{who}",
        error.details,
        type=type(error).__name__,
        non_retryable=not error.retryable,
        next_retry_delay=pause,
    )


def _unexpected(error: Exception, info: activity.Info) -> ApplicationError:
    """A defect, or something that nobody thought of. Its text may hold anything, so it stays in the log."""
    happened = f"Unexpected {type(error).__name__} in {info.activity_type}"
    do = "the worker's log says more"
    who = Who.PROVIDER if info.task_queue == PROVIDER else Who.TENANT
    details = ErrorDetails(happened=happened[:LONGEST_TEXT], do=do, who=who)
    return ApplicationError(f"{details.happened}; {do}.", details, type="Unexpected")
