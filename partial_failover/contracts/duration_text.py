"""Durations in words."""

from datetime import timedelta

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration_text(duration: timedelta) -> str:
    """Its two largest units: "2 d", "1 h 30 min", "45 s"; tenths below ten seconds."""
    seconds = max(0.0, duration.total_seconds())
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0", "")
    left, parts = round(seconds), []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:2])
