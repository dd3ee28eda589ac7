"""In Failover: replication stays on hold and the networks stay extended, whoever or whatever undoes that."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import metrics
from workflows.calls import call
from workflows.failover import Failover
from workflows.failures import root_cause

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.appliance import Claim
    from partial_failover.contracts.step_data import WatchInput, WatchStatus

OFTEN, REST = 20, timedelta(minutes=10)
"""After so much news there is a rest before the next look: a line that comes and goes must not fill the
history."""
LONGEST_HISTORY = 30_000
"""Events; Temporal ends a workflow at some 50,000, and undo needs a few hundred."""

UNKNOWN = (
    "Whether the tunnel is up cannot be told: another program holds the management socket of OpenVPN on the "
    "tenant's appliance"
)

LARGE_LOST = (
    "Large packets do not arrive through the tunnel, though small ones do: the line between the sites drops "
    "packets of 1,400 bytes, or smaller ones too, without a word. Copies and long answers hang"
)
LARGE_LOST_DO = (
    "Have the line let them pass, or give the management NIC of the tenant's appliance a smaller MTU"
)


class FailoverWatch:
    """Looks from the tenant's site, and repairs what was lost by the very steps that made it."""

    def __init__(self, failover: Failover) -> None:
        self._failover, self._progress = failover, failover.progress
        self._known = WatchStatus()
        self._news = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        metrics.large_packets_lost(self._failover.plan.vm, 0)
        while workflow.info().get_current_history_length() < LONGEST_HISTORY:
            try:
                seen = await self._look()
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                self._progress.warn(f"The failover could not be watched: {root_cause(error).message}")
                await workflow.sleep(REST)
                continue
            await self._tell_and_repair(seen)
        self._progress.warn(
            "So much happened that the failover is not watched any more; undo works as before"
        )

    async def _look(self) -> WatchStatus:
        """Ends with news, or after an hour without."""
        plan, site = self._failover.plan, self._failover.site
        data = WatchInput(
            **self._failover.replica,
            target=site.target,
            leases=plan.leases if site.appliance else (),
            known=self._known,
        )
        title = f"Watch {plan.replica_name}"
        return await call(steps.WATCH_FAILOVER, data, title)

    async def _tell_and_repair(self, seen: WatchStatus) -> None:
        known = self._known
        # A hold that is still not there is news again at the next look; a cut tunnel after an hour.
        self._known = seen.model_copy(update={"held": True})
        for claim in seen.claims[len(known.claims) :]:
            self._progress.warn(_claimed(claim))
        at = f"{workflow.now():%Y-%m-%d %H:%M:%S} UTC"
        if not seen.held:
            vm = self._failover.plan.vm
            self._progress.warn(f"Replication of {vm} was found released at {at}; it is put on hold again")
            await self._repair(self._failover.hold)
        if seen.large_lost is not known.large_lost:
            self._tell_of_large_packets(seen.large_lost, at)
        if seen.unknown:
            if not known.unknown:
                self._progress.warn(f"{UNKNOWN}, seen at {at}")
                self._say(f"{UNKNOWN}, seen at {at}. Nothing is repaired because of that.")
        elif not seen.connected:
            if known.connected:
                self._progress.warn(f"Production lost the connection to the replica at {at}")
                self._say(f"Lost at {at}; it is being repaired.")
            await self._repair(self._failover.extend_again)
        elif not known.connected or known.unknown:
            again = "again since" if not known.connected else "as before, seen at"
            self._say(f"Connected {again} {at}.")
        self._news += seen != known
        if self._news >= OFTEN and seen != known:
            await workflow.sleep(REST)

    def _tell_of_large_packets(self, lost: bool, at: str) -> None:
        """Nothing is lost that could be made again: the tunnel itself is up."""
        if lost:
            self._progress.warn(f"{LARGE_LOST}, seen at {at}")
            metrics.large_packets_lost(self._failover.plan.vm, 1)
            self._say("")
        else:
            self._say(f"Large packets arrive again, seen at {at}.")

    def _say(self, text: str) -> None:
        lost = f"{LARGE_LOST}. {LARGE_LOST_DO}." if self._known.large_lost else ""
        self._progress.connection = " ".join(part for part in (text, lost) if part)
        self._progress.show()

    async def _repair(self, again: Callable[[], Awaitable[None]]) -> None:
        try:
            await again()
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            self._progress.warn(f"It could not be repaired: {root_cause(error).message}")


def _claimed(claim: Claim) -> str:
    return (
        f"{claim.address} is also claimed by {claim.mac} in production: as a rule the original, switched on "
        "again. Switch it off or disconnect it; two machines cannot own one address"
    )
