# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""Programs in guests, as VMware Tools run them for vCenter (source: vSphere API, GuestProcessManager)."""

import datetime as dt
import itertools
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from lab.hypervisor import Vm, utc_now
from lab.vsphere import render
from lab.vsphere.inventory import Inventory
from lab.vsphere.sessions import Session

RUNS_FOR = dt.timedelta(seconds=0.3)


@dataclass(frozen=True)
class Process:
    """One program that was started. It is gone with the guest that it ran in."""

    pid: int
    command: str
    owner: str
    started: dt.datetime
    code: int
    booted: dt.datetime | None


class GuestProcesses:
    """All processes of all guests."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._processes: dict[str, dict[int, Process]] = {}
        self._pids = itertools.count(1001)

    def start(self, session: Session, this: Any, vm: Any, auth: Any, spec: Any) -> int:
        """Start a program; its process id."""
        machine = self._guest(vm, auth)
        if spec.programPath not in machine.programs:
            raise vim.fault.FileNotFound(file=spec.programPath, msg="File was not found")
        process = Process(
            next(self._pids),
            f"{spec.programPath} {spec.arguments}".strip(),
            auth.username,
            utc_now(),
            machine.programs[spec.programPath],
            machine.on_since,
        )
        self._processes.setdefault(machine.moref, {})[process.pid] = process
        return process.pid

    def processes(self, session: Session, this: Any, vm: Any, auth: Any, pids: Any = None) -> list[Any]:
        """Those of these ids; all of the guest when none is named."""
        machine = self._guest(vm, auth)
        known = self._processes.get(machine.moref, {})
        alive = [p for p in known.values() if p.booted == machine.on_since]
        return [_info(p) for p in alive if not pids or p.pid in pids]

    def _guest(self, ref: Any, auth: Any) -> Vm:
        """The VM, if its tools run and the login is right."""
        machine = self._inventory.vm(ref)
        if machine.power != "poweredOn":
            raise vim.fault.InvalidPowerState(
                existingState=machine.power, requestedState="poweredOn", msg=f"{machine.name} is not on"
            )
        if not render.guest_up(machine):
            raise vim.fault.GuestOperationsUnavailable(
                msg="The guest operations agent could not be contacted."
            )
        if machine.logins.get(auth.username) != auth.password:
            raise vim.fault.InvalidGuestLogin(
                msg="Failed to authenticate with the guest operating system using the supplied credentials."
            )
        return machine


def _info(process: Process) -> Any:
    ended = process.started + RUNS_FOR
    over = utc_now() >= ended
    return vim.vm.guest.ProcessManager.ProcessInfo(
        name=process.command.split("/")[-1].split(" ")[0],
        pid=process.pid,
        owner=process.owner,
        cmdLine=process.command,
        startTime=process.started,
        endTime=ended if over else None,
        exitCode=process.code if over else None,
    )
