"""What must hold after each case, and all the time. Looks at the lab, never at the product."""

import json
import threading
import time
from typing import Any  # Any: values of many kinds, only compared

from lab.crash_matrix.cases import Change
from lab.data_centre import SUFFIX, DataCentre
from lab.hypervisor import MARK, Snapshot, Vm
from partial_failover.connectors.cloud_director.metadata_store import MAINTENANCE, MARKER, TESTS

TENANT, VM = "acme", "erp-db-01"
LOOKS_PER_SECOND = 100


class Rules:
    """For one replica of one lab, from `begin` until Normal again. `broken`: every rule that was broken.

    A thread is the replica's guest and the witness at once: it writes as soon as the replica is in Failover,
    and looks again and again whether that is still there. `given_up`: somebody has asked for the undo.
    """

    def __init__(self, centre: DataCentre, tenant: str = TENANT, vm: str = VM) -> None:
        self.centre, self._vm = centre, vm
        self.replica: Vm = centre.replica(vm)
        self.site = centre.sites[tenant]
        self.original = self.site.vm(vm)
        self.points = sorted(self.replica.snapshots, key=lambda s: s.created)
        """Restore points, oldest first."""
        self._holds = {point.moref: point.disk.read("orders") for point in self.points}
        """What the guest reads on each."""
        self._wired = self.replica.nics
        self.normal = self._state()
        self._lock = threading.RLock()
        self.begin()
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._look_on, daemon=True)
        self._watch.start()

    def close(self) -> None:
        """Stop looking on."""
        self._closing.set()
        self._watch.join()

    def begin(self, point: Snapshot | None = None, test: bool = False) -> None:
        """A new case begins; the replica is Normal. `point`: the one that is chosen, else the newest.
        `test`: the replica must stay unplugged."""
        with self._lock:
            self.broken: list[str] = []
            self.point, self._test = point or self.points[-1], test
            self._written, self.given_up, self._taken_over = "", False, False
            self._disturbed: Change | None = None
            self._unheld = self._unseen = False
            self._audited = len(self.replica.reverts)

    def disturb(self, change: Change, unseen: bool = False) -> None:
        """Somebody else is about to change what the failover has in hand: until now everything had to be so.
        `unseen`: nobody looks any more between this and the release."""
        with self._lock:
            self._look()
            self._disturbed = change
            self._unseen = unseen
            # Their doing, until the product holds it (again).
            self._unheld = change is Change.EXCLUSION_DELETED or not self.held()

    def leave_to_a_person(self) -> None:
        """Somebody puts the replica in order by hand: what it looks like meanwhile is theirs."""
        with self._lock:
            self._look()
            self._unseen = True

    def give_up(self) -> None:
        """Somebody is about to ask for the undo: until now everything had to be there."""
        with self._lock:
            self._look()
            self.given_up = True

    def take_over(self) -> None:
        """The workflow was terminated and another is about to take over what it left: what the replica has
        written by now stays, unless an undo was asked for and has written down that it may be lost."""
        with self._lock:
            self._look()
            marker = self.marker()
            if self.given_up and not (marker and marker["written"]):
                self._written = ""
            if marker and marker["state"] == "FailedFailover" and "restore_point" not in marker:
                self.point = self.points[-1]  # it was Normal already, but for the release
            self.given_up, self._taken_over = False, True

    def held(self) -> bool:
        """Whether every job of the backup server leaves the original alone."""
        return self.site.backup.replication.excluded(self.original.moref)

    def marker(self) -> dict[str, Any] | None:
        """The state marker in the replica's metadata."""
        metadata = list(self.centre.cloud.vm(self._vm + SUFFIX).metadata.items())
        value = next((v.value for (_, key), v in metadata if key == MARKER.key), None)
        return json.loads(value) if value else None

    def in_failover(self, run: str | None = None) -> bool:
        """Whether the marker says Failover, of this run if one is named."""
        marker = self.marker()
        return marker is not None and marker["state"] == "Failover" and run in (None, marker["run_id"])

    def must_be_in_failover(self) -> None:
        """Powered on, on the chosen point, reverted to it once, held, reached; and it has written."""
        with self._lock:
            self._look()
            self._require(bool(self._written), "the replica writes in Failover")
        self._must_stand_on_the_chosen_point()
        self._require(self.replica.power == "poweredOn", "replica powered on")
        cloud = self.centre.cloud.vm(self._vm + SUFFIX)
        self._require((cloud.status, cloud.deployed) == (4, True), "Cloud Director shows it powered on")
        self._require(self.held(), "replication held")
        self._must_leave_maintenance_to_others()
        wired = self.replica.nics
        self._require(wired == self._wired, f"plugged in as before; it was {wired}")
        if self.site.access is not None:
            self._must_be_reached()

    def must_have_been_refused(self, message: str) -> None:
        """Nothing was marked when the workflow was terminated, so there is nothing to adopt: so it must say,
        and what to do instead."""
        self._require(self.marker() is None, f"what is marked is adopted; it is {self.marker()}: {message}")
        self._require('Start without "adopt"' in message, f"the refusal says what to do: {message}")

    def _must_stand_on_the_chosen_point(self) -> None:
        audit, chosen = self._since_power_off(), self.point.moref
        # Whoever takes over cannot know of the last revert of a workflow that was terminated in it.
        reverted = audit[-2:] if self._taken_over and audit.count("on") == 1 else audit
        self._require(reverted == [chosen, "on"], f"reverted to {chosen}, then powered on; it was {audit}")
        stands = self.replica.current and self.replica.current.moref
        self._require(stands == chosen, f"it stands on {chosen}; it stands on {stands}")
        reads = self.replica.disk.read("orders")
        self._require(reads == self._holds[chosen], f"it reads what {chosen} holds; it reads {reads}")

    def _must_leave_maintenance_to_others(self) -> None:
        """A vApp is in maintenance mode only for a replica that is written down there, never for this one:
        another of its VMs may be in a revert at this moment."""
        world = self.centre.cloud.world
        with world.lock:
            own = self.centre.cloud.vm(self._vm + SUFFIX).id
            records = {
                a.name: a.metadata.get(("SYSTEM", MAINTENANCE.key)) for a in world.vapps if a.maintenance
            }
        owners = {name: json.loads(text.value)["owners"] if text else [] for name, text in records.items()}
        needless = {name: those for name, those in owners.items() if not those or own in those}
        self._require(not needless, f"no vApp in maintenance mode but for others; it was {needless}")

    def _must_be_reached(self) -> None:
        """Both appliances have its lease and are to run the tunnel."""
        address = f'"{self.replica.guest[0].address.ip}"'
        provider = f"{self.centre.provider.name}/{self.site.tenant.name}-network-extension"
        memories = self.centre.state()["appliances"]
        for name in (provider, self.site.host("network-extension")):
            memory = memories[name]
            there = memory.tunnel and any(address in lease for lease in memory.leases)
            self._require(there, f"{name} has its lease and a tunnel; it has {memory}")

    def must_be_in_failover_or_say(self, page: str) -> None:
        """After somebody else's change: held; and where the replica is not on, or not on the chosen point,
        the page says so."""
        vm = self.replica
        with self._lock:
            self._look()
        self._require(self.held(), "replication held in Failover")
        self._require(self.is_said(page), f"the page says that the replica is {vm.power}")
        reads, chosen = vm.disk.read("orders"), self._holds[self.point.moref]
        stands = self._standing().name.replace("_", "\\_")
        says = reads == chosen or stands in page
        self._require(says, f"it reads what {self.point.moref} holds, or the page names {stands}")

    def is_said(self, page: str) -> bool:
        """Whether a page tells that the replica is not on."""
        words = {"poweredOff": "is powered off", "suspended": "is suspended"}
        return words.get(self.replica.power, "") in page

    def must_say_what_is_left(self, page: str) -> None:
        """FailedFailover: what is left, and that replication is held."""
        left = page.partition("Left over: ")[2].split("\n")[0]
        self._require(bool(left), f"the page says what is left; it says {page[:300]}")
        with self._lock:
            self._require(self._is_held_or_excused(), "replication held in FailedFailover")

    def _standing(self) -> Snapshot:
        """The restore point on which it stands."""
        point = self.replica.current
        while point is not None and not point.description.startswith(MARK):
            point = point.parent
        return point or self.points[0]

    def must_be_clean(self) -> None:
        """Whoever says Normal says that replication may go on."""
        with self.centre.provider.lock:
            self._require(self._is_clean() or self._unseen, "off and on its newest restore point when Normal")

    def must_be_normal(self) -> None:
        """Everything as it was, nothing left over; exactly one revert after the last power-off."""
        now = self._state()
        for key, value in self.normal.items():
            self._require(now[key] == value, f"{key} as before; differs: {_difference(value, now[key])}")
        self.must_have_been_taken_back()

    def must_have_been_taken_back(self) -> None:
        """The replica's own part of that, while others may be in a failover."""
        self._require(self.marker() is None, "no marker")
        self._require(not self.held(), "replication released")
        audit, newest = self._since_power_off(), self.points[-1].moref
        if self._disturbed:
            return  # somebody else's are among them
        if "off" in self.replica.reverts[self._audited :]:
            self._require(audit == [newest], f"one revert, to {newest}, after the power-off; it was {audit}")
        elif audit:
            self._require(audit[-1] == newest, f"reverted to {newest} at last; it was {audit}")

    def _since_power_off(self) -> list[str]:
        """Reverts and power-ons of this case, after its last power-off."""
        audit = self.replica.reverts[self._audited :]
        return audit[len(audit) - audit[::-1].index("off") :] if "off" in audit else audit

    def _state(self) -> dict[str, Any]:
        """Of the lab, without the records of failover tests, which are to stay."""
        state = self.centre.state()
        for entries in state["metadata"].values():
            for key in [key for key in entries if TESTS.key in key]:
                del entries[key]
        return state

    def _require(self, holds: bool, what: str) -> None:
        if not holds and what not in self.broken:
            self.broken.append(what)

    def _look_on(self) -> None:
        try:
            while not self._closing.wait(1 / LOOKS_PER_SECOND):
                with self._lock:
                    self._look()
        except Exception as error:
            self.broken.append(f"the replica is looked at all the time; that ended with {error!r}")
            raise

    def _look(self) -> None:
        """Replication is held for as long as the replica is on, written to, or not at its latest point. And
        what it wrote in Failover is there until an undo is asked for, and even then while it is in Failover.
        """
        if not self._written and self.in_failover():
            self._write()
        with self.centre.provider.lock:
            vm = self.replica
            on, torn = vm.power == "poweredOn", vm.torn
            needed = not self._is_clean()
            there = vm.disk.read("order") == self._written and (on or self._disturbed)
            lost = bool(self._written) and not there and self._disturbed is not Change.REVERTED
            seen = on and any(n.network and n.connected for n in vm.nics)
        held = self._is_held_or_excused()
        self._require(not needed or held, "replication held while the replica is on or written to")
        self._require(not torn, "the replica's image whole")
        self._require(not (seen and self._test), "the replica under test unplugged")
        # The marker is read after the disk: a revert in good order comes after the marker's change.
        if lost and (not self.given_up or self.in_failover()):
            self._require(False, "the replica is on, and its write in Failover is still there")

    def _is_held_or_excused(self) -> bool:
        """Whether replication is held; or somebody else ended that, until the product holds it again."""
        held = self.held()
        self._unheld = self._unheld and not held
        return held or self._unheld or self._unseen

    def _is_clean(self) -> bool:
        """Off, and as its newest restore point is: what replication may go on from."""
        vm = self.replica
        made = [s for s in vm.snapshots if s.description.startswith(MARK)]
        latest = max(made, key=lambda s: s.created, default=None)
        return vm.power == "poweredOff" and vm.current is latest and not vm.disk.data

    def _write(self) -> None:
        with self.centre.provider.lock:
            if self.replica.power == "poweredOn":
                self._written = f"order of {time.time()}"
                self.replica.write("order", self._written)


def _difference(before: Any, now: Any) -> str:
    if not isinstance(before, dict):
        return f"{before} -> {now}"
    changed = {k for k in before.keys() | now.keys() if before.get(k) != now.get(k)}
    return "; ".join(f"{k}: {before.get(k)} -> {now.get(k)}" for k in sorted(changed))[:600]
