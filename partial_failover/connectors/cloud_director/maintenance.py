"""Maintenance mode of a vApp, shared by all failovers in it.

It keeps the tenant from changing, say, a snapshot under a failover's feet. Who needs it is listed in the
vApp's own metadata, with whether it was on before the first came: then it stays on after the last has gone.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director.changes import Change, Changer, Running
from partial_failover.connectors.cloud_director.reader import VApp
from partial_failover.connectors.cloud_director.transport import HttpRequest

KEY = "partial-failover.maintenance"


@dataclass(frozen=True)
class Record:
    """What the metadata says."""

    owners: tuple[str, ...] = ()
    was_in_maintenance: bool = False

    @staticmethod
    def parse(text: str | None) -> "Record":
        """An unreadable record counts as none: it is evidence that somebody wrote over it."""
        try:
            found = json.loads(text or "{}")
            owners = tuple(str(o) for o in found.get("owners", []))
            return Record(owners, bool(found.get("was_in_maintenance")))
        except (ValueError, AttributeError, TypeError):
            return Record()

    def text(self) -> str:
        """For the metadata."""
        return json.dumps({"owners": list(self.owners), "was_in_maintenance": self.was_in_maintenance})


@dataclass(frozen=True)
class Maintenance:
    """Hold and release for one vApp. `store`: writes the record, or deletes it when given None."""

    vapp_id: str
    changer: Changer
    vapp: Callable[[], VApp]
    load: Callable[[], str | None]
    store: Callable[[str | None], bool]

    def hold(self, owner: str, attempt: Attempt) -> bool:
        """First the record, then the mode: an attempt that dies in between is taken up by the next."""
        with self.changer.alone_in(self.vapp_id, attempt):
            self._settle(attempt)
            record, changed = Record.parse(self.load()), False
            if owner not in record.owners:
                was_on = record.was_in_maintenance if record.owners else self.vapp().in_maintenance
                changed = self.store(Record((*record.owners, owner), was_on).text())
            return self._switch(True, attempt) or changed

    def release(self, owner: str, attempt: Attempt) -> bool:
        """First the mode, then the record, for the same reason."""
        with self.changer.alone_in(self.vapp_id, attempt):
            self._settle(attempt)
            record = Record.parse(self.load())
            if owner not in record.owners:
                return False
            if record.owners == (owner,) and not record.was_in_maintenance:
                self._switch(False, attempt)
            record = Record.parse(self.load())
            others = tuple(o for o in record.owners if o != owner)
            self.store(Record(others, record.was_in_maintenance).text() if others else None)
            if others:
                self._switch(True, attempt)  # another worker's failover may have come just now
            return True

    def _settle(self, attempt: Attempt) -> None:
        """Wait for what is under way: an attempt that died may have left a change of the record running,
        and a record that is read before it ends is not the one that stays."""
        while (busy := self.vapp().busy) is not None:
            self.changer.wait_for(busy, attempt)

    def _switch(self, on: bool, attempt: Attempt) -> bool:
        action = "enterMaintenanceMode" if on else "exitMaintenanceMode"
        what = f"{'put' if on else 'take'} the vApp {'into' if on else 'out of'} maintenance mode"

        def plan() -> HttpRequest | Running | None:
            vapp = self.vapp()
            if vapp.in_maintenance == on:
                return None
            return HttpRequest(what, "POST", f"vApp/vapp-{self.vapp_id}/action/{action}")

        return self.changer.carry_out(Change(what, self.vapp_id, self.vapp_id, plan, "maintenance"), attempt)
