"""The lab's Cloud Director as its builders and tests hold it."""

import ssl
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Interface

from lab import hypervisor
from lab.cloud_director.api import Api
from lab.cloud_director.dispatch import Dispatcher
from lab.cloud_director.model import (
    ALL_RIGHTS,
    SYSTEM,
    NicSpec,
    Org,
    OrgNetwork,
    Principal,
    Task,
    VApp,
    Vdc,
    Vm,
)
from lab.cloud_director.render import Renderer
from lab.cloud_director.tasks import Tasks
from lab.cloud_director.world import World
from lab.http_server import HttpServer
from lab.injected_faults import InjectedFaults


class CloudDirectorEndpoint:
    """One Cloud Director in front of one hypervisor, at an https address on loopback.

    Set `vcenter_url` to the address that it shall tell of its vCenter. The names of the calls, for faults
    and for the audit, are listed in `lab.cloud_director.dispatch`.
    """

    def __init__(
        self,
        machines: hypervisor.Hypervisor,
        faults: InjectedFaults,
        tls: ssl.SSLContext,
        task_seconds: float | Callable[[str], float] = 0.05,
    ) -> None:
        """`task_seconds`: how long a task takes, or that of an operation name."""
        self.world = World(machines)
        self.tasks = Tasks(faults, task_seconds)
        self._server = HttpServer("cloud-director", faults, tls)
        self.port, self.url = self._server.port, self._server.url
        self.api = Api(self.world, self.tasks, Renderer(self.url, self.world.vcenter_id))

    def start(self) -> None:
        """Answer from now on."""
        self._server.start(Dispatcher(self.api).read)

    def close(self) -> None:
        """Stop answering; running tasks end without their effect."""
        self.tasks.close()
        self._server.close()

    @property
    def vcenter_url(self) -> str:
        """Address of its vCenter, as it tells the provider."""
        return self.api.vcenter_url

    @vcenter_url.setter
    def vcenter_url(self, url: str) -> None:
        self.api.vcenter_url = url

    @property
    def vcenter_id(self) -> str:
        """UUID of its vCenter in Cloud Director."""
        return self.world.vcenter_id

    # Building

    def add_org(self, name: str) -> Org:
        """A new tenant."""
        return self.world.add_org(name)

    def add_vdc(self, org: Org, name: str) -> Vdc:
        """A new organization VDC."""
        return self.world.add_vdc(org, name)

    def add_network(self, vdc: Vdc, name: str, gateway: IPv4Interface, type: str = "ISOLATED") -> OrgNetwork:
        """A new organization VDC network; `port_group` of what is returned is its name at the hypervisor."""
        return self.world.add_network(vdc, name, gateway, type)

    def add_vapp(self, vdc: Vdc, name: str, template: bool = False) -> VApp:
        """A new, empty vApp."""
        return self.world.add_vapp(vdc, name, template)

    def add_vm(self, vapp: VApp, machine: hypervisor.Vm, nics: Sequence[NicSpec] = ()) -> Vm:
        """Make a hypervisor's VM known; its networks are attached to the vApp."""
        return self.world.add_vm(vapp, machine, nics)

    def add_standalone_vm(self, vdc: Vdc, machine: hypervisor.Vm, nics: Sequence[NicSpec] = ()) -> Vm:
        """The same without a vApp that anybody sees."""
        return self.world.add_standalone_vm(vdc, machine, nics)

    def api_token(
        self, user: str, org: str = SYSTEM, rights: frozenset[str] = ALL_RIGHTS, rotates: bool = False
    ) -> str:
        """A new API token; of the provider when `org` is "System". `rotates`: of a service account."""
        return self.world.api_token(user, org, rights, rotates)

    # Looking

    def vm(self, name: str) -> Vm:
        """The first VM of that name."""
        return self.world.vm(name)

    def vapp(self, name: str) -> VApp:
        """The first vApp of that name."""
        return self.world.vapp(name)

    def all_tasks(self) -> list[Task]:
        """Every task so far, oldest first."""
        return list(self.tasks.all.values())

    def expire_sessions(self) -> None:
        """All access tokens end now."""
        self.api.sessions.clear()

    def log_in(self, who: Principal) -> str:
        """An access token without an exchange, for tests that speak raw HTTP."""
        token = f"jwt.{who.user}.{len(self.api.sessions)}"
        self.api.sessions[token] = (who, time.monotonic() + self.api.token_seconds)
        return token
