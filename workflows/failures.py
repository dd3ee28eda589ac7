"""How workflows refuse, and what they tell of steps that failed: the root cause, without the wrappers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    RetryState,
    TimeoutError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from partial_failover.contracts.errors import BadRequest, ErrorDetails, FailoverError


@dataclass(frozen=True)
class RootCause:
    """`type`: the stable error type. `message`: for people. `details`: the same in parts, where the step said
    them; None where nobody answered."""

    type: str
    message: str
    details: ErrorDetails | None = None


def root_cause(error: BaseException) -> RootCause:
    """What a person needs of a failure."""
    cause: BaseException = error
    while isinstance(cause, ActivityError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, TimeoutError):
        if not isinstance(cause.cause, ApplicationError):
            return RootCause("Unavailable", f"No answer in time ({str(cause) or 'timeout'})")
        cause = cause.cause  # what the last attempt said
    if isinstance(cause, ApplicationError):
        return RootCause(cause.type or "Unexpected", cause.message, _details(cause))
    return RootCause(type(cause).__name__, str(cause))


def _details(failure: ApplicationError) -> ErrorDetails | None:
    for value in failure.details:
        if isinstance(value, ErrorDetails):
            return value
        if isinstance(value, dict) and "happened" in value:
            try:
                return ErrorDetails.model_validate(value)
            except ValidationError:  # of a worker of another version: its message says it too
                return None
    return None


def refusal(error: FailoverError, *more: Any) -> ApplicationError:  # Any: what the failure carries besides
    """The end of a workflow that is not to go on, in the words of the error."""
    return ApplicationError(str(error), *more, error.details, type=type(error).__name__, non_retryable=True)


def no_input(workflow_type: str) -> ApplicationError:
    """The start form was left empty."""
    do = 'Give {"vm": "erp-db-01"}'
    return refusal(BadRequest(f"{workflow_type} needs an input", left="Nothing was changed", do=do))


def is_final(error: ActivityError) -> bool:
    """Whether trying again cannot help."""
    return error.retry_state is RetryState.NON_RETRYABLE_FAILURE


@contextmanager
def raise_root_cause() -> Iterator[None]:
    """Around a look without which a workflow has nothing to answer: it ends in the words of what failed."""
    try:
        yield
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        cause = root_cause(error)
        details = [cause.details] if cause.details else []
        raise ApplicationError(cause.message, *details, type=cause.type, non_retryable=True) from None
