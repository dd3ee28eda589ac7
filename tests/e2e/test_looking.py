"""`ListReplicas` and `CheckReadiness`: what a tenant looks at first; they change nothing."""

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime

from temporalio.client import Client

from lab.lab import Lab
from partial_failover.contracts.report import ReadinessReport, ReplicaList
from partial_failover.contracts.step import StepName
from tests.e2e import inject
from tests.e2e.calls import changes
from tests.e2e.driver import in_failover, page, record, start, timeline, undo
from tests.waiting import PATIENCE


async def test_list_replicas(lab: Lab, acme: Client) -> None:
    handle = await start(acme, {}, "ListReplicas")
    raw = await handle.result()
    found = ReplicaList.model_validate(raw)
    await record("list-replicas", handle)
    assert [r.vm for r in found.replicas] == ["erp-db-01", "erp-web-01", "mail-01"]
    db = found.replicas[0]
    assert (db.replica, db.state, db.power, db.held_by) == ("erp-db-01_replica", "Normal", "off", None)
    assert [str(a) for a in db.addresses] == ["192.168.10.50"]
    snapshots = lab.centre.replica("erp-db-01").snapshots
    assert [p.id for p in db.restore_points] == [s.moref for s in reversed(snapshots)]
    assert abs((found.read_at - datetime.now(UTC)).total_seconds()) < 60
    shown = await page(handle)
    assert "### 3 replicas" in shown and "| erp-db-01 | Normal | off | 192.168.10.50 |" in shown
    assert f"{db.restore_points[0].id} (1 h " in shown and "(3 d old)" in shown


async def test_list_replicas_says_which_failover_has_a_replica(initech: Client) -> None:
    failover = await in_failover(initech, {"vm": "tps-01"})
    listing = await start(initech, {}, "ListReplicas")
    found = ReplicaList.model_validate(await listing.result())
    assert [(r.state, r.power, r.held_by) for r in found.replicas] == [("Failover", "on", failover.id)]
    assert "| tps-01 | Failover, PartialFailover-" in await page(listing)
    await undo(failover)


async def test_one_replica_that_cannot_be_looked_at_hides_no_other(lab: Lab, acme: Client) -> None:
    with inject.unreadable_marker(lab.centre), inject.elsewhere(lab.centre, "mail-01"):
        listing = await start(acme, {}, "ListReplicas")
        found = ReplicaList.model_validate(await listing.result())
        readiness = await start(acme, {}, "CheckReadiness")
        report = ReadinessReport.model_validate(await readiness.result())
    db, web, mail = found.replicas
    assert (db.state, web.state, mail.state) == ("unknown", "Normal", "Normal")
    assert db.restore_points and not mail.restore_points
    assert "state marker of erp-db-01_replica cannot be read" in db.problems[0].what
    assert "which is not in the worker's settings" in mail.problems[0].what
    assert web.problems == ()
    shown = await page(listing)
    assert (
        "| erp-db-01 | unknown |" in shown and "| mail-01 | Normal | off | 192.168.20.60 | unknown |" in shown
    )
    assert "* erp-db-01: The state marker of erp-db-01\\_replica cannot be read. Look at" in shown
    assert [r.ready for r in report.replicas] == [False, True, False]


async def test_readiness_when_all_is_well(lab: Lab, acme: Client) -> None:
    since = len(lab.centre.faults.calls)
    handle = await start(acme, {}, "CheckReadiness")
    report = ReadinessReport.model_validate(await handle.result())
    assert report.ready and [r.vm for r in report.replicas] == ["erp-db-01", "erp-web-01", "mail-01"]
    assert "| mail-01 | yes |" in await page(handle)
    assert changes(lab, since) == []
    first, second, _ = [row for row in await timeline(handle) if row.step == StepName.PLAN_FAILOVER]
    assert first.completed is not None and second.scheduled < first.completed, "they are checked side by side"


async def test_readiness_while_the_backup_server_does_not_answer(lab: Lab, acme: Client) -> None:
    with inject.backup_away(lab.centre), inject.dhcp(lab.centre):
        handle = await start(acme, {}, "CheckReadiness")
        report = ReadinessReport.model_validate(await asyncio.wait_for(handle.result(), PATIENCE))
    for one in report.replicas:
        assert "so replication cannot be held" in one.problems[-1].what
    assert "no static address" in report.replicas[0].problems[0].what


async def test_readiness_names_the_problems_of_every_vm(lab: Lab, acme: Client) -> None:
    since = len(lab.centre.faults.calls)
    with ExitStack() as stack:
        stack.enter_context(inject.dhcp(lab.centre))
        stack.enter_context(inject.not_replicated(lab.centre, "erp-db-01"))
        stack.enter_context(inject.not_replicated(lab.centre, "mail-01"))
        stack.enter_context(inject.original_runs(lab.centre, "erp-web-01"))
        handle = await start(acme, {}, "CheckReadiness")
        report = ReadinessReport.model_validate(await handle.result())
    await record("check-readiness", handle)
    assert not report.ready
    assert {r.vm: r.ready for r in report.replicas} == {
        "erp-db-01": False,
        "erp-web-01": True,
        "mail-01": False,
    }
    db, web, mail = report.replicas
    assert len(db.problems) == 2
    assert "no static address" in db.problems[0].what
    assert "replication cannot be held" in db.problems[1].what
    assert len(mail.problems) == 1 and "replication cannot be held" in mail.problems[0].what
    assert "erp-web-01 runs and owns its address" in web.warnings[0], "on an ordinary day it runs"
    shown = await page(handle)
    assert "| mail-01 | no |" in shown and "(tenant)" in shown and "(provider)" in shown
    assert changes(lab, since) == []


async def test_readiness_of_named_vms_only(acme: Client) -> None:
    handle = await start(acme, {"vms": ["mail-01", "crm-db-01"]}, "CheckReadiness")
    report = ReadinessReport.model_validate(await handle.result())
    assert [(r.vm, r.ready) for r in report.replicas] == [("mail-01", True), ("crm-db-01", False)]
    assert 'no replica of "crm-db-01"' in report.replicas[1].problems[0].what
