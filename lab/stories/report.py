"""The report of a failover, for people."""

from rich.table import Table
from rich.text import Text

from partial_failover.contracts.report import FailoverReport


def table(report: FailoverReport, real: bool) -> Table:
    """What the workflow answered; its steps have been on the timeline. `real`: with packets."""
    point, age = report.restore_point, report.restore_point_age_s
    grid = Table(title=f"Report of {report.vm}", title_justify="left", show_header=False)
    longest = max(report.steps, key=lambda step: step.seconds or 0)
    rows = {
        "replica": report.replica,
        "state": report.state.value,
        "ended": report.ended,
        "asked for": f"{report.reason or 'no reason given'} (by {report.asked_by})",
        "restore point": f"{point.name} of {point.created:%Y-%m-%d %H:%M} UTC, {age / 60:.0f} min old",
        "time to power-on": _seconds(report.time_to_power_on_s),
        "time to reachable": _seconds(report.time_to_reachable_s) + ("" if real else ", simulated"),
        "time to undo": _seconds(report.time_to_undo_s),
        "steps": f"{len(report.steps)}, the longest: {longest.title} ({_seconds(longest.seconds)})",
        "warnings": "; ".join(report.warnings) or "none",
        "left over": "; ".join(report.left_over) or "nothing",
    }
    for name, value in rows.items():
        grid.add_row(name, Text(value))
    return grid


def _seconds(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} s"
