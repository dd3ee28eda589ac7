"""Authority comes from the namespace: every step, called as acme with globex's ids, refuses.

The activities are those of worker.py's own lists, over its own connectors, settings and endpoints. The fence
says yes to everything here: a tenant can start a workflow of any ID in its own namespace, so the lock of a
foreign replica protects nothing.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast  # Any: each step has its own input and result

import pytest
import pytest_asyncio
from pydantic import BaseModel
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

import worker
from activities.provider.leases import leases_of
from activities.provider.tenant import ProviderTenant
from activities.shared.fence import Fence
from activities.tenant_site.site import Site
from lab.data_centre import DataCentre
from lab.injected_faults import FaultKind, FaultRule
from lab.worker_config import write_configs
from partial_failover.connectors import factories
from partial_failover.connectors.cloud_director import CloudDirector
from partial_failover.connectors.veeam import Veeam
from partial_failover.contracts.check import PowerCheck
from partial_failover.contracts.errors import FailoverError, NotFound
from partial_failover.contracts.failover_test import TestRecord, TestResult
from partial_failover.contracts.plan import CloudGateway, Extension, PlanResult, TenantSite
from partial_failover.contracts.replica import RestorePoint
from partial_failover.contracts.replication import HoldTarget
from partial_failover.contracts.report import ReplicaList
from partial_failover.contracts.request import PartialFailoverRequest
from partial_failover.contracts.run import WorkflowRun
from partial_failover.contracts.step import NormalProof, ReplicaStep, Step, WatchStatus
from partial_failover.settings import TenantSiteWorkerSettings, WorkerSettings, load
from partial_failover.temporal.queues import PROVIDER, TENANT_SITE, TENANT_SITE_WATCH

RUN = WorkflowRun(workflow_id="any", run_id="any")
Values = dict[str, object]
Activity = Callable[..., Any]


class YesFence(Fence):
    """Whoever asks is current and holds every lock."""

    def confirm(self, token: bytes, task: str | None, step: ReplicaStep | None) -> None:
        """It is current, and holds the replica."""

    def leave_task(self, token: bytes, task: str) -> None:
        """It is current."""

    def holder(self, replica_id: str) -> WorkflowRun | None:
        """It is held by whoever asks."""
        return RUN

    def confirm_lock(self, replica_id: str, run: WorkflowRun) -> None:
        """It is held."""

    def asked_by(self, run: WorkflowRun) -> str:
        """There is no server to ask."""
        return "a test"


class Process(worker.Process):
    """Builds everything as the worker does, and keeps the lists of activities instead of serving them."""

    def __init__(self, base: Client) -> None:
        super().__init__(base, threads=2)
        self.lists: dict[tuple[str, str], worker.Activities] = {}

    def _add(
        self,
        client: Client,
        queue: str,
        activities: worker.Activities,
        at_once: int,
        workflows: object = (),
    ) -> None:
        self.lists[client.namespace, queue] = activities


@dataclass
class World:
    """The activities of acme's namespace, and what is behind."""

    centre: DataCentre
    settings: Sequence[WorkerSettings]
    process: Process
    cloud: CloudDirector
    backups: dict[str, Veeam]

    async def call(self, name: str, values: Values, **info: Any) -> Any:
        """Run a step ("queue/name") as a worker would, on an input that is made of these values. `info`: of
        the attempt."""
        queue, _, step_name = name.rpartition("/")
        steps = self.process.lists["acme", queue or PROVIDER]
        step = next(s for s in steps if name_of(s) == step_name)
        model = next(iter(inspect.signature(step).parameters.values())).annotation
        assert issubclass(model, BaseModel)
        data = model(**{field: values[field] for field in model.model_fields if field in values})
        environment = ActivityEnvironment()
        minute = timedelta(minutes=1)
        environment.info = replace(
            environment.info, start_to_close_timeout=minute, schedule_to_close_timeout=minute, **info
        )
        if inspect.iscoroutinefunction(step):
            return await environment.run(step, data)
        return await asyncio.to_thread(environment.run, step, data)

    def vdc(self, tenant: str) -> str:
        """UUID of a tenant's org VDC."""
        return self.cloud.vdc(tenant, f"{tenant}-vdc")

    async def values(self, tenant: str, vm: str) -> Values:
        """A tenant's ids, names and addresses, by the names of the fields in the steps' inputs."""
        target = await self.backups[tenant].find_target(vm)
        return await asyncio.to_thread(self._values, tenant, vm, target)

    def _values(self, tenant: str, vm: str, target: HoldTarget) -> Values:
        cloud, vdc = self.cloud, self.vdc(tenant)
        replica = next(v for v in cloud.vms(vdc) if v.name == f"{vm}_replica")
        newest, now = self.centre.replica(vm).snapshots[-1], datetime.now(UTC)
        point = RestorePoint(id=newest.moref, number=newest.number, name=newest.name, created=newest.created)
        return {
            "replica_id": replica.id,
            "run": RUN,
            "vm": vm,
            "request": PartialFailoverRequest(vm=vm),
            "extension": Extension.APPLIANCE,
            "target": target,
            "networks": cloud.networks(vdc),
            "leases": leases_of(replica),
            "nics": replica.nics,
            "point": point,
            "not_before": now,
            "gateway": CloudGateway(host="203.0.113.1", port=6182),
            "peer_fingerprint": ":".join(["AB"] * 32),
            "known": WatchStatus(),
            "check": PowerCheck(timeout=timedelta(seconds=1)),
            "record": TestRecord(at=now, result=TestResult.PASSED),
            "proof": NormalProof(replica_id=replica.id, run=RUN, restore_point=point, read_at=now),
        }


def name_of(step: Activity) -> str:
    """The activity's type as Temporal knows it."""
    return str(activity._Definition.must_from_callable(step).name)


ALL = [
    *(f"{PROVIDER}/{name_of(s)}" for s in worker.provider_activities(cast(ProviderTenant, None))),
    *(f"{TENANT_SITE}/{name_of(s)}" for s in worker.tenant_site_activities(cast(Site, None))),
    *(f"{TENANT_SITE_WATCH}/{name_of(s)}" for s in worker.watch_activities(cast(Site, None))),
]
PLAN, INSPECT = f"{PROVIDER}/{Step.PLAN_FAILOVER}", f"{PROVIDER}/{Step.INSPECT_REPLICAS}"
CHECK = f"{TENANT_SITE}/{Step.CHECK_TENANT_SITE}"
ACTING = [name for name in ALL if name not in (PLAN, INSPECT, CHECK)]
"""All but those that answer with what they found, which must be nothing of globex's."""


async def built(settings: Sequence[WorkerSettings], fence: type[Fence] = YesFence) -> Process:
    """A worker's process, with everything of its own."""
    process = Process(await Client.connect("127.0.0.1:1", lazy=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "Fence", fence)
        for one in settings:
            if isinstance(one, TenantSiteWorkerSettings):
                process.tenant_site(one)
            else:
                process.provider(one)
    return process


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A data centre without packets, and the activities over it as worker.py builds them."""
    centre = DataCentre(tmp_path_factory.mktemp("centre"), simulated=True)
    centre.start()
    settings = [load(file) for file in write_configs(centre).values()]
    backups = {}
    for one in settings:
        if isinstance(one, TenantSiteWorkerSettings):
            backups[one.tenants[0].namespace] = factories.backup_server(one.tenants[0].backup_server)
        else:
            cloud = factories.cloud_director(one.cloud_director)
    yield World(centre, settings, await built(settings), cloud, backups)
    await asyncio.to_thread(centre.close)


def test_the_lists_hold_every_step() -> None:
    assert {name.rpartition("/")[2] for name in ALL} == set(Step)
    assert len(ALL) == len(set(ALL))


@pytest.mark.parametrize("name", ACTING)
async def test_with_a_foreign_replica(world: World, name: str) -> None:
    before = world.centre.state()
    with pytest.raises(NotFound):
        await world.call(name, await world.values("globex", "crm-db-01"))
    assert world.centre.state() == before


@pytest.mark.parametrize("name", ACTING)
async def test_with_its_own_replica_and_all_else_foreign(world: World, name: str) -> None:
    """Whatever comes of it, nothing changes at globex."""
    before = of_globex(world.centre)
    own = await world.values("acme", "erp-db-01")
    foreign = await world.values("globex", "crm-db-01")
    mixed = {**foreign, "replica_id": own["replica_id"]}
    try:
        await world.call(name, mixed)
    except FailoverError:
        pass
    assert of_globex(world.centre) == before


async def test_the_addresses_are_its_own_also_while_a_revert_has_them_unplugged(world: World) -> None:
    """They are plugged in again between a look at the NICs and one at what the revert remembered of them."""
    own, replica = await world.values("acme", "erp-db-01"), world.centre.cloud.vm("erp-db-01_replica")
    plugged = replica.nics
    replica.nics = [replace(nic, network=None, address=None) for nic in plugged]
    with pytest.raises(NotFound):
        await world.call(Step.CONNECT_NETWORKS, own)

    def ended() -> None:
        replica.nics = plugged

    world.centre.faults.add(FaultRule("cloud-director", "GET metadata", FaultKind.DELAY, act=ended))
    await world.call(Step.CONNECT_NETWORKS, own)
    await world.call(Step.DISCONNECT_NETWORKS, own)


async def test_a_revert_takes_no_foreign_restore_point(world: World) -> None:
    own = await world.values("acme", "mail-01")
    foreign = await world.values("globex", "crm-db-01")
    await world.call(Step.MARK_PROCESSING, own)
    own_state = world.centre.state()["stands on"]
    with pytest.raises(NotFound):
        await world.call(Step.REVERT_SNAPSHOT, {**own, "point": foreign["point"]})
    assert world.centre.state()["stands on"] == own_state
    await world.call(Step.REVERT_TO_LATEST, own)
    await world.call(Step.MARK_NORMAL, own)


async def test_a_revert_connects_no_foreign_network(world: World) -> None:
    own = await world.values("acme", "mail-01")
    foreign = await world.values("globex", "crm-db-01")
    await world.call(Step.MARK_PROCESSING, own)
    nics = world.centre.state()["nics"]["mail-01_replica"]
    with pytest.raises(FailoverError):
        await world.call(Step.REVERT_SNAPSHOT, {**own, "nics": foreign["nics"]})
    assert world.centre.state()["nics"]["mail-01_replica"] == nics
    await world.call(Step.REVERT_TO_LATEST, own)
    await world.call(Step.MARK_NORMAL, own)


@pytest.mark.parametrize("step", [Step.HOLD_REPLICATION, Step.RELEASE_REPLICATION])
async def test_a_known_name_does_not_open_the_way_to_another_vm(world: World, step: Step) -> None:
    """The name is the failed-over VM's, the object behind it another VM of the site."""
    before = world.centre.state()
    own = await world.values("acme", "erp-db-01")
    other = await world.backups["acme"].find_target("mail-01")
    target = other.model_copy(update={"name": "erp-db-01"})
    with pytest.raises(NotFound):
        await world.call(f"{TENANT_SITE}/{step}", {**own, "target": target})
    assert world.centre.state() == before


@pytest.mark.parametrize("vm", ["crm-db-01", "crm-db-01_replica", "globex-network-extension"])
async def test_looking_for_a_foreign_vm_finds_nothing(world: World, vm: str) -> None:
    values = {**await world.values("globex", "crm-db-01"), "vm": vm, "request": PartialFailoverRequest(vm=vm)}
    values["networks"] = ()
    plan = await world.call(PLAN, values)
    assert isinstance(plan, PlanResult) and plan.plan is None
    assert [p.what for p in plan.problems] == [f'There is no replica of "{vm}" in your organization VDC']
    site = await world.call(CHECK, values)
    assert isinstance(site, TenantSite) and site.target is None and site.problems


async def test_all_replicas_are_all_of_acmes(world: World) -> None:
    found = await world.call(INSPECT, {})
    assert isinstance(found, ReplicaList)
    assert [r.vm for r in found.replicas] == ["erp-db-01", "erp-web-01", "mail-01"]


async def test_its_own_vms_that_are_no_replicas_are_refused(world: World) -> None:
    """The appliance is acme's own, and yet no step for replicas may touch it."""
    appliance = world.centre.cloud.vm("acme-network-extension")
    before = world.centre.state()
    values = {**await world.values("acme", "erp-db-01"), "replica_id": appliance.id}
    for step in (Step.MARK_PROCESSING, Step.POWER_ON_REPLICA, Step.POWER_OFF_REPLICA, Step.CONNECT_NETWORKS):
        with pytest.raises(NotFound):
            await world.call(step, values)
    assert world.centre.state() == before


def of_globex(centre: DataCentre) -> Values:
    """All of the state that is globex's."""
    mine = ("globex", "crm-")
    state = centre.state()
    return {
        part: {name: value for name, value in names.items() if any(m in name for m in mine)}
        for part, names in state.items()
        if isinstance(names, dict)
    }
