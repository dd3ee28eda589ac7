"""Whether large packets arrive at the other end of the tunnel, tried by sending one.

The tunnel is one TCP connection. Where the line drops its full segments without a word, small packets pass
until the first large one: its segment is sent again and again, everything behind it waits, and OpenVPN
connects anew after some seconds. So one that does not come back stops the tunnel for a while, and is not sent
often.
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
KEPT = {"pass": 60.0, "suspected": 300.0, "lost": 1200.0}
"""Seconds for which it holds what was found."""
AGAIN = 600.0
"""Seconds after which what is lost is tried again."""


def answer(request: dict[str, Any], state: State, system: System) -> dict[str, Any]:
    """`pass`, `lost`, `suspected` (ask again soon), or `unknown`: the other end does not answer at all."""
    model.only(request, set())
    try:
        with state.turn("large-packets", 0):
            return {"large": _tried(state, system)}
    except TimeoutError:
        return {"large": known(state)}  # another request is trying


def known(state: State) -> str:
    """What was found last."""
    found, at = state.large_packets()
    return found if 0 <= time.time() - at < KEPT.get(found, 0.0) else "unknown"


def _tried(state: State, system: System) -> str:
    """Lost when it did not arrive twice in a row: once, the line may have been cut in between."""
    before, at = known(state), state.large_packets()[1]
    if before == "pass" or (before == "lost" and time.time() - at < AGAIN):
        return before
    own, other = tunnel_ends(state.role)
    if system.ping(own, other) is None:
        return before
    arrived = system.ping(own, other, LARGE, WAIT) is not None
    found = "pass" if arrived else "suspected" if before == "unknown" else "lost"
    state.note_large_packets(found)
    return found
