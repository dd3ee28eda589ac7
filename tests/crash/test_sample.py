"""A sample of `make crash-matrix`, and that the matrix has every step."""

from typing import cast

import pytest

import worker
from activities.provider.tenant import ProviderTenant
from activities.tenant_site.site import Site
from lab.crash_matrix.bench import Bench
from lab.crash_matrix.cases import Case, Change, Intervention, Phase, Point, cases
from lab.injected_faults import FaultKind
from partial_failover.contracts.step import StepName

ELSEWHERE = {
    StepName.INSPECT_REPLICAS: "of ListReplicas, which changes nothing",
    StepName.RESUME_REPLICA: "of the Update resume, for a replica that somebody else switched off",
}
"""Steps that no failover and no failover test runs."""

SAMPLE = [
    (
        (StepName.HOLD_REPLICATION, "POST", FaultKind.DROP_AFTER),
        (StepName.RELEASE_REPLICATION, "DELETE", FaultKind.DROP_AFTER),
    ),
    (
        (StepName.REVERT_SNAPSHOT, "RevertToSnapshot_Task", FaultKind.DROP_AFTER),
        (StepName.REVERT_TO_LATEST, "RevertToSnapshot_Task", FaultKind.TASK_ERROR),
    ),
    (
        (StepName.POWER_ON_REPLICA, "POST powerOn", FaultKind.BUSY),
        (StepName.POWER_OFF_REPLICA, "POST undeploy", FaultKind.TASK_HANG),
    ),
    (
        (StepName.MARK_PROCESSING, "POST metadata", FaultKind.EXPIRE_SESSION),
        (StepName.MARK_NORMAL, "DELETE", FaultKind.DROP_AFTER),
    ),
    (
        (StepName.CONFIGURE_TENANT_PROXY_ARP, "lease", FaultKind.DROP_AFTER),
        (StepName.REMOVE_TENANT_PROXY_ARP, "release", FaultKind.DROP_BEFORE),
    ),
    ((StepName.MARK_PROCESSING, "POST metadata", Intervention.TERMINATED),),
    ((StepName.MARK_FAILOVER, "GET vm", Intervention.CANCELLED),),
    ((StepName.REVERT_SNAPSHOT, "GET", Intervention.CANCELLED),),
    (
        (StepName.HOLD_REPLICATION, "POST", FaultKind.EXPIRE_SESSION),
        (StepName.REVERT_TO_LATEST, "RevertToSnapshot_Task", Intervention.KILLED_AFTER),
    ),
    (
        (StepName.REVERT_SNAPSHOT, "POST reloadFromVc", Intervention.TERMINATED),
        (StepName.REVERT_TO_LATEST, "RevertToSnapshot_Task", Intervention.TERMINATED),
    ),
    (
        (StepName.POWER_ON_REPLICA, "POST powerOn", Intervention.LATE_EFFECT),
        (StepName.REVERT_TO_LATEST, "RevertToSnapshot_Task", Intervention.FORGOTTEN),
    ),
    ((StepName.WATCH_FAILOVER, "", Change.LOCK_ENDED),),
    ((StepName.MARK_FAILOVER, "", Change.SWITCHED),),
    ((StepName.HOLD_REPLICATION, "", Change.REVERTED),),
]


def choose(points: list[Point], phase: Phase, step: StepName, call: str, intervention: str) -> Case:
    """The first such case."""
    return next(
        c
        for c in cases(points)
        if (c.point.phase, c.point.step, c.intervention) == (phase, step, intervention)
        and c.point.call.startswith(call)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "sample", SAMPLE, ids=lambda s: " then ".join(f"{step}-{intervention}" for step, _, intervention in s)
)
async def test_a_case_ends_in_failover_or_normal(
    bench: Bench, points: list[Point], sample: tuple[tuple[StepName, str, str], ...]
) -> None:
    phases = (Phase.FAILOVER, Phase.UNDO)
    outcomes = await bench.run(
        [choose(points, p, *wanted) for p, wanted in zip(phases, sample, strict=False)]
    )
    assert [o.broken for o in outcomes] == [()] * len(sample)
    assert all(o.reached for o in outcomes)


@pytest.mark.slow
async def test_every_step_is_in_the_matrix(points: list[Point]) -> None:
    registered = {
        activity.__temporal_activity_definition.name  # type: ignore[attr-defined]
        for activity in (
            *worker.provider_activities(cast(ProviderTenant, None)),
            *worker.tenant_site_activities(cast(Site, None)),
            *worker.watch_activities(cast(Site, None)),
            *worker.provider_watch_activities(cast(ProviderTenant, None)),
        )
    }
    played = {case.point.step for case in cases(points)}
    assert played == registered - set(ELSEWHERE)
    killed = {
        case.point.step
        for case in cases(points)
        if case.intervention in (Intervention.KILLED_BEFORE, Intervention.KILLED_AFTER)
    }
    assert killed == played
