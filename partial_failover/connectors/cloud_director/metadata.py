"""Metadata of the SYSTEM domain: a tenant can neither write nor, as PRIVATE, see it.

GENERAL metadata belongs to the tenant and is never believed.
"""

import re

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.contracts.errors import BadRequest

_KEY = re.compile(r"[A-Za-z0-9._-]{1,256}")


def checked_key(key: str) -> str:
    """`key` if it may enter a path (pyvcloud does not quote it)."""
    if not _KEY.fullmatch(key):
        raise BadRequest(f"{key[:60]!r} is no metadata key", do="Use letters, digits, dot, dash, underscore")
    return key


def value_of(metadata: etree._Element, key: str) -> str | None:
    """The value under `key` of the SYSTEM domain. The same key may be there in both domains."""
    for entry in metadata.iterfind("{*}MetadataEntry"):
        if entry.findtext("{*}Key") == key and entry.findtext("{*}Domain") == "SYSTEM":
            return entry.findtext("{*}TypedValue/{*}Value") or ""
    return None


def body(key: str, value: str) -> etree._Element:
    """A `Metadata` that merges one entry into those that are there."""
    metadata = xml.new("Metadata")
    entry = xml.add(metadata, "MetadataEntry", type="xs:string")
    xml.add(entry, "Domain", "SYSTEM", visibility="PRIVATE")
    xml.add(entry, "Key", key)
    typed = xml.add(entry, "TypedValue")
    typed.set(f"{{{xml.XSI}}}type", "MetadataStringValue")
    try:
        xml.add(typed, "Value", value)
    except ValueError:
        raise BadRequest(f"The value of {key} holds characters that XML cannot carry") from None
    return metadata
