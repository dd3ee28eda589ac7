"""Holds and releases the replication of one VM by a global VM exclusion, and waits for runs in flight.

The exclusion exists from API 1.3 on. It keeps all jobs off the VM, backups included, leaves every job's own
settings alone, and a VM that is being processed is finished first (source: Veeam "Global Exclusions").
"""

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.veeam import answers, hold_proof, replicas
from partial_failover.connectors.veeam.answers import plain
from partial_failover.connectors.veeam.drain import REPLICATION, Drain
from partial_failover.connectors.veeam.hold_proof import Run
from partial_failover.connectors.veeam.session import VeeamSession
from partial_failover.connectors.veeam.transport import HttpRequest, Transport, read
from partial_failover.contracts.errors import (
    BadRequest,
    FailoverError,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
)
from partial_failover.contracts.replication import Hold, HoldTarget, ReplicaRecord

log = logging.getLogger(__name__)

VERSIONS = ("1.3-rev0", "1.3-rev1", "1.3-rev2")
EXCLUSIONS = "/api/v1/globalExclusions/vm"
NOTE = "partial-failover "
LONGEST_OWNER = 200

T = TypeVar("T")


class Veeam:
    """One backup server, seen with one account. Nothing is sent before the first call."""

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        ca_file: Path | None,
        version: str = "1.3-rev1",
        timeout: float = 30,
    ) -> None:
        """`timeout`: seconds for one whole request. Raises `Misconfigured` for a bad URL or version."""
        if version not in VERSIONS:
            raise Misconfigured(
                f"API version {plain(version)} cannot be used", do=f"Use one of {', '.join(VERSIONS)}"
            )
        if not url.startswith("https://"):
            raise Misconfigured("The backup server's URL must start with https://")
        self._version = version
        self._session = VeeamSession(Transport(url, ca_file, version, timeout), username, password, version)

    async def check(self) -> str:
        """Log in, read, and see that the account may manage exclusions. Says which server it is."""
        info = (await self._session.get("/api/v1/serverInfo")).read(answers.ServerInfo)
        await self._session.get(EXCLUSIONS, {"skip": 0, "limit": 1})
        build, name = plain(info.build_version), plain(info.name)
        return f"Veeam Backup & Replication {build} on {name} (API {self._version})"

    async def find_target(self, vm: str) -> HoldTarget:
        """The VM of exactly this name in the vSphere replication jobs. Containers are not looked into.

        Raises `NotFound`, and `BadRequest` where several VMs have the name.
        """
        jobs: dict[tuple[str, str], list[str]] = {}
        looked_at = await self._jobs()
        for job in looked_at:
            for included in job.virtual_machines.includes if job.virtual_machines else ():
                if included.is_vm and included.name == vm and included.object_id:
                    jobs.setdefault((included.host_name, included.object_id), []).append(job.name)
        if not jobs:
            names = plain(", ".join(job.name for job in looked_at)) or "none"
            raise NotFound(
                f"No replication job lists a VM named {plain(vm)} (looked at: {names})",
                do="List the VM itself in a job; VMs inside folders, tags or pools are not seen",
            )
        if len(jobs) > 1:
            where = plain(", ".join(f"{object_id} on {host}" for host, object_id in sorted(jobs)))
            raise BadRequest(f"Several VMs are named {plain(vm)}: {where}", do="Rename all but one")
        [((host, object_id), names_of_jobs)] = jobs.items()
        return HoldTarget(name=vm, object_id=object_id, host=host, jobs=tuple(names_of_jobs))

    async def replicated(self) -> tuple[str, ...]:
        """Names of the VMs that replication jobs list, each as often as it is listed under another id."""
        listed = {
            (included.host_name, included.object_id, included.name)
            for job in await self._jobs()
            for included in (job.virtual_machines.includes if job.virtual_machines else ())
            if included.is_vm and included.object_id
        }
        return tuple(sorted(name for _, _, name in listed))

    async def replicas_of(self, vm: str) -> tuple[ReplicaRecord, ...]:
        """The replicas of the VM of exactly this name, with the points that the server has of them."""
        return await replicas.replicas_of(self._session, vm)

    async def jobs_of_unknown_kind(self) -> tuple[str, ...]:
        """Names of the jobs whose type the API does not tell: they may replicate VMs too."""
        return await replicas.jobs_of_unknown_kind(self._session)

    async def hold_of(self, target: HoldTarget) -> Hold | None:
        """The exclusion of this VM, whoever made it."""
        exclusion = await self._exclusion(target)
        return _hold(exclusion) if exclusion else None

    async def hold(self, target: HoldTarget, owner: str, attempt: Attempt) -> bool:
        """Exclude the VM from all jobs. True if this or an earlier attempt of the same activity did it.

        False if an exclusion was there before, whoever made it; it stays as it is. An exclusion can only be
        given its note after it was made, so before it is made the attempt heartbeats what it is about to do
        (`intent`): an attempt that follows a crash in between knows the exclusion without a note as its own.
        What remains: somebody makes one by hand, without a note, after this looked and before this sent, and
        this is then lost before it arrives. Then that one is taken for this one.
        """
        note = _note(owner)
        earlier = await _adopts(attempt, target)
        exclusion = await self._exclusion(target, note)
        if exclusion is None:
            return await _to_the_end(self._make(target, note, attempt))
        if not earlier or exclusion.note not in ("", note):
            return False
        await self._stamp(exclusion, note, attempt)
        return True

    async def idle_job(self, target: HoldTarget) -> answers.JobState:
        """A replication job of the VM that can be started. Raises `WrongState` where one of them runs."""
        return await hold_proof.require_idle(self._session, target)

    async def run_once(self, target: HoldTarget, job: answers.JobState, attempt: Attempt) -> Run:
        """Run a replication job of the VM, to see whether it is left out."""
        return await hold_proof.run_once(self._session, target, job, attempt)

    async def drain(
        self, target: HoldTarget, attempt: Attempt, patience: float, may_stop: bool = True
    ) -> str:
        """Wait until no run is at work on the VM; after `patience` seconds ask its job to stop gracefully, or
        raise `WrongState` where it may not be stopped.

        To be called after `hold`. Returns what was waited for. Raises `Busy` when the attempt's time ends.
        """
        return await Drain(self._session, target, attempt).wait(patience, may_stop)

    async def release(
        self, target: HoldTarget, owner: str, attempt: Attempt, without_note: bool = False
    ) -> bool:
        """Delete this owner's exclusion. False if there is none, or only somebody else's, which stays.

        `without_note`: one without a note is this owner's too: its `hold` never came back, and there was no
        exclusion before it.
        """
        note = _note(owner)
        exclusion = await self._exclusion(target, note)
        if exclusion is None or exclusion.note not in ((note, "") if without_note else (note,)):
            return False
        await self._delete(exclusion, target, attempt)
        return True

    async def holds(self) -> tuple[Hold, ...]:
        """All exclusions that failovers of this product made."""
        holds = [_hold(exclusion) for exclusion in await self._exclusions()]
        return tuple(hold for hold in holds if hold.ours)

    async def close(self) -> None:
        """Log out and close the connections."""
        await self._session.close()

    async def _jobs(self) -> list[answers.Job]:
        items = await self._session.pages("/api/v1/jobs", {"typeFilter": REPLICATION})
        jobs = [read(answers.Job, item) for item in items]
        # The schema leaves open whether a list has whole jobs.
        return [j if j.virtual_machines else await self._whole(j.id) for j in jobs]

    async def _whole(self, job_id: UUID) -> answers.Job:
        return (await self._session.get(f"/api/v1/jobs/{job_id}")).read(answers.Job)

    async def _exclusions(self) -> list[answers.Exclusion]:
        return [read(answers.Exclusion, item) for item in await self._session.pages(EXCLUSIONS)]

    async def _exclusion(self, target: HoldTarget, note: str | None = None) -> answers.Exclusion | None:
        """The VM's exclusion; where there are several, rather the one with this note, or one of ours."""
        fitting = [e for e in await self._exclusions() if _is_of(e, target)]
        fitting.sort(key=lambda e: (e.note != note, not e.note.startswith(NOTE)))
        return fitting[0] if fitting else None

    async def _make(self, target: HoldTarget, note: str, attempt: Attempt) -> bool:
        """Make the exclusion and give it its note. False if somebody else's came in between."""
        vm = {
            "platform": "VSphere",
            "type": "VirtualMachine",
            "hostName": target.host,
            "name": target.name,
            "objectId": target.object_id,
        }
        intent = _intent(target)
        own = attempt.earlier_task == intent
        problem: FailoverError = OutcomeUnknown(
            f"The exclusion of {plain(target.name)} was accepted and is not to be seen"
        )
        try:
            request = HttpRequest("POST", EXCLUSIONS, body={"vmObject": vm}, mutates=True)
            await self._session.change(attempt, f"exclude {plain(target.name)}", request, intent)
            own = True
        except OutcomeUnknown as unknown:
            problem, own = unknown, True
        except BadRequest as refused:
            problem = refused
        exclusion = await self._exclusion(target)
        if exclusion is None:
            raise problem
        if exclusion.note or not own:
            return False
        # Without its note nobody would know whose it is; the failover may have been ended at this moment.
        await self._stamp(exclusion, note, attempt.for_the_rest())
        return True

    async def _stamp(self, exclusion: answers.Exclusion, note: str, attempt: Attempt) -> None:
        if exclusion.note == note:
            return
        problem: FailoverError = OutcomeUnknown(
            f"The note of the exclusion {exclusion.id} was accepted and is not there"
        )
        try:
            path = f"{EXCLUSIONS}/{exclusion.id}/note"
            request = HttpRequest("PUT", path, body={"note": note}, mutates=True)
            await self._session.change(attempt, "write the exclusion's note", request)
        except OutcomeUnknown as unknown:
            problem = unknown
        if not any(e.id == exclusion.id and e.note == note for e in await self._exclusions()):
            raise problem

    async def _delete(self, exclusion: answers.Exclusion, target: HoldTarget, attempt: Attempt) -> None:
        problem: FailoverError = OutcomeUnknown(
            f"The exclusion of {plain(target.name)} was deleted and is still there",
            left="Replication is still on hold",
        )
        try:
            request = HttpRequest("DELETE", f"{EXCLUSIONS}/{exclusion.id}", mutates=True)
            await self._session.change(attempt, f"release {plain(target.name)}", request)
        except (OutcomeUnknown, NotFound) as error:
            problem = error
        if any(e.id == exclusion.id for e in await self._exclusions()):
            raise problem


def _note(owner: str) -> str:
    if not owner.strip() or not owner.isprintable() or len(owner) > LONGEST_OWNER:
        raise BadRequest(f"The owner of a hold must be 1 to {LONGEST_OWNER} printable characters")
    return NOTE + owner.strip()


def _intent(target: HoldTarget) -> str:
    return f"exclude {target.host}/{target.object_id}"


async def _adopts(attempt: Attempt, target: HoldTarget) -> bool:
    """Whether an earlier attempt may have made this VM's exclusion; the next attempt must know it too."""
    intent = _intent(target)
    if attempt.earlier_task != intent:
        return False
    await asyncio.to_thread(attempt.started, intent)
    return True


def _hold(exclusion: answers.Exclusion) -> Hold:
    ours = exclusion.note.startswith(NOTE)
    return Hold(exclusion_id=str(exclusion.id), note=plain(exclusion.note), ours=ours)


def _is_of(exclusion: answers.Exclusion, target: HoldTarget) -> bool:
    vm = exclusion.inventory_object
    return vm.object_id == target.object_id and vm.host_name.casefold() == target.host.casefold()


async def _to_the_end(work: Coroutine[object, object, T]) -> T:
    """Await `work`; a cancellation comes through only when it has ended.

    Between the exclusion and its note there must be no gap that a cancelled activity leaves behind.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            log.warning("The hold ended with %s after it was cancelled", type(task.exception()).__name__)
        raise
