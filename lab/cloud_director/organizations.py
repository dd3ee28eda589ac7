"""The way from a session down to what is in an organization VDC, as links lead along it."""

from collections.abc import Sequence
from urllib.parse import urlencode

from lxml import etree

from lab.cloud_director.model import Org, OrgNetwork, Principal, VApp, Vdc
from lab.cloud_director.world import org_id
from lab.cloud_director.xml import ADMIN, MEDIA, link, put, root


def session(base: str, who: Principal) -> etree._Element:
    """`Session`: who I am, and where to go on."""
    element = root("Session", org=who.org, user=who.user, href=f"{base}/api/session")
    own = put(element, "Link", rel="down", href=f"{base}/api/org/{org_id(who.org)}", name=who.org)
    own.set("type", f"{MEDIA}org+xml")
    link(element, "down", f"{base}/api/org/", "orgList")
    link(element, "down", f"{base}/api/query", "query.queryList")
    link(element, "entityResolver", f"{base}/api/entity/", "entity")
    if who.provider:
        put(element, "Link", rel="down", href=f"{base}/api/admin/", type=f"{ADMIN}vcloud+xml")
        put(element, "Link", rel="down", href=f"{base}/api/admin/extension", type=f"{ADMIN}vmwExtension+xml")
    return element


def org_list(base: str, orgs: Sequence[Org]) -> etree._Element:
    """`OrgList`: those that somebody may see."""
    element = root("OrgList", href=f"{base}/api/org/")
    for one in orgs:
        put(element, "Org", href=f"{base}/api/org/{one.id}", name=one.name, type=f"{MEDIA}org+xml")
    return element


def organization(base: str, org: Org) -> etree._Element:
    """`Org`. Its VDCs are found by a query that it links to (the filter is inferred)."""
    element = root("Org", href=f"{base}/api/org/{org.id}", id=f"urn:vcloud:org:{org.id}", name=org.name)
    asked = {"type": "orgVdc", "format": "records", "filter": f"orgName=={org.name}"}
    link(element, "down", f"{base}/api/query?{urlencode(asked)}", "query.records")
    put(element, "FullName", org.name)
    put(element, "IsEnabled", "true")
    return element


def virtual_data_centre(
    base: str, vdc: Vdc, vapps: Sequence[VApp], networks: Sequence[OrgNetwork]
) -> etree._Element:
    """`Vdc`, with what is in it and the networks that it can use."""
    element = root("Vdc", href=f"{base}/api/vdc/{vdc.id}", id=f"urn:vcloud:vdc:{vdc.id}", name=vdc.name)
    link(element, "up", f"{base}/api/org/{vdc.org.id}", "org")
    entities = put(element, "ResourceEntities")
    for vapp in vapps:
        kind = "vAppTemplate" if vapp.template else "vApp"
        href = f"{base}/api/{kind}/{vapp.ref}"
        put(entities, "ResourceEntity", href=href, name=vapp.name, type=f"{MEDIA}{kind}+xml")
    available = put(element, "AvailableNetworks")
    for network in networks:
        href = f"{base}/api/network/{network.id}"
        put(available, "Network", href=href, name=network.name, type=f"{MEDIA}network+xml")
    put(element, "IsEnabled", "true")
    return element
