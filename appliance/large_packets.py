"""Whether large packets arrive at the other end of the tunnel, tried by sending one.

The tunnel is one TCP connection. Where the line drops its full segments without a word, small packets pass until
the first large one: its segment is sent again and again, everything behind it waits, and OpenVPN connects anew
after some seconds. So one that does not come back stops the tunnel for those seconds, and is not sent often.
"""

import time
from typing import Any  # JSON values

from appliance import model
from appliance.kernel import TUNNEL_MTU, tunnel_ends
from appliance.state import State
from appliance.system import System

HEADERS = 28
"""Bytes of IPv4 and ICMP."""
LARGE = TUNNEL_MTU - HEADERS
"""Bytes of an echo request that fills the tunnel's largest packet, and several outer segments."""
WAIT = 5.0
"""Seconds. A segment that is only lost by chance is there long before."""
ENOUGH = 2
"""So often in a row a small packet passes and a large one does not: a line that was cut in between looks like
that, too, but not twice."""
FRESH = {"pass": 60.0, "suspected": 0.0, "lost": 600.0}
"""Seconds for which it is not tried again."""
KEPT = 1200.0
"""Seconds after which what was found says nothing any more."""


def answer(request: dict[str, Any], state: State, system: System) -> dict[str, Any]:
    """`pass`, `lost`, `suspected` (ask again soon) or `unknown`: also the other end's program must know of this."""
    model.only(request, set())
    try:
        with state.turn("large-packets", 0):
            return {"large": _tried(state, system)}
    except TimeoutError:
        return {"large": known(state)}  # another request is trying


def known(state: State) -> str:
    """What was found last."""
    found, at, _ = state.large_packets()
    return found if 0 <= time.time() - at < KEPT else "unknown"


def _tried(state: State, system: System) -> str:
    before = known(state)
    _, at, missed = state.large_packets()
    if time.time() - at < FRESH.get(before, 0.0):
        return before
    own, other = tunnel_ends(state.role)
    if system.ping(own, other) is None:
        return before
    arrived = system.ping(own, other, LARGE, WAIT) is not None
    missed = 0 if arrived else (missed if before != "unknown" else 0) + 1
    found = "pass" if arrived else "lost" if missed >= ENOUGH else "suspected"
    state.note_large_packets(found, missed)
    return found
