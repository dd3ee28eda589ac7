"""In Failover: whether the replica itself runs. It is said; it goes on again when somebody asks for it."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows.calls import call
from workflows.failover import Failover
from workflows.failures import refusal, root_cause
from workflows.watch import LONGEST_HISTORY, OFTEN, REST

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.errors import BadRequest
    from partial_failover.contracts.replica import Power, RestorePoint
    from partial_failover.contracts.step_data import ReplicaInput, ReplicaSeen, WatchReplicaInput

ANSWER = "Answer the question in Cloud Director or vCenter"
RESUME = 'Send the Update "resume": it goes on with all that it wrote'
RESUME_AS_IT_IS = 'Send the Update "resume": it goes on from where it stands now'


class ReplicaWatch:
    """Looks at the replica in vCenter, says what became of it, and brings it on again when it is told to."""

    def __init__(self, failover: Failover) -> None:
        self._failover, self._progress = failover, failover.progress
        self._name = failover.plan.replica_name
        self.seen: ReplicaSeen | None = None
        """None until it was looked at."""
        self.to_resume = False
        self._stands = failover.plan.restore_point
        self._news = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        known = ReplicaSeen(current=self._stands)
        while workflow.info().get_current_history_length() < LONGEST_HISTORY:
            data = WatchReplicaInput(**self._failover.replica, known=known)
            rest = False
            try:
                seen = await call(steps.WATCH_REPLICA, data, f"Watch whether {self._name} runs")
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                seen, rest = known.model_copy(update={"unseen": root_cause(error).message}), True
            self.seen = seen
            self._tell(known, seen)
            self._news += seen != known
            if rest or (self._news >= OFTEN and seen != known):
                await workflow.sleep(REST)
            known = seen
        self._progress.warn("So much happened that the replica is not watched any more; undo works as before")

    async def resume_when_told(self) -> None:
        """Until it is cancelled. A switch-on that fails leaves the replica in Failover, as it is."""
        while True:
            await workflow.wait_condition(lambda: self.to_resume)
            try:
                await self._progress.run(
                    steps.RESUME_REPLICA, ReplicaInput(**self._failover.replica), f"Resume {self._name}"
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                self._progress.warn(f"{self._name} could not be resumed: {root_cause(error).message}")
            finally:
                self.to_resume = False

    def may_resume(self) -> None:
        """Raises the refusal of a `resume` that has nothing to do, or cannot do it."""
        seen = self.seen
        if self.to_resume:
            raise _refused(f"{self._name} is being resumed already", "Wait for the step on this page")
        if seen is not None and seen.question:
            raise _refused(f"{self._name} waits for an answer: {seen.question}", ANSWER)
        if seen is not None and seen.power is Power.ON and not seen.unseen:
            raise _refused(f"{self._name} is on", "There is nothing to resume")

    def _tell(self, known: ReplicaSeen, seen: ReplicaSeen) -> None:
        at = f"{workflow.now():%Y-%m-%d %H:%M:%S} UTC"
        was, now = _trouble(known), _trouble(seen)
        restarted = known.booted is not None and seen.booted != known.booted
        if restarted and known.power is seen.power is Power.ON:
            self._progress.warn(f"{self._name} was restarted at {seen.booted:%Y-%m-%d %H:%M:%S} UTC")
        if moved := self._moved(seen.current):
            self._progress.warn(f"{self._name} {moved}, seen at {at}")
            self._progress.replica = f"{self._name} {moved}, seen at {at}."
        if now is not None and now != was:
            text, do = now
            if do is RESUME and self._stands.id != self._failover.plan.restore_point.id:
                do = RESUME_AS_IT_IS
            self._progress.warn(f"{self._name} {text}, seen at {at}")
            self._progress.replica = f"{self._name} {text}, seen at {at}. {do}."
        elif now is None and was is not None:
            self._progress.replica = f"{self._name} runs again, seen at {at}."
        self._progress.show()

    def _moved(self, now: RestorePoint | None) -> str:
        """That it stands on another snapshot than before. None: that was not looked at."""
        was, self._stands = self._stands, now or self._stands
        name = self._stands.name
        if was.id == self._stands.id:
            return ""
        if self._stands.foreign:
            return f"stands on the snapshot {name}, which somebody made; undo does not go back to it"
        return (
            f"stands on {name} and not on {was.name} any more: somebody reverted it, and what it wrote until "
            "then is lost; or removed a snapshot, and nothing is"
        )


def _trouble(seen: ReplicaSeen) -> tuple[str, str] | None:
    """What is wrong with it, and what to do."""
    if seen.unseen:
        return (
            f"cannot be looked at: {seen.unseen.rstrip('.')}",
            "It is looked at again; what it does is not touched",
        )
    if seen.question:
        return f"waits for an answer: {seen.question}", ANSWER
    texts = {
        Power.OFF: ("is powered off, by somebody or something else", RESUME),
        Power.SUSPENDED: ("is suspended, as the end of a runtime lease does it", RESUME),
    }
    if seen.power is Power.ON:
        return None
    return texts.get(seen.power, ("is in a state that vCenter cannot tell", "Ask your provider"))


def _refused(what: str, do: str) -> BaseException:
    return refusal(BadRequest(what, left="Nothing was changed", do=do))
