"""Every answer of the lab's backup server is read by the models of veeam-br, generated from Veeam's own
description of each revision of its API. They raise where a required field lacks, or an
enum has another value.
"""

import importlib
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Any  # Any: JSON, and models that are found by their names

import httpx
import pytest

from lab.hypervisor import Hypervisor, utc_now
from lab.injected_faults import InjectedFaults
from lab.tls import Authority
from lab.veeam import VeeamEndpoint
from tests.waiting import blocking_until

VERSIONS = ("1.3-rev0", "1.3-rev1", "1.3-rev2")
EXCLUSIONS = "/api/v1/globalExclusions/vm"


class Server:
    """The lab's backup server, one original VM that it replicates, and a client that is logged in."""

    def __init__(self, authority: Authority, version: str) -> None:
        self.version = version
        self.vcenter, cloud = Hypervisor("vc.acme.example"), Hypervisor("cloud")
        tls = authority.server_context("veeam")
        self.endpoint = VeeamEndpoint(self.vcenter, cloud, InjectedFaults(), tls, version=version)
        self.endpoint.add_user("failover", "right")
        self.endpoint.start()
        self.vm, replica = self.vcenter.add_vm("erp", []), cloud.add_vm("erp_replica", [])
        cloud.replicate(replica, "Restore Point 1", {})
        cloud.snapshot(replica, "somebody's", utc_now())
        self.job = self.endpoint.add_job("Replicate", [(self.vm, replica)])
        self.endpoint.add_job("CDP", [], kind="Unknown")
        trust = ssl.create_default_context(cafile=authority.ca_file)
        self.http = httpx.Client(base_url=self.endpoint.url, verify=trust, trust_env=False)
        self.http.headers["x-api-version"] = version
        grant = "password" if version == "1.3-rev0" else "Password"
        form = {"grant_type": grant, "username": "failover", "password": "right"}
        self.token = self.http.post("/api/oauth2/token", data=form).raise_for_status().json()
        self.http.headers["authorization"] = f"Bearer {self.token['access_token']}"

    def get(self, path: str) -> Any:
        return self.http.get(path).raise_for_status().json()

    def post(self, path: str, body: object) -> Any:
        return self.http.post(path, json=body).raise_for_status().json()

    def exclude(self) -> Any:
        vm = {"platform": "VSphere", "type": "VirtualMachine", "name": "erp"}
        vm |= {"hostName": self.vcenter.name, "objectId": self.vm.moref}
        return self.post(EXCLUSIONS, {"vmObject": vm})

    def run_job(self) -> Any:
        """Started, and ended."""
        session = self.post(f"/api/v1/jobs/{self.job.id}/start", {})
        blocking_until(lambda: self.job.last is not None and self.job.last.ended is not None)
        return session

    def model(self, name: str) -> Any:
        """The class of that name, of this revision."""
        module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower().replace("v_m_", "vm_")
        models = f"veeam_br.v{self.version.replace('.', '_').replace('-', '_')}.models.{module}"
        return getattr(importlib.import_module(models), name)


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(Authority(tmp_path_factory.mktemp("tls")), request.param)
    yield made
    made.http.close()
    made.endpoint.close()


def one(path: str) -> Callable[[Server], Any]:
    return lambda server: server.get(path)


def each(path: str, **query: str) -> Callable[[Server], Any]:
    """The items of a list, after a run of the job."""

    def items(server: Server) -> Any:
        server.run_job()
        return server.http.get(path, params=query).raise_for_status().json()["data"]

    return items


def tasks(server: Server) -> Any:
    return server.get(f"/api/v1/sessions/{server.run_job()['id']}/taskSessions")["data"]


def points(server: Server) -> Any:
    replica = server.get("/api/v1/replicas")["data"][0]
    return server.get(f"/api/v1/replicas/{replica['id']}/replicaPoints")["data"]


def noted(server: Server) -> Any:
    path = f"{EXCLUSIONS}/{server.exclude()['id']}"
    server.http.put(f"{path}/note", json={"note": "ours"}).raise_for_status()
    return server.get(path)


ANSWERS: dict[str, tuple[str, Callable[[Server], Any]]] = {
    "token": ("TokenModel", lambda server: server.token),
    "server": ("ServerInfoModel", one("/api/v1/serverInfo")),
    "jobs": ("JobsResult", one("/api/v1/jobs")),
    "replication job": ("VSphereReplicaJobModel", each("/api/v1/jobs", typeFilter="VSphereReplica")),
    "one job": ("VSphereReplicaJobModel", lambda server: server.get(f"/api/v1/jobs/{server.job.id}")),
    "states": ("JobStateModel", each("/api/v1/jobs/states")),
    "start": ("SessionModel", lambda server: server.run_job()),
    "sessions": ("SessionModel", each("/api/v1/sessions")),
    "tasks": ("ReplicaTaskSessionModel", tasks),
    "replicas": ("RegularReplicaModel", each("/api/v1/replicas")),
    "points": ("ReplicaPointModel", each("/api/v1/replicaPoints", nameFilter="erp")),
    "points of one": ("ReplicaPointModel", points),
    "exclusion": ("GlobalVMExclusionModel", noted),
    "a refusal": ("Error", lambda server: server.http.get("/api/v1/jobs?limit=many").json()),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_read_by_the_models_of_its_revision(server: Server, answer: str) -> None:
    name, ask = ANSWERS[answer]
    got = ask(server)
    items = got if isinstance(got, list) else [got]
    assert items
    for item in items:
        read = server.model(name).from_dict(item)
        assert item.keys() <= read.to_dict().keys() and not read.additional_properties


def test_what_is_not_a_page_is_answered_400(server: Server) -> None:
    for query in ("limit=many", "limit=-1", "skip=1.5", "limit=9999999999999"):
        assert server.http.get(f"/api/v1/jobs?{query}").status_code == 400


def test_a_note_of_5000_letters_is_refused(server: Server) -> None:
    path = f"{EXCLUSIONS}/{server.exclude()['id']}"
    assert server.http.put(f"{path}/note", json={"note": "a" * 5000}).status_code == 400
    assert "note" not in server.get(path)


def test_a_foreign_snapshot_is_no_replica_point(server: Server) -> None:
    assert len(server.get("/api/v1/replicaPoints")["data"]) == 1
