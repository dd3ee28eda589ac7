"""Bodies that come in, read as strictly as the XSD would: a wrong element order is refused."""

from collections.abc import Sequence
from ipaddress import ip_address

from lxml import etree

from lab.cloud_director.model import (
    Address,
    AnyNetwork,
    CloudNic,
    MetadataValue,
    OrgNetwork,
    VAppNetwork,
    bad,
)
from lab.cloud_director.xml import VCLOUD, XSI
from partial_failover.contracts.network import AllocationMode

CONNECTION = (
    "NetworkConnectionIndex",
    "IpAddress",
    "IpType",
    "SecondaryIpAddress",
    "SecondaryIpType",
    "ExternalIpAddress",
    "IsConnected",
    "MACAddress",
    "IpAddressAllocationMode",
    "SecondaryIpAddressAllocationMode",
    "NetworkAdapterType",
)
CONFIGURATION = (
    "BackwardCompatibilityMode",
    "IpScope",
    "IpScopes",
    "ParentNetwork",
    "FenceMode",
    "RetainNetInfoAcrossDeployments",
    "Features",
)
METADATA_TYPES = {f"Metadata{kind}Value" for kind in ("String", "Number", "Boolean", "DateTime", "DomainTag")}
LONGEST_VALUE = 10_000
"""Characters. That there is an end is certain, and where it is not documented for every version."""
DOMAINS = {("GENERAL", "READWRITE"), ("SYSTEM", "PRIVATE"), ("SYSTEM", "READONLY")}


def document(body: bytes, name: str) -> etree._Element:
    """The body, which must be one element `name` of the vCloud namespace."""
    if b"<!DOCTYPE" in body:
        raise bad("DOCTYPE is not allowed")
    try:
        element = etree.fromstring(body)
    except etree.XMLSyntaxError as error:
        raise bad(f"Bad request: {error}") from None
    if element.tag != f"{{{VCLOUD}}}{name}":
        raise bad(f"Unexpected element {element.tag}, expected {name}")
    return element


def in_order(element: etree._Element, names: Sequence[str]) -> dict[str, list[etree._Element]]:
    """The children by name. Each name may come only after those before it in `names`."""
    children: dict[str, list[etree._Element]] = {}
    at = 0
    for child in element.iterchildren(tag=etree.Element):
        name = etree.QName(child).localname
        if name not in names:
            raise bad(f"Unexpected element {name} in {etree.QName(element).localname}")
        if names.index(name) < at:
            raise bad(f"cvc-complex-type.2.4.a: Invalid content was found starting with element '{name}'")
        at = names.index(name)
        children.setdefault(name, []).append(child)
    return children


def text_of(children: dict[str, list[etree._Element]], name: str) -> str:
    """Text of a child that must be there once."""
    if len(children.get(name, [])) != 1:
        raise bad(f"Exactly one {name} is needed")
    return children[name][0].text or ""


def connections(body: bytes, attached: Sequence[AnyNetwork]) -> tuple[int, list[CloudNic]]:
    """Primary index and NICs of a `NetworkConnectionSection`. An empty MAC is to be made by the endpoint."""
    section = document(body, "NetworkConnectionSection")
    children = in_order(section, ("Info", "PrimaryNetworkConnectionIndex", "NetworkConnection", "Link"))
    text_of(children, "Info")
    nics = [_connection(e, {n.name for n in attached}) for e in children.get("NetworkConnection", [])]
    indices = [n.index for n in nics]
    if len(nics) > 10:
        raise bad("The VM cannot have more than 10 network connections")
    if len(set(indices)) < len(indices) or not set(indices) <= set(range(10)):
        raise bad("Network connection indices must be different and from 0 to 9")
    primary = int(text_of(children, "PrimaryNetworkConnectionIndex")) if nics else 0
    if nics and primary not in indices:
        raise bad(f"The primary network connection index {primary} is not valid")
    return primary, sorted(nics, key=lambda n: n.index)


def _connection(element: etree._Element, attached: set[str]) -> CloudNic:
    children = in_order(element, CONNECTION)
    name = element.get("network")
    if name is None or (name != "none" and name not in attached):
        raise bad(f"The network {name} is not in the vApp")
    connected = text_of(children, "IsConnected") == "true"
    try:
        index = int(text_of(children, "NetworkConnectionIndex"))
        mode = AllocationMode(text_of(children, "IpAddressAllocationMode"))
        address = _address(children, "Ip")
        second, second_mode = _address(children, "SecondaryIp"), AllocationMode.NONE
        if "SecondaryIpAddressAllocationMode" in children:
            second_mode = AllocationMode(text_of(children, "SecondaryIpAddressAllocationMode"))
    except ValueError as error:
        raise bad(str(error)) from None
    for one, its in ((address, mode), (second, second_mode)):
        if its is AllocationMode.MANUAL and one is None:
            raise bad("IpAddress is needed for MANUAL")
    if name == "none" and (connected or {mode, second_mode} != {AllocationMode.NONE}):
        raise bad("A network connection to none is neither connected nor has it an address")
    mac = text_of(children, "MACAddress").lower() if "MACAddress" in children else ""
    adapter = text_of(children, "NetworkAdapterType") if "NetworkAdapterType" in children else "VMXNET3"
    plugged = None if name == "none" else name
    return CloudNic(index, plugged, mac, mode, address, connected, adapter, second, second_mode)


def _address(children: dict[str, list[etree._Element]], prefix: str) -> Address | None:
    """`IpAddress` or `SecondaryIpAddress`; its type, where it is given, must be of the same kind."""
    if f"{prefix}Address" not in children:
        return None
    address = ip_address(text_of(children, f"{prefix}Address"))
    if f"{prefix}Type" in children and text_of(children, f"{prefix}Type") != f"IPV{address.version}":
        raise bad(f"{prefix}Type does not fit {address}")
    return address


def configs(body: bytes, known: Sequence[OrgNetwork], attached: Sequence[AnyNetwork]) -> list[AnyNetwork]:
    """The networks of a `NetworkConfigSection`: those of an organization VDC (`known`), bridged, and those of
    the vApp alone that it has already."""
    section = document(body, "NetworkConfigSection")
    children = in_order(section, ("Info", "Link", "NetworkConfig"))
    text_of(children, "Info")
    wanted = [_config(element, known, attached) for element in children.get("NetworkConfig", [])]
    if len({network.name for network in wanted}) < len(wanted):
        raise bad("Two networks of a vApp cannot have the same name")
    return wanted


def _config(
    element: etree._Element, known: Sequence[OrgNetwork], attached: Sequence[AnyNetwork]
) -> AnyNetwork:
    children = in_order(element, ("Link", "Description", "Configuration", "IsDeployed"))
    text_of(children, "Configuration")
    inner = in_order(children["Configuration"][0], CONFIGURATION)
    name, fence = element.get("networkName"), text_of(inner, "FenceMode")
    if fence != "bridged":
        for own in attached:
            if isinstance(own, VAppNetwork) and (own.name, own.fence) == (name, fence):
                return own
        raise bad(f"The lab makes no networks of a vApp alone, and has no {fence} network {name}")
    text_of(inner, "ParentNetwork")
    href = inner["ParentNetwork"][0].get("href", "")
    for network in known:
        if href.endswith(f"/network/{network.id}"):
            if name != network.name:
                raise bad("A bridged network has its parent's name")
            return network
    raise bad(f"The parent network {href} is not valid")


def metadata(body: bytes) -> dict[tuple[str, str], MetadataValue]:
    """The entries of a `Metadata`."""
    entries = {}
    for element in in_order(document(body, "Metadata"), ("Link", "MetadataEntry")).get("MetadataEntry", []):
        children = in_order(element, ("Link", "Domain", "Key", "TypedValue"))
        domain, visibility = "GENERAL", "READWRITE"
        if "Domain" in children:
            domain, visibility = (
                text_of(children, "Domain"),
                children["Domain"][0].get("visibility", "READWRITE"),
            )
        if (domain, visibility) not in DOMAINS:
            raise bad(f"Metadata domain {domain} with visibility {visibility} is not valid")
        key = text_of(children, "Key")
        if not 0 < len(key) <= 256:
            raise bad("A metadata key has 1 to 256 characters")
        text_of(children, "TypedValue")
        typed = children["TypedValue"][0]
        value = text_of(in_order(typed, ("Value",)), "Value")
        kind = typed.get(f"{{{XSI}}}type", "")
        if kind.rpartition(":")[2] not in METADATA_TYPES:
            raise bad(f"cvc-elt.4.2: Cannot resolve '{kind}' to a type definition for element 'TypedValue'")
        if len(value) > LONGEST_VALUE:
            raise bad(f"A metadata value has at most {LONGEST_VALUE} characters")
        entries[domain, key] = MetadataValue(value, visibility, kind)
    return entries
