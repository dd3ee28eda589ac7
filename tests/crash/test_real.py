"""A sample of the crash matrix on the real data plane."""

from pathlib import Path

import pytest

from lab.crash_matrix.bench import Bench
from lab.crash_matrix.cases import Case, Intervention, Phase, Point
from lab.crash_matrix.rules import TENANT
from lab.fabric.fabric import Fabric
from lab.site import APPLIANCE
from partial_failover.contracts.step import StepName

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(bool(Fabric.missing()), reason=f"lacking: {', '.join(Fabric.missing())}"),
]


async def test_workers_killed_at_the_appliances(tmp_path: Path) -> None:
    """The provider's worker while its appliance boots, then the tenant's while its one is switched off."""
    appliance, tenants = f"{TENANT}-{APPLIANCE}", f"{TENANT}-vcenter"
    at_provider = Point(
        Phase.FAILOVER, StepName.POWER_ON_PROVIDER_APPLIANCE, "cloud-director", "POST powerOn", appliance
    )
    at_tenant = Point(Phase.UNDO, StepName.POWER_OFF_TENANT_APPLIANCE, tenants, "PowerOffVM_Task", "")
    async with Bench(tmp_path, simulated=False) as bench:
        cases = [Case(at_provider, Intervention.KILLED_AFTER), Case(at_tenant, Intervention.KILLED_BEFORE)]
        outcomes = await bench.run(cases)
        assert [o.broken for o in outcomes] == [(), ()]
        assert all(o.reached for o in outcomes)
