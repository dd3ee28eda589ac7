"""Cloud Director's XML: its namespaces, and elements put together from parts."""

from typing import Any

from lxml import etree

VCLOUD = "http://www.vmware.com/vcloud/v1.5"
OVF = "http://schemas.dmtf.org/ovf/envelope/1"
EXTENSION = "http://www.vmware.com/vcloud/extension/v1.5"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
VERSIONS = "http://www.vmware.com/vcloud/versions"
MEDIA = "application/vnd.vmware.vcloud."
ADMIN = "application/vnd.vmware.admin."
NSMAP: Any = {None: VCLOUD, "ovf": OVF, "vmext": EXTENSION, "xsi": XSI}


def root(name: str, namespace: str = VCLOUD, /, **attributes: str) -> etree._Element:
    """A new document."""
    nsmap: Any = {**NSMAP, None: namespace}
    element = etree.Element(f"{{{namespace}}}{name}", nsmap=nsmap)
    for key, value in attributes.items():
        element.set(key, value)
    return element


def put(
    parent: etree._Element, name: str, text: str | None = None, ns: str = VCLOUD, /, **attributes: str
) -> etree._Element:
    """A new last child."""
    element = etree.SubElement(parent, f"{{{ns}}}{name}")
    element.text = text
    for key, value in attributes.items():
        element.set(key, value)
    return element


def link(parent: etree._Element, rel: str, href: str, type: str | None = None) -> None:
    """A `Link`."""
    element = put(parent, "Link", rel=rel, href=href)
    if type:
        element.set("type", f"{MEDIA}{type}+xml")


def word(value: bool) -> str:
    """As in XML."""
    return "true" if value else "false"
