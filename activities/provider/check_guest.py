"""What a failover test looks at. Checks change nothing, but for the programs that the provider configured."""

import asyncio
import time
from ipaddress import IPv4Address

from temporalio import activity

from activities.provider import marker, nic_memory
from activities.provider.guest_programs import run_program
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.connectors import probe
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.pause import Pause
from partial_failover.contracts import steps
from partial_failover.contracts.check import (
    AddressCheck,
    AnyCheck,
    CheckInput,
    CheckOutcome,
    CheckResult,
    HeartbeatCheck,
    HttpCheck,
    PowerCheck,
    ProgramCheck,
    TcpCheck,
    UptimeCheck,
    called,
)
from partial_failover.contracts.duration_text import duration_text
from partial_failover.contracts.errors import FailoverError
from partial_failover.contracts.network import Nic
from partial_failover.contracts.replica import CloudVm, Power, VSphereVm

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two looks at a guest that boots."""


class Decided(Exception):
    """There is no point in looking again; the text says why."""

    def __init__(self, outcome: CheckOutcome, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


class NotYet(Exception):
    """It does not hold now; the text says what was seen."""


class CheckGuest(ProviderSteps):
    """For one tenant. Async: most of a check is waiting, and waiting needs no thread."""

    @provider_step(steps.CHECK_GUEST)
    async def check_guest(self, data: CheckInput) -> CheckResult:
        """Look until the check holds or its time is over. Only of a replica that this run's test has."""
        check, attempt = data.check, current_attempt(self.tenant.fence, data)
        vm, nics = await asyncio.to_thread(self._replica, data)
        began = time.monotonic()
        try:
            outcome, reason = await self._until_it_holds(vm, nics, check, attempt)
        except Decided as why:
            outcome, reason = why.outcome, str(why)
        after = round(time.monotonic() - began, 3)
        return CheckResult(what=called(check), outcome=outcome, reason=reason, after_s=after)

    def _replica(self, data: CheckInput) -> tuple[CloudVm, tuple[Nic, ...]]:
        """The replica, and how it is wired outside of its test."""
        vm = self.tenant.replica(data.replica_id)
        marker.require_test(self.tenant, vm, data.run)
        return vm, nic_memory.remembered(self.tenant, vm) or vm.nics

    async def _until_it_holds(
        self, vm: CloudVm, nics: tuple[Nic, ...], check: AnyCheck, attempt: Attempt
    ) -> tuple[CheckOutcome, str]:
        end = time.monotonic() + min(check.timeout.total_seconds() - _gone(), attempt.left())
        pause = Pause(attempt, FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                return CheckOutcome.PASS, await self._look(vm, nics, check, attempt)
            except NotYet as seen:
                reason = str(seen)
            except FailoverError as error:
                if not error.retryable:
                    return CheckOutcome.FAIL, str(error)
                reason = str(error)
            if time.monotonic() + pause.seconds > end:
                return CheckOutcome.FAIL, f"{reason.rstrip('.')}, after {duration_text(check.timeout)}"
            await pause.rest_async()

    async def _look(self, vm: CloudVm, nics: tuple[Nic, ...], check: AnyCheck, attempt: Attempt) -> str:
        """What was seen, when the check holds."""
        if isinstance(check, TcpCheck | HttpCheck):
            return await self._ask(self._reachable(nics), check)
        if isinstance(check, AddressCheck) and self.tenant.settings.test_network is None:
            raise _skip("The replica's NICs are disconnected, and a guest may then report no address")
        if isinstance(check, ProgramCheck):
            return _ended(
                check.program, await asyncio.to_thread(run_program, self.tenant, vm, check, attempt)
            )
        _, seen = await asyncio.to_thread(self.tenant.hardware, vm)
        if isinstance(check, AddressCheck):
            return _address(seen, nics)
        return _state(seen, check)

    async def _ask(self, address: IPv4Address, check: TcpCheck | HttpCheck) -> str:
        if isinstance(check, TcpCheck):
            await probe.tcp(address, check.port)
            return f"{address} accepts connections on port {check.port}"
        status = await probe.http_status(address, check.port, check.path, check.tls)
        if status != check.status:
            raise NotYet(f"{address} port {check.port} answers {status}, not {check.status}")
        return f"{address} port {check.port} answers {status}"

    def _reachable(self, nics: tuple[Nic, ...]) -> IPv4Address:
        """The replica's address on the test network. The provider's settings say what may be connected to:
        addresses are the tenant's to choose."""
        network = self.tenant.settings.test_network
        if network is None or network.reachable is None:
            raise _skip("The replica is isolated, and no worker reaches a network for tests")
        for nic in nics:
            if nic.address is not None and nic.address in network.reachable:
                return nic.address
        raise _skip(f"The replica has no address in {network.reachable}, which the worker reaches")


def _gone() -> float:
    """Seconds of the check's time that earlier attempts took. It is looked at once in any case."""
    info = activity.info()
    return (info.started_time - info.scheduled_time).total_seconds() if info.attempt > 1 else 0.0


def _skip(why: str) -> Decided:
    return Decided(CheckOutcome.SKIPPED, why)


def _ended(program: str, code: int | None) -> str:
    if code is None:
        raise NotYet(f'The program "{program}" still runs')
    if code != 0:
        raise Decided(CheckOutcome.FAIL, f'The program "{program}" ended with {code}')
    return f'The program "{program}" ended with 0'


def _state(seen: VSphereVm, check: PowerCheck | HeartbeatCheck | UptimeCheck) -> str:
    if seen.power is not Power.ON:
        raise NotYet(f"vSphere says that it is {seen.power}")
    if isinstance(check, PowerCheck):
        return "vSphere says that it is on"
    if not seen.tools_running or seen.guest_heartbeat != "green":
        tools = "run" if seen.tools_running else "do not run"
        raise NotYet(f"VMware Tools {tools} in the guest, and its heartbeat is {seen.guest_heartbeat}")
    if isinstance(check, HeartbeatCheck):
        return "VMware Tools run in the guest, and its heartbeat is green"
    up = seen.uptime_s or 0
    if up < check.at_least.total_seconds():
        raise NotYet(f"The guest has been up for {up} s")
    return f"The guest has been up for {up} s, and its heartbeat is green"


def _address(seen: VSphereVm, nics: tuple[Nic, ...]) -> str:
    own = {str(nic.address) for nic in nics if nic.address is not None}
    if seen.guest_address is None:
        raise NotYet("The guest reports no address")
    if seen.guest_address not in own:
        known = ", ".join(sorted(own)) or "none"
        raise NotYet(f"The guest reports {seen.guest_address[:45]}, not its own address ({known})")
    return f"The guest reports {seen.guest_address}"
