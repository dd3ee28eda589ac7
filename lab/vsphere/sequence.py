# mypy: disallow-untyped-calls=False
# pyVmomi's runtime modules (SoapAdapter, VmomiSupport) carry no annotations: what comes from them is Any.
"""The order of elements in requests: it is that of the vim25 schema, whose types are sequences."""

from collections.abc import Sequence
from typing import Any

from pyVmomi import SoapAdapter as soap
from pyVmomi import VmomiSupport as registry


class Elements:
    """Takes the elements of one call, or of one data object, as they come. `members`: pyVmomi's, in order."""

    def __init__(self, members: Sequence[Any]) -> None:
        self._members = list(members)
        self._taken: set[str] = set()

    def take(self, name: str) -> Any:
        """The member that the next element is. Raises ValueError where none such may follow."""
        place = next((i for i, m in enumerate(self._members) if m.name == name), None)
        if place is None:
            raise ValueError(f'Unexpected element tag "{name}" seen')
        member = self._members[place]
        self._taken.add(name)
        # What came is over, and so is this one, unless there may be many of it.
        self._members = self._members[place if issubclass(member.type, list) else place + 1 :]
        return member

    def lacking(self, members: Sequence[Any]) -> list[str]:
        """Those of them that had to come and did not. An empty list has no element."""
        return [
            m.name
            for m in members
            if m.name not in self._taken
            and not m.flags & registry.F_OPTIONAL
            and not issubclass(m.type, list)
        ]


class OrderedReader(soap.SoapDeserializer):
    """pyVmomi's reader of one value, which by itself takes the members of data objects in any order."""

    def __init__(self, version: str) -> None:
        super().__init__(None, version)
        self._elements: dict[int, Elements] = {}

    def StartElementHandler(self, tag: str, attr: dict[str, str]) -> None:
        """Called by the XML parser."""
        holder = self.stack[-1] if self.stack else None
        if isinstance(holder, registry.DataObject):
            elements = self._elements.setdefault(id(holder), Elements(holder._GetPropertyList()))
            elements.take(tag.rpartition(soap.NS_SEP)[2])
        super().StartElementHandler(tag, attr)
