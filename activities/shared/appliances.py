"""What is the same on both appliances: waiting until one answers, its networks, its leases."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address

from partial_failover.connectors.appliance import Appliance
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.pause import Pause
from partial_failover.contracts.appliance import (
    ApplianceNetwork,
    ApplianceStatus,
    LargePackets,
    Released,
    TunnelState,
)
from partial_failover.contracts.errors import ApplianceChanged, FailoverError, Unavailable
from partial_failover.contracts.network import Network
from partial_failover.contracts.replica import Power
from partial_failover.contracts.step_data import ApplianceStep, TunnelSeen

POLL = 1.0
"""Seconds between two questions to an appliance that boots."""
TUNNEL_POLL = 0.3
"""Seconds between two looks at a tunnel that connects."""
LARGE_PATIENCE = 3.0
"""Seconds for the other end of a tunnel that has just connected to answer at all; one with another program
never does."""


def wait_until_it_answers(
    appliance: Appliance, power: Callable[[], Power], attempt: Attempt
) -> ApplianceStatus:
    """An appliance that was powered on needs some seconds until its SSH server answers. One that another
    failover's end switched off meanwhile never does: the next attempt powers it on again."""
    pause = Pause(attempt, POLL, POLL)
    while True:
        try:
            return asyncio.run(appliance.status())
        except Unavailable:
            if attempt.left() <= 0 or power() is not Power.ON:
                raise
            pause.rest()


def declare_networks(
    appliance: Appliance,
    networks: Sequence[Network],
    macs: Mapping[str, str],
    spares: Mapping[str, IPv4Address],
    attempt: Attempt,
) -> bool:
    """Tell the appliance which of its NICs (by MAC) is on which network."""
    declared = [
        ApplianceNetwork(
            name=n.name, mac=macs[n.name], subnet=n.subnet, gateway=n.gateway, spare=spares[n.name]
        )
        for n in networks
        if n.name in macs and n.name in spares
    ]
    return asyncio.run(appliance.declare_networks(declared, attempt))


def place_leases(appliance: Appliance, data: ApplianceStep, attempt: Attempt) -> bool:
    """One lease for each address of the replica. True when any was new."""
    new = [
        asyncio.run(appliance.lease(lease, data.power_off_when_idle, data.original_may_run, attempt))
        for lease in data.leases
    ]
    return any(new)


def release_leases(appliance: Appliance, data: ApplianceStep, attempt: Attempt) -> Released:
    """Give the leases back. The appliance says whether it was the last and now closes."""
    answers = [
        asyncio.run(appliance.release(lease.id, data.power_off_when_idle, attempt)) for lease in data.leases
    ]
    return answers[-1].model_copy(update={"changed": any(answer.changed for answer in answers)})


@contextmanager
def unless_switched_off(power: Callable[[], Power]) -> Iterator[None]:
    """An appliance that does not answer may have been switched off by the end of another failover: then
    waiting for it is in vain."""
    try:
        yield
    except Unavailable:
        if power() is Power.ON:
            raise
        raise ApplianceChanged(
            "The appliance was switched off meanwhile", do="Its side is started over"
        ) from None


def require_open(status: ApplianceStatus, switch_off: Callable[[], object]) -> None:
    """A closing appliance has no lease and no tunnel left, so whoever meets it may switch it off."""
    if status.closing:
        switch_off()
        raise ApplianceChanged("The appliance was switching itself off", do="Its side is started over")


def wait_for_tunnel(appliance: Appliance, attempt: Attempt) -> TunnelSeen:
    """Until both ends of the tunnel have found each other, within the attempt's time."""
    pause = Pause(attempt, TUNNEL_POLL, TUNNEL_POLL)
    while True:
        status = asyncio.run(appliance.status())
        tunnel = status.vpn
        if tunnel.state is TunnelState.CONNECTED:
            large = LargePackets.UNKNOWN if status.large is None else _try_large(appliance, attempt)
            lost = ", but large packets are lost in it" if large is LargePackets.LOST else ""
            note = f"The tunnel is connected{lost}"
            return TunnelSeen(changed=False, note=note, connected=True, large=large)
        if attempt.left() <= 0:
            raise Unavailable(f"The tunnel is {tunnel.state}, not connected", do="Look at the cloud gateway")
        pause.rest()


def _try_large(appliance: Appliance, attempt: Attempt) -> LargePackets:
    """What can be told of large packets within the attempt's time. It decides nothing."""
    pause, end = Pause(attempt, TUNNEL_POLL, TUNNEL_POLL), time.monotonic() + LARGE_PATIENCE
    while True:
        try:
            large = asyncio.run(appliance.large_packets())
        except FailoverError:
            return LargePackets.UNKNOWN
        waits = large is LargePackets.UNKNOWN and time.monotonic() < end
        if not (waits or large is LargePackets.SUSPECTED) or attempt.left() <= 0:
            return large
        pause.rest()


def may_go_off(appliance: Appliance) -> bool:
    """Whether the appliance has decided, under its own lock, that nobody uses it any more."""
    status = asyncio.run(appliance.status())
    # While the tunnel still stops, whoever released the last lease waits for that and has the answer to come.
    return status.closing and not status.leases and status.vpn.state is TunnelState.STOPPED
