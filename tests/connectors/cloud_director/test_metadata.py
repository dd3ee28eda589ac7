"""Metadata, and the maintenance mode that is counted in it."""

import pytest

from lab.cloud_director.model import MetadataValue
from lab.injected_faults import FaultKind
from partial_failover.connectors.cloud_director import CloudDirector
from partial_failover.connectors.cloud_director.maintenance import KEY as MAINTENANCE
from partial_failover.contracts.errors import (
    BadRequest,
    NoRight,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
)
from partial_failover.contracts.network import Nic
from tests.connectors.cloud_director.site import Site, attempt


def test_metadata_is_written_where_no_tenant_can(site: Site, client: CloudDirector) -> None:
    value = '{"state": "Processing", "note": "<&>\'\\" ünï"}'
    vm = site.vm
    for kind, entity in (("vm", vm), ("vapp", site.vapp)):
        assert client.set_metadata(site.vdc.id, kind, entity.id, "pf.state", value, attempt())  # type: ignore[arg-type]
        assert entity.metadata["SYSTEM", "pf.state"] == MetadataValue(value, "PRIVATE")
        assert client.metadata(site.vdc.id, kind, entity.id, "pf.state") == value  # type: ignore[arg-type]
    again = attempt()
    assert client.set_metadata(site.vdc.id, "vm", vm.id, "pf.state", value, again) is False
    assert client.delete_metadata(site.vdc.id, "vm", vm.id, "pf.state", attempt()) is True
    assert client.delete_metadata(site.vdc.id, "vm", vm.id, "pf.state", attempt()) is False
    assert client.metadata(site.vdc.id, "vm", vm.id, "pf.state") is None


def test_a_marker_that_the_tenant_forged_is_not_believed(site: Site, client: CloudDirector) -> None:
    site.vm.metadata["GENERAL", "pf.state"] = MetadataValue("forged", "READWRITE")
    assert client.metadata(site.vdc.id, "vm", site.vm.id, "pf.state") is None
    client.set_metadata(site.vdc.id, "vm", site.vm.id, "pf.state", "true", attempt())
    assert client.metadata(site.vdc.id, "vm", site.vm.id, "pf.state") == "true"
    client.delete_metadata(site.vdc.id, "vm", site.vm.id, "pf.state", attempt())
    assert site.vm.metadata["GENERAL", "pf.state"].value == "forged"


def test_a_tenants_token_cannot_write_system_metadata(site: Site) -> None:
    tenant = site.client(site.endpoint.api_token("joe", "acme"), org="acme")
    assert tenant.vm(site.vdc.id, site.vm.id).moref is None
    with pytest.raises(NoRight, match="SYSTEM"):
        tenant.set_metadata(site.vdc.id, "vm", site.vm.id, "pf.state", "x", attempt())
    with pytest.raises(NotFound):
        tenant.vm(site.foreign_vdc.id, site.foreign_vm.id)


@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.BUSY, FaultKind.EXPIRE_SESSION])
def test_metadata_survives_faults(site: Site, client: CloudDirector, kind: FaultKind) -> None:
    client.check()
    site.plan("POST metadata", kind)
    assert client.set_metadata(site.vdc.id, "vm", site.vm.id, "k", "v", attempt()) is True
    assert site.vm.metadata["SYSTEM", "k"].value == "v"


class Forgetful(dict[tuple[str, str], MetadataValue]):
    """Takes every update and keeps none."""

    def update(self, *args: object, **kwargs: object) -> None:
        """Nothing."""


def test_a_task_that_ends_well_without_effect_is_a_failure(site: Site, client: CloudDirector) -> None:
    site.vm.metadata = Forgetful()
    with pytest.raises(TaskFailed, match="nothing of it is seen"):
        client.set_metadata(site.vdc.id, "vm", site.vm.id, "k", "v", attempt())


@pytest.mark.parametrize(("key", "value"), [("a/b", "v"), ("", "v"), ("k" * 257, "v"), ("k", "nul\0")])
def test_metadata_that_cannot_be_carried_is_refused(
    site: Site, client: CloudDirector, key: str, value: str
) -> None:
    with pytest.raises(BadRequest):
        client.set_metadata(site.vdc.id, "vm", site.vm.id, key, value, attempt())


def test_maintenance_ends_with_its_last_owner(site: Site, client: CloudDirector) -> None:
    ids = (site.vdc.id, site.vapp.id)
    assert client.hold_maintenance(*ids, "one", attempt()) is True
    assert client.hold_maintenance(*ids, "one", attempt()) is False
    assert client.hold_maintenance(*ids, "two", attempt()) is True
    assert client.vm(site.vdc.id, site.vm.id).in_maintenance
    assert client.release_maintenance(*ids, "one", attempt()) is True
    assert site.in_maintenance()
    assert site.count("POST exitMaintenanceMode") == 0
    assert client.release_maintenance(*ids, "one", attempt()) is False
    assert client.release_maintenance(*ids, "two", attempt()) is True
    assert not site.in_maintenance()
    assert ("SYSTEM", MAINTENANCE) not in site.vapp.metadata


def test_maintenance_that_somebody_else_set_stays(site: Site, client: CloudDirector) -> None:
    site.vapp.maintenance = True
    ids = (site.vdc.id, site.vapp.id)
    client.hold_maintenance(*ids, "one", attempt())
    client.hold_maintenance(*ids, "two", attempt())
    client.release_maintenance(*ids, "two", attempt())
    client.release_maintenance(*ids, "one", attempt())
    assert site.in_maintenance()


def test_the_provider_works_in_maintenance_mode_and_the_tenant_does_not(
    site: Site, client: CloudDirector
) -> None:
    client.hold_maintenance(site.vdc.id, site.vapp.id, "one", attempt())
    tenant = site.client(site.endpoint.api_token("joe", "acme"), org="acme")
    with pytest.raises(NoRight, match="maintenance"):
        tenant.power_on(site.vdc.id, site.vm.id, attempt())
    assert client.set_nics(site.vdc.id, site.vm.id, [Nic(index=0, network=None, connected=False)], attempt())
    assert client.power_on(site.vdc.id, site.vm.id, attempt()) is True


@pytest.mark.parametrize("action", ["enter", "exit"])
def test_a_lost_reply_in_maintenance_is_mended(site: Site, client: CloudDirector, action: str) -> None:
    ids = (site.vdc.id, site.vapp.id)
    site.plan(f"POST {action}MaintenanceMode", FaultKind.DROP_AFTER)
    client.hold_maintenance(*ids, "one", attempt())
    assert site.in_maintenance()
    client.release_maintenance(*ids, "one", attempt())
    assert not site.in_maintenance()
    assert site.count(f"POST {action}MaintenanceMode") == 1


def test_a_hold_that_died_in_between_is_taken_up(site: Site, client: CloudDirector) -> None:
    ids = (site.vdc.id, site.vapp.id)
    site.plan("POST enterMaintenanceMode", FaultKind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        client.hold_maintenance(*ids, "one", attempt())
    assert not site.in_maintenance()
    assert client.hold_maintenance(*ids, "one", attempt()) is True
    assert site.in_maintenance()
    client.release_maintenance(*ids, "one", attempt())
    assert not site.in_maintenance()
