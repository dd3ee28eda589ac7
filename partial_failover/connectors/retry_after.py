"""Servers that ask for a pause (429, 503): how long, and whether it is waited for here."""

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 300.0
"""Seconds. Whatever a server asks for, it is asked again after that: nonsense must not end a failover."""
AT_ONCE = 10.0
"""Seconds that a read waits by itself. What takes longer is for who can say meanwhile that he is alive."""
STATUS = frozenset({429, 503})


def seconds_of(header: str | None) -> float | None:
    """Seconds that `Retry-After` asks for: a number, or a date (source: RFC 9110, 10.2.3). None where it asks
    for nothing that can be read; never negative and never more than `LONGEST`."""
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), LONGEST)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max(0.0, (when - datetime.now(UTC)).total_seconds()), LONGEST)


def rested(pause: float | None, left: float) -> bool:
    """Wait where that is asked for, short, and within the seconds that are `left`; False where it is not."""
    if pause is None or pause > AT_ONCE or pause >= left:
        return False
    time.sleep(pause)
    return True
