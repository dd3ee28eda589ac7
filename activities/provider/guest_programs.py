"""Programs that a failover test may run in a guest: those that the provider configured, by name."""

from activities.provider.tenant import ProviderTenant
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.check import ProgramCheck
from partial_failover.contracts.errors import NotFound
from partial_failover.contracts.replica import CloudVm
from partial_failover.settings import GuestProgramSettings


def run_program(tenant: ProviderTenant, vm: CloudVm, check: ProgramCheck, attempt: Attempt) -> int | None:
    """Start it, unless this check or an earlier attempt of it did; its exit code, None while it runs."""
    program = _configured(tenant, check.program)
    vcenter, hardware = tenant.hardware(vm)
    return vcenter.run_in_guest(
        hardware.moref,
        program.username,
        program.password.read(),
        program.path,
        program.arguments,
        attempt,
    )


def _configured(tenant: ProviderTenant, name: str) -> GuestProgramSettings:
    program = tenant.settings.guest_programs.get(name)
    if program is None:
        known = ", ".join(sorted(tenant.settings.guest_programs)) or "none"
        raise NotFound(f'There is no program "{name}" for tests', do=f"Choose one of: {known}")
    return program
