# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""Programs in a guest, through VMware Tools (source: vSphere API, GuestProcessManager)."""

import re
from typing import Any

from pyVmomi import vim

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.vsphere.faults import LostReply
from partial_failover.connectors.vsphere.session import VSphereSession
from partial_failover.contracts.errors import NotFound, OutcomeUnknown

_PROCESS = re.compile(r"process-(\d{1,18})")
"""How a process is kept in an attempt: so that the next one waits for it and starts no other."""


class Programs:
    """Starts programs and asks how they ended."""

    def __init__(self, session: VSphereSession) -> None:
        self._session = session

    def run(
        self, vm: Any, username: str, password: str, path: str, arguments: str, attempt: Attempt
    ) -> int | None:
        """Start the program unless `attempt` knows its process; its exit code, None while it runs.

        A start whose answer was lost cannot be found again: OutcomeUnknown. What is run must bear being run
        twice.
        """
        login = vim.vm.guest.NamePasswordAuthentication(
            username=username, password=password, interactiveSession=False
        )
        manager = self._manager()
        known = _PROCESS.fullmatch(attempt.task or "")
        if known is None:
            spec = vim.vm.guest.ProcessManager.ProgramSpec(programPath=path, arguments=arguments)
            process = self._start(manager, vm, login, spec, attempt)
            attempt.started(f"process-{process}")
        else:
            process = int(known[1])
        processes = self._session.ask(
            lambda: manager.ListProcessesInGuest(vm, login, [process]), "list a guest's processes"
        )
        if not processes:
            raise NotFound(f"The guest knows nothing of process {process} any more", do="Run the test again")
        return None if processes[0].endTime is None else int(processes[0].exitCode or 0)

    def _manager(self) -> Any:
        operations = self._session.content().guestOperationsManager
        if operations is None:
            raise NotFound("This vCenter offers no guest operations")
        kind = vim.vm.guest.GuestOperationsManager
        properties = self._session.ask(
            lambda: self._session.retrieve(operations, {kind: ("processManager",)})[0].values,
            "show its guest operations",
        )
        return self._session.object(vim.vm.guest.ProcessManager, properties["processManager"]._moId)

    def _start(self, manager: Any, vm: Any, login: Any, spec: Any, attempt: Attempt) -> int:
        what = f"start a program in {vm._moId}"

        def checked() -> int:
            attempt.check(what)
            return int(manager.StartProgramInGuest(vm, login, spec))

        try:
            return self._session.once(checked, what)
        except LostReply as lost:
            raise OutcomeUnknown(
                f"{self._session.server} was asked to {what} and its answer was lost: {lost}",
                do="It is started again",
            ) from None
