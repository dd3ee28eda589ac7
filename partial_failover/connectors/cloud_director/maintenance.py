"""Maintenance mode of a vApp, shared by all failovers in it.

It keeps the tenant from changing, say, a snapshot under a failover's feet. Who needs it is remembered with
the vApp, and whether it was on before the first came: then it stays on after the last has gone.
"""

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director.changes import Change, Changer, Running
from partial_failover.connectors.cloud_director.metadata_store import MAINTENANCE, MetadataStore
from partial_failover.connectors.cloud_director.reader import VdcReader
from partial_failover.connectors.cloud_director.transport import HttpRequest
from partial_failover.contracts.remembered import MaintenanceRecord


class Maintenance:
    """Hold and release, in one organization VDC."""

    def __init__(self, reader: VdcReader, changer: Changer, remembered: MetadataStore) -> None:
        self._reader = reader
        self._changer = changer
        self._remembered = remembered

    def hold(self, vapp_id: str, owner: str, attempt: Attempt) -> bool:
        """First the record, then the mode: an attempt that dies in between is taken up by the next."""
        with self._changer.alone_in(vapp_id, attempt):
            self._settle(vapp_id, attempt)
            record, changed = self._record(vapp_id), False
            if owner not in record.owners:
                was_on = record.was_in_maintenance
                if not record.owners:
                    was_on = self._reader.vapp(vapp_id).in_maintenance
                record = MaintenanceRecord(owners=(*record.owners, owner), was_in_maintenance=was_on)
                changed = self._remembered.write(MAINTENANCE, vapp_id, record, attempt)
            return self._switch(vapp_id, True, attempt) or changed

    def release(self, vapp_id: str, owner: str, attempt: Attempt) -> bool:
        """First the mode, then the record, for the same reason."""
        with self._changer.alone_in(vapp_id, attempt):
            self._settle(vapp_id, attempt)
            record = self._record(vapp_id)
            if owner not in record.owners:
                return False
            if record.owners == (owner,) and not record.was_in_maintenance:
                self._switch(vapp_id, False, attempt)
            record = self._record(vapp_id)
            others = tuple(o for o in record.owners if o != owner)
            if not others:
                self._remembered.forget(MAINTENANCE, vapp_id, attempt)
                return True
            left = record.model_copy(update={"owners": others})
            self._remembered.write(MAINTENANCE, vapp_id, left, attempt)
            self._switch(vapp_id, True, attempt)  # another worker's failover may have come just now
            return True

    def _record(self, vapp_id: str) -> MaintenanceRecord:
        return self._remembered.read(MAINTENANCE, vapp_id) or MaintenanceRecord()

    def _settle(self, vapp_id: str, attempt: Attempt) -> None:
        """Wait for what is under way: an attempt that died may have left a change of the record running,
        and a record that is read before it ends is not the one that stays."""
        while (busy := self._reader.vapp(vapp_id).busy) is not None:
            self._changer.wait_for(busy, attempt)

    def _switch(self, vapp_id: str, on: bool, attempt: Attempt) -> bool:
        action = "enterMaintenanceMode" if on else "exitMaintenanceMode"
        what = f"{'put' if on else 'take'} the vApp {'into' if on else 'out of'} maintenance mode"

        def plan() -> HttpRequest | Running | None:
            if self._reader.vapp(vapp_id).in_maintenance == on:
                return None
            return HttpRequest(what, "POST", f"vApp/vapp-{vapp_id}/action/{action}")

        return self._changer.carry_out(Change(what, vapp_id, vapp_id, plan, "maintenance"), attempt)
