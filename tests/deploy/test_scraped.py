"""A real Prometheus reads real workers as `deploy/monitoring/scrape.yaml` says, as it would in Kubernetes."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.child import dies_with_parent
from lab.injected_faults import FaultKind, FaultRule
from lab.lab import Lab
from lab.ports import free_port
from tests.deploy.commands import output_of, tool
from tests.deploy.monitoring_files import FOLDER, alerts, dashboard, panels
from tests.deploy.watched import Watched
from tests.waiting import PATIENCE, NotYet, json_page, until

KUBERNETES = FOLDER.parent / "worker" / "kubernetes"
POD = {
    "__meta_kubernetes_pod_label_app_kubernetes_io_component": "provider-worker",
    "__meta_kubernetes_pod_container_port_name": "metrics",
    "__meta_kubernetes_pod_name": "provider-worker-1",
    "namespace": "partial-failover",
}
"""What discovery in Kubernetes knows of a pod; `namespace` is added by the Prometheus operator."""


def scrape_jobs(provider: str, site: str) -> list[dict[str, Any]]:
    """The file's own, but for how targets are found: Debian's Prometheus knows no discovery in Kubernetes."""
    provider_job, site_job = yaml.safe_load((FOLDER / "scrape.yaml").read_text())["scrape_configs"]
    assert provider_job.pop("kubernetes_sd_configs")
    unwanted = POD | {"__meta_kubernetes_pod_container_port_name": "health"}
    provider_job["static_configs"] = [
        {"targets": [provider], "labels": POD},
        {"targets": ["127.0.0.1:1"], "labels": unwanted},
    ]
    site_job["static_configs"] = [{"targets": [site], "labels": {"namespace": "monitoring"}}]
    return [provider_job, site_job]


class Prometheus:
    """A server of its own."""

    def __init__(self, folder: Path, jobs: list[dict[str, Any]]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        rules = [str(FOLDER / "alerts.yaml")]
        file = folder / "prometheus.yaml"
        file.write_text(yaml.safe_dump({"global": often, "rule_files": rules, "scrape_configs": jobs}))
        output_of(tool("promtool"), "check", "config", file)
        options = [f"--config.file={file}", f"--storage.tsdb.path={folder}/data"]
        with (folder / "prometheus.log").open("ab") as log:
            self.process = subprocess.Popen(
                [tool("prometheus"), *options, f"--web.listen-address={self.address}"],
                stdout=log,
                stderr=log,
                preexec_fn=dies_with_parent(),
            )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    async def ask(self, path: str, **query: str) -> Any:
        """Any: as its API answers."""
        return (await json_page(f"http://{self.address}/api/v1/{path}", **query))["data"]

    async def series(self, expression: str) -> list[dict[str, str]]:
        return [found["metric"] for found in (await self.ask("query", query=expression))["result"]]


@pytest.fixture(scope="module")
async def prometheus(
    lab: Lab, watched: Watched, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """It reads the provider's worker and a tenant's."""
    folder = tmp_path_factory.mktemp("prometheus")
    tool("prometheus")
    site = Watched(lab, folder, "acme")
    await site.start()
    jobs = scrape_jobs(f"127.0.0.1:{watched.metrics}", f"127.0.0.1:{site.metrics}")
    prometheus = Prometheus(folder, jobs)
    try:
        await until(lambda: has_read(prometheus))
        yield prometheus
    finally:
        prometheus.stop()
        await asyncio.to_thread(site.process.stop)


async def has_read(prometheus: Prometheus) -> bool:
    return len(await prometheus.series("failover_exclusions")) > 0


async def test_the_tenant_keeps_its_label(prometheus: Prometheus) -> None:
    await until(lambda: reads_the_provider(prometheus))
    found = await prometheus.series('{__name__=~"failover_.*|temporal_.*"}')
    assert {s["namespace"] for s in found if "namespace" in s} <= {"acme", "globex", "initech", *OTHERS}
    assert not [s for s in found if "exported_namespace" in s]
    assert {s["pod"] for s in await prometheus.series('failover_pollers{namespace="globex"}')} == {POD[NAME]}
    assert {s["instance"] for s in await prometheus.series("up")} & {"127.0.0.1:1"} == set()


NAME = "__meta_kubernetes_pod_name"
OTHERS = {"partial-failover", "monitoring"}
"""Metrics without a namespace of their own, such as those of the connection, keep the pod's."""


async def reads_the_provider(prometheus: Prometheus) -> bool:
    return len(await prometheus.series('failover_pollers{namespace="globex"}')) > 0


def asked_for() -> set[str]:
    """Names of metrics in alerts and dashboard."""
    variables = [v.get("query", "") for v in dashboard()["templating"]["list"]]
    texts = [*alerts().values(), *(expression for _, expression in panels()), *variables]
    return set(re.findall(r"\b(?:failover|temporal)_[a-z_]+", " ".join(texts)))


async def test_every_metric_that_is_asked_for_is_there(lab: Lab, prometheus: Prometheus) -> None:
    await small_things_happen(lab)
    client = await lab.client("acme")
    site = lab.centre.sites["acme"]
    site.hypervisor.power_off(site.vm("mail-01"))
    handle = await client.start_workflow(
        "PartialFailover", {"vm": "mail-01"}, id="scraped", task_queue="provider"
    )
    await until_there(prometheus, asked_for() - {"failover_ended_total"})
    await handle.execute_update("undo", {})
    await asyncio.wait_for(handle.result(), PATIENCE)
    site.hypervisor.power_on(site.vm("mail-01"))
    await until_there(prometheus, asked_for())


async def until_there(prometheus: Prometheus, names: set[str]) -> None:
    async def are_there() -> bool:
        lacking = names - set(await prometheus.ask("label/__name__/values"))
        if lacking:
            raise NotYet(f"nothing makes {sorted(lacking)}")
        return True

    await until(are_there)


async def small_things_happen(lab: Lab) -> None:
    """A test, a step that is tried again, a workflow that cannot go on."""
    client = await lab.client("initech")
    lab.centre.faults.add(FaultRule("provider-vcenter", "RetrievePropertiesEx", FaultKind.REFUSE, times=2))
    await client.execute_workflow("ListReplicas", {}, id="scraped-list", task_queue="provider")
    request = {"vms": ["tps-01"], "checks": ["power"]}
    await client.execute_workflow("FailoverTest", request, id="scraped-test", task_queue="provider")
    odd = await client.start_workflow("NoSuchThing", {}, id="scraped-odd", task_queue="provider")
    await asyncio.sleep(1)
    await odd.terminate()


async def test_every_rule_can_be_evaluated(prometheus: Prometheus) -> None:
    async def evaluated() -> bool:
        groups = (await prometheus.ask("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return {rule["name"] for rule in rules if rule["health"] == "ok"} == set(alerts())

    await until(evaluated)


def test_the_pods_are_those_of_the_manifests() -> None:
    """What the file looks for in Kubernetes is what the deployment makes."""
    provider_job = yaml.safe_load((FOLDER / "scrape.yaml").read_text())["scrape_configs"][0]
    deployment = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    component, port, _ = (rule.get("regex") for rule in provider_job["relabel_configs"])
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == component
    assert port in {p["name"] for p in container["ports"]}
    namespace = yaml.safe_load((KUBERNETES / "namespace.yaml").read_text())["metadata"]["name"]
    assert provider_job["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": [namespace]}}]
