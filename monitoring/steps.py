"""Every step that runs in this process: measured, counted, and named in its log lines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any  # Any: as the SDK declares results

from temporalio import activity
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from monitoring import logs

DURATION = "failover_step_duration"
FAILURES = "failover_step_failures"


class StepMonitor(Interceptor):
    """`last_ended`: when a step ended last, on `time.monotonic`; 0: none yet."""

    def __init__(self) -> None:
        self._at_work: dict[bytes, str] = {}
        self.last_ended = 0.0

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


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, monitor: StepMonitor) -> None:
        super().__init__(next)
        self._monitor = monitor

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        about = subject(input.args[0]) if input.args else None
        logs.replica.set(about)
        started, outcome = time.monotonic(), "failed"
        with self._monitor.working(activity.info(), about):
            try:
                result = await super().execute_activity(input)
                outcome = "nothing to do" if getattr(result, "changed", None) is False else "done"
                return result
            except BaseException as error:
                if is_cancelled_exception(error):
                    outcome = "cancelled"
                else:
                    _count(error)
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


def _measure(outcome: str, seconds: float) -> None:
    meter = activity.metric_meter().with_additional_attributes({"outcome": outcome})
    histogram = meter.create_histogram_timedelta(DURATION, "One attempt of a step")
    histogram.record(timedelta(seconds=seconds))


def _count(error: BaseException) -> None:
    """One attempt that failed. `retried`: whether Temporal tries again by itself."""
    known = error if isinstance(error, ApplicationError) else None
    attributes: dict[str, str | bool] = {
        "error_type": (known and known.type) or type(error).__name__,
        "retried": known is None or not known.non_retryable,
    }
    counter = activity.metric_meter().create_counter(FAILURES, "Attempts of steps that failed")
    counter.add(1, attributes)
