"""Random requests, undos, cancellations, terminations, faults and restarts, over VMs of two tenants.

The examples are the same in every run; which of them failed, and how to play it alone, is printed. What is
not the same is timing, so a failure may need several runs to be seen again.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lab.injected_faults import FaultKind, FaultRule
from lab.veeam.accounts import Role
from tests.property.harness import VMS, Handle, Harness

PLANNED = [
    ("cloud-director", "POST metadata"),
    ("cloud-director", "POST powerOn"),
    ("cloud-director", "POST undeploy"),
    ("cloud-director", "PUT networkConnectionSection"),
    ("cloud-director", "GET task"),
    ("provider-vcenter", "RevertToSnapshot_Task"),
    ("provider-vcenter", "RetrievePropertiesEx"),
    ("acme-veeam", "POST /api/v1/globalExclusions/vm"),
    ("globex-veeam", "DELETE /api/v1/globalExclusions/vm/{id}"),
    ("acme-vcenter", "PowerOnVM_Task"),
    ("acme-vcenter/network-extension", "lease"),
    ("provider-vcenter/globex-network-extension", "release"),
]
KINDS = [
    FaultKind.DELAY,
    FaultKind.BUSY,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.EXPIRE_SESSION,
    FaultKind.TASK_ERROR,
]
POINTS = st.tuples(st.sampled_from(["latest", "id", "time"]), st.integers(0, 3))
"""How a restore point is named, and how many there are after it."""

pytestmark = pytest.mark.slow
harness: Harness


@pytest.fixture(autouse=True, scope="module")
def _harness() -> Iterator[None]:
    global harness
    with TemporaryDirectory() as folder:
        harness = Harness(Path(folder))
        yield
        harness.close()


class Failovers(RuleBasedStateMachine):
    """What tenants, operators and bad luck may do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.running: dict[str, Handle] = {}

    @initialize(vm=st.sampled_from(sorted(VMS)), named=POINTS)
    def first(self, vm: str, named: tuple[str, int]) -> None:
        """Nothing interesting happens without one."""
        self.start(vm, named, undoes_itself=False)

    @rule(vm=st.sampled_from(sorted(VMS)), named=POINTS, undoes_itself=st.booleans())
    def start(self, vm: str, named: tuple[str, int], undoes_itself: bool) -> None:
        """A tenant starts a failover, perhaps of a VM that has one."""
        request = self._request(vm, named) | ({"undo_after": "2s"} if undoes_itself else {})
        earlier = self.running.get(vm)
        if earlier is not None and not harness.ended(earlier):
            return self._start_a_second(vm, request, earlier)
        how, back = named
        harness.rules[vm].begin(harness.rules[vm].points[-1 - (back if how != "latest" else 0)])
        if undoes_itself:
            harness.rules[vm].give_up()
        self.running[vm] = harness.start(vm, **request)

    def _request(self, vm: str, named: tuple[str, int]) -> dict[str, Any]:
        how, back = named
        point = harness.rules[vm].points[-1 - back]
        at = (point.created + timedelta(minutes=1)).isoformat()
        return {} if how == "latest" else {"restore_point": point.moref if how == "id" else at}

    def _start_a_second(self, vm: str, request: dict[str, Any], first: Handle) -> None:
        """One of the two is refused: as a rule the second; the first, when that was without a worker until
        the second had the lock. Such a second is taken back, as is one that finds the first at its end.
        """
        second = harness.start(vm, **request)
        harness.wait(lambda: harness.over(first) or harness.ended(second), "one of two to be refused")
        if not harness.ended(second):
            harness.rules[vm].give_up()
            harness.do(second.cancel())
            harness.wait(lambda: harness.over(second), "the second to be taken back")

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        """Undo, when in Failover."""
        vm = self._draw(data)
        if self._in_failover(vm):
            self._undo(vm)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), accepted=st.booleans())
    def undo_without_the_right_to_release(self, data: st.DataObject, accepted: bool) -> None:
        """FailedFailover, until a person gives the right back; or accepts it as it is, and then adopts it."""
        vm = self._draw(data)
        if not self._in_failover(vm):
            return
        handle = self.running[vm]
        harness.backup_role(VMS[vm], Role.VIEWER)
        try:
            self._undo(vm)
            harness.wait(lambda: harness.state(handle) in ("FailedFailover", "ended"), f"{vm} FailedFailover")
        finally:
            harness.backup_role(VMS[vm], Role.ADMINISTRATOR)
        if accepted and harness.update(handle, "accept_as_is"):
            harness.wait(lambda: harness.ended(handle), f"the end of {vm}")
            self._take_over(vm)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """At any moment."""
        vm = self._draw(data)
        harness.rules[vm].give_up()
        harness.do(self.running[vm].cancel())

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def terminate(self, data: st.DataObject) -> None:
        """At any moment; then the replica is taken over."""
        vm = self._draw(data)
        if harness.terminate(self.running[vm]):
            self._take_over(vm)

    @rule(where=st.sampled_from(PLANNED), kind=st.sampled_from(KINDS))
    def fault(self, where: tuple[str, str], kind: FaultKind) -> None:
        """Something will go wrong."""
        harness.lab.centre.faults.add(FaultRule(*where, kind=kind, seconds=1.0))

    @rule(name=st.sampled_from(["provider", "acme", "globex"]), crash=st.booleans())
    def restart(self, name: str, crash: bool) -> None:
        """A worker is replaced, as at an upgrade, or dies and is started again."""
        worker = harness.lab.workers[name]
        if crash:
            worker.kill()
        else:
            worker.stop()
        harness.respawn(worker)

    @invariant()
    def nothing_is_broken(self) -> None:
        """Held while it must be, never torn, nothing lost: looked at all the time."""
        broken = {vm: rules.broken for vm, rules in harness.rules.items() if rules.broken}
        for rules in harness.rules.values():
            rules.broken = []
        assert broken == {}

    def teardown(self) -> None:
        """All are taken back; everything is as it was."""
        for vm, handle in self.running.items():
            if not harness.ended(handle):
                harness.rules[vm].give_up()
                harness.do(handle.cancel())
        for vm, handle in self.running.items():
            harness.wait(partial(harness.over, handle), f"the end of {vm}")
        harness.lab.centre.faults.clear()
        harness.lab.centre.wait_idle()
        for rules in harness.rules.values():
            rules.must_be_normal()
        self.nothing_is_broken()

    def _draw(self, data: st.DataObject) -> str:
        vm: str = data.draw(st.sampled_from(sorted(self.running)))
        return vm

    def _in_failover(self, vm: str) -> bool:
        """Wait for it, and look at it; False when it ended instead, or may end at any moment."""
        rules, handle = harness.rules[vm], self.running[vm]
        harness.wait(lambda: harness.state(handle) == "Failover" or harness.over(handle), f"{vm} in Failover")
        if rules.given_up or harness.ended(handle):
            return False
        harness.lab.centre.wait_idle()
        rules.must_be_in_failover()
        return True

    def _undo(self, vm: str) -> None:
        rules, handle = harness.rules[vm], self.running[vm]
        rules.give_up()
        harness.wait(lambda: harness.update(handle, "undo") or not rules.in_failover(), "undo to be accepted")

    def _take_over(self, vm: str) -> None:
        """Adopt it. Where nothing was marked that is refused; then start anew, as the refusal says."""
        rules = harness.rules[vm]
        harness.wait(lambda: harness.free(vm), f"the lock of {vm}")
        rules.take_over()
        handle = self.running[vm] = harness.start(vm, adopt=True)
        harness.wait(lambda: harness.state(handle) in ("Failover", "ended"), f"{vm} in Failover again")
        if harness.ended(handle):
            rules.must_have_been_refused(harness.failure(handle))
            rules.begin()
            self.running[vm] = harness.start(vm)


TestFailovers = Failovers.TestCase
TestFailovers.settings = settings(
    max_examples=16,
    stateful_step_count=10,
    derandomize=True,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking would take an hour
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
