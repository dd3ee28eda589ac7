"""A lab's Cloud Director with one tenant and one VM, asked in raw HTTP."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

import httpx

from lab.cloud_director import ALL_RIGHTS, CloudDirectorEndpoint, NicSpec
from lab.cloud_director.model import SYSTEM, Principal, VApp, Vdc, Vm
from lab.hypervisor import Hypervisor
from lab.injected_faults import InjectedFaults
from lab.tls import Authority
from partial_failover.contracts.network import AllocationMode
from tests.waiting import PATIENCE

XML = "application/*+xml;version=37.0"
JSON = "application/json;version=37.0"
HEAD = 'xmlns="http://www.vmware.com/vcloud/v1.5" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"'
BODIES = {
    "networkConnectionSection/": "networkConnectionSection",
    "networkConfigSection/": "networkConfigSection",
    "action/undeploy": "undeployVAppParams",
    "metadata": "metadata",
}
"""By the end of the path: the type of the body that goes there."""


@dataclass
class Site:
    """One tenant with one VM, and the two ways to look at it."""

    endpoint: CloudDirectorEndpoint
    machines: Hypervisor
    faults: InjectedFaults
    vdc: Vdc
    vapp: VApp
    vm: Vm
    provider: httpx.Client
    tenant: httpx.Client

    @property
    def vm_path(self) -> str:
        return f"/api/vApp/{self.vm.ref}"

    @property
    def vapp_path(self) -> str:
        return f"/api/vApp/{self.vapp.ref}"

    def power(self) -> str:
        return self.vm.machine.power

    def deployed(self) -> bool:
        return self.vm.deployed


def idle(site: Site, answer: httpx.Response) -> str:
    """How the task that an answer started has ended."""
    assert answer.status_code == 202, answer.text
    site.endpoint.tasks.wait_idle()
    found = re.search(r' status="(\w+)"', site.provider.get(answer.headers["Location"]).text)
    assert found
    return found[1]


def _name_the_body(request: httpx.Request) -> None:
    """Content-Type as every client must set it, unless a test sets another."""
    kinds = [kind for end, kind in BODIES.items() if request.url.path.endswith(end)]
    if request.content and kinds:
        request.headers.setdefault("Content-Type", f"application/vnd.vmware.vcloud.{kinds[0]}+xml")


@contextmanager
def running(authority: Authority) -> Iterator[Site]:
    machines, faults = Hypervisor("provider"), InjectedFaults()
    endpoint = CloudDirectorEndpoint(machines, faults, authority.server_context("vcd"))
    vdc = endpoint.add_vdc(endpoint.add_org("acme"), "acme-dr")
    endpoint.add_network(vdc, "lan", IPv4Interface("192.168.10.1/24"))
    vapp = endpoint.add_vapp(vdc, "replicas")
    vm = endpoint.add_vm(
        vapp,
        machines.add_vm("erp", ["lan"]),
        [NicSpec("lan", AllocationMode.MANUAL, IPv4Address("192.168.10.21"))],
    )
    endpoint.start()
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    with (
        httpx.Client(base_url=endpoint.url, verify=trust, timeout=PATIENCE) as provider,
        httpx.Client(base_url=endpoint.url, verify=trust, timeout=PATIENCE) as tenant,
    ):
        for client, org in ((provider, SYSTEM), (tenant, "acme")):
            client.event_hooks = {"request": [_name_the_body]}
            token = endpoint.log_in(Principal("somebody", org, ALL_RIGHTS))
            client.headers.update({"Authorization": f"Bearer {token}", "Accept": XML})
        yield Site(endpoint, machines, faults, vdc, vapp, vm, provider, tenant)
    endpoint.close()
