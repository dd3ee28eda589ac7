"""What is in one organization VDC, as one principal sees it.

Every read of a VM or vApp goes from the entity up to its VDC. What is elsewhere is said not to exist:
this is the border between tenants.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal, TypeVar
from urllib.parse import quote

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.errors import error_of
from partial_failover.connectors.cloud_director.transport import Transport
from partial_failover.contracts.errors import BadRequest, NotFound
from partial_failover.contracts.replica import CloudVm, VAppLease

log = logging.getLogger(__name__)
T = TypeVar("T")
Kind = Literal["vm", "vapp"]


@dataclass(frozen=True)
class VApp:
    """A vApp as it was read just now."""

    id: str
    name: str
    in_maintenance: bool
    busy: str | None
    networks: tuple[str, ...]
    own_networks: tuple[str, ...]
    """Those among them that are no organization VDC network, bridged."""
    hidden: bool
    """Cloud Director's own, for one stand-alone VM: it attaches the networks that the VM's NICs name."""
    lease: VAppLease
    body: etree._Element

    def vms(self) -> tuple[etree._Element, ...]:
        """Bodies of its VMs."""
        return tuple(self.body.iterfind("{*}Children/{*}Vm"))


@dataclass(frozen=True)
class Entity:
    """A VM or vApp. `vapp_id`: the vApp that it is in, or is. `busy`: the task that is in the way."""

    name: str
    vapp_id: str
    busy: str | None


class VdcReader:
    """Reads in the VDC of exactly this name in the organization of exactly this name."""

    def __init__(self, transport: Transport, org: str, name: str) -> None:
        self.transport = transport
        self._org, self._name = org, name

    @cached_property
    def id(self) -> str:
        """The VDC's UUID, looked up when it is first needed."""
        doing = f"find the organization VDC {self._name}"
        kind = self._kind("orgVdc", "adminOrgVdc")
        records = self.transport.query(kind, f"name=={pattern(self._name)}", doing)
        exact = [r for r in records if r.get("name") == self._name and r.get("orgName") == self._org]
        if not exact:
            raise NotFound(f"There is no organization VDC {self._name} in the organization {self._org}")
        return understood(lambda: xml.uuid_in(xml.required(exact[0], "href")), doing)

    def vapp(self, vapp_id: str) -> VApp:
        """A vApp of the VDC."""
        missing = f"There is no vApp {xml.checked_uuid(vapp_id, 'vApp')} in this organization VDC"
        vdc, doing = self.id, f"read the vApp {vapp_id}"
        body = self.transport.get(f"vApp/vapp-{vapp_id}", doing, missing)

        def read() -> VApp:
            if xml.linked(body, "up", "vdc/") != vdc:
                raise NotFound(missing)
            return _vapp(body, vapp_id)

        return understood(read, doing)

    def vm_body(self, vm_id: str) -> tuple[VApp, etree._Element]:
        """A VM of the VDC as Cloud Director shows it, and its vApp."""
        missing = f"There is no VM {xml.checked_uuid(vm_id, 'VM')} in this organization VDC"
        _ = self.id  # first of all: no such VDC is said as that, and not as a VM that is missing
        doing = f"read the VM {vm_id}"
        body = self.transport.get(f"vApp/vm-{vm_id}", doing, missing)
        vapp_id = understood(lambda: xml.linked(body, "up", "vApp/vapp-"), doing)
        try:
            return self.vapp(vapp_id), body
        except NotFound:
            raise NotFound(missing) from None

    def vm(self, vm_id: str) -> CloudVm:
        """A VM of the VDC."""
        vapp, body = self.vm_body(vm_id)
        return understood(lambda: _vm(body, vapp), f"read the VM {vm_id}")

    def entity(self, kind: Kind, entity_id: str) -> Entity:
        """A VM or vApp of the VDC."""
        if kind == "vm":
            vm = self.vm(entity_id)
            return Entity(vm.name, vm.vapp_id, vm.busy)
        vapp = self.vapp(entity_id)
        return Entity(vapp.name, vapp.id, vapp.busy)

    def vms(self) -> tuple[CloudVm, ...]:
        """All VMs of the VDC, vApp by vApp; templates are none."""
        doing = "list the VMs of the organization VDC"
        records = self.transport.query(self._kind("vApp", "adminVApp"), self._in_here(), doing)
        vms: list[CloudVm] = []
        for record in records:
            vapp_id = understood(lambda r=record: xml.uuid_in(xml.required(r, "href")), doing)  # type: ignore[misc]
            try:
                vapp = self.vapp(vapp_id)
            except NotFound:
                continue  # deleted since the query
            vms += [vm for body in vapp.vms() if (vm := _readable_vm(body, vapp)) is not None]
        return tuple(vms)

    def vm_named(self, name: str) -> CloudVm:
        """The one VM of exactly that name."""
        doing = f"find the VM {name}"
        expression = f"{self._in_here()};name=={pattern(name)};isVAppTemplate==false"
        records = self.transport.query(self._kind("vm", "adminVM"), expression, doing)
        hrefs = [r.get("href", "") for r in records if r.get("name") == name]
        if not hrefs:
            raise NotFound(
                f"There is no VM named {name[:80]!r} in this organization VDC",
                do="Check the spelling and case",
            )
        if len(hrefs) > 1:
            raise BadRequest(
                f"{len(hrefs)} VMs of this organization VDC are named {name[:80]!r}",
                do="Rename all but one of them",
            )
        return self.vm(understood(lambda: xml.uuid_in(hrefs[0]), doing))

    def _kind(self, tenant: str, provider: str) -> str:
        return provider if self.transport.login.provider else tenant

    def _in_here(self) -> str:
        return f"vdc=={quote(f'{self.transport.login.origin}/api/vdc/{self.id}', safe='')}"


def understood(read: Callable[[], T], doing: str) -> T:
    """Run code that takes an answer apart; what does not fit is Cloud Director's mistake, not ours."""
    try:
        return read()
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise error_of(error, doing) from None


def pattern(name: str) -> str:
    """A query pattern that finds at least `name`; who uses it compares the names of the records.

    Whatever could have a meaning in a query, or in its encoding, becomes the wildcard, one for each run of
    such characters: no escaping to get wrong.
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "*", name) or "*"


def _vapp(body: etree._Element, vapp_id: str) -> VApp:
    found = body.iterfind("{*}NetworkConfigSection/{*}NetworkConfig")
    configs = [c for c in found if c.get("networkName") not in (None, "", xml.UNPLUGGED)]
    return VApp(
        id=vapp_id,
        name=xml.required(body, "name"),
        in_maintenance=body.findtext("{*}InMaintenanceMode") == "true",
        busy=xml.running_task(body),
        networks=tuple(xml.required(config, "networkName") for config in configs),
        own_networks=tuple(xml.required(c, "networkName") for c in configs if xml.bridged_to(c) is None),
        hidden=body.findtext("{*}autoNature") == "true",
        lease=_lease(body.find("{*}LeaseSettingsSection")),
        body=body,
    )


def _readable_vm(body: etree._Element, vapp: VApp) -> CloudVm | None:
    """None for one that cannot be read: it is no reason not to see the others."""
    try:
        return _vm(body, vapp)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        name, why = body.get("name"), error_of(error, "read it").happened
        log.warning("The VM %r of the vApp %r is left out of the list: %s", name, vapp.name, why)
        return None


def _lease(section: etree._Element | None) -> VAppLease:
    """None where the account may not see it."""
    if section is None:
        return VAppLease()

    def ends(kind: str) -> datetime | None:
        text = section.findtext(f"{{*}}{kind}LeaseExpiration")
        return datetime.fromisoformat(text).astimezone(UTC) if text else None

    return VAppLease(
        runtime_s=int(section.findtext("{*}DeploymentLeaseInSeconds") or 0),
        runtime_ends=ends("Deployment"),
        storage_s=int(section.findtext("{*}StorageLeaseInSeconds") or 0),
        storage_ends=ends("Storage"),
    )


def _vm(body: etree._Element, vapp: VApp) -> CloudVm:
    moref, vcenter = xml.vcenter_reference(body)
    nics, unread = xml.nics_of(body.find("{*}NetworkConnectionSection"))
    return CloudVm(
        id=xml.uuid_in(xml.required(body, "href")),
        name=xml.required(body, "name"),
        vapp_id=vapp.id,
        vapp_name=vapp.name,
        power=xml.power_of(body),
        deployed=body.get("deployed") == "true",
        nics=nics,
        unread=unread,
        in_maintenance=vapp.in_maintenance,
        own_networks=vapp.own_networks,
        lease=vapp.lease,
        busy=xml.running_task(body) or vapp.busy,
        moref=moref,
        vcenter=vcenter,
    )
