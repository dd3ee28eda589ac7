"""Metadata, and the maintenance mode that is counted in it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any  # entries of different models side by side

import pytest
from pydantic import BaseModel

from lab.cloud_director.model import MetadataValue
from lab.injected_faults import FaultKind
from partial_failover.connectors.cloud_director import CloudDirector, OrganizationVdc, changes
from partial_failover.connectors.cloud_director.metadata_store import (
    APPLIANCE,
    MAINTENANCE,
    MARKER,
    NICS,
    TESTS,
    Entry,
)
from partial_failover.contracts.errors import (
    BadRequest,
    NoRight,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
    WrongState,
)
from partial_failover.contracts.failover_test import TestRecords
from partial_failover.contracts.network import AllocationMode, Nic
from partial_failover.contracts.remembered import ApplianceWiring, MaintenanceRecord, NicMemory
from partial_failover.contracts.replica import Marker, ReplicaState
from tests.connectors.cloud_director.site import ADDRESS, NOTE, Note, Site, attempt, own_vdc


def test_what_is_remembered_is_written_where_no_tenant_can(site: Site, vdc: OrganizationVdc) -> None:
    note = Note(text='{"state": "Processing", "note": "<&>\'\\" ünï"}')
    vm = site.vm
    for entry, entity in ((NOTE, vm), (replace(NOTE, kind="vapp"), site.vapp)):
        assert vdc.remembered.write(entry, entity.id, note, attempt())
        assert entity.metadata["SYSTEM", NOTE.key] == MetadataValue(note.model_dump_json(), "PRIVATE")
        assert vdc.remembered.read(entry, entity.id) == note
    again = attempt()
    assert vdc.remembered.write(NOTE, vm.id, note, again) is False
    assert vdc.remembered.forget(NOTE, vm.id, attempt()) is True
    assert vdc.remembered.forget(NOTE, vm.id, attempt()) is False
    assert vdc.remembered.read(NOTE, vm.id) is None


def test_a_marker_that_the_tenant_forged_is_not_believed(site: Site, vdc: OrganizationVdc) -> None:
    site.vm.metadata["GENERAL", NOTE.key] = MetadataValue('{"text": "forged"}', "READWRITE")
    assert vdc.remembered.read(NOTE, site.vm.id) is None
    vdc.remembered.write(NOTE, site.vm.id, Note(text="true"), attempt())
    assert vdc.remembered.read(NOTE, site.vm.id) == Note(text="true")
    vdc.remembered.forget(NOTE, site.vm.id, attempt())
    assert site.vm.metadata["GENERAL", NOTE.key].value == '{"text": "forged"}'


def test_a_tenants_token_cannot_write_system_metadata(site: Site) -> None:
    tenant = site.client(site.endpoint.api_token("joe", "acme"), org="acme")
    vdc = own_vdc(tenant)
    assert vdc.vm(site.vm.id).moref is None
    with pytest.raises(NoRight, match="SYSTEM"):
        vdc.remembered.write(NOTE, site.vm.id, Note(text="x"), attempt())
    for theirs in (vdc, tenant.organization_vdc("other", "other-dr")):
        with pytest.raises(NotFound):
            theirs.vm(site.foreign_vm.id)


@pytest.mark.parametrize("text", ["no JSON", "{}", '{"text": "a", "more": 1}', ""])
def test_what_cannot_be_read_is_refused_or_counts_as_absent(
    site: Site, vdc: OrganizationVdc, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.vm.metadata["SYSTEM", NOTE.key] = MetadataValue(text, "PRIVATE")
    with pytest.raises(WrongState, match=r"The note on erp-db-01 cannot be read\. .*Remove it\.$"):
        vdc.remembered.read(NOTE, site.vm.id)
    assert vdc.remembered.read(replace(NOTE, do=None), site.vm.id) is None
    assert "The note on erp-db-01 cannot be read" in caplog.text


WRITTEN: list[tuple[Entry[Any], BaseModel, str]] = [
    (
        MARKER,
        Marker(
            state=ReplicaState.PROCESSING,
            workflow_id="w",
            run_id="r",
            since=datetime(2026, 11, 22, 8, tzinfo=UTC),
        ),
        '{"state":"Processing","workflow_id":"w","run_id":"r","since":"2026-11-22T08:00:00Z",'
        '"written":false,"test":false}',
    ),
    (
        NICS,
        NicMemory.of(
            [
                Nic(
                    index=0,
                    network="lan",
                    mac="00:50:56:01:02:03",
                    mode=AllocationMode.MANUAL,
                    address=ADDRESS,
                )
            ]
        ),
        '{"networks":["lan"],"nics":[[0,0,"00:50:56:01:02:03","MANUAL","192.168.10.21","c"]]}',
    ),
    (TESTS, TestRecords(), "{}"),
    (APPLIANCE, ApplianceWiring(networks=("lan",), nics=()), '{"networks":["lan"],"nics":[]}'),
    (
        MAINTENANCE,
        MaintenanceRecord(owners=("one",), was_in_maintenance=True),
        '{"owners": ["one"], "was_in_maintenance": true}',
    ),
]


@pytest.mark.parametrize(("entry", "value", "text"), WRITTEN, ids=[entry.key for entry, _, _ in WRITTEN])
def test_texts_are_as_every_version_of_the_product_writes_them(
    site: Site, vdc: OrganizationVdc, entry: Entry[Any], value: BaseModel, text: str
) -> None:
    entity = site.vm if entry.kind == "vm" else site.vapp
    vdc.remembered.write(entry, entity.id, value, attempt())
    assert entity.metadata["SYSTEM", entry.key].value == text
    assert vdc.remembered.read(entry, entity.id) == value


@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.BUSY, FaultKind.EXPIRE_SESSION])
def test_metadata_survives_faults(
    site: Site, client: CloudDirector, vdc: OrganizationVdc, kind: FaultKind
) -> None:
    client.check()
    site.plan("POST metadata", kind)
    assert vdc.remembered.write(NOTE, site.vm.id, Note(text="v"), attempt()) is True
    assert vdc.remembered.read(NOTE, site.vm.id) == Note(text="v")


def test_a_task_that_ends_well_without_effect_is_a_failure(
    site: Site, vdc: OrganizationVdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "EFFECT_SECONDS", 0.5)
    site.endpoint.world.lags = {"metadata": 3600.0}
    with pytest.raises(TaskFailed, match="nothing of it is seen"):
        vdc.remembered.write(NOTE, site.vm.id, Note(text="v"), attempt())


@pytest.mark.parametrize(("key", "value"), [("a/b", "v"), ("", "v"), ("k" * 257, "v"), ("k", "nul\0")])
def test_metadata_that_cannot_be_carried_is_refused(
    site: Site, vdc: OrganizationVdc, key: str, value: str
) -> None:
    with pytest.raises(BadRequest):
        entry = replace(NOTE, key=key, text=lambda note: note.text)
        vdc.remembered.write(entry, site.vm.id, Note(text=value), attempt())


def test_maintenance_ends_with_its_last_owner(site: Site, vdc: OrganizationVdc) -> None:
    vapp = site.vapp.id
    assert vdc.hold_maintenance(vapp, "one", attempt()) is True
    assert vdc.hold_maintenance(vapp, "one", attempt()) is False
    assert vdc.hold_maintenance(vapp, "two", attempt()) is True
    assert vdc.vm(site.vm.id).in_maintenance
    assert vdc.release_maintenance(vapp, "one", attempt()) is True
    assert site.in_maintenance()
    assert site.count("POST exitMaintenanceMode") == 0
    assert vdc.release_maintenance(vapp, "one", attempt()) is False
    assert vdc.release_maintenance(vapp, "two", attempt()) is True
    assert not site.in_maintenance()
    assert ("SYSTEM", MAINTENANCE.key) not in site.vapp.metadata


def test_maintenance_that_somebody_else_set_stays(site: Site, vdc: OrganizationVdc) -> None:
    site.vapp.maintenance = True
    vapp = site.vapp.id
    vdc.hold_maintenance(vapp, "one", attempt())
    vdc.hold_maintenance(vapp, "two", attempt())
    vdc.release_maintenance(vapp, "two", attempt())
    vdc.release_maintenance(vapp, "one", attempt())
    assert site.in_maintenance()


def test_the_provider_works_in_maintenance_mode_and_the_tenant_does_not(
    site: Site, vdc: OrganizationVdc
) -> None:
    vdc.hold_maintenance(site.vapp.id, "one", attempt())
    tenant = own_vdc(site.client(site.endpoint.api_token("joe", "acme"), org="acme"))
    with pytest.raises(NoRight, match="maintenance"):
        tenant.power_on(site.vm.id, attempt())
    assert vdc.set_nics(site.vm.id, [Nic(index=0, network=None, connected=False)], attempt())
    assert vdc.power_on(site.vm.id, attempt()) is True


@pytest.mark.parametrize("action", ["enter", "exit"])
def test_a_lost_reply_in_maintenance_is_repaired(site: Site, vdc: OrganizationVdc, action: str) -> None:
    vapp = site.vapp.id
    site.plan(f"POST {action}MaintenanceMode", FaultKind.DROP_AFTER)
    vdc.hold_maintenance(vapp, "one", attempt())
    assert site.in_maintenance()
    vdc.release_maintenance(vapp, "one", attempt())
    assert not site.in_maintenance()
    assert site.count(f"POST {action}MaintenanceMode") == 1


def test_a_hold_that_died_in_between_is_taken_up(site: Site, vdc: OrganizationVdc) -> None:
    vapp = site.vapp.id
    site.plan("POST enterMaintenanceMode", FaultKind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        vdc.hold_maintenance(vapp, "one", attempt())
    assert not site.in_maintenance()
    assert vdc.hold_maintenance(vapp, "one", attempt()) is True
    assert site.in_maintenance()
    vdc.release_maintenance(vapp, "one", attempt())
    assert not site.in_maintenance()
