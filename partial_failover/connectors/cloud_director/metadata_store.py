"""What the product remembers in Cloud Director: all of it declared here, each as one typed entry.

It is SYSTEM metadata of a replica or of a vApp: it outlives a worker, a workflow and a revert, and no tenant
sees or writes it.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director import metadata
from partial_failover.connectors.cloud_director.changes import Changer
from partial_failover.connectors.cloud_director.reader import Kind, VdcReader
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.failover_test import TestRecords
from partial_failover.contracts.remembered import ApplianceWiring, MaintenanceRecord, NicMemory
from partial_failover.contracts.replica import Marker

log = logging.getLogger(__name__)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Entry(Generic[M]):
    """One thing that is remembered.

    `kind`: of the entity whose metadata has it. `what`: it, in words; `{name}` is the entity's. `do`: what a
    person must do about a value that cannot be read, which is refused with `WrongState`; None where it counts
    as absent, because the next write replaces it. `text`: the value as it is written.
    """

    key: str
    model: type[M]
    kind: Kind
    what: str
    do: str | None
    text: Callable[[M], str] = lambda value: value.model_dump_json()


MARKER = Entry(
    "partial-failover.marker",
    Marker,
    "vm",
    what="The state marker of {name}",
    do="Look at its SYSTEM metadata partial-failover.marker and remove it if no failover has this replica",
    text=lambda marker: marker.model_dump_json(exclude_none=True),
)
"""Which failover has the replica, and in which state it is."""
NICS = Entry(
    "partial-failover.nics",
    NicMemory,
    "vm",
    what="How {name} was wired before its failover",
    do="Wire it as it was, then remove its SYSTEM metadata partial-failover.nics",
)
"""The replica's NICs outside of its failover; there from the mark until the revert has put them back."""
TESTS = Entry(
    "partial-failover.tests",
    TestRecords,
    "vm",
    what="The record of the last failover tests of {name}",
    do=None,
    text=lambda records: records.model_dump_json(exclude_defaults=True),
)
"""The last failover tests of a replica: they outlive Temporal's retention."""
APPLIANCE = Entry(
    "partial-failover.appliance",
    ApplianceWiring,
    "vapp",
    what="How the appliance in the vApp {name} was wired before its first failover",
    do="Wire it as it was, then remove the vApp's SYSTEM metadata partial-failover.appliance",
)
"""The wiring that the last failover gives back to the provider's appliance."""
MAINTENANCE = Entry(
    "partial-failover.maintenance",
    MaintenanceRecord,
    "vapp",
    what="Who keeps the vApp {name} in maintenance mode",
    do=None,
    text=lambda record: json.dumps(record.model_dump(mode="json")),
)
"""The failovers that need the vApp in maintenance mode."""


class MetadataStore:
    """What is remembered in one organization VDC. An entity outside of it is `NotFound`."""

    def __init__(self, reader: VdcReader, changer: Changer) -> None:
        self._reader = reader
        self._changer = changer

    def read(self, entry: Entry[M], entity_id: str) -> M | None:
        """What is remembered; None when there is nothing."""
        entity = self._reader.entity(entry.kind, entity_id)
        text = metadata.value(self._reader, entry.kind, entity_id, entry.key)
        if text is None:
            return None
        try:
            return entry.model.model_validate_json(text)
        except ValidationError:
            what = f"{entry.what.format(name=entity.name)} cannot be read"
            if entry.do is None:
                log.warning("%s: taken as absent, and replaced by what is written next", what)
                return None
            raise WrongState(what, left="It was left as it is", do=entry.do) from None

    def write(self, entry: Entry[M], entity_id: str, value: M, attempt: Attempt) -> bool:
        """Remember it. False when it was remembered already."""
        change = metadata.write(self._reader, entry.kind, entity_id, entry.key, entry.text(value))
        return self._changer.carry_out(change, attempt)

    def forget(self, entry: Entry[M], entity_id: str, attempt: Attempt) -> bool:
        """Forget it. False when nothing was remembered."""
        change = metadata.delete(self._reader, entry.kind, entity_id, entry.key)
        return self._changer.carry_out(change, attempt)
