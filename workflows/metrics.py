"""What workflows measure for the operators. Nothing is recorded while a history is replayed."""

from datetime import timedelta

from temporalio import workflow


def time_to_power_on(seconds: float) -> None:
    """From the start of the failover until the replica was powered on."""
    _record("failover_time_to_power_on", seconds)


def time_to_reachable(seconds: float) -> None:
    """From the start of the failover until the replica answered through the tunnel."""
    _record("failover_time_to_reachable", seconds)


def ended(outcome: str, state: str) -> None:
    """A failover has ended. `outcome`: "undone", "failed" and the like; `state`: of the replica."""
    counter = workflow.metric_meter().create_counter("failover_ended", "Failovers by outcome")
    counter.add(1, {"outcome": outcome, "state": state})


def large_packets_lost(vm: str, times: int) -> None:
    """A watch has begun (0 times), or found that large packets do not arrive through the tunnel (once)."""
    counter = workflow.metric_meter().create_counter(
        "failover_large_packets_lost", "Times that large packets were found lost in a tunnel, by VM"
    )
    counter.add(times, {"vm": vm})


def test_ended(vm: str, result: str) -> None:
    """A failover test of a VM has ended, whatever became of its record with the replica."""
    workflow.metric_meter().create_counter("failover_tests", "Failover tests by VM and result").add(
        1, {"vm": vm, "result": result}
    )


def _record(name: str, seconds: float) -> None:
    workflow.metric_meter().create_histogram_timedelta(name).record(timedelta(seconds=seconds))
