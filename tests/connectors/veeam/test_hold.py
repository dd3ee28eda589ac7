"""Hold, drain and release; what counts is what is left in the lab."""

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from lab.injected_faults import FaultKind
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.veeam import Veeam
from partial_failover.contracts.errors import (
    Busy,
    Expired,
    LostLock,
    OutcomeUnknown,
    WrongState,
)
from partial_failover.contracts.replication import HoldTarget
from tests.connectors.veeam.site import (
    EXCLUDE,
    INCLUDE,
    NOTE,
    STOP,
    TOKEN,
    VERSIONS,
    Site,
    attempt,
    held,
)
from tests.waiting import until


@pytest.mark.parametrize("version", VERSIONS)
async def test_hold_and_release_leave_the_world_as_it_was(
    make_site: Callable[..., Site], version: str
) -> None:
    site = make_site(version)
    client = site.client(version=version)
    assert version in await client.check()
    target = await client.find_target("erp-db-01")
    assert target == HoldTarget(
        name="erp-db-01",
        object_id=site.originals["erp-db-01"].moref,
        host="vc.acme.example",
        jobs=("Replicate ERP",),
    )
    assert await client.hold_of(target) is None
    assert await client.hold(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-1"]
    hold = await client.hold_of(target)
    assert hold is not None and hold.ours and hold.note == "partial-failover run-1"
    assert await client.holds() == (hold,)
    assert "No replication run" in await client.drain(target, attempt(), patience=5)
    assert await client.release(target, "run-1", attempt())
    assert site.endpoint.exclusions == ()
    assert not await client.release(target, "run-1", attempt())
    await client.close()


async def test_a_held_vm_is_left_out_of_a_cycle_and_its_neighbour_is_not(site: Site) -> None:
    client = site.client()
    await held(site, client)
    cycle = site.endpoint.start_cycle(site.job, 0.0)
    await until(lambda: cycle.ended)
    assert len(site.replicas["erp-db-01"].snapshots) == 1
    assert len(site.replicas["erp-app-01"].snapshots) == 2


async def test_without_drain_a_run_in_flight_tears_the_replica(site: Site) -> None:
    """What drain is for: an exclusion does not stop the run that is at the VM."""
    cloud, replica = site.endpoint.replication.replicas, site.replicas["erp-db-01"]
    client = site.client()
    target = await client.find_target("erp-db-01")
    cycle = site.endpoint.start_cycle(site.job, 1.5)
    await until(lambda: cycle.tasks)
    assert await client.hold(target, "run-1", attempt())
    cloud.power_on(replica)
    await until(lambda: cycle.ended)
    assert replica.torn


async def test_drain_waits_for_the_run_at_the_vm_but_not_for_its_neighbours(site: Site) -> None:
    cloud, replica = site.endpoint.replication.replicas, site.replicas["erp-db-01"]
    client = site.client()
    cycle = site.endpoint.start_cycle(site.job, 2.0)
    await until(lambda: cycle.tasks)
    target = await held(site, client)
    sentence = await client.drain(target, attempt(), patience=20)
    assert "Replicate ERP" in sentence and "finished" in sentence
    assert cycle.ended is None, "erp-app-01 is still processed"
    cloud.power_on(replica)
    await until(lambda: cycle.ended)
    assert not replica.torn
    assert replica.snapshots[-1].disk.read("orders") == "100"


async def test_drain_waits_while_a_run_may_yet_come_to_the_vm(site: Site) -> None:
    """A run that was there before the hold and shows no part for the VM may have it in its list."""
    client = site.client()
    cycle = site.endpoint.start_cycle(site.job, 1.5)
    await until(lambda: cycle.tasks)
    app = await client.find_target("erp-app-01")
    await client.hold(app, "run-1", attempt())
    await client.drain(app, attempt(), patience=20)
    assert cycle.ended is not None


async def test_drain_asks_gracefully_to_stop_when_its_patience_ends(site: Site) -> None:
    client = site.client()
    cycle = site.endpoint.start_cycle(site.job, 2.0)
    await until(lambda: cycle.tasks)
    target = await held(site, client)
    assert "Asked Replicate ERP to stop" in await client.drain(target, attempt(), patience=0)
    assert site.count(STOP) == 1
    await until(lambda: cycle.ended)
    assert [(t.vm, t.result) for t in cycle.tasks] == [("erp-db-01", "Success")]
    assert len(site.replicas["erp-db-01"].snapshots) == 2


async def test_a_job_that_may_not_be_stopped_has_precedence(site: Site) -> None:
    client = site.client()
    cycle = site.endpoint.start_cycle(site.job, 30)
    await until(lambda: cycle.tasks)
    target = await held(site, client)
    with pytest.raises(WrongState, match="Replicate ERP still replicates erp-db-01 after"):
        await client.drain(target, attempt(), patience=0.2, may_stop=False)
    assert site.count(STOP) == 0 and cycle.ended is None


@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.TASK_HANG])
async def test_a_stop_is_sent_once_even_if_its_answer_is_lost_or_it_lingers(
    site: Site, kind: FaultKind
) -> None:
    client = site.client()
    app = await client.find_target("erp-app-01")
    cycle = site.endpoint.start_cycle(site.job, 1.5)
    await until(lambda: cycle.tasks)
    await client.hold(app, "run-1", attempt())
    site.inject(STOP, kind, seconds=0.5)
    await client.drain(app, attempt(), patience=0)
    assert cycle.ended is not None and site.count(STOP) == 1


async def test_drain_says_busy_when_its_time_is_over(site: Site) -> None:
    client = site.client()
    site.endpoint.start_cycle(site.job, 30)
    target = await held(site, client)
    with pytest.raises(Busy, match="stays on hold"):
        await client.drain(target, attempt(seconds=0.5), patience=60)


async def test_drain_beats_while_it_waits(site: Site) -> None:
    client, beats = site.client(), list[str | None]()
    target = await client.find_target("erp-db-01")
    cycle = site.endpoint.start_cycle(site.job, 1.5)
    await until(lambda: cycle.tasks)
    await client.drain(target, Attempt(monotonic() + 20, beats.append), patience=20)
    assert beats


@pytest.mark.parametrize("note", ["", "kept off for the auditors", "partial-failover run-of-another"])
async def test_an_exclusion_of_somebody_else_is_left_alone(site: Site, note: str) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.exclude(target, note)
    before = site.endpoint.exclusions
    assert not await client.hold(target, "run-1", attempt())
    assert not await client.release(target, "run-1", attempt())
    assert site.endpoint.exclusions == before
    hold = await client.hold_of(target)
    assert hold is not None and hold.ours == note.startswith("partial-failover ")


async def test_an_owner_whose_name_begins_with_anothers_is_another(site: Site) -> None:
    client = site.client()
    target = await held(site, client, "run-12")
    assert not await client.release(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-12"]


@pytest.mark.parametrize("call", [EXCLUDE, NOTE])
async def test_a_lost_reply_of_hold_is_found_by_looking(site: Site, call: str) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.inject(call, FaultKind.DROP_AFTER)
    assert await client.hold(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-1"]
    assert site.count(call) == 1


async def test_a_lost_reply_of_release_is_found_by_looking(site: Site) -> None:
    client = site.client()
    target = await held(site, client)
    site.inject(INCLUDE, FaultKind.DROP_AFTER)
    assert await client.release(target, "run-1", attempt())
    assert site.endpoint.exclusions == () and site.count(INCLUDE) == 1


@pytest.mark.parametrize("call", [EXCLUDE, NOTE])
async def test_a_mutation_that_never_arrived_is_not_sent_again_by_the_same_attempt(
    site: Site, call: str
) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.inject(call, FaultKind.DROP_BEFORE)
    first = attempt()
    with pytest.raises(OutcomeUnknown):
        await client.hold(target, "run-1", first)
    assert site.count(call) == 1
    assert await client.hold(target, "run-1", attempt(earlier=first.task))
    assert site.notes() == ["partial-failover run-1"]


async def crashed_before_the_note(site: Site, target: HoldTarget) -> str:
    """An attempt that dies after the exclusion was made; returns what it heartbeat last."""
    first = attempt()
    site.inject(NOTE, FaultKind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        await site.client().hold(target, "run-1", first)
    assert site.notes() == [""] and first.task
    return first.task


async def test_an_exclusion_without_note_of_a_lost_attempt_is_taken_over(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    reference = await crashed_before_the_note(site, target)
    site.inject(NOTE, FaultKind.DROP_BEFORE)
    second = attempt(earlier=reference)
    with pytest.raises(OutcomeUnknown):
        await client.hold(target, "run-1", second)
    assert await client.hold(target, "run-1", attempt(earlier=second.task))
    assert site.notes() == ["partial-failover run-1"] and site.count(EXCLUDE) == 1


async def test_an_exclusion_without_note_of_a_lost_attempt_can_be_released(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    await crashed_before_the_note(site, target)
    assert not await client.release(target, "run-1", attempt())
    assert await client.release(target, "run-1", attempt(), without_note=True)
    assert site.endpoint.exclusions == ()


async def test_the_retry_of_a_hold_that_worked_says_so_again(site: Site) -> None:
    client, first = site.client(), attempt()
    target = await client.find_target("erp-db-01")
    assert await client.hold(target, "run-1", first)
    assert await client.hold(target, "run-1", attempt(earlier=first.task))
    assert not await client.hold(target, "run-1", attempt())
    assert site.count(EXCLUDE) == 1


async def hold_overtaken(site: Site, client: Veeam, target: HoldTarget, by: Attempt) -> bool:
    """A hold that looks, finds nothing, and meets an exclusion when it sends its own."""
    site.inject(EXCLUDE, FaultKind.EXPIRE_SESSION)
    site.inject(TOKEN, FaultKind.DELAY, seconds=0.5)
    sent = site.count(EXCLUDE)
    holding = asyncio.create_task(client.hold(target, "run-1", by))
    await until(lambda: site.count(EXCLUDE) > sent)
    site.exclude(target)
    held = await holding
    assert site.count(EXCLUDE) == sent + 2
    return held


async def test_a_late_refusal_as_duplicate_is_known_as_the_lost_attempts_own(site: Site) -> None:
    """The exclusion of a lost attempt lands after the next one has looked."""
    client, first = site.client(), attempt()
    target = await client.find_target("erp-db-01")
    site.inject(EXCLUDE, FaultKind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        await client.hold(target, "run-1", first)
    assert await hold_overtaken(site, client, target, attempt(earlier=first.task))
    assert site.notes() == ["partial-failover run-1"]


async def test_somebody_elses_exclusion_that_came_in_between_is_left_alone(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    assert not await hold_overtaken(site, client, target, attempt())
    assert site.notes() == [""]


async def test_a_cancelled_hold_leaves_no_exclusion_without_a_note(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.inject(EXCLUDE, FaultKind.DELAY, seconds=0.5)
    holding = asyncio.create_task(client.hold(target, "run-1", attempt()))
    await until(lambda: site.endpoint.exclusions)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert site.notes() == ["partial-failover run-1"]


async def test_a_hold_whose_failover_ended_meanwhile_leaves_no_exclusion_without_a_note(site: Site) -> None:
    """The one that takes over would believe that it is somebody else's, and never release it."""
    client = site.client()
    target = await client.find_target("erp-db-01")

    def confirm(task: str | None) -> None:
        if site.endpoint.exclusions:
            raise LostLock("This run no longer holds the replica")

    await client.hold(target, "run-1", Attempt(monotonic() + 20, confirm=confirm))
    assert site.notes() == ["partial-failover run-1"]


async def test_an_attempt_whose_time_is_over_sends_nothing(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    with pytest.raises(Expired, match="Nothing was sent"):
        await client.hold(target, "run-1", attempt(seconds=0))
    assert site.count(EXCLUDE) == 0
    await held(site, client)
    with pytest.raises(Expired):
        await client.release(target, "run-1", attempt(seconds=0))
    assert site.count(INCLUDE) == 0 and site.notes() == ["partial-failover run-1"]


async def test_time_that_ends_while_the_session_is_renewed_counts(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.inject(EXCLUDE, FaultKind.EXPIRE_SESSION)
    site.inject(TOKEN, FaultKind.DELAY, seconds=0.6, times=2)
    with pytest.raises(Expired):
        await client.hold(target, "run-1", attempt(seconds=0.4))
    assert site.endpoint.exclusions == () and site.count(EXCLUDE) == 1
