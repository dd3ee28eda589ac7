"""Hold, drain and release against the lab's backup server; what counts is what is left in the lab."""

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import httpx
import pytest

from connectors.attempt import Attempt
from connectors.veeam import Veeam
from contracts.errors import (
    BadRequest,
    Busy,
    Expired,
    Misconfigured,
    NoRight,
    NotFound,
    OutcomeUnknown,
    Unavailable,
)
from contracts.replication import HoldTarget
from lab.faults import Faults, Kind, Rule
from lab.hypervisor import Hypervisor, Vm
from lab.tls import Authority
from lab.veeam import Job, Role, VeeamEndpoint
from lab.veeam.http import Answer, HttpServer

VERSIONS = ("1.3-rev0", "1.3-rev1", "1.3-rev2")
EXCLUDE = "POST /api/v1/globalExclusions/vm"
NOTE = "PUT /api/v1/globalExclusions/vm/{id}/note"
INCLUDE = "DELETE /api/v1/globalExclusions/vm/{id}"
STOP = "POST /api/v1/jobs/{id}/stop"
TOKEN = "POST /api/oauth2/token"
NAMES = ("erp-db-01", "erp-app-01")


@dataclass
class Site:
    """A tenant's site, its backup server, and the replicas."""

    endpoint: VeeamEndpoint
    faults: Faults
    ca_file: Path
    job: Job
    originals: dict[str, Vm]
    replicas: dict[str, Vm]
    clients: list[Veeam] = field(default_factory=list)

    def client(self, user: str = "failover", password: str = "right", version: str = "1.3-rev1") -> Veeam:
        client = Veeam(self.endpoint.url, user, password, self.ca_file, version, timeout=5)
        self.clients.append(client)
        return client

    def fault(self, call: str, kind: Kind, seconds: float = 0.0, times: int = 1) -> None:
        self.faults.add(Rule("veeam", call, kind, times, seconds))

    def count(self, call: str) -> int:
        return sum(c.call == call for c in self.faults.calls)

    def exclude(self, target: HoldTarget, note: str = "") -> None:
        """As somebody would in the console."""
        assert self.endpoint.replication.exclude(target.host, target.name, target.object_id, note)

    def notes(self) -> list[str]:
        return [e.note for e in self.endpoint.exclusions]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def make_site(authority: Authority) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(version: str = "1.3-rev1") -> Site:
        vcenter, cloud, faults = Hypervisor("vc.acme.example", ["lan"]), Hypervisor("cloud"), Faults()
        tls = authority.server_context("veeam")
        endpoint = VeeamEndpoint(vcenter, cloud, faults, tls, version=version)
        endpoint.add_user("failover", "right")
        endpoint.add_user("operator", "right", Role.BACKUP_OPERATOR)
        endpoint.start()
        originals = {n: vcenter.add_vm(n, ["lan"], data={"orders": "100"}) for n in NAMES}
        replicas = {n: cloud.add_vm(f"{n}_replica", []) for n in NAMES}
        for replica in replicas.values():
            cloud.replicate(replica, "Restore Point 1", {"orders": "99"}, dt.datetime.now(dt.UTC))
        job = endpoint.add_job("Replicate ERP", [(originals[n], replicas[n]) for n in NAMES])
        made.append(Site(endpoint, faults, authority.ca_file, job, originals, replicas))
        return made[-1]

    yield make
    for site in made:
        site.endpoint.close()


@pytest.fixture
async def site(make_site: Callable[..., Site]) -> AsyncIterator[Site]:
    site = make_site()
    yield site
    for client in site.clients:
        await client.close()


def attempt(seconds: float = 20.0, earlier: str | None = None) -> Attempt:
    return Attempt(monotonic() + seconds, earlier_task=earlier)


async def until(true: Callable[[], object], seconds: float = 5.0) -> None:
    """Poll until `true` is."""
    end = monotonic() + seconds
    while not true():
        assert monotonic() < end, "it never came true"
        await asyncio.sleep(0.01)


async def held(site: Site, client: Veeam, owner: str = "run-1") -> HoldTarget:
    target = await client.find_target("erp-db-01")
    assert await client.hold(target, owner, attempt())
    return target


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
    cycle = site.endpoint.start_cycle(site.job, 0.6)
    await until(lambda: cycle.tasks)
    assert await client.hold(target, "run-1", attempt())
    cloud.power_on(replica)
    await until(lambda: cycle.ended)
    assert replica.torn


async def test_drain_waits_for_the_run_at_the_vm_but_not_for_its_neighbours(site: Site) -> None:
    cloud, replica = site.endpoint.replication.replicas, site.replicas["erp-db-01"]
    client = site.client()
    cycle = site.endpoint.start_cycle(site.job, 0.8)
    await until(lambda: cycle.tasks)
    target = await held(site, client)
    said = await client.drain(target, attempt(), patience=20)
    assert "Replicate ERP" in said and "finished" in said
    assert cycle.ended is None, "erp-app-01 is still processed"
    cloud.power_on(replica)
    await until(lambda: cycle.ended)
    assert not replica.torn
    assert replica.snapshots[-1].disk.read("orders") == "100"


async def test_drain_waits_while_a_run_may_yet_come_to_the_vm(site: Site) -> None:
    """A run that was there before the hold and shows no part for the VM may have it in its list."""
    client = site.client()
    cycle = site.endpoint.start_cycle(site.job, 0.5)
    await until(lambda: cycle.tasks)
    app = await client.find_target("erp-app-01")
    await client.hold(app, "run-1", attempt())
    await client.drain(app, attempt(), patience=20)
    assert cycle.ended is not None


async def test_drain_asks_gracefully_to_stop_when_its_patience_ends(site: Site) -> None:
    client = site.client()
    cycle = site.endpoint.start_cycle(site.job, 1.2)
    await until(lambda: cycle.tasks)
    target = await held(site, client)
    assert "Asked Replicate ERP to stop" in await client.drain(target, attempt(), patience=0)
    assert site.count(STOP) == 1
    await until(lambda: cycle.ended)
    assert [(t.vm, t.result) for t in cycle.tasks] == [("erp-db-01", "Success")]
    assert len(site.replicas["erp-db-01"].snapshots) == 2


@pytest.mark.parametrize("kind", [Kind.DROP_AFTER, Kind.TASK_HANG])
async def test_a_stop_is_sent_once_even_if_its_answer_is_lost_or_it_lingers(site: Site, kind: Kind) -> None:
    client = site.client()
    app = await client.find_target("erp-app-01")
    cycle = site.endpoint.start_cycle(site.job, 0.6)
    await until(lambda: cycle.tasks)
    await client.hold(app, "run-1", attempt())
    site.fault(STOP, kind, seconds=0.5)
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
    cycle = site.endpoint.start_cycle(site.job, 0.5)
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
    found = await client.hold_of(target)
    assert found is not None and found.ours == note.startswith("partial-failover ")


async def test_an_owner_whose_name_begins_with_anothers_is_another(site: Site) -> None:
    client = site.client()
    target = await held(site, client, "run-12")
    assert not await client.release(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-12"]


@pytest.mark.parametrize("call", [EXCLUDE, NOTE])
async def test_a_lost_reply_of_hold_is_found_by_looking(site: Site, call: str) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.fault(call, Kind.DROP_AFTER)
    assert await client.hold(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-1"]
    assert site.count(call) == 1


async def test_a_lost_reply_of_release_is_found_by_looking(site: Site) -> None:
    client = site.client()
    target = await held(site, client)
    site.fault(INCLUDE, Kind.DROP_AFTER)
    assert await client.release(target, "run-1", attempt())
    assert site.endpoint.exclusions == () and site.count(INCLUDE) == 1


@pytest.mark.parametrize("call", [EXCLUDE, NOTE])
async def test_a_mutation_that_never_arrived_is_not_sent_again_by_the_same_attempt(
    site: Site, call: str
) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.fault(call, Kind.DROP_BEFORE)
    first = attempt()
    with pytest.raises(OutcomeUnknown):
        await client.hold(target, "run-1", first)
    assert site.count(call) == 1
    assert await client.hold(target, "run-1", attempt(earlier=first.task))
    assert site.notes() == ["partial-failover run-1"]


async def crashed_before_the_note(site: Site, target: HoldTarget) -> str:
    """An attempt that dies after the exclusion was made; returns what it heartbeat last."""
    first = attempt()
    site.fault(NOTE, Kind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        await site.client().hold(target, "run-1", first)
    assert site.notes() == [""] and first.task
    return first.task


async def test_an_exclusion_without_note_of_a_lost_attempt_is_taken_over(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    reference = await crashed_before_the_note(site, target)
    site.fault(NOTE, Kind.DROP_BEFORE)
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
    site.fault(EXCLUDE, Kind.EXPIRE_SESSION)
    site.fault(TOKEN, Kind.DELAY, seconds=0.5)
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
    site.fault(EXCLUDE, Kind.DROP_BEFORE)
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
    site.fault(EXCLUDE, Kind.DELAY, seconds=0.5)
    holding = asyncio.create_task(client.hold(target, "run-1", attempt()))
    await until(lambda: site.endpoint.exclusions)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
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
    site.fault(EXCLUDE, Kind.EXPIRE_SESSION)
    site.fault(TOKEN, Kind.DELAY, seconds=0.6, times=2)
    with pytest.raises(Expired):
        await client.hold(target, "run-1", attempt(seconds=0.4))
    assert site.endpoint.exclusions == () and site.count(EXCLUDE) == 1


async def test_an_operator_may_not_hold(site: Site) -> None:
    operator = site.client("operator")
    target = await operator.find_target("erp-db-01")
    with pytest.raises(NoRight, match="Veeam Backup Administrator"):
        await operator.check()
    with pytest.raises(NoRight):
        await operator.hold(target, "run-1", attempt())
    assert site.endpoint.exclusions == ()


async def test_a_wrong_password_is_tried_once_and_never_shown(site: Site) -> None:
    client = site.client(password="wrong-and-secret")
    answers = await asyncio.gather(*(client.check() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(a, NoRight) and "secret" not in str(a) for a in answers)
    assert site.count(TOKEN) == 1


@pytest.mark.parametrize("whole", [True, False], ids=["with-refresh-token", "access-token-only"])
async def test_a_session_that_ends_midway_is_renewed(site: Site, whole: bool) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    if whole:
        site.fault(EXCLUDE, Kind.EXPIRE_SESSION)
    else:
        site.endpoint.accounts.expire_all()
    assert await client.hold(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-1"]


async def test_many_calls_at_once_renew_an_expired_token_once(site: Site) -> None:
    client = site.client()
    await client.check()
    site.endpoint.accounts.expire_all()
    before = site.count(TOKEN)
    await asyncio.gather(*(client.find_target("erp-db-01") for _ in range(8)))
    assert site.count(TOKEN) == before + 1


async def test_short_lived_tokens_are_renewed_before_they_end(site: Site) -> None:
    site.endpoint.accounts.token_seconds = 1.0
    client = site.client()
    end = monotonic() + 1.3
    while monotonic() < end:
        await client.find_target("erp-db-01")
        await asyncio.sleep(0.05)
    assert site.count(TOKEN) >= 3
    assert site.count("GET /api/v1/jobs") == sum(
        c.call == "GET /api/v1/jobs" and c.user == "failover" for c in site.faults.calls
    ), "no call was made with a token that had expired"


async def test_reads_survive_one_broken_connection(site: Site) -> None:
    client = site.client()
    site.fault("GET /api/v1/jobs", Kind.DROP_BEFORE)
    await client.find_target("erp-db-01")
    site.fault("GET /api/v1/jobs", Kind.DROP_BEFORE, times=2)
    with pytest.raises(Unavailable):
        await client.find_target("erp-db-01")


async def test_a_refusing_server_is_unavailable_and_comes_back(site: Site) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    site.fault(EXCLUDE, Kind.REFUSE)
    with pytest.raises(Unavailable):
        await client.hold(target, "run-1", attempt())
    site.endpoint.close()
    with pytest.raises(Unavailable, match="does not answer"):
        await client.find_target("erp-db-01")
    site.endpoint.start()
    assert await client.hold(target, "run-1", attempt())


async def test_a_black_hole_ends_with_the_time_limit(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"https://127.0.0.1:{hole.getsockname()[1]}"
        client = Veeam(url, "failover", "right", site.ca_file, timeout=0.3)
        began = monotonic()
        with pytest.raises(Unavailable):
            await client.check()
        assert monotonic() - began < 2
        await client.close()


async def test_a_server_that_drips_its_answer_ends_with_the_time_limit(authority: Authority) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass  # the client has given up, as it should

    tls = authority.server_context("veeam")
    async with await asyncio.start_server(drip, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        client = Veeam(f"https://127.0.0.1:{port}", "u", "p", authority.ca_file, timeout=0.5)
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await client.check()
        await client.close()


async def test_a_mutation_whose_answer_never_comes_is_found_by_looking(site: Site) -> None:
    client = Veeam(site.endpoint.url, "failover", "right", site.ca_file, timeout=0.5)
    target = await client.find_target("erp-db-01")
    site.fault(EXCLUDE, Kind.DELAY, seconds=30)
    began = monotonic()
    assert await client.hold(target, "run-1", attempt())
    assert monotonic() - began < 5 and site.notes() == ["partial-failover run-1"]
    await client.close()


async def test_a_release_that_never_arrived_is_unknown_and_the_hold_stays(site: Site) -> None:
    client = site.client()
    target = await held(site, client)
    site.fault(INCLUDE, Kind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        await client.release(target, "run-1", attempt())
    assert site.notes() == ["partial-failover run-1"]


async def test_settings_that_do_not_fit_are_said(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"1\.3-rev0"):
        site.client(version="1.2-rev1")
    with pytest.raises(Misconfigured, match="https"):
        Veeam("http://127.0.0.1:1", "u", "p", None)
    with pytest.raises(Misconfigured, match=r"supported: 1\.3-rev0, 1\.3-rev1"):
        await site.client(version="1.3-rev2").check()
    stranger = Authority(tmp_path).ca_file
    with pytest.raises(Misconfigured, match="not trusted"):
        await Veeam(site.endpoint.url, "failover", "right", stranger).check()
    with pytest.raises(Misconfigured, match="cannot be read"):
        await Veeam(site.endpoint.url, "failover", "right", tmp_path / "none.pem").check()


async def test_a_target_is_found_by_its_exact_name_only(site: Site) -> None:
    client = site.client()
    site.endpoint.brief_lists = True
    assert (await client.find_target("erp-db-01")).jobs == ("Replicate ERP",)
    for name in ("erp-db-0", "ERP-DB-01", "*", "", "erp-db-01\n' OR 1=1"):
        with pytest.raises(NotFound, match="looked at: Replicate ERP"):
            await client.find_target(name)


async def test_two_vms_of_one_name_are_refused_and_two_jobs_of_one_vm_are_not(site: Site) -> None:
    client, endpoint = site.client(), site.endpoint
    original, replica = site.originals["erp-db-01"], site.replicas["erp-db-01"]
    endpoint.add_job("Nightly", [(original, replica)])
    assert (await client.find_target("erp-db-01")).jobs == ("Replicate ERP", "Nightly")
    twin = endpoint.replication.site.add_vm("erp-db-01", ["lan"])
    endpoint.add_job("Twins", [(twin, replica)])
    with pytest.raises(BadRequest, match="Several VMs"):
        await client.find_target("erp-db-01")


async def test_lists_longer_than_a_page_are_read_to_the_end(site: Site) -> None:
    site_vms = site.endpoint.replication.site
    for number in range(450):
        vm = site_vms.add_vm(f"other-{number}", [])
        site.endpoint.replication.exclude(site_vms.name, vm.name, vm.moref)
    client = site.client()
    target = await held(site, client)
    assert await client.hold_of(target) is not None
    assert await client.release(target, "run-1", attempt())
    assert len(site.endpoint.exclusions) == 450


@pytest.mark.parametrize("owner", ["", " ", "a\nb", "x" * 201, "a\x00"])
async def test_an_owner_that_cannot_be_a_note_is_refused(site: Site, owner: str) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    with pytest.raises(BadRequest):
        await client.hold(target, owner, attempt())
    assert site.endpoint.exclusions == ()


async def test_a_closed_client_has_logged_out(site: Site) -> None:
    client = site.client()
    await client.check()
    await client.close()
    assert site.count("POST /api/oauth2/logout") == 1
    trust = ssl.create_default_context(cafile=site.ca_file)
    async with httpx.AsyncClient(verify=trust) as anonymous:
        answer = await anonymous.get(
            site.endpoint.url + "/api/v1/jobs", headers={"x-api-version": "1.3-rev1"}
        )
    assert answer.status_code == 401


HOSTILE_TOKEN = {"access_token": "a b\u0000", "refresh_token": "r", "expires_in": 900}


@pytest.mark.parametrize("content", [None, {"data": 1}, HOSTILE_TOKEN], ids=["empty", "other", "hostile"])
async def test_an_answer_that_is_no_answer_is_unavailable(
    authority: Authority, content: dict[str, object] | None
) -> None:
    """A server that says 200 to everything, with a body that cannot be read."""
    server = HttpServer(lambda request: Answer(200, content), authority.server_context("veeam"))
    server.start()
    try:
        client = Veeam(f"https://127.0.0.1:{server.port}", "u", "p", authority.ca_file, timeout=3)
        with pytest.raises(Unavailable, match="cannot be read"):
            await client.check()
        await client.close()
    finally:
        server.close()
