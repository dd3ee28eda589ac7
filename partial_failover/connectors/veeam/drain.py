"""Waiting until no replication run is at work on a VM."""

from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.pause import Pause
from partial_failover.connectors.veeam import answers
from partial_failover.connectors.veeam.session import VeeamSession
from partial_failover.connectors.veeam.transport import HttpRequest, read
from partial_failover.contracts.errors import BadRequest, Busy, NotFound, OutcomeUnknown, WrongState
from partial_failover.contracts.replication import HoldTarget

REPLICATION = "VSphereReplica"
IDLE = ("inactive", "disabled", "enabled", "stopped")
"""Job states in which nothing runs (source: `EJobStatus`)."""
QUICK, SLOW = 0.2, 2.0
"""Seconds between two looks: the first, and the longest."""


@dataclass(frozen=True)
class JobRun:
    """A replication run that may be at work on the VM. No session id: it is only just starting."""

    job_id: UUID
    job: str
    session: UUID | None
    stopping: bool


class Drain:
    """One wait. A run counts until it has ended or the VM's own part of it has."""

    def __init__(self, session: VeeamSession, target: HoldTarget, attempt: Attempt) -> None:
        self._session = session
        self._target = target
        self._attempt = attempt
        self._at_first: frozenset[UUID] | None = None
        """Sessions that ran at the first look. Only they may have begun before the hold."""

    async def wait(self, patience: float, may_stop: bool = True) -> str:
        """Returns what was waited for. Raises `Busy` when the attempt's time ends first, `WrongState` when a
        job may not be stopped and is still at work after `patience` seconds."""
        began, asked, jobs = monotonic(), set[str](), set[str]()
        pause = Pause(self._attempt, QUICK, SLOW)
        while runs := await self.runs():
            jobs.update(run.job for run in runs)
            waited = monotonic() - began
            if waited >= patience and not may_stop:
                raise self._not_stopped(jobs, waited)
            for run in runs if waited >= patience else ():
                await self._stop(run)
                asked.add(run.job)
            if self._attempt.left() <= pause.seconds:
                raise Busy(
                    f"{_list(jobs)} still replicates {self._target.name} after {waited:.0f} s",
                    left="Replication stays on hold; the restore points were not touched",
                )
            await pause.rest_async()
        return self._sentence(jobs, asked, monotonic() - began)

    def _not_stopped(self, jobs: set[str], waited: float) -> WrongState:
        return WrongState(
            f"{_list(jobs)} still replicates {self._target.name} after {waited:.0f} s",
            left="The job was not asked to stop; the restore points were not touched",
            do="Test when it does not run, or give it more patience (drain_patience)",
        )

    async def runs(self) -> list[JobRun]:
        """The runs that may be at work on the VM now."""
        items = await self._session.pages("/api/v1/jobs/states", {"typeFilter": REPLICATION})
        states = [read(answers.JobState, item) for item in items]
        runs: list[JobRun] = []
        active: set[UUID] = set()
        for state in states:
            listed = state.name in self._target.jobs
            if state.session_id is None or (state.status in IDLE and not listed):
                live = None
            else:
                live = await self._live(state.session_id)
            if live is not None:
                active.add(live.id)
                if await self._at_work(live, listed):
                    stopping = "stopping" in (state.status, live.state)
                    runs.append(JobRun(state.id, state.name, live.id, stopping))
            elif listed and state.status == "starting":
                runs.append(JobRun(state.id, state.name, None, False))
        if self._at_first is None:
            self._at_first = frozenset(active)
        return runs

    async def _live(self, session_id: UUID) -> answers.RunSession | None:
        try:
            session = (await self._session.get(f"/api/v1/sessions/{session_id}")).read(answers.RunSession)
        except NotFound:
            return None  # the server forgets old sessions
        return None if session.ended else session

    async def _at_work(self, session: answers.RunSession, listed: bool) -> bool:
        """A VM without a part of its own in a run is yet to be reached, skipped, or not in it.

        Nothing says which, so a job that lists the VM counts if it may have looked at the exclusions before
        the hold. A job that has the VM by a container (folder, tag) counts from when the VM's part shows.
        """
        items = await self._session.pages(f"/api/v1/sessions/{session.id}/taskSessions")
        tasks = [read(answers.TaskSession, item) for item in items]
        own = [task for task in tasks if task.name == self._target.name]
        if own:
            return not all(task.ended for task in own)
        return listed and (self._at_first is None or session.id in self._at_first)

    async def _stop(self, run: JobRun) -> None:
        """Ask the job to stop: it finishes the VM that it is at, so that no restore point is cut short."""
        if run.stopping or run.session is None:
            return
        path = f"/api/v1/jobs/{run.job_id}/stop"
        body = {"gracefulStop": True, "cancelChainedJobs": False}
        request = HttpRequest("POST", path, body=body, mutates=True)
        try:
            await self._session.change(self._attempt, f"stop the job {run.job}", request)
        except (OutcomeUnknown, BadRequest):
            # Refused when it has just ended by itself; a lost answer shows in the job's state.
            now = [r for r in await self.runs() if r.session == run.session]
            if now and not now[0].stopping:
                raise

    def _sentence(self, jobs: set[str], asked: set[str], waited: float) -> str:
        vm = self._target.name
        if not jobs:
            return f"No replication run was at work on {vm}."
        if asked:
            return f"Asked {_list(asked)} to stop; its run on {vm} was over after {waited:.1f} s."
        return f"Waited {waited:.1f} s until {_list(jobs)} had finished with {vm}."


def _list(jobs: set[str]) -> str:
    return answers.plain(", ".join(sorted(jobs)))
