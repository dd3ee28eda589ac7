"""What was asked of the systems of the lab."""

from lab.lab import Lab


def changes(lab: Lab, since: int) -> list[str]:
    """Calls since then that could change something."""
    calls = [c.call for c in lab.centre.faults.calls[since:]]
    writes = [c for c in calls if c.startswith(("POST", "PUT", "DELETE")) or c.endswith("_Task")]
    return [c for c in writes if "token" not in c and "session" not in c]
