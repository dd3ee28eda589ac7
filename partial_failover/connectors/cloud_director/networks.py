"""Organization VDC networks, and the section of a vApp that names those attached to it."""

import logging
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address
from typing import Any  # JSON

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.changes import Change, Running
from partial_failover.connectors.cloud_director.reader import VApp, VdcReader, understood
from partial_failover.connectors.cloud_director.transport import HttpRequest
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.network import Network

log = logging.getLogger(__name__)


def organization_networks(reader: VdcReader) -> tuple[Network, ...]:
    """All networks with an IPv4 subnet that the VDC can use.

    By the OpenAPI: the XML query misses imported and VDC-group networks of NSX-T.
    """
    expression = f"(ownerRef.id==urn:vcloud:vdc:{reader.id};_context==includeAccessible)"
    values = reader.transport.pages(
        "1.0.0/orgVdcNetworks", {"filter": expression}, "list the networks of the organization VDC"
    )
    read = (_readable_network(value) for value in values)
    return tuple(network for network in read if network is not None)


def is_attached(reader: VdcReader, vapp_id: str, network: Network) -> bool:
    """Whether the vApp's network of that name is this very one, bridged."""
    vapp = reader.vapp(vapp_id)
    return understood(lambda: _is_attached(_configs(vapp), network), "read the networks of the vApp")


def attach(reader: VdcReader, vapp_id: str, wanted: Sequence[Network]) -> Change:
    """These networks are attached, bridged, beside those that are there."""
    login = reader.transport.login
    parents = f"{login.origin}/api/{'admin/network' if login.provider else 'network'}"

    def section(vapp: VApp) -> etree._Element | None:
        missing = [n for n in wanted if n.name not in vapp.networks]
        for network in wanted:
            if network not in missing and not _is_attached(_configs(vapp), network):
                raise _another(vapp, network)
        return _with_added(_configs(vapp), missing, parents) if missing else None

    return _change("attach networks to the vApp", reader, vapp_id, section)


def detach(reader: VdcReader, vapp_id: str, names: Sequence[str]) -> Change:
    """These networks are not attached. `WrongState` while a NIC is on one of them."""

    def section(vapp: VApp) -> etree._Element | None:
        present = [n for n in names if n in vapp.networks]
        for vm in vapp.vms():
            used = {c.get("network") for c in vm.iterfind("{*}NetworkConnectionSection/{*}NetworkConnection")}
            if used & set(present):
                raise WrongState(
                    f"{vm.get('name')} has a NIC on a network that was to be detached",
                    left="All networks are attached as before",
                    do="Unplug the NIC first",
                )
        return _kept(_configs(vapp), without=present) if present else None

    return _change("detach networks from the vApp", reader, vapp_id, section)


def _change(
    what: str, reader: VdcReader, vapp_id: str, section: Callable[[VApp], etree._Element | None]
) -> Change:
    """`section`: the one to send, None when the vApp's is as it should be. That of a stand-alone VM follows
    the VM's NICs."""

    def plan() -> HttpRequest | Running | None:
        vapp = reader.vapp(vapp_id)
        if vapp.busy:
            return Running(vapp.busy)
        if vapp.hidden:
            return None
        body = understood(lambda: section(vapp), what)
        if body is None:
            return None
        path = f"vApp/vapp-{vapp_id}/networkConfigSection/"
        return HttpRequest(what, "PUT", path, body, f"{xml.MEDIA}networkConfigSection+xml")

    return Change(what, vapp_id, vapp_id, plan, operation="network")


def _another(vapp: VApp, network: Network) -> WrongState:
    return WrongState(
        f"The vApp {vapp.name} has another network of the name {network.name}",
        left="Its networks are as they were",
        do=f"Rename or remove it; the vApp's {network.name} must be the organization VDC network, bridged",
    )


def _configs(vapp: VApp) -> etree._Element | None:
    return vapp.body.find("{*}NetworkConfigSection")


def _readable_network(value: Any) -> Network | None:
    """None for one that cannot be read, too: it is no reason not to see the others."""
    try:
        return _network(value)
    except (ValueError, KeyError, TypeError, AttributeError):
        name = value.get("name") if isinstance(value, dict) else None
        log.warning("The network %r cannot be read and is left out", name)
        return None


def _network(value: Any) -> Network | None:
    """None when it has no IPv4 subnet, as only IPv4 is extended."""
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


def _is_attached(section: etree._Element | None, wanted: Network) -> bool:
    """Whether the vApp's network of this name is this very network, bridged. A vApp can have a network of its
    own by any name."""
    for config in () if section is None else section.iterfind("{*}NetworkConfig"):
        if config.get("networkName") == wanted.name:
            return xml.bridged_to(config) == xml.uuid_in(wanted.id)
    return False


def _with_added(present: etree._Element | None, added: Sequence[Network], parents: str) -> etree._Element:
    """The section with more networks, all bridged. `parents`: address that the networks' ids follow."""
    new = _kept(present, without=())
    for net in added:
        config = xml.add(new, "NetworkConfig", networkName=net.name)
        configuration = xml.add(config, "Configuration")
        href = f"{parents}/{xml.uuid_in(net.id)}"
        xml.add(configuration, "ParentNetwork", href=href)
        xml.add(configuration, "FenceMode", "bridged")
    return new


def _kept(present: etree._Element | None, without: Collection[str]) -> etree._Element:
    new = xml.section("NetworkConfigSection", "Networks of the vApp")
    if present is not None:
        for config in present.iterfind("{*}NetworkConfig"):
            if config.get("networkName") not in without:
                new.append(deepcopy(config))
    return xml.keep_others(present, new, ("NetworkConfig",))
