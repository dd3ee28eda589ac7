"""A test's replica is apart from production by what its networks are, not by what they are called."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from time import monotonic

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

import worker
from activities.provider import nic_memory
from activities.provider.isolate_replica import IsolateReplica
from activities.provider.tenant import ProviderTenant
from lab.cloud_director.model import MetadataValue, OrgNetwork
from lab.cloud_director.model import Vm as CloudVm
from lab.data_centre import DataCentre
from lab.worker_config import write_configs
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director.metadata_store import MARKER, NICS
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.network import AllocationMode, Nic
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.replica import Marker, Power, ReplicaState
from partial_failover.contracts.step_data import IsolateInput, ReplicaInput, StepResult
from partial_failover.settings import ProviderWorkerSettings, load
from partial_failover.temporal.interceptors import attempt_ends
from tests.activities.world import RUN, Process, YesFence

VM = "crm-db-01"
"""Of globex, which has a network for tests."""


def environment() -> ActivityEnvironment:
    """With time enough for an attempt."""
    attempt_ends.set(monotonic() + 60)  # as the interceptor does
    made, minute = ActivityEnvironment(), timedelta(minutes=1)
    made.info = replace(made.info, start_to_close_timeout=minute, schedule_to_close_timeout=minute)
    return made


@dataclass
class UnderTest:
    """A replica that a test has, reverted and off, and the steps that isolate it."""

    centre: DataCentre
    activities: IsolateReplica

    @property
    def cloud(self) -> CloudVm:
        """The replica."""
        return self.centre.cloud.vm(f"{VM}_replica")

    @property
    def network(self) -> OrgNetwork:
        """The one for tests."""
        return next(n for n in self.centre.cloud.world.networks if n.name == "globex-tests")

    async def isolate(self) -> StepResult:
        """`IsolateReplica`."""
        found = await asyncio.to_thread(self.activities.tenant.replica, self.cloud.id)
        data = IsolateInput(replica_id=self.cloud.id, run=RUN, nics=found.nics)
        return await asyncio.to_thread(environment().run, self.activities.isolate_replica, data)

    async def power_on(self) -> StepResult:
        """`PowerOnIsolated`."""
        data = ReplicaInput(replica_id=self.cloud.id, run=RUN)
        return await asyncio.to_thread(environment().run, self.activities.power_on_isolated, data)


@pytest_asyncio.fixture(loop_scope="session")
async def under_test(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UnderTest]:
    """In a data centre without packets."""
    centre = DataCentre(tmp_path_factory.mktemp("centre"), simulated=True)
    centre.start()
    settings = load(write_configs(centre)["provider"])
    assert isinstance(settings, ProviderWorkerSettings)
    process = Process(await Client.connect("127.0.0.1:1", lazy=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "Fence", YesFence)
        worker.provider(process, settings)
    steps = process.lists["globex", PROVIDER]
    found = next(o for s in steps if isinstance(o := getattr(s, "__self__", None), IsolateReplica))
    assert isinstance(found.tenant, ProviderTenant)
    made = UnderTest(centre, found)
    mark = Marker(
        state=ReplicaState.PROCESSING,
        workflow_id=RUN.workflow_id,
        run_id=RUN.run_id,
        since=datetime.now(UTC),
        test=True,
    )
    made.cloud.metadata["SYSTEM", MARKER.key] = MetadataValue(mark.model_dump_json(), "PRIVATE")
    yield made
    await asyncio.to_thread(centre.close)


async def test_on_the_network_for_tests_it_is_powered_on(under_test: UnderTest) -> None:
    assert "globex-tests alone" in (await under_test.isolate()).note
    await under_test.power_on()
    assert [nic.network for nic in under_test.cloud.machine.nics] == [under_test.network.port_group]
    assert under_test.centre.replica(VM).power == "poweredOn"


async def test_so_many_power_ons_at_a_time_and_no_more(under_test: UnderTest) -> None:
    tenant = under_test.activities.tenant
    found = await asyncio.to_thread(tenant.replica, under_test.cloud.id)
    operations = tenant.vcenters[found.vcenter or ""].operations
    taken = [operations.ask(other) for other in map(str, range(operations.places))]
    await under_test.isolate()
    waiting = asyncio.create_task(under_test.power_on())
    await asyncio.sleep(1.5)
    assert under_test.centre.replica(VM).power == "poweredOff"
    for turn in taken:
        operations.end(turn)
    await waiting
    assert under_test.centre.replica(VM).power == "poweredOn"


@pytest.mark.parametrize("kind", ["NAT_ROUTED", "DIRECT", "OPAQUE"])
async def test_a_network_for_tests_that_is_not_isolated_is_refused(under_test: UnderTest, kind: str) -> None:
    under_test.network.type = kind
    with pytest.raises(WrongState, match="globex-tests, is not an isolated"):
        await under_test.isolate()
    assert [nic.network for nic in under_test.cloud.nics] == ["globex-lan-a"]


async def test_a_network_of_the_vapp_that_only_has_its_name_is_refused(under_test: UnderTest) -> None:
    """Its parent is production's network."""
    lan = next(n for n in under_test.centre.cloud.world.networks if n.name == "globex-lan-a")
    under_test.cloud.vapp.networks.append(replace(lan, name="globex-tests"))
    with pytest.raises(WrongState, match="another network of the name globex-tests"):
        await under_test.isolate()
    assert [nic.network for nic in under_test.cloud.nics] == ["globex-lan-a"]


async def test_a_network_that_was_exchanged_after_the_isolation_is_found_at_power_on(
    under_test: UnderTest,
) -> None:
    await under_test.isolate()
    lan = next(n for n in under_test.centre.cloud.world.networks if n.name == "globex-lan-a")
    vapp = under_test.cloud.vapp
    vapp.networks = [replace(lan, name=n.name) if n.name == "globex-tests" else n for n in vapp.networks]
    with pytest.raises(WrongState, match="a network that production can see"):
        await under_test.power_on()
    assert under_test.centre.replica(VM).power == "poweredOff"


async def test_the_wiring_of_ten_nics_is_remembered_within_the_limit_of_a_value(
    under_test: UnderTest,
) -> None:
    nics = tuple(
        Nic(
            index=n,
            network=f"globex-production-network-{n}",
            mac=f"00:50:56:01:02:{n:02x}",
            mode=AllocationMode.MANUAL,
            address=IPv4Address(f"192.168.1{n}.150"),
            primary=n == 0,
        )
        for n in range(10)
    )
    tenant = under_test.activities.tenant
    found = await asyncio.to_thread(tenant.replica, under_test.cloud.id)

    def kept() -> tuple[Nic, ...] | None:
        nic_memory.remember(tenant, found, nics, Attempt(monotonic() + 60))
        return nic_memory.remembered(tenant, found)

    assert await asyncio.to_thread(kept) == nics
    assert len(under_test.cloud.metadata["SYSTEM", NICS.key].value) <= 1000
    assert found.power is Power.OFF
