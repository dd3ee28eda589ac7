"""Organization VDC networks, and the section of a vApp that names those attached to it."""

import logging
from collections.abc import Collection, Sequence
from copy import deepcopy
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address
from typing import Any

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.transport import Transport
from partial_failover.contracts.network import Network

log = logging.getLogger(__name__)


def networks(gateway: Transport, vdc: str) -> list[Any]:
    """All networks that the VDC can use. Any: JSON.

    By the OpenAPI: the XML query misses imported and VDC-group networks of NSX-T.
    """
    expression = f"(ownerRef.id==urn:vcloud:vdc:{xml.checked_uuid(vdc, 'VDC')};_context==includeAccessible)"
    return gateway.pages(
        "1.0.0/orgVdcNetworks", {"filter": expression}, "list the networks of the organization VDC"
    )


def network(value: Any) -> Network | None:
    """One of them; None when it has no IPv4 subnet, as only IPv4 is extended. Any: JSON."""
    for subnet in value["subnets"]["values"]:
        gateway: IPv4Address | IPv6Address = ip_address(subnet["gateway"])
        if isinstance(gateway, IPv4Address):
            interface = IPv4Interface(f"{gateway}/{subnet['prefixLength']}")
            return Network(
                id=value["id"],
                name=value["name"],
                subnet=interface.network,
                gateway=gateway,
                isolated=value["networkType"] == "ISOLATED",
            )
    log.warning("The network %r has no IPv4 subnet and is left out", value["name"])
    return None


def is_attached(section: etree._Element | None, wanted: Network) -> bool:
    """Whether the vApp's network of this name is this very network, bridged. A vApp can have a network of its
    own by any name, or one that is routed."""
    for config in () if section is None else section.iterfind("{*}NetworkConfig"):
        if config.get("networkName") == wanted.name:
            parent = config.find("{*}Configuration/{*}ParentNetwork")
            if parent is None or config.findtext("{*}Configuration/{*}FenceMode") != "bridged":
                return False
            return xml.uuid_in(xml.required(parent, "href")) == xml.uuid_in(wanted.id)
    return False


def with_added(present: etree._Element | None, added: Sequence[Network], parents: str) -> etree._Element:
    """The section with more networks, all bridged. `parents`: address that the networks' ids follow."""
    new = _kept(present, without=())
    for net in added:
        config = xml.add(new, "NetworkConfig", networkName=net.name)
        configuration = xml.add(config, "Configuration")
        href = f"{parents}/{xml.uuid_in(net.id)}"
        xml.add(configuration, "ParentNetwork", href=href)
        xml.add(configuration, "FenceMode", "bridged")
    return new


def without(present: etree._Element | None, names: Collection[str]) -> etree._Element:
    """The section without these networks."""
    return _kept(present, without=names)


def _kept(present: etree._Element | None, without: Collection[str]) -> etree._Element:
    new = xml.section("NetworkConfigSection", "Networks of the vApp")
    if present is not None:
        for config in present.iterfind("{*}NetworkConfig"):
            if config.get("networkName") not in without:
                new.append(deepcopy(config))
    return new
