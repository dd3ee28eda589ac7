"""The query service: typed queries, their filters and pages.

Of the filter language the lab speaks what is needed and refuses the rest: terms `name==value` joined by
`;`, with `*` as wildcard and a backslash before `,` `;` `(` `)` in a value.
"""

import re
from urllib.parse import urlencode

from lxml import etree

from lab.cloud_director.model import ON, OrgNetwork, Principal, bad
from lab.cloud_director.render import Renderer
from lab.cloud_director.world import World, sees
from lab.cloud_director.xml import MEDIA, VCLOUD, link, put, root, word

Record = dict[str, str]

TENANT_TYPES = ("vm", "vApp", "orgVdc", "orgVdcNetwork")
PROVIDER_TYPES = ("adminVM", "adminVApp", "adminOrgVdc")
ELEMENTS = {
    "vm": "VMRecord",
    "adminVM": "AdminVMRecord",
    "vApp": "VAppRecord",
    "adminVApp": "AdminVAppRecord",
    "orgVdc": "OrgVdcRecord",
    "orgVdcNetwork": "OrgVdcNetworkRecord",
    "adminOrgVdc": "AdminVdcRecord",
}
LINK_TYPES = {"DIRECT": "0", "NAT_ROUTED": "1", "ISOLATED": "2"}
"""`linkType` of a network (its numbers are inferred). The query misses imported ones, which are OPAQUE."""


def types(who: Principal) -> tuple[str, ...]:
    """The types that somebody may query."""
    return TENANT_TYPES + (PROVIDER_TYPES if who.provider else ())


def query_list(render: Renderer, who: Principal) -> etree._Element:
    """`QueryList`: one link for each type."""
    element = root("QueryList")
    for name in types(who):
        href = f"{render.base}/api/query?type={name}&format=records"
        put(element, "Link", rel="down", name=name, href=href, type=f"{MEDIA}query.records+xml")
    return element


def run(world: World, render: Renderer, who: Principal, asked: dict[str, str]) -> etree._Element:
    """One page of a typed query."""
    kind = asked.get("type", "")
    if kind not in types(who) or asked.get("format", "records") != "records":
        raise bad(f"The query type {kind} is not valid")
    size, page = int(asked.get("pageSize", "25")), int(asked.get("page", "1"))
    if not 1 <= size <= 128 or page < 1:
        raise bad("pageSize is from 1 to 128")
    terms = parse(asked.get("filter", ""))
    with world.lock:
        records = _records(world, render, who, kind)
    matching = [r for r in records if all(_matches(r, name, value) for name, value in terms)]
    result = root(
        "QueryResultRecords", name=kind, page=str(page), pageSize=str(size), total=str(len(matching))
    )
    if page * size < len(matching):
        href = f"{render.base}/api/query?{urlencode({**asked, 'page': str(page + 1)})}"
        link(result, "nextPage", href, "query.records")
    for record in matching[(page - 1) * size : page * size]:
        element = etree.SubElement(result, f"{{{VCLOUD}}}{ELEMENTS[kind]}")
        for key, value in record.items():
            element.set(key, value)
    return result


def parse(expression: str) -> list[tuple[str, re.Pattern[str]]]:
    """The terms of a filter, each with the pattern that its value must match."""
    terms: list[tuple[str, re.Pattern[str]]] = []
    for term in re.split(r"(?<!\\);", expression) if expression else []:
        name, equals, value = term.partition("==")
        if not equals or not re.fullmatch(r"[A-Za-z]+", name):
            raise bad(f"Bad filter expression {term}")
        if re.search(r"(?<!\\)[,()]|==|=[gl][te]=", value):
            raise bad(f"Bad filter value {value}")
        plain = re.sub(r"\\([,;()])", r"\1", value)
        terms.append((name, re.compile(".*".join(map(re.escape, plain.split("*"))), re.S | re.I)))
    return terms


def _matches(record: Record, name: str, value: re.Pattern[str]) -> bool:
    if name not in record:
        raise bad(f"The field {name} cannot be filtered on")
    return value.fullmatch(record[name]) is not None


def _records(world: World, render: Renderer, who: Principal, kind: str) -> list[Record]:
    vdc_href = {vdc: f"{render.base}/api/vdc/{vdc.id}" for vdc in world.vdcs if sees(who, vdc.org)}
    if kind in ("orgVdc", "adminOrgVdc"):
        return [{"name": v.name, "href": href, "orgName": v.org.name} for v, href in vdc_href.items()]
    if kind == "orgVdcNetwork":
        return [
            _of_network(render, n, vdc_href[n.vdc]) for n in world.networks if n.vdc in vdc_href and _old(n)
        ]
    vapps = [v for v in world.vapps if v.vdc in vdc_href]
    if kind in ("vApp", "adminVApp"):
        return [
            {
                "name": v.name,
                "href": render.href(v),
                "vdc": vdc_href[v.vdc],
                "isInMaintenanceMode": word(v.maintenance),
                "isAutoNature": word(v.auto),
            }
            for v in vapps
            if not v.template
        ]
    records = []
    for vapp in vapps:
        for vm in vapp.vms:
            record = {
                "name": vm.name,
                "href": render.href(vm),
                "container": render.href(vapp),
                "containerName": vapp.name,
                "vdc": vdc_href[vapp.vdc],
                "isVAppTemplate": word(vapp.template),
                "isAutoNature": word(vapp.auto),
                "status": "POWERED_ON" if vm.seen("status") == ON else "POWERED_OFF",
            }
            if kind == "adminVM":
                record |= {"moref": vm.machine.moref, "vc": render.vcenter_href(vm)}
            records.append(record)
    return records


def _old(network: OrgNetwork) -> bool:
    """The query misses imported networks, and those of VDC groups."""
    return network.type in LINK_TYPES and network.group is None


def _of_network(render: Renderer, network: OrgNetwork, vdc: str) -> Record:
    return {
        "name": network.name,
        "href": f"{render.base}/api/admin/network/{network.id}",
        "vdc": vdc,
        "linkType": LINK_TYPES[network.type],
        "defaultGateway": str(network.gateway.ip),
        "netmask": str(network.gateway.netmask),
    }
