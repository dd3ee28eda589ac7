"""`ListReplicas`: what a tenant has, and from when."""

from temporalio import workflow

from workflows import lock
from workflows.calls import call
from workflows.failures import raise_root_cause
from workflows.progress import plain, table

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.duration_text import duration_text
    from partial_failover.contracts.replica import RestorePoint
    from partial_failover.contracts.report import ReplicaList, ReplicaSummary
    from partial_failover.contracts.request import ListReplicasRequest


@workflow.defn(name="ListReplicas")
class ListReplicas:
    """Answers with JSON, and with a Markdown table in the details. Changes nothing."""

    @workflow.run
    async def run(self, request: ListReplicasRequest | None = None) -> ReplicaList:
        """All replicas: states, addresses, restore points."""
        lock.refuse_its_id()
        title = "Look at all replicas"
        asked = request or ListReplicasRequest()
        with raise_root_cause():
            answer = await call(steps.INSPECT_REPLICAS, asked, title)
        workflow.set_current_details(_table(answer))
        return answer


def _table(answer: ReplicaList) -> str:
    rows = [_row(answer, r) for r in answer.replicas]
    head = ("VM", "state", "power", "addresses", "restore points, newest first", "last failover test")
    unknown = [
        f"* {plain(r.vm)}: {plain(p.what)}. {plain(p.do)} ({p.who})"
        for r in answer.replicas
        for p in r.problems
    ]
    unseen = ["", "**What could not be looked at**", "", *unknown] if unknown else []
    return "\n".join([f"### {len(answer.replicas)} replicas", "", *table(head, rows), *unseen])


def _row(answer: ReplicaList, replica: ReplicaSummary) -> tuple[str, ...]:
    points = ", ".join(
        f"{plain(p.id)} ({duration_text(answer.read_at - p.created)} old{_not_replication(p)})"
        for p in replica.restore_points[:5]
    )
    addresses = ", ".join(str(a) for a in replica.addresses)
    held = f", {plain(replica.held_by)}" if replica.held_by else ""
    state = f"{replica.state}{held}"
    tests = replica.last_tests
    tested = f"{tests[0].result}, {duration_text(answer.read_at - tests[0].at)} ago" if tests else "never"
    none = "unknown" if replica.problems else "none"
    return plain(replica.vm), state, replica.power, addresses, points or none, tested


def _not_replication(point: RestorePoint) -> str:
    return f", foreign: {plain(point.name)}" if point.foreign else ""
