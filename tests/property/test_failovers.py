"""Random requests, undos, cancellations, faults and restarts, over several VMs of two tenants."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any  # Any: results of workflows

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError

from lab.crash_matrix.rules import Rules
from lab.faults import Kind, Rule
from lab.lab import Lab
from lab.worker_process import WorkerProcess

VMS = {"erp-db-01": "acme", "mail-01": "acme", "crm-db-01": "globex"}
SETTLES_WITHIN = 180.0
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
KINDS = [Kind.DELAY, Kind.BUSY, Kind.DROP_BEFORE, Kind.DROP_AFTER, Kind.EXPIRE_SESSION, Kind.TASK_ERROR]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Theatre:
    """A lab with an event loop in a thread of its own, which outlives every example."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.lab = Lab(folder, simulated=True)
        self.do(self.lab.__aenter__())
        for vm, tenant in VMS.items():
            site = self.lab.centre.sites[tenant]
            site.hypervisor.power_off(site.vm(vm))
        self.rules = {vm: Rules(self.lab.centre, tenant, vm) for vm, tenant in VMS.items()}
        self.clients = {tenant: self.do(self.lab.client(tenant)) for tenant in VMS.values()}

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it in the lab's loop, and wait."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(SETTLES_WITHIN)

    def story(self) -> str:
        """What the pages of all running failovers say."""
        return str(self.do(self._story()))

    async def _story(self) -> str:
        pages = []
        for client in self.clients.values():
            async for found in client.list_workflows("WorkflowType='PartialFailover'"):
                if found.status is WorkflowExecutionStatus.RUNNING:
                    handle = client.get_workflow_handle(found.id)
                    pages.append((await handle.query("__temporal_workflow_metadata")).current_details)
                    pages.append(str((await handle.describe()).raw_description.pending_activities))
        return "\n".join(pages)

    def close(self) -> None:
        """End everything."""
        for rules in self.rules.values():
            rules.close()
        self.do(self.lab.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


theatre: Theatre


@pytest.fixture(autouse=True, scope="module")
def _theatre() -> Iterator[None]:
    global theatre
    with TemporaryDirectory() as folder:
        theatre = Theatre(Path(folder))
        yield
        theatre.close()


class Failovers(RuleBasedStateMachine):
    """What tenants, operators and bad luck may do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.running: dict[str, WorkflowHandle[Any, Any]] = {}

    @initialize(vm=st.sampled_from(sorted(VMS)))
    def first(self, vm: str) -> None:
        """Nothing interesting happens without one."""
        self.start(vm)

    @rule(vm=st.sampled_from(sorted(VMS)))
    def start(self, vm: str) -> None:
        """A tenant starts a failover, perhaps of a VM that has one."""
        client, free = theatre.clients[VMS[vm]], vm not in self.running or ended(self.running[vm])
        if free:
            theatre.rules[vm].begin()
        handle = theatre.do(
            client.start_workflow(
                "PartialFailover", {"vm": vm}, id=f"{vm}-{time.time_ns()}", task_queue="provider"
            )
        )
        if not free:
            wait(lambda: ended(handle) or ended(self.running[vm]), "the second failover to be refused")
        if free or not ended(handle):  # the first may have ended at that very moment
            self.running[vm] = handle

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        """Undo, when in Failover: what was written until then was kept."""
        vm = data.draw(st.sampled_from(sorted(self.running)))
        rules = theatre.rules[vm]
        wait(lambda: rules.in_failover() or ended(self.running[vm]), f"{vm} in Failover")
        if not rules.in_failover():
            return
        rules.must_be_in_failover()
        time.sleep(0.2)
        rules.give_up()
        wait(lambda: self._accepted(vm), "undo to be accepted")

    def _accepted(self, vm: str) -> bool:
        try:
            theatre.do(self.running[vm].execute_update("undo", {}))
        except (WorkflowUpdateFailedError, RPCError):
            return not theatre.rules[vm].in_failover()
        return True

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """At any moment."""
        theatre.do(self.running[data.draw(st.sampled_from(sorted(self.running)))].cancel())

    @rule(where=st.sampled_from(PLANNED), kind=st.sampled_from(KINDS))
    def fault(self, where: tuple[str, str], kind: Kind) -> None:
        """Something will go wrong."""
        theatre.lab.centre.faults.add(Rule(*where, kind=kind, seconds=1.0))

    @rule(name=st.sampled_from(["provider", "acme", "globex"]))
    def restart(self, name: str) -> None:
        """A worker is replaced, as at an upgrade."""
        worker = theatre.lab.workers[name]
        worker.stop()
        theatre.do(spawn(worker))
        worker.until_ready()

    @invariant()
    def nothing_is_broken(self) -> None:
        """Held while it must be, never torn: looked at all the time."""
        broken = {vm: rules.broken for vm, rules in theatre.rules.items() if rules.broken}
        for rules in theatre.rules.values():
            rules.broken = []
        assert broken == {}

    def teardown(self) -> None:
        """All are taken back; everything is as it was."""
        for handle in self.running.values():
            if not ended(handle):
                theatre.do(handle.cancel())
        for vm, handle in self.running.items():
            wait(partial(ended, handle), f"the end of {vm}")
        theatre.lab.centre.faults.clear()
        theatre.lab.centre.cloud.tasks.wait_idle(60)
        for rules in theatre.rules.values():
            rules.must_be_normal()
        self.nothing_is_broken()


def ended(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether the workflow has come to its end."""
    described = theatre.do(handle.describe())
    return bool(described.status is not WorkflowExecutionStatus.RUNNING)


async def spawn(worker: WorkerProcess) -> None:
    """In the lab's own thread: a worker dies with the thread that starts it."""
    worker.spawn()


def wait(reached: Callable[[], bool], what: str) -> None:
    """Poll."""
    end = time.monotonic() + SETTLES_WITHIN
    while not reached():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}\n{theatre.story()}")
        time.sleep(0.1)


TestFailovers = Failovers.TestCase
TestFailovers.settings = settings(
    max_examples=3,
    stateful_step_count=10,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking would take an hour
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
