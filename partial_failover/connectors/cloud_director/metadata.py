"""Metadata of the SYSTEM domain: a tenant can neither write nor, as PRIVATE, see it.

GENERAL metadata belongs to the tenant and is never believed.
"""

import re
from collections.abc import Callable

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.changes import Change, Running
from partial_failover.connectors.cloud_director.reader import Kind, VdcReader
from partial_failover.connectors.cloud_director.transport import HttpRequest
from partial_failover.contracts.errors import BadRequest

_KEY = re.compile(r"[A-Za-z0-9._-]{1,256}")


def value(reader: VdcReader, kind: Kind, entity_id: str, key: str) -> str | None:
    """The value under `key`. The caller has seen that the entity is in the VDC."""
    doing = f"read the metadata {_checked(key)}"
    return _value_of(reader.transport.get(f"{_path(kind, entity_id)}/metadata", doing), key)


def write(reader: VdcReader, kind: Kind, entity_id: str, key: str, text: str) -> Change:
    """`text` is there, PRIVATE. It is no lock: Cloud Director has no compare-and-set."""
    what, path = f"write the metadata {_checked(key)}", f"{_path(kind, entity_id)}/metadata"
    body = _body(key, text)

    def request() -> HttpRequest | None:
        if value(reader, kind, entity_id, key) == text:
            return None
        return HttpRequest(what, "POST", path, body, f"{xml.MEDIA}metadata+xml")

    return _change(what, reader, kind, entity_id, request)


def delete(reader: VdcReader, kind: Kind, entity_id: str, key: str) -> Change:
    """Nothing is there."""
    what, path = f"remove the metadata {_checked(key)}", f"{_path(kind, entity_id)}/metadata/SYSTEM/{key}"

    def request() -> HttpRequest | None:
        return None if value(reader, kind, entity_id, key) is None else HttpRequest(what, "DELETE", path)

    return _change(what, reader, kind, entity_id, request)


def _change(
    what: str, reader: VdcReader, kind: Kind, entity_id: str, request: Callable[[], HttpRequest | None]
) -> Change:
    def plan() -> HttpRequest | Running | None:
        busy = reader.entity(kind, entity_id).busy
        return Running(busy) if busy else request()

    vapp_id = reader.entity(kind, entity_id).vapp_id
    return Change(what, vapp_id, entity_id, plan, operation="metadata")


def _path(kind: Kind, entity_id: str) -> str:
    return f"vApp/{kind}-{xml.checked_uuid(entity_id, kind)}"


def _checked(key: str) -> str:
    """`key` if it may enter a path (pyvcloud does not quote it)."""
    if not _KEY.fullmatch(key):
        raise BadRequest(f"{key[:60]!r} is no metadata key", do="Use letters, digits, dot, dash, underscore")
    return key


def _value_of(metadata: etree._Element, key: str) -> str | None:
    """The value under `key` of the SYSTEM domain. The same key may be there in both domains."""
    for entry in metadata.iterfind("{*}MetadataEntry"):
        if entry.findtext("{*}Key") == key and entry.findtext("{*}Domain") == "SYSTEM":
            return entry.findtext("{*}TypedValue/{*}Value") or ""
    return None


def _body(key: str, text: str) -> etree._Element:
    """A `Metadata` that merges one entry into those that are there."""
    metadata = xml.new("Metadata")
    entry = xml.add(metadata, "MetadataEntry", type="xs:string")
    xml.add(entry, "Domain", "SYSTEM", visibility="PRIVATE")
    xml.add(entry, "Key", key)
    typed = xml.add(entry, "TypedValue")
    typed.set(f"{{{xml.XSI}}}type", "MetadataStringValue")
    try:
        xml.add(typed, "Value", text)
    except ValueError:
        raise BadRequest(f"The value of {key} holds characters that XML cannot carry") from None
    return metadata
