"""`--check --prove-hold`: whether a hold reaches replication is tried, and nothing of the trial stays."""

import pytest

from lab.injected_faults import FaultKind
from partial_failover.contracts.errors import WrongState
from partial_failover.site_check import hold_proof
from partial_failover.site_check.findings import Doubtful
from partial_failover.site_check.hold_proof import prove
from tests.connectors.veeam.site import INCLUDE, STOP, Site
from tests.waiting import until

VM, OTHER = "erp-db-01", "erp-app-01"
START = "POST /api/v1/jobs/{id}/start"


def points(site: Site, vm: str = VM) -> int:
    return len(site.replicas[vm].snapshots)


async def test_a_vm_that_is_left_out_proves_it_and_the_exclusion_is_taken_back(site: Site) -> None:
    said = await prove(site.client(), VM)
    assert said == f"Replicate ERP ran, left {VM} out and processed 1 others. {VM} is excluded no more."
    assert (points(site), points(site, OTHER)) == (1, 2)
    assert site.endpoint.exclusions == () and site.count(STOP) == 0


async def test_a_vm_that_is_replicated_all_the_same_is_said_and_the_job_stopped(site: Site) -> None:
    site.endpoint.replication.ignores_exclusions, site.endpoint.cycle_seconds = True, 1.0
    with pytest.raises(RuntimeError, match=r"A hold does not hold.*asked to stop, and has.*excluded no more"):
        await prove(site.client(), VM)
    assert site.count(STOP) == 1 and points(site, OTHER) == 1
    assert site.job.last is not None and site.job.last.ended is not None
    assert site.endpoint.exclusions == ()


async def test_a_job_that_runs_is_left_alone(site: Site) -> None:
    site.endpoint.start_cycle(site.job, 2.0)
    with pytest.raises(WrongState, match=r"must be idle and enabled: Replicate ERP is running.*Nothing was"):
        await prove(site.client(), VM)
    assert site.count("POST /api/v1/globalExclusions/vm") == site.count(START) == 0


async def test_an_exclusion_that_is_there_is_not_touched(site: Site) -> None:
    client = site.client()
    site.exclude(await client.find_target(VM), "by hand")
    with pytest.raises(WrongState, match=r"excluded already .note: by hand.*Nothing was changed"):
        await prove(client, VM)
    assert site.notes() == ["by hand"] and site.count(START) == 0


async def test_a_replica_in_failover_is_not_touched(site: Site) -> None:
    site.endpoint.replication.console[site.replicas[VM].name] = "Failover"
    with pytest.raises(WrongState, match=r"in state failover"):
        await prove(site.client(), VM)
    assert site.count("POST /api/v1/globalExclusions/vm") == site.count(START) == 0


async def test_a_lost_answer_to_the_start_is_cleared_up_by_looking(site: Site) -> None:
    site.inject(START, FaultKind.DROP_AFTER)
    assert "left erp-db-01 out" in await prove(site.client(), VM)
    assert site.count(START) == 1 and site.endpoint.exclusions == ()


async def test_a_start_that_is_refused_proves_nothing_and_leaves_nothing(site: Site) -> None:
    site.inject(START, FaultKind.REFUSE, times=9)
    with pytest.raises(RuntimeError, match=r"Nothing is proven.*excluded no more"):
        await prove(site.client(), VM)
    assert site.endpoint.exclusions == () and site.job.last is None


async def test_a_run_that_does_not_end_in_time_proves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_proof, "RUN", 3.0)
    site.endpoint.cycle_seconds = 30.0
    with pytest.raises(Doubtful, match=r"Nothing is proven.*runs still.*excluded no more"):
        await prove(site.client(), VM)
    assert site.endpoint.exclusions == () and site.count(STOP) == 1


async def test_an_exclusion_that_stays_is_said(site: Site) -> None:
    site.inject(INCLUDE, FaultKind.REFUSE, times=99)
    with pytest.raises(RuntimeError, match=r"may be left.*delete it"):
        await prove(site.client(), VM)
    assert len(site.endpoint.exclusions) == 1
    await until(lambda: site.job.last is not None and site.job.last.ended is not None)
