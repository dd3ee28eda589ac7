"""What is there, seen only through the organization VDC that it must belong to.

Every read of a VM or vApp goes from the entity up to its VDC. What is elsewhere is said not to exist:
this is the border between tenants.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.errors import TRY_LATER, fault
from partial_failover.connectors.cloud_director.transport import Transport
from partial_failover.contracts.errors import BadRequest, Misconfigured, NotFound, Unavailable
from partial_failover.contracts.replica import CloudVm

T = TypeVar("T")


@dataclass(frozen=True)
class VApp:
    """A vApp as it was read just now."""

    id: str
    name: str
    in_maintenance: bool
    busy: str | None
    networks: tuple[str, ...]
    body: etree._Element

    def vms(self) -> tuple[etree._Element, ...]:
        """Bodies of its VMs."""
        return tuple(self.body.iterfind("{*}Children/{*}Vm"))


def understood(read: Callable[[], T], doing: str) -> T:
    """Run code that takes an answer apart; what does not fit is Cloud Director's mistake, not ours."""
    try:
        return read()
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise fault(error, doing) from None


def _vapp(body: etree._Element, vapp_id: str) -> VApp:
    configs = body.iterfind("{*}NetworkConfigSection/{*}NetworkConfig")
    names = [xml.required(config, "networkName") for config in configs]
    return VApp(
        id=vapp_id,
        name=xml.required(body, "name"),
        in_maintenance=body.findtext("{*}InMaintenanceMode") == "true",
        busy=xml.running_task(body),
        networks=tuple(name for name in names if name != xml.UNPLUGGED),
        body=body,
    )


def _vm(body: etree._Element, vapp: VApp) -> CloudVm:
    moref, vcenter = xml.vcenter_reference(body)
    return CloudVm(
        id=xml.uuid_in(xml.required(body, "href")),
        name=xml.required(body, "name"),
        vapp_id=vapp.id,
        vapp_name=vapp.name,
        power=xml.power_of(body),
        deployed=body.get("deployed") == "true",
        nics=xml.nics_of(body.find("{*}NetworkConnectionSection")),
        in_maintenance=vapp.in_maintenance,
        busy=xml.running_task(body) or vapp.busy,
        moref=moref,
        vcenter=vcenter,
    )


class Reader:
    """Reads of one principal."""

    def __init__(self, gateway: Transport) -> None:
        self.gateway = gateway
        self._admin = gateway.login.provider

    def _kind(self, tenant: str, provider: str) -> str:
        return provider if self._admin else tenant

    def vdc(self, org: str, name: str) -> str:
        """UUID of the VDC of exactly that name in the organization of exactly that name."""
        doing = f"find the organization VDC {name}"
        records = self.gateway.query(self._kind("orgVdc", "adminOrgVdc"), f"name=={pattern(name)}", doing)
        found = [r for r in records if r.get("name") == name and r.get("orgName") == org]
        if not found:
            raise NotFound(f"There is no organization VDC {name} in the organization {org}")
        return understood(lambda: xml.uuid_in(xml.required(found[0], "href")), doing)

    def vapp(self, vdc: str, vapp_id: str) -> VApp:
        """A vApp of that VDC."""
        xml.checked_uuid(vdc, "VDC")
        missing = f"There is no vApp {xml.checked_uuid(vapp_id, 'vApp')} in this organization VDC"
        body = self.gateway.get(f"vApp/vapp-{vapp_id}", f"read the vApp {vapp_id}", missing)

        def read() -> VApp:
            if xml.linked(body, "up", "vdc/") != vdc:
                raise NotFound(missing)
            return _vapp(body, vapp_id)

        return understood(read, f"read the vApp {vapp_id}")

    def vm_body(self, vdc: str, vm_id: str) -> tuple[VApp, etree._Element]:
        """A VM of that VDC as Cloud Director shows it, and its vApp."""
        xml.checked_uuid(vdc, "VDC")
        missing = f"There is no VM {xml.checked_uuid(vm_id, 'VM')} in this organization VDC"
        doing = f"read the VM {vm_id}"
        body = self.gateway.get(f"vApp/vm-{vm_id}", doing, missing)
        vapp_id = understood(lambda: xml.linked(body, "up", "vApp/vapp-"), doing)
        try:
            return self.vapp(vdc, vapp_id), body
        except NotFound:
            raise NotFound(missing) from None

    def vm(self, vdc: str, vm_id: str) -> CloudVm:
        """A VM of that VDC."""
        vapp, body = self.vm_body(vdc, vm_id)
        return understood(lambda: _vm(body, vapp), f"read the VM {vm_id}")

    def vms(self, vdc: str) -> tuple[CloudVm, ...]:
        """All VMs of the VDC, vApp by vApp."""
        doing = "list the VMs of the organization VDC"
        records = self.gateway.query(self._kind("vApp", "adminVApp"), self._in(vdc), doing)
        found: list[CloudVm] = []
        for record in records:
            vapp_id = understood(lambda r=record: xml.uuid_in(xml.required(r, "href")), doing)  # type: ignore[misc]
            try:
                vapp = self.vapp(vdc, vapp_id)
            except NotFound:
                continue  # deleted since the query
            found += understood(lambda v=vapp: [_vm(body, v) for body in v.vms()], doing)  # type: ignore[misc]
        return tuple(found)

    def vm_named(self, vdc: str, name: str) -> CloudVm:
        """The one VM of exactly that name."""
        doing = f"find the VM {name}"
        expression = f"{self._in(vdc)};name=={pattern(name)};isVAppTemplate==false"
        records = self.gateway.query(self._kind("vm", "adminVM"), expression, doing)
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
        return self.vm(vdc, understood(lambda: xml.uuid_in(hrefs[0]), doing))

    def vcenter_url(self, vcenter: str) -> str:
        """Address of a vCenter; seen by the provider only."""
        xml.checked_uuid(vcenter, "vCenter")
        body = self.gateway.get(
            f"admin/extension/vimServer/{vcenter}",
            f"read the vCenter {vcenter}",
            f"Cloud Director has no vCenter {vcenter}, or the account may not see it",
        )
        url = body.findtext("{*}Url")
        if not url:
            raise Unavailable(f"Cloud Director told no address of the vCenter {vcenter}", do=TRY_LATER)
        return url.strip()

    def check(self) -> str:
        """That the pinned API version is served and the login works."""
        login, served = self.gateway.login, self.gateway.versions()
        if login.api_version not in served:
            raise Misconfigured(
                f"Cloud Director at {login.origin} does not serve API version {login.api_version}; "
                f"it serves {', '.join(sorted(served)) or 'none'}",
                do="Set the API version in the worker's configuration to one of these",
            )
        session = self.gateway.get("session", "log in")
        user, org = session.get("user", "?"), session.get("org", "?")
        old = " (deprecated: the next upgrade may remove it)" if served[login.api_version] else ""
        return f"{login.origin} serves API {login.api_version}{old}; logged in as {user} of {org}"

    def rights(self) -> frozenset[str]:
        """Names of all rights of the account's roles."""
        doing = "read the rights of the account"
        session = self.gateway.json("1.0.0/sessions/current", doing)
        roles = understood(lambda: [str(role["id"]) for role in session["roleRefs"]], doing)
        found = [
            right
            for role in roles
            for right in self.gateway.pages(f"1.0.0/roles/{quote(role, safe='')}/rights", {}, doing)
        ]
        return understood(lambda: frozenset(str(right["name"]) for right in found), doing)

    def _in(self, vdc: str) -> str:
        href = f"{self.gateway.login.origin}/api/vdc/{xml.checked_uuid(vdc, 'VDC')}"
        return f"vdc=={quote(href, safe='')}"


def pattern(name: str) -> str:
    """A query pattern that finds at least `name`; who uses it compares the names found.

    Whatever could have a meaning in a query, or in its encoding, becomes the wildcard: no escaping to
    get wrong.
    """
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "*" for c in name) or "*"
