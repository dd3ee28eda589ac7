"""What the backup server knows of a VM's replicas: their states and points, and jobs that may make others."""

from uuid import UUID

from partial_failover.connectors.veeam import answers
from partial_failover.connectors.veeam.answers import plain
from partial_failover.connectors.veeam.session import VeeamSession
from partial_failover.connectors.veeam.transport import read
from partial_failover.contracts.replication import ReplicaPoint, ReplicaRecord


async def replicas_of(session: VeeamSession, vm: str) -> tuple[ReplicaRecord, ...]:
    """All replicas of the VM of exactly this name that have a point. A replica does not name its VM."""
    items = await session.pages("/api/v1/replicaPoints", {"nameFilter": vm})
    points: dict[UUID, list[answers.ReplicaPoint]] = {}
    for point in (read(answers.ReplicaPoint, item) for item in items):
        if point.name == vm:
            points.setdefault(point.replica_id, []).append(point)
    if not points:
        return ()
    replicas = [read(answers.Replica, item) for item in await session.pages("/api/v1/replicas")]
    states = {replica.id: replica.state for replica in replicas}
    return tuple(_record(states.get(replica_id, ""), of_it) for replica_id, of_it in points.items())


async def jobs_of_unknown_kind(session: VeeamSession) -> tuple[str, ...]:
    """Names of the jobs whose type the API does not tell. CDP and others that it does not model are so."""
    states = [read(answers.JobState, item) for item in await session.pages("/api/v1/jobs/states")]
    return tuple(plain(state.name) for state in states if state.type == "unknown")


def _record(state: str, points: list[answers.ReplicaPoint]) -> ReplicaRecord:
    """A failover that was begun in the console shows in the replica, or in its points alone."""
    points.sort(key=lambda p: p.creation_time)
    of_points = [p.state for p in points if p.state not in ("", "ready")]
    return ReplicaRecord(
        state=state if state not in ("", "ready") or not of_points else of_points[-1],
        points=tuple(ReplicaPoint(created=p.creation_time, malware=p.malware_status) for p in points),
    )
