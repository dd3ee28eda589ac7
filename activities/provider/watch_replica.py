"""The long look at a replica in Failover: does it run, and does it ask anything?"""

import asyncio
from datetime import timedelta

from temporalio import activity

from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.connectors.pause import Pause
from partial_failover.contracts import steps
from partial_failover.contracts.errors import FailoverError
from partial_failover.contracts.replica import CloudVm, Power, Running
from partial_failover.contracts.step_data import ReplicaSeen, WatchReplicaInput

PAUSE = 10.0
"""Seconds between two looks, each of which is one read of four properties in vCenter."""
MOST_FAILED = 3
"""Looks in a row until it is said that the replica cannot be looked at."""
SAME_BOOT = timedelta(seconds=5)
"""vCenter may tell the time of one boot differently after it moved the VM."""
TROUBLE = "failover_replica_trouble"
BOOTED = "failover_replica_booted"


class WatchReplica(ProviderSteps):
    """For one tenant. Async: most of it is waiting."""

    @provider_step(steps.WATCH_REPLICA)
    async def watch_replica(self, data: WatchReplicaInput) -> ReplicaSeen:
        """Look until the replica stands otherwise than is known. Changes nothing. A look that fails says
        nothing of the replica; where it fails again and again, that is news."""
        attempt = current_attempt(self.tenant.fence, data)
        vm = await asyncio.to_thread(self.tenant.replica, data.replica_id)
        gauges = _Gauges(self.tenant.original_of(vm))
        pause, failed = Pause(attempt, PAUSE, PAUSE), 0
        try:
            while attempt.left() > 0:
                try:
                    seen, failed = await asyncio.to_thread(self._look, vm, data.known), 0
                except FailoverError as error:
                    failed += 1
                    why = data.known.unseen or (str(error) if failed >= MOST_FAILED else "")
                    seen = data.known.model_copy(update={"unseen": why})
                gauges.show(seen)
                if seen != data.known:
                    return seen
                await pause.rest_async()
        finally:
            gauges.clear()  # the next attempt may be another process's
        return data.known

    def _look(self, vm: CloudVm, known: ReplicaSeen) -> ReplicaSeen:
        vcenter, moref = self.tenant.place(vm)
        now, current = vcenter.running(moref), known.current
        if now.current is not None and (current is None or current.id != now.current):
            points = vcenter.vm(moref).restore_points
            current = next((p for p in points if p.id == now.current), current)
        return _seen(now, known).model_copy(update={"current": current})


def _seen(now: Running, known: ReplicaSeen) -> ReplicaSeen:
    booted = now.booted
    if booted is None or (known.booted is not None and abs(booted - known.booted) < SAME_BOOT):
        booted = known.booted
    return ReplicaSeen(power=now.power, question=now.question, booted=booted)


class _Gauges:
    """What alerts are about, in the process that looks."""

    def __init__(self, vm: str) -> None:
        meter = activity.metric_meter()
        self._vm = vm
        self._trouble = meter.create_gauge(TROUBLE, "1 while a replica in Failover is not as it should be")
        self._booted = meter.create_gauge(BOOTED, "When a replica in Failover was powered on last, Unix time")

    def show(self, seen: ReplicaSeen) -> None:
        self._set(
            off=seen.power is Power.OFF,
            suspended=seen.power is Power.SUSPENDED,
            question=bool(seen.question),
            unseen=bool(seen.unseen) or seen.power is Power.OTHER,
        )
        if seen.booted is not None:
            self._booted.set(int(seen.booted.timestamp()), {"vm": self._vm})

    def clear(self) -> None:
        self._set(off=False, suspended=False, question=False, unseen=False)

    def _set(self, **troubles: bool) -> None:
        for what, there in troubles.items():
            self._trouble.set(int(there), {"vm": self._vm, "what": what})
