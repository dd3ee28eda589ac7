# mypy: disallow-untyped-calls=False
# pyVmomi's runtime modules (SoapAdapter, VmomiSupport) carry no annotations: what comes from them is Any.
"""SOAP of the vim25 dialect: requests in, replies and faults out, with pyVmomi's own (de)serializers."""

import copy
from dataclasses import dataclass
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from pyVmomi import SoapAdapter as soap
from pyVmomi import VmomiSupport as registry
from pyVmomi import vim, vmodl

from lab.vsphere.sequence import Elements, OrderedReader

XSD, XSI = "http://www.w3.org/2001/XMLSchema", "http://www.w3.org/2001/XMLSchema-instance"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
VERSIONS = [v for v in registry.GetServiceVersions("vim25") if v.startswith("vim.version.")]
"""Newest first."""
OLDEST = "2.5"
"""The first version of the namespace `urn:vim25`."""
BY_ID: dict[str, str] = {registry.versionIdMap[v]: v for v in reversed(VERSIONS)}
"""`8.0.3.0` → `vim.version.v8_0_3_0`."""


@dataclass
class Request:
    """One call. `info`: pyVmomi's description of the method, None when the type has no such method."""

    method: str
    this: Any
    info: Any
    args: dict[str, Any]


class _Parser(soap.ExpatDeserializerNSHandlers):
    """The inverse of `SoapStubAdapter.SerializeRequest`: one pyVmomi deserializer for each parameter."""

    def __init__(self, version: str) -> None:
        super().__init__({})
        self.version = version
        self.request: Request | None = None
        self._in_body = False
        self._name = ""
        self._namespace = ""
        self._elements = Elements([])
        self._pending: list[tuple[str, bool, Any]] = []

    def parse(self, data: bytes) -> Request:
        self._expat = ParserCreate(namespace_separator=soap.NS_SEP)
        self._expat.buffer_text = True
        soap.SetHandlers(self._expat, soap.GetHandlers(self))
        self._expat.Parse(data, True)
        if self.request is None:
            raise ValueError("no method with a _this in the body")
        lacking = self._elements.lacking(self.request.info.params) if self.request.info else []
        if lacking:
            raise ValueError(f"Required parameter {lacking[0]} is missing")
        for name, many, reader in self._pending:
            if many:
                self.request.args.setdefault(name, []).append(reader.GetResult())
            else:
                self.request.args[name] = reader.GetResult()
        self.request.this = self.request.args.pop("_this")
        return self.request

    def StartElementHandler(self, tag: str, attr: dict[str, str]) -> None:
        namespace, _, name = tag.rpartition(soap.NS_SEP)
        if namespace == ENVELOPE:
            self._in_body |= name == "Body"
        elif self._in_body and not self._name:
            self._name, self._namespace = name, namespace
        elif self._in_body:
            self._parameter(tag, name, attr)

    def _parameter(self, tag: str, name: str, attr: dict[str, str]) -> None:
        many = False
        kind: Any = str
        if self.request is None and name == "_this":
            kind = registry.GetWsdlType(self._namespace, attr["type"])
            self.request = Request(self._name, None, method_info(kind, self._name), {})
            self._elements = Elements(self.request.info.params if self.request.info else [])
        elif self.request is None:
            raise ValueError(f'Unexpected element tag "{name}" seen')
        elif self.request.info:
            kind = self._elements.take(name).type
            many = issubclass(kind, list)
        reader = OrderedReader(self.version)
        reader.Deserialize(self._expat, kind.Item if many else kind, False, self.nsMap)
        reader.StartElementHandler(tag, attr)
        self._pending.append((name, many, reader))

    def EndElementHandler(self, tag: str) -> None:
        """Needed by the base class."""

    def CharacterDataHandler(self, data: str) -> None:
        """Needed by the base class."""


def method_info(kind: Any, name: str) -> Any:
    """pyVmomi's description (parameters, result, privilege) of the method `name` of the type `kind`."""
    infos = (getattr(m, "info", m) for m in kind._GetMethodList())
    return next((i for i in infos if i.wsdlName == name), None)


def property_info(kind: Any, name: str) -> Any:
    """pyVmomi's description (type, privilege) of a managed object's property. Raises InvalidProperty."""
    for info in kind._GetPropertyList():
        if info.name == name:
            return info
    raise vmodl.query.InvalidProperty(name=name, msg="The property is invalid.")


def parse(data: bytes, version: str) -> Request:
    """Raises the fault `InvalidRequest` for what is no call of a known type."""
    try:
        return _Parser(version).parse(data)
    except (ExpatError, LookupError, ValueError, TypeError, AttributeError, StopIteration) as error:
        raise vmodl.fault.InvalidRequest(msg=f"Unable to parse the request: {error!r}") from error


def served(api: str) -> list[str]:
    """The versions that a vCenter of the version `api` speaks: its own, then the older ones."""
    ids = [registry.versionIdMap[v] for v in VERSIONS]
    return ids[ids.index(api) : ids.index(OLDEST) + 1]


def service_versions(api: str) -> bytes:
    """`vimServiceVersions.xml`, by which clients choose a version (source: vSphere Web Services SDK)."""
    newest, *prior = served(api)
    versions = "".join(f"<version>{v}</version>" for v in prior)
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><namespaces version="1.0"><namespace><name>urn:vim25</name>'
        f"<version>{newest}</version><priorVersions>{versions}</priorVersions></namespace></namespaces>"
    ).encode()


def envelope(body: str) -> bytes:
    """A whole SOAP message."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="{ENVELOPE}" '
        f'xmlns:xsd="{XSD}" xmlns:xsi="{XSI}"><soapenv:Body>{body}'
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


def reply(method: str, value: Any, kind: Any, version: str) -> str:
    """Body of a successful answer; `value` None for none."""
    inner = ""
    if value is not None:
        info = registry.Object(name="returnval", type=kind, version=version, flags=registry.F_OPTIONAL)
        text = soap.SerializeToStr(value, info, version, _prefixes())
        # vCenter writes ManagedObjectReference where pyVmomi's serializer writes its base class.
        inner = _without_version(text, version).replace(
            'xsi:type="ManagedObject"', 'xsi:type="ManagedObjectReference"'
        )
    return f'<{method}Response xmlns="urn:vim25">{inner}</{method}Response>'


def fault(error: Any, version: str) -> str:
    """Body of an answer that is a vim fault."""
    name = registry.GetWsdlName(type(error)) + "Fault"
    info = registry.Object(name=name, type=object, version=version, flags=0)
    bare = copy.copy(error)
    message, bare.msg = error.msg or "", None
    text = _without_version(soap.SerializeFaultDetail(bare, info, version, _prefixes()), version)
    detail = text.replace("Fault xsi", 'Fault xmlns="urn:vim25" xsi', 1)
    return (
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode>"
        f"<faultstring>{soap.XmlEscape(message)}</faultstring>"
        f"<detail>{detail}</detail></soapenv:Fault>"
    )


def not_found(ref: Any) -> Any:
    """The fault for a reference to nothing."""
    name = f"{registry.GetWsdlName(type(ref))}:{ref._moId}"
    text = f"The object '{name}' has already been deleted or has not been completely created"
    return vmodl.fault.ManagedObjectNotFound(obj=ref, msg=text)


def not_authenticated(ref: Any, privilege: str) -> Any:
    """The fault for a call without a session."""
    return vim.fault.NotAuthenticated(
        object=ref, privilegeId=privilege, msg="The session is not authenticated."
    )


def _prefixes() -> dict[str, str]:
    return {"urn:vim25": "", ENVELOPE: "soapenv", XSD: "xsd", XSI: "xsi"}


def _without_version(text: str, version: str) -> str:
    return text.replace(f' versionId="{registry.versionIdMap[version]}"', "")
