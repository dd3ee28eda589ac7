"""Whether a global exclusion keeps replication off a VM: tried on the backup server itself.

The documentation says that an exclusion keeps jobs off a VM, and not that replication jobs are among them.
"""

from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.pause import Pause
from partial_failover.connectors.veeam import answers
from partial_failover.connectors.veeam.answers import plain
from partial_failover.connectors.veeam.drain import IDLE, REPLICATION
from partial_failover.connectors.veeam.session import VeeamSession
from partial_failover.connectors.veeam.transport import HttpRequest, read
from partial_failover.contracts.errors import FailoverError, OutcomeUnknown, WrongState
from partial_failover.contracts.replication import HoldTarget

UNTOUCHED = "Nothing was changed"
STOPPING = 600.0
"""Seconds for which a run that was asked to stop is waited for."""


@dataclass(frozen=True)
class Run:
    """How the run that was started ended. `reached`: it processed the VM; `others`: and other VMs."""

    job: str
    ended: bool
    reached: bool
    others: int
    result: str


async def require_idle(session: VeeamSession, target: HoldTarget) -> answers.JobState:
    """A job that lists the VM and could be started now. Raises `WrongState` where there is none."""
    states = await _states(session)
    own = [state for state in states if state.name in target.jobs]
    fit = [state for state in own if state.status in IDLE and state.status != "disabled"]
    if not fit or len(fit) < len(own):
        said = ", ".join(f"{plain(state.name)} is {state.status}" for state in own) or "there is none now"
        raise WrongState(
            f"Every replication job of {plain(target.name)} must be idle and enabled: {said}",
            left=UNTOUCHED,
            do="Try again when none of them runs",
        )
    return fit[0]


async def run_once(session: VeeamSession, target: HoldTarget, job: answers.JobState, attempt: Attempt) -> Run:
    """Start the job and look whether it processes the VM; then it is asked to stop, and so at the end of the
    attempt's time."""
    body = {"performActiveFull": False, "startChainedJobs": False}
    start = HttpRequest("POST", f"/api/v1/jobs/{job.id}/start", body=body, mutates=True)
    try:
        await session.change(attempt, f"start {job.name}", start)
    except OutcomeUnknown:
        pass  # whether it runs shows below
    live = await _begun(session, job, attempt)
    pause, asked = Pause(attempt, 0.2, 2.0), False
    until = monotonic() + attempt.left() - min(STOPPING, attempt.left() / 2)
    while True:
        found = await _look(session, target, job, live)
        if found.ended or attempt.left() <= pause.seconds:
            return found
        if not asked and (found.reached or monotonic() >= until):
            await _stop(session, job, attempt)
            asked = True
        await pause.rest_async()


async def _begun(session: VeeamSession, job: answers.JobState, attempt: Attempt) -> UUID:
    pause = Pause(attempt, 0.2, 2.0)
    while True:
        now = next((state for state in await _states(session) if state.id == job.id), None)
        if now is not None and now.session_id is not None and now.session_id != job.session_id:
            return now.session_id
        if attempt.left() <= pause.seconds:
            raise WrongState(f"{plain(job.name)} was started, and no run of it is to be seen")
        await pause.rest_async()


async def _look(session: VeeamSession, target: HoldTarget, job: answers.JobState, run: UUID) -> Run:
    state = (await session.get(f"/api/v1/sessions/{run}")).read(answers.RunSession)
    items = await session.pages(f"/api/v1/sessions/{run}/taskSessions")
    tasks = [read(answers.TaskSession, item) for item in items]
    own = [task for task in tasks if task.name == target.name]
    result = state.result.result if state.result else ""
    return Run(plain(job.name), state.ended, bool(own), len(tasks) - len(own), result)


async def _stop(session: VeeamSession, job: answers.JobState, attempt: Attempt) -> None:
    body = {"gracefulStop": True, "cancelChainedJobs": False}
    stop = HttpRequest("POST", f"/api/v1/jobs/{job.id}/stop", body=body, mutates=True)
    try:
        await session.change(attempt, f"stop {job.name}", stop)
    except FailoverError:
        pass  # it may have ended by itself; if not, the answer says that it runs still


async def _states(session: VeeamSession) -> list[answers.JobState]:
    items = await session.pages("/api/v1/jobs/states", {"typeFilter": REPLICATION})
    return [read(answers.JobState, item) for item in items]
