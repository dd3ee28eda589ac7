"""Every step that runs in this process: measured, counted, and named in its log lines."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any  # Any: as the SDK declares results

from temporalio import activity
from temporalio.api.enums.v1 import TimeoutType
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.service import RPCError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from partial_failover.monitoring import logs

DURATION = "failover_step_duration"
FAILURES = "failover_step_failures"
TIMEOUTS = {
    TimeoutType.TIMEOUT_TYPE_HEARTBEAT: "HeartbeatTimeout",
    TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE: "StartToCloseTimeout",
}
ASK_WITHIN = timedelta(seconds=2)
log = logging.getLogger(__name__)


class StepMonitor(Interceptor):
    """`last_ended`: when a step ended last, on `time.monotonic`; 0: none yet.
    `clients`: by namespace, to ask how an attempt ended that could not say so itself."""

    def __init__(self) -> None:
        self._at_work: dict[bytes, str] = {}
        self.last_ended = 0.0
        self.clients: dict[str, Client] = {}

    @property
    def at_work(self) -> list[str]:
        """The steps that run now, in words."""
        return list(self._at_work.values())

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """To be the outermost, so that it sees failures as the history gets them."""
        return _Inbound(super().intercept_activity(next), self)

    @contextmanager
    def working(self, step: activity.Info, subject: str | None) -> Iterator[None]:
        """Runs on the event loop only, so the list needs no lock."""
        about = f" of {subject}" if subject else ""
        self._at_work[step.task_token] = (
            f"{step.activity_type}{about} ({step.namespace}, {step.workflow_id}, attempt {step.attempt})"
        )
        try:
            yield
        finally:
            del self._at_work[step.task_token]
            self.last_ended = time.monotonic()

    async def count_lost(self, step: activity.Info) -> None:
        """Count the attempt before this one, where it timed out: its process died, or hangs."""
        client = self.clients.get(step.namespace)
        if step.attempt == 1 or client is None or step.workflow_id is None:
            return
        try:
            kind = await _timed_out(client, step)
        except RPCError as error:  # it is only counted; the step itself must not wait for that
            log.info("it cannot be told how the attempt before ended: %s", error.status.name)
            return
        if kind is not None:
            log.warning("the attempt before ended by %s", kind)
            _count(kind, retried=True)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, monitor: StepMonitor) -> None:
        super().__init__(next)
        self._monitor = monitor

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        about = subject(input.args[0]) if input.args else None
        logs.replica.set(about)
        with self._monitor.working(activity.info(), about):
            await self._monitor.count_lost(activity.info())
            started, outcome = time.monotonic(), "failed"
            try:
                result = await super().execute_activity(input)
                outcome = "nothing to do" if getattr(result, "changed", None) is False else "done"
                return result
            except BaseException as error:
                if is_cancelled_exception(error):
                    outcome = "cancelled"
                else:
                    known = error if isinstance(error, ApplicationError) else None
                    kind = (known and known.type) or type(error).__name__
                    _count(kind, is_retried(activity.info(), known, datetime.now(UTC)))
                raise
            finally:
                _measure(outcome, time.monotonic() - started)


def subject(data: object) -> str | None:
    """The VM that a step's input is about: by name where it has one, else by the replica's id."""
    request, target = getattr(data, "request", None), getattr(data, "target", None)
    names = (
        getattr(data, "vm", None),
        getattr(request, "vm", None),
        getattr(target, "name", None),
        getattr(data, "replica_id", None),
    )
    return next((name for name in names if isinstance(name, str)), None)


def is_retried(step: activity.Info, error: ApplicationError | None, now: datetime) -> bool:
    """Whether Temporal tries again by itself, by the rules of its server: not after the last attempt, and
    not when the next one would begin after the step's time."""
    policy = step.retry_policy
    if error is not None and error.non_retryable:
        return False
    if policy is None:
        return True
    if policy.maximum_attempts and step.attempt >= policy.maximum_attempts:
        return False
    if step.schedule_to_close_timeout is None:
        return True
    # The exponent is bounded: a step may have thousands of attempts, and a float has an end.
    pause = policy.initial_interval * policy.backoff_coefficient ** min(step.attempt - 1, 30)
    pause = min(pause, policy.maximum_interval or pause)
    return now + pause <= step.scheduled_time + step.schedule_to_close_timeout


async def _timed_out(client: Client, step: activity.Info) -> str | None:
    """How the attempt before this one timed out; None: it did not."""
    handle = client.get_workflow_handle(step.workflow_id or "", run_id=step.workflow_run_id)
    described = await handle.describe(rpc_timeout=ASK_WITHIN)
    for pending in described.raw_description.pending_activities:
        if pending.activity_id == step.activity_id and pending.attempt == step.attempt:
            failure = pending.last_failure
            if failure.HasField("timeout_failure_info"):
                return TIMEOUTS.get(failure.timeout_failure_info.timeout_type, "Timeout")
    return None


def _measure(outcome: str, seconds: float) -> None:
    meter = activity.metric_meter().with_additional_attributes({"outcome": outcome})
    histogram = meter.create_histogram_timedelta(DURATION, "One attempt of a step")
    histogram.record(timedelta(seconds=seconds))


def _count(kind: str, retried: bool) -> None:
    """One attempt that failed."""
    counter = activity.metric_meter().create_counter(FAILURES, "Attempts of steps that failed")
    counter.add(1, {"error_type": kind, "retried": retried})
