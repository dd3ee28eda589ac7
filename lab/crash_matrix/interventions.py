"""What happens to a call: the fault of a case; and what makes a failover be taken back."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from lab.crash_matrix.cases import Case, Intervention, Phase, Point
from lab.crash_matrix.driver import Driver
from lab.crash_matrix.others import Others
from lab.crash_matrix.rules import TENANT, VM
from lab.data_centre import SUFFIX, DataCentre
from lab.injected_faults import FaultKind, FaultRule
from lab.site import APPLIANCE

LATE = 3.0
"""Seconds by which an answer is late, and for which a task hangs."""
LONG = 40.0
"""A task that hangs until the next worker has found it."""
KILL_DELAY = 0.7
SHOWN_LATE = ("status", "deployed", "nics", "networks", "metadata")
LATE_FOR = 1.0
"""Seconds in which effects are those that are seen late."""


def fault(case: Case, driver: Driver, others: Others) -> FaultRule:
    """Not planned yet."""
    point = case.point
    meant = partial(_is_meant, point, driver)
    rule = FaultRule(point.endpoint, point.call, FaultKind.DELAY, passes=point.turn - 1, when=meant)
    kill = _killer(point, driver)
    match case.intervention:
        case Intervention.KILLED_BEFORE:
            rule.kind, rule.act = FaultKind.DROP_BEFORE, kill
        case Intervention.KILLED_AFTER:
            rule.kind, rule.act = FaultKind.DROP_AFTER, kill
        case Intervention.KILLED_WAITING:
            rule.kind, rule.seconds = FaultKind.TASK_HANG, LONG
            rule.act = lambda: threading.Timer(KILL_DELAY, kill).start()
        case Intervention.CANCELLED:
            rule.act = driver.cancel
        case Intervention.TERMINATED:
            rule.act = driver.terminate
        case Intervention.LATE_EFFECT:
            rule.act = partial(_show_late, driver.lab.centre)
        case Intervention.FORGOTTEN:
            rule.kind, rule.act = FaultKind.DROP_AFTER, partial(_forget_tasks, driver.lab.centre)
        case _ if case.change:
            rule.act = others.doing(case)
        case kind:
            rule.kind, rule.seconds = FaultKind(kind), LATE
    return rule


def _show_late(centre: DataCentre) -> None:
    """What has its effect right now is seen later."""
    world = centre.cloud.world
    world.lags = dict.fromkeys(SHOWN_LATE, LATE)
    threading.Timer(LATE_FOR, lambda: setattr(world, "lags", {})).start()


def _forget_tasks(centre: DataCentre) -> None:
    """As a vCenter that has so much to do that it shows none of a VM's tasks any more."""
    for vcenter in (centre.vcenter, *(site.vcenter for site in centre.sites.values())):
        vcenter.tasks.forget()


def _killer(point: Point, driver: Driver) -> Callable[[], None]:
    worker = driver.lab.workers[TENANT if point.endpoint.startswith(TENANT) else "provider"]
    return lambda: driver.kill(worker)


def compensation_trigger(phase: Phase, driver: Driver, then: Callable[[], object]) -> FaultRule:
    """What makes the failover be taken back, as `phase` says; `then` is called right before it."""
    if phase is Phase.REFUSED:
        site = driver.site

        def switch_on() -> None:
            then()
            site.hypervisor.power_on(site.vm(VM))

        return FaultRule(f"{TENANT}-vcenter/{APPLIANCE}", "lease", FaultKind.DELAY, act=switch_on)

    def cancel() -> None:
        # When it is on, there is but one thing to be written of it: that it is in Failover.
        if driver.rules.replica.power == "poweredOn":
            rule.times = 0
            then()
            driver.cancel()

    target = f"*{driver.lab.centre.cloud.vm(VM + SUFFIX).id}*"
    rule = FaultRule("cloud-director", "POST metadata", FaultKind.DELAY, times=99, target=target, act=cancel)
    return rule


def _is_meant(point: Point, driver: Driver, target: str) -> bool:
    """Whether a call is about the point's thing, while the point's step runs."""
    if entity(point.endpoint, target, driver.lab.centre) != point.entity:
        return False
    return asyncio.run_coroutine_threadsafe(driver.runs(point.step), driver.loop).result(10)


def entity(endpoint: str, target: str, centre: DataCentre) -> str:
    """Name of what a call is about."""
    world, tasks = centre.cloud.world, list(centre.cloud.tasks.all.values())
    names = {v.id: v.name for v in world.vms} | {a.id: f"{a.name} vApp" for a in world.vapps}
    if endpoint != "cloud-director":
        return ""
    owner = next((t.owner.id for t in tasks if t.id in target), "")
    return next((name for id_, name in names.items() if id_ in target or id_ == owner), "")
