"""What cannot be failed over is refused in words that a tenant understands, and nothing is touched."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest
from temporalio.client import Client

from lab.data_centre import DataCentre
from lab.lab import Lab
from tests.e2e import inject
from tests.e2e.calls import changes
from tests.e2e.driver import failure_of, in_failover, record, start, undo

Spoil = Callable[[DataCentre], AbstractContextManager[None]]
DB = {"vm": "erp-db-01"}
NO_POINT = {"vm": "erp-db-01", "restore_point": "snapshot-999999"}
TOO_OLD = {"vm": "erp-db-01", "restore_point": "2001-01-01"}
HOSTILE = ("*", "erp-db-0*", "erp-db-01;name==*", "../../erp-db-01", "' or '1'='1", "<b>&amp;", "%00", "ü")


@pytest.mark.parametrize(
    ("wrong", "data", "says"),
    [
        (inject.nothing, {"vm": "nonesuch"}, ['no replica of "nonesuch" in your organization VDC']),
        (inject.nothing, NO_POINT, ["no restore point snapshot-999999", "Choose one of: snapshot-"]),
        (
            inject.nothing,
            TOO_OLD,
            ["no restore point not after 2001-01-01", "Choose one of: snapshot-"],
        ),
        (inject.ten_networks, DB, ["has 10 networks", "takes 9", "at most 10 NICs"]),
        (inject.dhcp, DB, ["NIC 0 of erp-db-01_replica on acme-lan-a has no static address"]),
        (inject.outside, DB, ["has the address 172.16.0.9 outside 192.168.10.0/24"]),
        (inject.unplugged, DB, ["erp-db-01_replica has no connected NIC"]),
        (inject.original_runs, DB, ["erp-db-01 is powered on and connected", "original_may_run"]),
        (inject.replica_on, DB, ["is Normal but on, not powered off"]),
        (
            inject.marked,
            DB,
            ["erp-db-01_replica is in state Failover", "fo-yesterday", '"adopt": true'],
        ),
        (inject.not_replicated, DB, ["erp-db-01", "so replication cannot be held"]),
        (inject.replica_twice, DB, ["2 VMs", "named 'erp-db-01_replica'. Rename all but one of them"]),
        (
            inject.elsewhere,
            DB,
            ["which is not in the worker's settings. Add it under vcenters (provider)"],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_refused_with_the_reason(
    lab: Lab, acme: Client, wrong: Spoil, data: object, says: list[str]
) -> None:
    since = len(lab.centre.faults.calls)
    with wrong(lab.centre):
        failure = await failure_of(await start(acme, data))
    assert failure.type == "NotReady"
    for words in [*says, "Nothing was changed", "(1)"]:
        assert words in failure.message
    assert changes(lab, since) == []


async def test_all_that_is_wrong_is_said_at_once(lab: Lab, acme: Client) -> None:
    wrong = (
        inject.ten_networks,
        inject.dhcp,
        inject.original_runs,
        inject.replica_on,
        inject.not_replicated,
    )
    with ExitStack() as stack:
        for one in wrong:
            stack.enter_context(one(lab.centre))
        handle = await start(acme, NO_POINT)
        failure = await failure_of(handle)
    for words in (
        "10 networks",
        "no static address",
        "is powered on and connected",
        "is Normal but on",
        "no restore point snapshot-999999",
        "so replication cannot be held",
        "(provider)",
        "(tenant)",
        "Nothing was changed",
    ):
        assert words in failure.message
    await record("refused", handle)


async def test_what_does_not_answer_hides_nothing_else(lab: Lab, acme: Client) -> None:
    """Each is asked a few times, and then said like everything else."""
    since = len(lab.centre.faults.calls)
    with ExitStack() as stack:
        for system in ("provider-vcenter", "acme-vcenter", "acme-veeam"):
            stack.enter_context(inject.away(lab.centre, system))
        stack.enter_context(inject.dhcp(lab.centre))
        stack.enter_context(inject.unreadable_marker(lab.centre))
        failure = await failure_of(await start(acme, DB))
    for words in (
        "no static address",
        "state marker of erp-db-01_replica cannot be read. Look at its SYSTEM metadata",
        "so replication cannot be held. If this lasts, see why it does not answer",
        "so the tenant's appliance cannot be used",
        "so it is not known whether erp-db-01 runs",
        "so the provider's appliance cannot be used",
        "(7)",
        "Nothing was changed",
    ):
        assert words in failure.message
    assert "(8)" not in failure.message and "Look at the provider's worker" not in failure.message
    vcenter = f"vCenter 127.0.0.1:{lab.centre.vcenter.port}"
    assert vcenter in failure.message, "the provider's vCenter is named"
    assert changes(lab, since) == []


async def test_an_original_that_runs_is_refused_behind_an_nsx_edge_too(lab: Lab, initech: Client) -> None:
    with inject.original_runs(lab.centre, "tps-01"):
        failure = await failure_of(await start(initech, {"vm": "tps-01"}))
    assert "tps-01 is powered on and connected" in failure.message


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (inject.vcenter_away, ["vCenter 127.0.0.1:", "If this lasts, see why it does not answer"]),
        (inject.named_twice, ["2 VMs in vCenter", "are called 'tps-01'", "Rename all but one of them"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_an_original_that_nobody_can_look_at_may_run(
    lab: Lab, initech: Client, wrong: Spoil, says: list[str]
) -> None:
    """No appliance would find out here that somebody else owns the address."""
    since = len(lab.centre.faults.calls)
    with wrong(lab.centre), inject.original_runs(lab.centre, "tps-01"):
        failure = await failure_of(await start(initech, {"vm": "tps-01"}))
    assert failure.type == "NotReady"
    known = "so it is not known whether tps-01 runs"
    for words in [*says, known, '"original_may_run": true', "(1)", "Nothing was changed"]:
        assert words in failure.message
    assert "(2)" not in failure.message
    assert changes(lab, since) == []


async def test_a_tenant_may_know_that_an_original_is_off(lab: Lab, initech: Client) -> None:
    with inject.vcenter_away(lab.centre):
        handle = await in_failover(initech, {"vm": "tps-01", "original_may_run": True})
        report = await undo(handle)
    assert any("it is not known whether tps-01 runs" in warning for warning in report.warnings)


async def test_another_tenants_vm_is_refused_as_if_it_did_not_exist(acme: Client) -> None:
    theirs = await failure_of(await start(acme, {"vm": "crm-db-01"}))
    nobodys = await failure_of(await start(acme, {"vm": "nonesuch"}))
    assert theirs.type == "NotReady"
    assert theirs.message == nobodys.message.replace("nonesuch", "crm-db-01")


@pytest.mark.parametrize("vm", HOSTILE)
async def test_hostile_names_are_names_that_do_not_exist(acme: Client, vm: str) -> None:
    failure = await failure_of(await start(acme, {"vm": vm}))
    assert failure.type == "NotReady" and f'no replica of "{vm}"' in failure.message


async def test_an_unreadable_marker_stops_the_failover(lab: Lab, acme: Client) -> None:
    with inject.unreadable_marker(lab.centre):
        failure = await failure_of(await start(acme, DB))
    assert "state marker of erp-db-01_replica cannot be read" in failure.message
    assert "Look at its SYSTEM metadata" in failure.message
    assert "could not be looked at" not in failure.message
    assert "what?" not in failure.message


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"vmm": "erp-db-01"}, "vmm"),
        ({"vm": ["erp-db-01"]}, "vm"),
        ({"vm": "erp-db-01", "restore_point": "yesterday"}, "restore_point"),
        ({"vm": "erp-db-01", "undo_after": "-1h"}, "undo_after"),
        ("erp-db-01", "the whole input"),
    ],
)
async def test_wrong_json_is_refused_with_a_right_example(acme: Client, data: object, field: str) -> None:
    failure = await failure_of(await start(acme, data))
    assert failure.type == "PayloadValidationError"
    assert field in failure.message and '{"vm": "erp-db-01"}' in failure.message
    assert "Nothing was changed" in failure.message
