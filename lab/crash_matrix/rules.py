"""What must hold after each case. Looks at the lab, never at the product."""

import json
import threading
import time
from typing import Any  # Any: values of many kinds, only compared

from activities.marker import KEY as MARKER
from lab.data_centre import SUFFIX, DataCentre
from lab.hypervisor import Vm

TENANT, VM = "acme", "erp-db-01"
LOOKS_PER_SECOND = 100


class Rules:
    """For one replica of one lab, from `begin` until Normal again. `broken`: every rule that was broken."""

    def __init__(self, centre: DataCentre, tenant: str = TENANT, vm: str = VM) -> None:
        self.centre, self._vm = centre, vm
        self.replica: Vm = centre.replica(vm)
        self.site = centre.sites[tenant]
        self.original = self.site.vm(vm)
        self.normal = centre.state()
        self.broken: list[str] = []
        self._audited = 0
        self._written = ""
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._look_on, daemon=True)
        self._watch.start()

    def close(self) -> None:
        """Stop looking on."""
        self._closing.set()
        self._watch.join()

    def begin(self) -> None:
        """A new case begins; the replica is Normal."""
        self.broken, self._written = [], ""
        self._audited = len(self.replica.reverts)

    def held(self) -> bool:
        """Whether every job of the backup server leaves the original alone."""
        return self.site.backup.replication.excluded(self.original.moref)

    def marker(self) -> dict[str, Any] | None:
        """The state marker in the replica's metadata."""
        metadata = self.centre.cloud.vm(self._vm + SUFFIX).metadata
        value = next((v.value for (_, key), v in metadata.items() if key == MARKER), None)
        return json.loads(value) if value else None

    def in_failover(self) -> bool:
        """Whether the marker says Failover."""
        found = self.marker()
        return found is not None and found["state"] == "Failover"

    def must_be_in_failover(self) -> None:
        """Powered on, at the point it was reverted to, once, held; and it writes."""
        audit = self._since_power_off()
        newest = max(self.replica.snapshots, key=lambda s: s.created)
        self._require(audit == [newest.moref, "on"], f"reverted once, then powered on; it was {audit}")
        self._require(self.replica.power == "poweredOn", "replica powered on")
        cloud = self.centre.cloud.vm(self._vm + SUFFIX)
        self._require((cloud.status, cloud.deployed) == (4, True), "Cloud Director shows it powered on")
        self._require(self.held(), "replication held")
        maintenance = [a.name for a in self.centre.cloud.world.vapps if a.maintenance]
        self._require(not maintenance, f"no vApp in maintenance mode; it was {maintenance}")
        if self.replica.power == "poweredOn":
            self._written = f"order of {time.time()}"
            self.replica.write("order", self._written)

    def must_have_kept_writes(self) -> None:
        """What the replica wrote in Failover is there, until an undo is asked for."""
        self._require(self.replica.disk.read("order") == self._written, "the replica's write is still there")

    def must_be_normal(self) -> None:
        """Everything as it was, nothing left over; exactly one revert after the last power-off."""
        now = self.centre.state()
        for key, value in self.normal.items():
            self._require(now[key] == value, f"{key} as before; differs: {_difference(value, now[key])}")
        self.must_have_been_taken_back()

    def must_have_been_taken_back(self) -> None:
        """The replica's own part of that, while others may be in a failover."""
        self._require(self.marker() is None, "no marker")
        self._require(not self.held(), "replication released")
        audit = self._since_power_off()
        if "off" in self.replica.reverts[self._audited :]:
            self._require(len(audit) == 1, f"exactly one revert after the last power-off; it was {audit}")

    def _since_power_off(self) -> list[str]:
        """Reverts and power-ons of this case, after its last power-off."""
        audit = self.replica.reverts[self._audited :]
        return audit[len(audit) - audit[::-1].index("off") :] if "off" in audit else audit

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            self.broken.append(what)

    def _look_on(self) -> None:
        """Replication is held for as long as the replica is on, written to, or not at its latest point."""
        while not self._closing.wait(1 / LOOKS_PER_SECOND):
            with self.centre.provider.lock:
                vm = self.replica
                latest = max(vm.snapshots, key=lambda s: s.created)
                needed = vm.power != "poweredOff" or vm.current is not latest or bool(vm.disk.data)
                torn = vm.torn
            if needed and not self.held():
                self._say_once("replication held while the replica is on or written to")
            if torn:
                self._say_once("the replica's image whole")

    def _say_once(self, what: str) -> None:
        if what not in self.broken:
            self.broken.append(what)


def _difference(before: Any, now: Any) -> str:
    if not isinstance(before, dict):
        return f"{before} -> {now}"
    changed = {k for k in before.keys() | now.keys() if before.get(k) != now.get(k)}
    return "; ".join(f"{k}: {before.get(k)} -> {now.get(k)}" for k in sorted(changed))[:600]
