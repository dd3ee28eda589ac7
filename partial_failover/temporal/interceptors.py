"""Faults become Temporal failures here, in one place, for every activity."""

import logging
from time import monotonic
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities.shared.attempt import began
from partial_failover.contracts.check import CheckResult
from partial_failover.contracts.errors import LONGEST_TEXT, FailoverError, Who
from partial_failover.contracts.step import StepResult

log = logging.getLogger(__name__)


class ErrorInterceptor(Interceptor):
    """Gives each failure its stable type, whether it is retried, and a bounded text."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(super().intercept_activity(next))


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # Any: as the SDK declares it
        began.set(monotonic())
        info = activity.info()
        where = f"{info.namespace} {info.workflow_id} {info.activity_type} attempt {info.attempt}"
        try:
            result = await super().execute_activity(input)
        except FailoverError as fault:
            log.warning("%s: %s: %s", where, type(fault).__name__, fault)
            raise as_failure(fault) from None
        except FailureError:
            raise
        except Exception as error:
            log.exception("%s: unexpected", where)
            text = f"Unexpected {type(error).__name__} in {info.activity_type}; the worker's log says more."
            raise ApplicationError(text[:LONGEST_TEXT], type="Unexpected") from None
        log.info("%s: done", where)
        if isinstance(result, StepResult | CheckResult):  # the report says how many attempts it took
            return result.model_copy(update={"attempt": info.attempt})
        return result


def as_failure(fault: FailoverError) -> ApplicationError:
    """The failure that enters the history: the leaf's own text with who must act, no stack of wrappers."""
    who = "" if fault.who is Who.NOBODY else f" Who must act: the {fault.who}."
    return ApplicationError(
        f"{fault}{who}",
        {"who": fault.who.value},
        type=type(fault).__name__,
        non_retryable=not fault.retryable,
    )
