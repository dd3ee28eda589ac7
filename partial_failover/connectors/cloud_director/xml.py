"""Cloud Director's XML: reading it without trust, building it without string work."""

import re
from collections.abc import Collection
from copy import deepcopy
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

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
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


def document(body: bytes) -> etree._Element:
    """A whole answer; no entities, no DOCTYPE."""
    if b"<!DOCTYPE" in body:
        raise Unreadable("the answer has a DOCTYPE")
    return etree.fromstring(body, _PARSER)


def section(name: str, info: str) -> etree._Element:
    """An OVF section: `ovf:Info` is its first and required child."""
    element = new(name)
    etree.SubElement(element, f"{{{OVF}}}Info").text = info
    return element


def keep_others(
    present: etree._Element | None, new: etree._Element, without: Collection[str]
) -> etree._Element:
    """What a section has beside what is written anew (`without`) goes into the new one as it was read. Its
    attributes and links are Cloud Director's own."""
    for part in () if present is None else present.iterchildren(tag=etree.Element):
        if local_name(part) not in ("Info", "Link", *without):
            new.append(deepcopy(part))
    return new


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


def bridged_to(config: etree._Element) -> str | None:
    """UUID of the organization VDC network that a `NetworkConfig` bridges to. None for a network of the vApp
    alone: isolated, or routed to its parent by NAT, and then it may have the parent's name."""
    parent = config.find("{*}Configuration/{*}ParentNetwork")
    if parent is None or config.findtext("{*}Configuration/{*}FenceMode") != "bridged":
        return None
    return uuid_in(required(parent, "href"))


def linked(element: etree._Element, relation: str, kind: str) -> str:
    """UUID of the entity that a `Link` of `relation` names, whose path holds `/kind`."""
    for link in element.iterfind("{*}Link"):
        href = link.get("href", "")
        if link.get("rel") == relation and f"/{kind}" in href:
            return uuid_in(href)
    raise Unreadable(f"no link to the {kind} above")


def nic_of(connection: etree._Element, primary: str | None) -> Nic:
    """One `NetworkConnection`."""
    network = connection.get("network")
    index = connection.findtext("{*}NetworkConnectionIndex") or ""
    mode = connection.findtext("{*}IpAddressAllocationMode") or "NONE"
    address = _ipv4(connection.findtext("{*}IpAddress"))
    return Nic(
        index=int(index),
        network=None if network in (None, "", UNPLUGGED) else network,
        mac=connection.findtext("{*}MACAddress") or "",
        mode=AllocationMode(mode),
        address=address,
        connected=connection.findtext("{*}IsConnected") == "true",
        primary=index == primary,
        others=_others(connection, mode, address),
    )


_FIXED = (AllocationMode.MANUAL, AllocationMode.POOL)
_OF_NIC = frozenset(
    {"NetworkConnectionIndex", "IsConnected", "MACAddress", "IpAddressAllocationMode", "ExternalIpAddress"}
)
"""Parts of a NIC that `Nic` knows, and the address that a router gives it: Cloud Director's to say."""
_USUAL = {"SecondaryIpAddressAllocationMode": "NONE", "NetworkAdapterType": "VMXNET3"}
"""What Cloud Director, or we, say of a NIC anyway."""


def _others(connection: etree._Element, mode: str, address: IPv4Address | None) -> tuple[str, ...]:
    """What a `Nic` does not know of its `NetworkConnection`. Not an address that DHCP gave: it is another
    tomorrow."""
    leave = set(_OF_NIC)
    if address is not None or mode not in _FIXED:
        leave |= {"IpAddress", "IpType"}
    if connection.findtext("{*}SecondaryIpAddressAllocationMode") not in _FIXED:
        leave |= {"SecondaryIpAddress", "SecondaryIpType"}
    others = (part for part in connection.iterchildren(tag=etree.Element) if local_name(part) not in leave)
    return tuple(fragment(part) for part in others if part.text != _USUAL.get(local_name(part), ""))


def local_name(element: etree._Element) -> str:
    """Its name without namespace."""
    return str(etree.QName(element).localname)


def fragment(element: etree._Element) -> str:
    """An element as short text, to be kept; `element_of` reads it."""
    element = deepcopy(element)
    element.tail = None
    text = etree.tostring(element, encoding="unicode")
    for prefix, uri in NAMESPACES.items():
        text = text.replace(f' xmlns{":" + prefix if prefix else ""}="{uri}"', "")
    return text


def element_of(text: str) -> etree._Element:
    """The element that `fragment` wrote. `BadRequest` where it is none."""
    names = "".join(f' xmlns{":" + p if p else ""}="{uri}"' for p, uri in NAMESPACES.items())
    try:
        [element] = etree.fromstring(f"<o{names}>{text}</o>", _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        raise BadRequest(f"{text[:80]!r} is no part of a NIC") from None
    return element


def _ipv4(text: str | None) -> IPv4Address | None:
    """None for all else: `IpAddress` may be an IPv6 address, empty, or the word Any."""
    try:
        return IPv4Address(text) if text else None
    except ValueError:
        return None


def nics_of(connections: etree._Element | None) -> tuple[tuple[Nic, ...], tuple[str, ...]]:
    """The NICs of a `NetworkConnectionSection` by index, and the names of those that cannot be read: a look
    at a VM does not end at them."""
    nics, unread = list[Nic](), list[str]()
    present = [] if connections is None else connections.findall("{*}NetworkConnection")
    primary = None if connections is None else connections.findtext("{*}PrimaryNetworkConnectionIndex")
    for connection in present:
        try:
            nics.append(nic_of(connection, primary))
        except ValueError:
            index = connection.findtext("{*}NetworkConnectionIndex") or "without a number"
            unread.append(f"NIC {index[:20]} on {(connection.get('network') or 'no network')[:80]}")
    return tuple(sorted(nics, key=lambda n: n.index)), tuple(unread)


def vcenter_reference(element: etree._Element) -> tuple[str | None, str | None]:
    """MoRef and vCenter UUID from `VCloudExtension`; both None for a tenant's session."""
    ref = element.find("{*}VCloudExtension/{*}VmVimInfo/{*}VmVimObjectRef")
    if ref is None:
        return None, None
    server = ref.find("{*}VimServerRef")
    moref = ref.findtext("{*}MoRef")
    return moref, uuid_in(required(server, "href")) if server is not None else None
