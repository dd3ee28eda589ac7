"""A step that is called or carried out otherwise than it is declared is an error of the type checker."""

import re
from pathlib import Path

import pytest
from mypy import api

from activities.provider.steps import ProviderSteps
from activities.shared.steps import carries_out
from activities.tenant_site.hold_replication import HoldReplication
from partial_failover.contracts import steps
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.step import Step, StepName
from partial_failover.contracts.step_data import ReplicaInput, StepInput, StepResult
from tests.examples import ROOT

SNIPPETS = """
from activities.provider.steps import ProviderSteps, provider_step
from activities.tenant_site.steps import TenantSiteSteps, tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.step_data import (
    ApplianceReady, HoldInput, MarkInput, PoweredOff, ReleaseInput, ReplicaInput, StepResult, VpnClientInput,
)
from workflows.calls import call


async def called(run: ReplicaInput, mark: MarkInput, release: ReleaseInput, hold: HoldInput) -> None:
    result: StepResult = await call(steps.RESUME_REPLICA, run, "right")
    off: PoweredOff = await call(steps.POWER_OFF_REPLICA, run, "right")
    await call(steps.RESUME_REPLICA, mark, "wrong input")  # wrong
    await call(steps.HOLD_REPLICATION, release, "input of its opposite")  # wrong
    await call(steps.REVERT_SNAPSHOT, hold, "input of the other role")  # wrong
    ready: ApplianceReady = await call(steps.RESUME_REPLICA, run, "wrong result")  # wrong
    await call("ResumeReplica", run, "a name is no step")  # wrong
    await call(steps.RESUME_REPLICA, run, "tenant-site", "a queue is not to choose")  # wrong


class Right(ProviderSteps):
    @provider_step(steps.RESUME_REPLICA)
    def resume(self, data: ReplicaInput) -> StepResult:
        return StepResult(changed=True, note="")

    @provider_step(steps.POWER_OFF_REPLICA)
    async def power_off(self, data: ReplicaInput) -> PoweredOff:
        raise NotImplementedError


class WrongInput(ProviderSteps):
    @provider_step(steps.RESUME_REPLICA)  # wrong
    def resume(self, data: MarkInput) -> StepResult:
        raise NotImplementedError


class WrongResult(ProviderSteps):
    @provider_step(steps.RESUME_REPLICA)  # wrong
    def resume(self, data: ReplicaInput) -> PoweredOff:
        raise NotImplementedError


class WrongResultOfAsync(TenantSiteSteps):
    @tenant_site_step(steps.HOLD_REPLICATION)  # wrong
    async def hold(self, data: HoldInput) -> bool:
        raise NotImplementedError


class WrongRole(ProviderSteps):
    @provider_step(steps.START_VPN_CLIENT)  # wrong
    def start(self, data: VpnClientInput) -> StepResult:
        raise NotImplementedError


class OtherWrongRole(TenantSiteSteps):
    @tenant_site_step(steps.RESUME_REPLICA)  # wrong
    def resume(self, data: ReplicaInput) -> StepResult:
        raise NotImplementedError
"""


def test_the_type_checker_finds_each_wrong_snippet_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "snippets.py"
    file.write_text(SNIPPETS)
    out, errors, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), str(file)])
    assert not errors
    found = {int(number) for number in re.findall(rf"{re.escape(file.name)}:(\d+): error:", out)}
    wrong = {n for n, line in enumerate(SNIPPETS.splitlines(), 1) if line.endswith("# wrong")}
    assert found == wrong, out


def test_every_name_is_declared_and_no_other() -> None:
    declared = [value for value in vars(steps).values() if isinstance(value, Step)]
    assert {step.name for step in declared} == set(StepName)


def test_a_base_of_the_input_is_refused_at_import() -> None:
    def power_on(group: ProviderSteps, data: StepInput) -> StepResult:
        raise NotImplementedError

    with pytest.raises(TypeError, match="PowerOnReplica as declared"):
        carries_out(steps.POWER_ON_REPLICA)(power_on)


def test_no_input_is_the_base_of_another() -> None:
    inputs = {value.input for value in vars(steps).values() if isinstance(value, Step)}
    assert ReplicaInput in inputs
    assert not [(a, b) for a in inputs for b in inputs if a is not b and issubclass(a, b)]


def test_a_worker_refuses_a_step_of_another_queue() -> None:
    group = HoldReplication.__new__(HoldReplication)
    with pytest.raises(TypeError, match="hold_replication is a step of tenant-site, not provider"):
        group.activities(PROVIDER)
