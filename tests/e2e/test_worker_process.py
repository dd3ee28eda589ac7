"""worker.py as a process: what it refuses to start with, how it ends, and what happens without it."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from lab.injected_faults import FaultKind, FaultRule
from lab.lab import Lab
from lab.tenants import TENANTS
from lab.worker_process import WorkerProcess
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.report import ReadinessReport, ReplicaList
from partial_failover.monitoring.step_metrics import StepMonitor
from partial_failover.process.lifecycle import ENDS_WITHIN
from partial_failover.process.worker_group import WorkerGroup
from tests.e2e.driver import failure_of, in_state, start, undo
from tests.examples import ROOT
from tests.waiting import PATIENCE, until
from workflows.lock import ReplicaLock

PROVIDERS = {"cloud-director", "provider-vcenter"}
BAD = """
role: tenant-site
threads: 1
surprise: 1
appliance_key: /nowhere/key
tenants:
  - namespace: acme
    backup_server:
      url: http://backup.acme.example
      username: failover
      password: hunter2
    vcenter:
      host: vcenter.acme.example
      ca_file: ca.pem
      username: failover
      password: {env: NO_SUCH_VARIABLE}
"""
WRONG = (
    "threads",
    "surprise",
    "appliance_key",
    "tenants.0.backup_server.url",
    "tenants.0.backup_server.password",
    "tenants.0.vcenter.ca_file",
    "tenants.0.vcenter.password",
)


def run_worker(config: Path, temporal: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "worker.py", str(config)],
        cwd=ROOT,
        env={**os.environ, "TEMPORAL_ADDRESS": temporal},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


async def test_every_problem_of_the_settings_is_named_with_its_path(tmp_path: Path) -> None:
    config = tmp_path / "worker.yaml"
    config.write_text(BAD)
    ended = await asyncio.to_thread(run_worker, config, "127.0.0.1:1")
    assert ended.returncode == 2
    for path in WRONG:
        assert f"{path}:" in ended.stderr
    assert "hunter2" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("content", ["", "role: gardener", "[", "tenants: []"])
async def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    config = tmp_path / "worker.yaml"
    config.write_text(content)
    ended = await asyncio.to_thread(run_worker, config, "127.0.0.1:1")
    assert ended.returncode == 2 and str(config) in ended.stderr and "Traceback" not in ended.stderr


def serving(lab: Lab, namespace: str, folder: Path) -> Path:
    """Initech's tenant-site configuration, for another namespace."""
    text = lab.workers["initech"].config.read_text()
    config = folder / "worker.yaml"
    config.write_text(text.replace("namespace: initech", f"namespace: {namespace}"))
    return config


async def test_a_namespace_that_is_not_there_is_named(lab: Lab, tmp_path: Path) -> None:
    config = serving(lab, "nowhere", tmp_path)
    ended = await asyncio.to_thread(run_worker, config, lab.temporal.address)
    assert ended.returncode == 2 and "Namespace nowhere is not provisioned" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_missing_search_attributes_are_named(lab: Lab, acme: Client, tmp_path: Path) -> None:
    """A workflow in such a namespace would hang with nothing in its history."""
    service = acme.workflow_service
    keep = Duration()
    keep.FromTimedelta(timedelta(days=1))
    await service.register_namespace(
        RegisterNamespaceRequest(namespace="bare", workflow_execution_retention_period=keep)
    )

    async def known() -> bool:
        try:
            await service.describe_namespace(DescribeNamespaceRequest(namespace="bare"))
        except RPCError:
            return False
        return True

    await until(known)
    config = serving(lab, "bare", tmp_path)
    ended = await asyncio.to_thread(run_worker, config, lab.temporal.address)
    assert ended.returncode == 2
    assert "Namespace bare is not provisioned" in ended.stderr
    assert "OriginalVm" in ended.stderr and "ReplicaState" in ended.stderr


async def test_sigterm_logs_out_and_without_a_tenant_site_worker_all_is_refused(
    lab: Lab, initech: Client
) -> None:
    site, process = lab.centre.sites["initech"], lab.workers["initech"]
    await (await start(initech, {}, "CheckReadiness")).result()
    since, began = len(lab.centre.faults.calls), time.monotonic()
    code = await asyncio.to_thread(process.stop)
    try:
        assert code == 0 and time.monotonic() - began < 10
        ended = [c.call for c in lab.centre.faults.calls[since:] if c.endpoint == site.backup.name]
        look = "GET /api/v1/globalExclusions/vm"  # for the metrics; the signal may come in the middle of it
        assert [c for c in ended if c != look] == ["POST /api/oauth2/logout"] and ended[-1] != look, ended
        checking = await start(initech, {}, "CheckReadiness")
        failure = await failure_of(await start(initech, {"vm": "tps-01"}))
        report = ReadinessReport.model_validate(await checking.result())
    finally:
        process.spawn()
        await asyncio.to_thread(process.until_ready)
    assert failure.type == "NotReady"
    assert (
        "No tenant-site worker took the check" in failure.message and "Nothing was changed" in failure.message
    )
    assert "No tenant-site worker took the check" in report.replicas[0].problems[0].what


async def test_sigterm_logs_the_providers_worker_out_of_every_system(lab: Lab, acme: Client) -> None:
    process = lab.workers["provider"]
    await (await start(acme, {}, "ListReplicas")).result()
    since, began = len(lab.centre.faults.calls), time.monotonic()
    code = await asyncio.to_thread(process.stop)
    took = time.monotonic() - began
    process.spawn()
    await asyncio.to_thread(process.until_ready)
    calls = {(c.endpoint, c.call) for c in lab.centre.faults.calls[since:]}
    assert code == 0 and took < 10
    assert ("cloud-director", "DELETE session") in calls
    assert ("provider-vcenter", "Logout") in calls


@pytest.mark.slow
async def test_sigterm_ends_a_worker_in_time_whatever_is_held_up(
    lab: Lab, acme: Client, globex: Client, initech: Client
) -> None:
    """The answers to a power-on and to a log-out do not come. No other tenant's work is begun meanwhile."""
    process, faults = lab.workers["provider"], lab.centre.faults
    power_on = FaultRule("cloud-director", "POST powerOn", FaultKind.DELAY, seconds=5 * ENDS_WITHIN)
    log_out = FaultRule("cloud-director", "DELETE session", FaultKind.DELAY, seconds=5 * ENDS_WITHIN)
    faults.add(power_on)
    faults.add(log_out)
    failover = await start(initech, {"vm": "tps-01"})
    await until(lambda: happened(power_on))
    since, log, began = len(faults.calls), log_since_now(process), time.monotonic()
    ending = asyncio.create_task(asyncio.to_thread(process.stop, 4 * ENDS_WITHIN))
    try:
        await until(lambda: all_stop(log))
        others = [await start(client, {}, "ListReplicas") for client in (acme, globex)]
    finally:
        code = await ending
        took, calls = time.monotonic() - began, faults.calls[since:]
        process.spawn()
        await asyncio.to_thread(process.until_ready)
    assert code == 0 and took < ENDS_WITHIN
    assert {c.call for c in calls if c.endpoint in PROVIDERS} <= {"DELETE session", "Logout"}
    assert log_out.happened
    left = [line for line in log() if "left to the next worker" in line]
    assert len(left) == 1 and "PowerOnReplica of " in left[0] and failover.id in left[0]
    for other in others:
        assert ReplicaList.model_validate(await other.result()).replicas
    await in_state(failover, ReplicaState.FAILOVER)
    assert (await undo(failover)).state is ReplicaState.NORMAL


async def test_a_worker_that_fails_for_good_ends_its_process(lab: Lab, initech: Client) -> None:
    """Rather than to leave one tenant without a worker, and nobody told."""
    good, bad = (
        Worker(client, task_queue="nothing", workflows=[ReplicaLock])
        for client in (initech, await lab.client("nowhere"))
    )
    crew = WorkerGroup([good, bad], StepMonitor())
    assert await crew.work(asyncio.Event()) == 1
    await crew.stop()
    assert good.is_shutdown


def log_since_now(process: WorkerProcess) -> Callable[[], list[str]]:
    """What the worker logs from now on."""
    before = process.log_file.stat().st_size
    return lambda: process.log_file.read_bytes()[before:].decode().splitlines()


async def all_stop(log: Callable[[], list[str]]) -> bool:
    """Whether both workers of each tenant, of the steps and of the watch, have begun to shut down."""
    return sum("Beginning worker shutdown" in line for line in log()) == 2 * len(TENANTS)


async def happened(rule: FaultRule) -> bool:
    return rule.happened is not None
