"""What the backup server does: jobs, their cycles, and the VMs that every job leaves alone."""

import datetime as dt
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.hypervisor import MARK, Disk, Hypervisor, Snapshot, Vm, utc_now


@dataclass(eq=False)
class Job:
    """A replication job: pairs of original VM and replica, processed one after the other."""

    name: str
    vms: tuple[tuple[Vm, Vm], ...]
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    last: "Cycle | None" = None
    kind: str = "VSphereReplica"
    """Type in the API's words; "Unknown" for what it does not model, such as CDP."""

    def replica_id(self, replica: Vm) -> uuid.UUID:
        """Of one of its replicas, in the backup server's database."""
        return uuid.uuid5(self.id, replica.moref)


@dataclass(eq=False)
class Task:
    """The processing of one VM within a cycle."""

    vm: str
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    created: dt.datetime = field(default_factory=utc_now)
    ended: dt.datetime | None = None
    result: str = "None"

    @property
    def state(self) -> str:
        """In the words of the API."""
        return "Working" if self.ended is None else "Stopped"


@dataclass(eq=False)
class Cycle:
    """One run of a job, a session in the API's words."""

    job: Job
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    created: dt.datetime = field(default_factory=utc_now)
    ended: dt.datetime | None = None
    result: str = "None"
    tasks: list[Task] = field(default_factory=list)
    stopping: bool = False
    lingers: float = 0.0
    """Seconds that it stays in "Stopping" after its last VM."""
    aborted: threading.Event = field(default_factory=threading.Event)

    @property
    def state(self) -> str:
        """In the words of the API."""
        if self.ended is not None:
            return "Stopped"
        return "Stopping" if self.stopping else "Working"


@dataclass(frozen=True)
class Exclusion:
    """A VM that every job leaves alone."""

    id: uuid.UUID
    host: str
    name: str
    object_id: str
    note: str = ""


@dataclass(frozen=True)
class Point:
    """A replica point as the backup server has it: a snapshot that a run of the job made."""

    job: Job
    original: Vm
    replica: Vm
    snapshot: Snapshot
    malware: str

    @property
    def id(self) -> uuid.UUID:
        """In the backup server's database."""
        return uuid.uuid5(self.job.replica_id(self.replica), self.snapshot.moref)


class Replication:
    """All that the backup server knows. Thread safe: `lock` guards every field."""

    def __init__(self, site: Hypervisor, replicas: Hypervisor) -> None:
        self.site = site
        self.replicas = replicas
        self.lock = threading.RLock()
        self.jobs: dict[uuid.UUID, Job] = {}
        self.cycles: dict[uuid.UUID, Cycle] = {}
        self.exclusions: dict[uuid.UUID, Exclusion] = {}
        self.console: dict[str, str] = {}
        """States that a replica was given in the console, by the replica's name: a failover begun there."""
        self.malware: dict[str, str] = {}
        """What a scan found in a point, by its snapshot's MoRef, in the API's words. Others are Clean."""
        self.ignores_exclusions = False
        """Whether an exclusion keeps backups off a VM, and replication not."""
        self._threads: list[threading.Thread] = []

    def points(self) -> list[Point]:
        """What replication made, and nobody else's snapshots."""
        with self.lock:
            return [
                Point(job, original, replica, snap, self.malware.get(snap.moref, "Clean"))
                for job in self.jobs.values()
                if job.kind == "VSphereReplica"
                for original, replica in job.vms
                for snap in replica.snapshots
                if snap.description.startswith(MARK)
            ]

    def add_job(self, name: str, vms: Sequence[tuple[Vm, Vm]], kind: str = "VSphereReplica") -> Job:
        """A job that replicates each original VM into its replica."""
        with self.lock:
            job = Job(name, tuple(vms), kind=kind)
            self.jobs[job.id] = job
            return job

    def exclude(self, host: str, name: str, object_id: str, note: str = "") -> Exclusion | None:
        """A new exclusion; None if the VM has one already (inferred: duplicates are refused)."""
        with self.lock:
            if self.excluded(object_id):
                return None
            exclusion = Exclusion(uuid.uuid4(), host, name, object_id, note)
            self.exclusions[exclusion.id] = exclusion
            return exclusion

    def excluded(self, object_id: str) -> bool:
        """Whether jobs leave this VM of the site alone."""
        with self.lock:
            return any(e.object_id == object_id for e in self.exclusions.values())

    def start_cycle(self, job: Job, seconds: float) -> Cycle:
        """Run a job in the background; the processing of each VM takes `seconds`."""
        with self.lock:
            if job.last is not None and job.last.ended is None:
                raise RuntimeError(f"{job.name} is running")
            cycle = Cycle(job)
            job.last = self.cycles[cycle.id] = cycle
            thread = threading.Thread(target=self._run, args=(cycle, seconds), daemon=True)
            self._threads.append(thread)
            thread.start()
            return cycle

    def stop_cycle(self, cycle: Cycle, graceful: bool, lingers: float = 0.0) -> None:
        """No further VM is begun; the one being processed is finished if `graceful`, else given up."""
        with self.lock:
            cycle.stopping = True
            cycle.lingers = lingers
            if not graceful:
                cycle.aborted.set()

    def close(self) -> None:
        """Give up all cycles and wait for their threads."""
        with self.lock:
            for cycle in self.cycles.values():
                cycle.stopping = True
                cycle.aborted.set()
        for thread in self._threads:
            thread.join()

    def _run(self, cycle: Cycle, seconds: float) -> None:
        for original, replica in cycle.job.vms:
            task = self._begin(cycle, original)
            if task is None:
                continue
            aborted = cycle.aborted.wait(seconds)
            with self.lock:
                if not aborted:
                    name = f"Restore Point {len(replica.snapshots) + 1}"
                    self.replicas.replicate(replica, name, _contents(original.disk))
                task.result = "Failed" if aborted else "Success"
                task.ended = utc_now()
        cycle.aborted.wait(cycle.lingers)
        with self.lock:
            cycle.result = "Failed" if cycle.aborted.is_set() else "Success"
            cycle.ended = utc_now()

    def _begin(self, cycle: Cycle, original: Vm) -> Task | None:
        """An exclusion counts at the moment when a VM's processing would start, not later."""
        with self.lock:
            excluded = self.excluded(original.moref) and not self.ignores_exclusions
            if cycle.stopping or excluded:
                return None
            task = Task(original.name)
            cycle.tasks.append(task)
            return task


def _contents(disk: Disk) -> dict[str, str]:
    whole: dict[str, str] = {}
    for file in reversed(disk.chain()):
        whole.update(file.data)
    return whole
