"""One of it for each test."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from lab.hypervisor import Hypervisor
from lab.injected_faults import InjectedFaults
from lab.tls import Authority
from lab.veeam import Role, VeeamEndpoint
from tests.connectors.veeam.site import (
    NAMES,
    Site,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def make_site(authority: Authority) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(version: str = "1.3-rev1") -> Site:
        vcenter, cloud, faults = Hypervisor("vc.acme.example", ["lan"]), Hypervisor("cloud"), InjectedFaults()
        tls = authority.server_context("veeam")
        endpoint = VeeamEndpoint(vcenter, cloud, faults, tls, version=version)
        endpoint.add_user("failover", "right")
        endpoint.add_user("operator", "right", Role.BACKUP_OPERATOR)
        endpoint.start()
        originals = {n: vcenter.add_vm(n, ["lan"], data={"orders": "100"}) for n in NAMES}
        replicas = {n: cloud.add_vm(f"{n}_replica", []) for n in NAMES}
        for replica in replicas.values():
            cloud.replicate(replica, "Restore Point 1", {"orders": "99"}, dt.datetime.now(dt.UTC))
        job = endpoint.add_job("Replicate ERP", [(originals[n], replicas[n]) for n in NAMES])
        made.append(Site(endpoint, faults, authority.ca_file, job, originals, replicas))
        return made[-1]

    yield make
    for site in made:
        site.endpoint.close()


@pytest.fixture
async def site(make_site: Callable[..., Site]) -> AsyncIterator[Site]:
    site = make_site()
    yield site
    for client in site.clients:
        await client.close()
