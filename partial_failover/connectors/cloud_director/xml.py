"""Cloud Director's XML: reading it without trust, building it without string work."""

import re
from ipaddress import IPv4Address

from lxml import etree

from partial_failover.connectors.cloud_director.errors import Unreadable
from partial_failover.contracts.errors import BadRequest
from partial_failover.contracts.network import AllocationMode, Nic
from partial_failover.contracts.replica import Power

VCLOUD = "http://www.vmware.com/vcloud/v1.5"
OVF = "http://schemas.dmtf.org/ovf/envelope/1"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
XS = "http://www.w3.org/2001/XMLSchema"
NAMESPACES = {None: VCLOUD, "ovf": OVF, "xsi": XSI, "xs": XS}
MEDIA = "application/vnd.vmware.vcloud."

ACTIVE = frozenset({"queued", "preRunning", "running", "postRunning"})
"""Task states in which a task still holds its entity (source: `TaskType`)."""

POWER = {4: Power.ON, 8: Power.OFF, 3: Power.SUSPENDED, 5: Power.QUESTION}
"""`status` of a VM; all others are of no use to a failover (source: `ResourceEntityType`)."""

UNPLUGGED = "none"
"""Cloud Director's name for "no network" in a NIC, and the pseudo network of that name in a vApp."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new(name: str, text: str | None = None, **attributes: str) -> etree._Element:
    """An element of the vCloud namespace."""
    element = etree.Element(f"{{{VCLOUD}}}{name}", attributes, nsmap=NAMESPACES)  # type: ignore[arg-type]
    element.text = text
    return element


def add(parent: etree._Element, name: str, text: str | None = None, **attributes: str) -> etree._Element:
    """The same, as the last child of `parent`."""
    element = new(name, text, **attributes)
    parent.append(element)
    return element


def section(name: str, info: str) -> etree._Element:
    """An OVF section: `ovf:Info` is its first and required child."""
    element = new(name)
    etree.SubElement(element, f"{{{OVF}}}Info").text = info
    return element


def required(element: etree._Element, attribute: str) -> str:
    """An attribute that must be there."""
    value = element.get(attribute)
    if not value:
        raise Unreadable(f"{etree.QName(element).localname} has no {attribute}")
    return value


def uuid_in(reference: str) -> str:
    """The UUID at the end of an href or URN."""
    uuids = _UUID.findall(reference)
    if not uuids:
        raise Unreadable("a reference holds no UUID")
    return str(uuids[-1])


def checked_uuid(value: str, what: str) -> str:
    """`value` if it is a UUID: only such values enter a path."""
    if not _UUID.fullmatch(value):
        raise BadRequest(
            f"{value[:60]!r} is not the id of a {what}", do="Give a UUID in small letters, without prefix"
        )
    return value


def power_of(element: etree._Element) -> Power:
    """Power of a `Vm`."""
    status = element.get("status", "")
    return POWER.get(int(status), Power.OTHER) if status.isdecimal() else Power.OTHER


def running_task(element: etree._Element) -> str | None:
    """Href of a task that runs on this entity. The list may hold ended ones too."""
    for task in element.iterfind("{*}Tasks/{*}Task"):
        if task.get("status") in ACTIVE:
            return required(task, "href")
    return None


def linked(element: etree._Element, relation: str, kind: str) -> str:
    """UUID of the entity that a `Link` of `relation` names, whose path holds `/kind`."""
    for link in element.iterfind("{*}Link"):
        href = link.get("href", "")
        if link.get("rel") == relation and f"/{kind}" in href:
            return uuid_in(href)
    raise Unreadable(f"no link to the {kind} above")


def nics_of(connections: etree._Element | None) -> tuple[Nic, ...]:
    """The NICs of a `NetworkConnectionSection`, by index."""
    if connections is None:
        return ()
    primary = connections.findtext("{*}PrimaryNetworkConnectionIndex")
    nics = [nic_of(c, primary) for c in connections.iterfind("{*}NetworkConnection")]
    return tuple(sorted(nics, key=lambda n: n.index))


def nic_of(connection: etree._Element, primary: str | None) -> Nic:
    """One `NetworkConnection`."""
    network = connection.get("network")
    index = connection.findtext("{*}NetworkConnectionIndex") or ""
    address = connection.findtext("{*}IpAddress")
    mode = connection.findtext("{*}IpAddressAllocationMode") or "NONE"
    return Nic(
        index=int(index),
        network=None if network in (None, "", UNPLUGGED) else network,
        mac=connection.findtext("{*}MACAddress") or "",
        mode=AllocationMode(mode),
        address=IPv4Address(address) if address else None,
        connected=connection.findtext("{*}IsConnected") == "true",
        primary=index == primary,
    )


def vcenter_reference(element: etree._Element) -> tuple[str | None, str | None]:
    """MoRef and vCenter UUID from `VCloudExtension`; both None for a tenant's session."""
    ref = element.find("{*}VCloudExtension/{*}VmVimInfo/{*}VmVimObjectRef")
    if ref is None:
        return None, None
    server = ref.find("{*}VimServerRef")
    moref = ref.findtext("{*}MoRef")
    return moref, uuid_in(required(server, "href")) if server is not None else None
