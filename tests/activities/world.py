"""A data centre without packets, and the steps of a worker over it, each called as a worker would.

The activities are those of worker.py's own lists, over its own connectors, settings and endpoints. The fence
says yes to everything.
"""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any  # Any: each step has its own input and result

import pytest
from pydantic import BaseModel
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

import worker
from activities.provider.leases import leases_of
from activities.shared.fence import Fence
from activities.shared.proof import ProofKey
from lab.data_centre import DataCentre
from lab.fabric.provision import worker_key
from partial_failover.connectors.cloud_director import CloudDirector, OrganizationVdc
from partial_failover.connectors.veeam import Veeam
from partial_failover.contracts.check import PowerCheck
from partial_failover.contracts.failover_test import TestRecord, TestResult
from partial_failover.contracts.plan import CloudGateway, Extension
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.replica import RestorePoint
from partial_failover.contracts.replication import HoldTarget
from partial_failover.contracts.request import PartialFailoverRequest
from partial_failover.contracts.run import WorkflowRun
from partial_failover.contracts.step_data import NormalProof, StepInput
from partial_failover.process import process
from partial_failover.settings import WorkerSettings
from partial_failover.temporal.interceptors import attempt_ends

RUN = WorkflowRun(workflow_id="any", run_id="any")
Values = dict[str, object]
Activity = Callable[..., Any]


class YesFence(Fence):
    """Whoever asks is current and holds every lock."""

    def confirm(self, token: bytes, task: str | None, step: StepInput | None) -> None:
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


class Process(process.Process):
    """Builds everything as the worker does, and keeps the lists of activities instead of serving them."""

    def __init__(self, base: Client) -> None:
        super().__init__(base, threads=2, tenants=2)
        self.lists: dict[tuple[str, str], process.Activities] = {}

    def add(
        self,
        client: Client,
        queue: str,
        activities: process.Activities,
        workflows: object = (),
        waiting: int | None = None,
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

    @property
    def proof_key(self) -> ProofKey:
        """The provider's worker's."""
        return ProofKey(self.centre.proof_key, worker_key(self.centre.proof_key))

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
        attempt_ends.set(monotonic() + 60)  # as the interceptor does
        if inspect.iscoroutinefunction(step):
            return await environment.run(step, data)
        return await asyncio.to_thread(environment.run, step, data)

    def vdc(self, tenant: str) -> OrganizationVdc:
        return self.cloud.organization_vdc(tenant, f"{tenant}-vdc")

    async def values(self, tenant: str, vm: str) -> Values:
        """A tenant's ids, names and addresses, by the names of the fields in the steps' inputs."""
        target = await self.backups[tenant].find_target(vm)
        return await asyncio.to_thread(self._values, tenant, vm, target)

    def _values(self, tenant: str, vm: str, target: HoldTarget) -> Values:
        vdc = self.vdc(tenant)
        replica = next(v for v in vdc.vms() if v.name == f"{vm}_replica")
        newest, now = self.centre.replica(vm).snapshots[-1], datetime.now(UTC)
        point = RestorePoint(id=newest.moref, number=newest.number, name=newest.name, created=newest.created)
        proof = NormalProof(replica_id=replica.id, run=RUN, restore_point=point, read_at=now)
        return {
            "replica_id": replica.id,
            "run": RUN,
            "vm": vm,
            "request": PartialFailoverRequest(vm=vm),
            "extension": Extension.APPLIANCE,
            "target": target,
            "networks": vdc.networks(),
            "leases": leases_of(replica),
            "nics": replica.nics,
            "point": point,
            "not_before": now,
            "gateway": CloudGateway(host="203.0.113.1", port=6182),
            "peer_fingerprint": ":".join(["AB"] * 32),
            "known": {},
            "check": PowerCheck(timeout=timedelta(seconds=1)),
            "record": TestRecord(at=now, result=TestResult.PASSED),
            "proof": self.proof_key.signed(proof),
        }


def name_of(step: Activity) -> str:
    """The activity's type as Temporal knows it."""
    return str(activity._Definition.must_from_callable(step).name)


async def built(settings: Sequence[WorkerSettings], fence: type[Fence] = YesFence) -> Process:
    """A worker's process, with everything of its own."""
    made = Process(await Client.connect("127.0.0.1:1", lazy=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "Fence", fence)
        for one in settings:
            worker.compose(made, one)
    return made
