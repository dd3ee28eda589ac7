"""This attempt of this activity, as the connectors need it."""

from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.shared.fence import Fence
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.errors import Unavailable
from partial_failover.contracts.step_data import StepInput
from partial_failover.temporal.interceptors import attempt_ends

MARGIN = timedelta(seconds=10)
"""A mutation sent at the last moment must have reached its system before the attempt is timed out and
another one may run: longer than a connector takes to connect and send."""


def current_attempt(fence: Fence, step: StepInput | None = None) -> Attempt:
    """May act until its time is over less `MARGIN`, on the monotonic clock, and only as long as it is the
    current attempt and its run still holds the replica that `step` is about."""
    info = activity.info()
    details = list(info.heartbeat_details)
    return Attempt(
        deadline=attempt_ends.get() - MARGIN.total_seconds(),
        heartbeat=_heartbeat,
        earlier_task=details[0] if details and isinstance(details[0], str) else None,
        confirm=lambda task: fence.confirm(info.task_token, task, step),
        leave=lambda task: fence.leave_task(info.task_token, task),
        listen=_listen,
    )


def _heartbeat(task: str | None) -> None:
    """Between two polls is the place where an attempt may end: the task goes on, and is adopted."""
    activity.heartbeat(task)
    if activity.is_worker_shutdown():
        raise Unavailable("The worker is shutting down", left="What was started goes on")


def _listen() -> None:
    if activity.is_cancelled():
        raise CancelledError("Cancelled while waiting")
