"""What the backup server says of a replica and its points, beside what the snapshots' marks say. Pure."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts.errors import Who
    from partial_failover.contracts.plan import FailoverPlan, Problem, TenantSite
    from partial_failover.contracts.replica import RestorePoint
    from partial_failover.contracts.replication import ReplicaPoint, ReplicaRecord, record_of

Said = tuple[list[Problem], list[str]]
"""What stands in the way, and warnings."""


def agreement(plan: FailoverPlan, site: TenantSite) -> Said:
    """Where the two disagree about the restore point, or the server advises against it."""
    if site.replicas is None or plan.adoption is not None or not plan.points:
        return [], []
    problems = [_in_console(plan, record) for record in site.replicas if record.in_console]
    record = record_of(plan.points, site.replicas)
    if record is None:
        unknown = (
            f"The backup server knows no replica point of {plan.vm}: its restore points are known by the "
        )
        return [], [unknown + "marks on their snapshots alone"]
    pairs = record.paired(plan.points)
    blocking, warnings = _about_malware(plan, pairs)
    return problems + blocking, warnings + _about_times(plan, record, pairs)


Pairs = dict[str, ReplicaPoint]
"""By a restore point's id: the server's point of it."""


def _about_malware(plan: FailoverPlan, pairs: Pairs) -> Said:
    chosen = pairs.get(plan.restore_point.id)
    if chosen is None or chosen.malware not in ("infected", "suspicious"):
        return [], []
    point = plan.restore_point
    what = f"The backup server's scans call the restore point {_named(point)} {chosen.malware}"
    if chosen.malware == "suspicious" or plan.choice == point.id:
        return [], [what]
    clean = [p for p in plan.points if p.id in pairs and pairs[p.id].malware == "clean"]
    older = (
        f"Choose an older one (the newest clean one is {_named(clean[-1])})" if clean else "No other is clean"
    )
    wanted = f'"restore_point": "{point.id}"'
    do = f"{older}; this one is used when it is asked for by its id: {wanted}"
    return [Problem(what=what, who=Who.TENANT, do=do)], []


def _about_times(plan: FailoverPlan, record: ReplicaRecord, pairs: Pairs) -> list[str]:
    warnings = []
    newest = plan.newest or plan.restore_point
    if plan.restore_point.id not in pairs:
        warnings.append(
            f"The backup server knows no replica point of the time of {_named(plan.restore_point)}: "
            "if replication did not make that snapshot, choose another by its id"
        )
    last = record.points[-1].created
    if newest.id in pairs and last > pairs[newest.id].created:
        warnings.append(
            f"The backup server has a newer replica point, of {last:%Y-%m-%d %H:%M:%S} UTC, whose snapshot "
            f"is not on the replica; the newest there is {_named(newest)}"
        )
    return warnings


def _in_console(plan: FailoverPlan, record: ReplicaRecord) -> Problem:
    return Problem(
        what=f"Veeam's own console has a replica of {plan.vm} in state {record.state}",
        who=Who.TENANT,
        do="Undo or finish that failover in Veeam's console, then start again",
    )


def _named(point: RestorePoint) -> str:
    return f"{point.id} of {point.created:%Y-%m-%d %H:%M:%S} UTC"
