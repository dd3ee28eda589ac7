"""This attempt of this activity, as the connectors need it."""

from datetime import timedelta
from time import monotonic

from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.fence import Fence
from connectors.attempt import Attempt
from contracts.errors import Unavailable

MARGIN = timedelta(seconds=10)
"""A mutation sent at the last moment must have reached its system before the attempt is timed out and
another one may run: longer than a connector takes to connect and send."""


def current_attempt(fence: Fence) -> Attempt:
    """Deadline: start-to-close less `MARGIN`, on the monotonic clock from now, the attempt's start."""
    info = activity.info()
    lasts = info.start_to_close_timeout or timedelta(minutes=1)
    details = list(info.heartbeat_details)
    return Attempt(
        deadline=monotonic() + (lasts - MARGIN).total_seconds(),
        heartbeat=_heartbeat,
        earlier_task=details[0] if details and isinstance(details[0], str) else None,
        confirm=lambda task: fence.confirm_attempt(info.task_token, task),
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
