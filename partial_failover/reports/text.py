"""Words for people."""

from datetime import datetime, timedelta

from partial_failover.contracts.duration_text import duration_text
from partial_failover.contracts.failover_test import Target


def clean(text: str) -> str:
    """Without characters that XML cannot carry; names and answers of other systems can hold any."""
    return "".join(c if c.isprintable() else " " for c in text)


def moment(at: datetime) -> str:
    """A time, to the second, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def seconds(value: float | None) -> str:
    """A duration."""
    if value is None:
        return "not measured"
    return f"{value:.1f} s" if value < 60 else duration_text(timedelta(seconds=value))


def target(value: Target) -> str:
    """A measure against its target."""
    if value.target_s is None:
        return f"{seconds(value.measured_s)} (no target)"
    met = {True: "met", False: "missed", None: "not measured"}[value.met]
    return f"{seconds(value.measured_s)}, target {seconds(value.target_s)}: {met}"
