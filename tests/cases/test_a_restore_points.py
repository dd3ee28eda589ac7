"""A5: restore points are what replication made. Whatever else is in a replica's chain is shown as foreign.

A6: what was planned before a long wait is looked at again after it.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Interface

import pytest

from activities.provider.revert_snapshot import LONG_AGO
from lab.hypervisor import Snapshot, Vm, utc_now
from partial_failover.contracts.errors import BadRequest
from partial_failover.contracts.plan import PlanResult
from partial_failover.contracts.replica import RestorePoint
from partial_failover.contracts.replication import ReplicaPoint, ReplicaRecord
from partial_failover.contracts.report import ReplicaList
from partial_failover.contracts.request import PartialFailoverRequest
from partial_failover.contracts.step import StepName
from tests.activities.conftest import world
from tests.activities.world import RUN, Values, World
from tests.cases.chain import kept

__all__ = ["world"]

NAME = "mail-01"


@pytest.fixture
def chain(world: World) -> Iterator[Vm]:
    """A replica whose chain is put back after the test."""
    with kept(world.centre.replica(NAME)) as vm:
        yield vm


async def plan(world: World, choice: str = "latest") -> PlanResult:
    request = PartialFailoverRequest(vm=NAME, restore_point=choice)
    found = await world.call(StepName.PLAN_FAILOVER, {"request": request, "run": RUN})
    assert isinstance(found, PlanResult)
    return found


def backed_up(world: World, vm: Vm) -> Snapshot:
    """A backup program left its own snapshot, newest of all."""
    return world.centre.provider.snapshot(vm, "VEEAM BACKUP TEMPORARY SNAPSHOT", utc_now())


def replication_stopped(vm: Vm, days: int) -> None:
    for point in vm.snapshots:
        point.created -= timedelta(days=days)


async def test_a5_a_foreign_snapshot_is_shown_as_foreign_and_never_chosen_by_itself(
    world: World, chain: Vm
) -> None:
    newest, foreign = chain.snapshots[-1], backed_up(world, chain)
    listed = await world.call(StepName.INSPECT_REPLICAS, {})
    assert isinstance(listed, ReplicaList)
    points = next(r.restore_points for r in listed.replicas if r.vm == NAME)
    assert {p.id for p in points if p.foreign} == {foreign.moref} and len(points) == len(chain.snapshots)
    for choice in ("latest", utc_now().isoformat()):
        found = (await plan(world, choice)).plan
        assert found is not None and found.newest is not None
        assert (found.restore_point.id, found.newest.id) == (newest.moref, newest.moref)
        assert any("VEEAM BACKUP TEMPORARY" in w and "not used" in w for w in found.warnings)


async def test_a5_a_foreign_snapshot_is_refused_by_its_id(world: World, chain: Vm) -> None:
    foreign = backed_up(world, chain)
    found = await plan(world, foreign.moref)
    assert found.plan is None
    assert [p.what for p in found.problems] == [
        f"{foreign.moref} (VEEAM BACKUP TEMPORARY SNAPSHOT) is no restore point: replication did not make it"
    ]


async def test_a5_a_chain_of_foreign_snapshots_alone_has_no_restore_point(world: World, chain: Vm) -> None:
    for point in chain.snapshots:
        point.name, point.description = "before the patch", ""
    found = await plan(world)
    assert found.plan is None
    assert "no restore point, only snapshots that replication did not make" in found.problems[0].what


async def test_a5_undo_reverts_to_replications_newest_and_calls_it_clean(world: World, chain: Vm) -> None:
    newest = chain.snapshots[-1]
    own = await world.values("acme", NAME)
    await world.call(StepName.MARK_PROCESSING, own)
    backed_up(world, chain)
    own = {**own, "not_before": utc_now()}
    await world.call(StepName.REVERT_TO_LATEST, own)
    assert chain.current is newest and chain.disk.parent is newest.disk
    await world.call(StepName.MARK_NORMAL, own)


async def test_a5_dead_replication_is_warned_of(world: World, chain: Vm) -> None:
    backed_up(world, chain)
    replication_stopped(chain, days=3)
    backed_up(world, chain)
    found = (await plan(world)).plan
    assert found is not None and any("3 d 1 h old" in w for w in found.warnings)


@pytest.mark.parametrize("name", ["point 7", "Restore Point 7"])
async def test_a5_either_mark_of_replication_is_enough(world: World, chain: Vm, name: str) -> None:
    description = "" if name.startswith("Restore") else chain.snapshots[-1].description
    point = world.centre.provider.snapshot(chain, name, utc_now(), description)
    found = (await plan(world)).plan
    assert found is not None and found.restore_point.id == point.moref


async def _planned(world: World, choice: str) -> Values:
    """Marked Processing, as it stands when the drain has ended."""
    found = (await plan(world, choice)).plan
    assert found is not None
    own = await world.values("acme", NAME)
    await world.call(StepName.MARK_PROCESSING, own)
    return {**own, "point": found.restore_point, "choice": found.choice, "not_before": found.read_at}


async def _back(world: World, own: Values) -> None:
    await world.call(StepName.REVERT_TO_LATEST, {**own, "not_before": utc_now()})
    await world.call(StepName.MARK_NORMAL, own)


async def test_a6_a_point_that_was_made_while_the_drain_lasted_is_used_and_said(
    world: World, chain: Vm
) -> None:
    own = await _planned(world, "latest")
    world.centre.provider.replicate(chain, "Restore Point 5", {"orders": "5000"})
    done = await world.call(StepName.REVERT_SNAPSHOT, own)
    assert chain.disk.read("orders") == "5000" and chain.current is chain.snapshots[-1]
    assert done.point.id == chain.snapshots[-1].moref
    assert "Restore Point 5" in done.instead and "Restore Point 4" in done.instead
    await _back(world, own)


def _known(chain: Vm, newest: str, state: str = "ready") -> tuple[ReplicaRecord, ...]:
    """What the backup server says after the drain; `newest`: what its scans say of the newest point."""
    clean = tuple(ReplicaPoint(created=p.created, malware="clean") for p in chain.snapshots[:-1])
    last = ReplicaPoint(created=chain.snapshots[-1].created, malware=newest)
    return (ReplicaRecord(state=state, points=(*clean, last)),)


async def test_a5_an_infected_point_of_the_drain_is_passed_over_and_said(world: World, chain: Vm) -> None:
    own = await _planned(world, "latest")
    planned = chain.snapshots[-1]
    later = utc_now() + timedelta(hours=1)
    world.centre.provider.replicate(chain, "Restore Point 5", {"orders": "encrypted"}, later)
    done = await world.call(StepName.REVERT_SNAPSHOT, {**own, "replicas": _known(chain, "infected")})
    assert chain.current is planned and done.point.id == planned.moref
    assert "infected" in done.instead and "Restore Point 5" in done.instead
    await _back(world, own)


async def test_a5_a_point_of_the_drain_says_what_is_not_known_of_it(world: World, chain: Vm) -> None:
    own = await _planned(world, "latest")
    world.centre.provider.replicate(chain, "Restore Point 5", {"orders": "5000"})
    done = await world.call(StepName.REVERT_SNAPSHOT, {**own, "replicas": _known(chain, "suspicious")})
    assert chain.current is chain.snapshots[-1] and "suspicious" in done.instead
    await _back(world, own)


async def test_a5_no_other_point_than_an_infected_one_is_refused(world: World, chain: Vm) -> None:
    own = await _planned(world, utc_now().isoformat())
    planned, disk = chain.snapshots[-1], chain.disk
    for point in chain.snapshots[:-1]:
        point.name, point.description = "before the patch", ""
    planned.created += timedelta(seconds=1)
    gone = RestorePoint(id="snapshot-gone", number=9, name="gone", created=utc_now())
    own |= {"choice": "latest", "point": gone}
    with pytest.raises(Exception, match="infected") as refused:
        await world.call(StepName.REVERT_SNAPSHOT, {**own, "replicas": _known(chain, "infected")})
    assert "Nothing was reverted" in str(refused.value) and chain.disk is disk
    await _back(world, own)


async def test_a6_a_failover_in_veeams_console_that_began_during_the_drain_is_refused(
    world: World, chain: Vm
) -> None:
    own = await _planned(world, "latest")
    disk = chain.disk
    with pytest.raises(Exception, match="Veeam's own console has a replica") as refused:
        await world.call(StepName.REVERT_SNAPSHOT, {**own, "replicas": _known(chain, "clean", "failover")})
    assert "Nothing was reverted" in str(refused.value) and chain.disk is disk
    await _back(world, own)


async def test_a6_a_time_is_answered_by_what_fits_it_now(world: World, chain: Vm) -> None:
    own = await _planned(world, utc_now().isoformat())
    planned, before = chain.snapshots[-1], chain.snapshots[-2]
    world.centre.provider.replicate(
        chain, "Restore Point 5", {"orders": "5000"}, utc_now() + timedelta(hours=1)
    )
    done = await world.call(StepName.REVERT_SNAPSHOT, own)
    assert (chain.current, done.instead) == (planned, "")
    chain.snapshots.remove(planned)
    chain.snapshots[-1].parent = before
    done = await world.call(StepName.REVERT_SNAPSHOT, own)
    assert chain.current is before and "not there any more" in done.instead
    await _back(world, own)


async def test_a6_an_id_that_vanished_is_refused(world: World, chain: Vm) -> None:
    wanted, on_top = chain.snapshots[-2:]
    own = await _planned(world, wanted.moref)
    chain.snapshots.remove(wanted)
    on_top.parent = wanted.parent
    disk = chain.disk
    with pytest.raises(
        Exception, match=f"no restore point {wanted.moref} any more.*Choose one of"
    ) as refused:
        await world.call(StepName.REVERT_SNAPSHOT, own)
    assert not isinstance(refused.value, BadRequest) and chain.disk is disk
    await _back(world, own)


async def test_a6_nics_that_were_changed_while_the_drain_lasted_are_not_overwritten(
    world: World, chain: Vm
) -> None:
    own = await _planned(world, "latest")
    vm = world.centre.cloud.vm(f"{NAME}_replica")
    planned = vm.nics
    vm.nics = [replace(nic, mac="00:50:56:11:22:33") for nic in planned]
    disk = chain.disk
    try:
        with pytest.raises(Exception, match="The NICs of mail-01_replica were changed") as refused:
            await world.call(StepName.REVERT_SNAPSHOT, own)
        assert "Nothing was reverted" in str(refused.value) and chain.disk is disk
    finally:
        vm.nics = planned
    await _back(world, own)


async def test_a6_a_network_that_changed_while_the_drain_lasted_is_said(world: World, chain: Vm) -> None:
    own = await _planned(world, "latest")
    own["not_before"] = datetime.now(UTC) - 2 * LONG_AGO
    (name,) = {nic.network for nic in world.centre.cloud.vm(f"{NAME}_replica").nics}
    network = next(n for n in world.centre.cloud.world.networks if n.name == name)
    planned, disk = network.gateway, chain.disk
    network.gateway = IPv4Interface("10.9.9.1/24")
    try:
        with pytest.raises(Exception, match=r"outside 10\.9\.9\.0") as refused:
            await world.call(StepName.REVERT_SNAPSHOT, own)
        assert "Nothing was reverted" in str(refused.value) and chain.disk is disk
    finally:
        network.gateway = planned
    await _back(world, own)
