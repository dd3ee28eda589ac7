"""The one class that the rest of the product sees of Cloud Director."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from lxml import etree

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director import metadata, networks, nics, power, xml
from partial_failover.connectors.cloud_director.changes import Change, Changer, Running
from partial_failover.connectors.cloud_director.maintenance import KEY as MAINTENANCE
from partial_failover.connectors.cloud_director.maintenance import Maintenance
from partial_failover.connectors.cloud_director.reader import Reader, VApp, understood
from partial_failover.connectors.cloud_director.session import Login
from partial_failover.connectors.cloud_director.transport import HttpRequest, Transport
from partial_failover.contracts.errors import BadRequest, NotFound, WrongState
from partial_failover.contracts.network import Network, Nic
from partial_failover.contracts.replica import CloudVm, Power

Kind = Literal["vm", "vapp"]
NextCall = Callable[[], HttpRequest | Running | None]


class CloudDirector:
    """One principal at one Cloud Director. Used from many threads.

    Every call names the organization VDC that it may touch; what lies elsewhere is `NotFound`. All raise
    the errors of `contracts.errors` only. Calls with an `Attempt` change something: they look first, send
    at most once, wait for the task and verify; True means that it took something, False that it was so
    already. The provider's own session (`org="System"`) is needed for `moref`, `vcenter`, reloads,
    SYSTEM metadata and maintenance mode.
    """

    def __init__(
        self,
        url: str,
        api_token: str,
        ca_file: Path | None,
        api_version: str = "37.0",
        org: str = "System",
        timeout: tuple[float, float] = (5, 60),
    ) -> None:
        """`timeout`: seconds to connect, and between two pieces of an answer. Sends nothing yet."""
        self._gateway = Transport(Login(url, org, api_token, ca_file, api_version, timeout))
        self._reader = Reader(self._gateway)
        self._changer = Changer(self._gateway)

    def check(self) -> str:
        """That the API version is served and the login works, in a sentence. `Misconfigured` otherwise."""
        return self._reader.check()

    def rights(self) -> frozenset[str]:
        """Names of the rights that the account has."""
        return self._reader.rights()

    def close(self) -> None:
        """Log out. Never raises."""
        self._gateway.close()

    # Reading

    def vdc(self, org: str, name: str) -> str:
        """UUID of the organization VDC; both names are compared exactly."""
        return self._reader.vdc(org, name)

    def vms(self, vdc: str) -> tuple[CloudVm, ...]:
        """All VMs of the VDC; templates are none."""
        return self._reader.vms(vdc)

    def vm_named(self, vdc: str, name: str) -> CloudVm:
        """The VM of exactly this name. `BadRequest` when there are several."""
        return self._reader.vm_named(vdc, name)

    def vm(self, vdc: str, vm_id: str) -> CloudVm:
        """The VM with this UUID. `NotFound` also when it is in another VDC."""
        return self._reader.vm(vdc, vm_id)

    def vcenter_url(self, vcenter: str) -> str:
        """Address of the vCenter with this UUID."""
        return self._reader.vcenter_url(vcenter)

    def networks(self, vdc: str) -> tuple[Network, ...]:
        """All organization VDC networks with an IPv4 subnet that the VDC can use."""
        values = networks.networks(self._gateway, vdc)
        found = understood(lambda: [networks.network(v) for v in values], "list the networks")
        return tuple(n for n in found if n is not None)

    def vapp_networks(self, vdc: str, vapp_id: str) -> tuple[str, ...]:
        """Names of the networks that are attached to the vApp."""
        return self._reader.vapp(vdc, vapp_id).networks

    # Power

    def power_on(self, vdc: str, vm_id: str, attempt: Attempt) -> bool:
        """Power the VM on through Cloud Director, which wires its networks."""

        def plan() -> HttpRequest | Running | None:
            vm = self.vm(vdc, vm_id)
            if vm.busy:
                return Running(vm.busy)
            if vm.power is Power.ON:
                return None
            if vm.power is not Power.OFF:
                raise WrongState(
                    f"{vm.name} is {vm.power} and cannot be powered on as it is",
                    do="Power it off or answer its question in Cloud Director",
                )
            return HttpRequest(f"power on {vm.name}", "POST", f"vApp/vm-{vm_id}/power/action/powerOn")

        def answer() -> None:
            vm = self.vm(vdc, vm_id)
            if vm.power is Power.QUESTION:
                self._answer(vm, attempt)

        return self._change("power on the VM", vdc, vm_id, plan, "power.?on|(?<!un)deploy", attempt, answer)

    def _answer(self, vm: CloudVm, attempt: Attempt) -> None:
        try:
            question = self._gateway.get(
                f"vApp/vm-{vm.id}/question", f"read the question of {vm.name}", "No question"
            )
        except NotFound:
            return  # answered since
        self._changer.send_aside(power.answer(question, vm.name, vm.id), attempt)

    def undeploy(self, vdc: str, vm_id: str, attempt: Attempt) -> bool:
        """Power the VM off hard and release what it holds. `powerOff` alone leaves it deployed."""

        def plan() -> HttpRequest | Running | None:
            vm = self.vm(vdc, vm_id)
            if vm.busy:
                return Running(vm.busy)
            if vm.power is Power.OFF and not vm.deployed:
                return None
            what, base = f"power off and undeploy {vm.name}", f"vApp/vm-{vm_id}"
            if not vm.deployed:  # switched on in vCenter, behind Cloud Director's back
                return HttpRequest(what, "POST", f"{base}/power/action/powerOff")
            body = xml.new("UndeployVAppParams")
            xml.add(body, "UndeployPowerAction", "powerOff")
            return HttpRequest(
                what, "POST", f"{base}/action/undeploy", body, f"{xml.MEDIA}undeployVAppParams+xml"
            )

        return self._change("power off and undeploy the VM", vdc, vm_id, plan, "power.?off|undeploy", attempt)

    def reload_from_vcenter(self, vdc: str, vm_id: str, attempt: Attempt) -> None:
        """Make Cloud Director read the VM anew from vCenter. Nothing shows it afterwards but the task."""

        def plan() -> HttpRequest | Running | None:
            vm = self.vm(vdc, vm_id)
            if vm.busy:
                return Running(vm.busy)
            return HttpRequest(f"reload {vm.name}", "POST", f"vApp/vm-{vm_id}/action/reloadFromVc")

        self._change("reload the VM from vCenter", vdc, vm_id, plan, "reload", attempt, traceless=True)

    # Networks

    def set_nics(self, vdc: str, vm_id: str, wanted: Sequence[Nic], attempt: Attempt) -> bool:
        """Give the VM exactly these NICs. The MAC of an index stays unless one is given.

        `LimitReached` above 10; `BadRequest` when a network is not attached to the vApp.
        """

        def plan() -> HttpRequest | Running | None:
            vapp, body = self._reader.vm_body(vdc, vm_id)
            return understood(lambda: decide(vapp, body), "read the VM's NICs")

        def decide(vapp: VApp, body: etree._Element) -> HttpRequest | Running | None:
            name = xml.required(body, "name")
            nics.check(wanted, vapp.networks, name)
            busy = xml.running_task(body) or vapp.busy
            if busy:
                return Running(busy)
            present = body.find("{*}NetworkConnectionSection")
            if nics.all_same(xml.nics_of(present), wanted):
                return None
            return HttpRequest(
                f"change the NICs of {name}",
                "PUT",
                f"vApp/vm-{vm_id}/networkConnectionSection/",
                nics.section(present, wanted),
                f"{xml.MEDIA}networkConnectionSection+xml",
            )

        return self._change("change the VM's NICs", vdc, vm_id, plan, "update|reconfigure", attempt)

    def attach_networks(self, vdc: str, vapp_id: str, wanted: Sequence[Network], attempt: Attempt) -> bool:
        """Attach these organization VDC networks to the vApp, bridged; those that are there stay.

        `WrongState` where it has another network of that name.
        """
        realm = "admin/network" if self._gateway.login.provider else "network"

        def body(vapp: VApp) -> etree._Element | None:
            missing = [n for n in wanted if n.name not in vapp.networks]
            for network in wanted:
                if network not in missing and not networks.is_attached(_configs(vapp), network):
                    raise _another(vapp, network)
            parents = f"{self._gateway.login.origin}/api/{realm}"
            return networks.with_added(_configs(vapp), missing, parents) if missing else None

        return self._change_configs("attach networks to the vApp", vdc, vapp_id, body, attempt)

    def is_attached(self, vdc: str, vapp_id: str, network: Network) -> bool:
        """Whether the vApp's network of that name is this very one, bridged."""
        vapp = self._reader.vapp(vdc, vapp_id)
        return understood(
            lambda: networks.is_attached(_configs(vapp), network), "read the networks of the vApp"
        )

    def detach_networks(self, vdc: str, vapp_id: str, names: Sequence[str], attempt: Attempt) -> bool:
        """Take these networks out of the vApp. `WrongState` while a NIC is on one of them."""

        def body(vapp: VApp) -> etree._Element | None:
            present = [n for n in names if n in vapp.networks]
            for vm in vapp.vms():
                used = {n.network for n in xml.nics_of(vm.find("{*}NetworkConnectionSection"))}
                if used & set(present):
                    raise WrongState(
                        f"{vm.get('name')} has a NIC on a network that was to be detached",
                        left="All networks are attached as before",
                        do="Unplug the NIC first",
                    )
            return networks.without(_configs(vapp), present) if present else None

        return self._change_configs("detach networks from the vApp", vdc, vapp_id, body, attempt)

    def _change_configs(
        self,
        what: str,
        vdc: str,
        vapp_id: str,
        body: Callable[[VApp], etree._Element | None],
        attempt: Attempt,
    ) -> bool:
        def plan() -> HttpRequest | Running | None:
            vapp = self._reader.vapp(vdc, vapp_id)
            if vapp.busy:
                return Running(vapp.busy)
            section = understood(lambda: body(vapp), what)
            if section is None:
                return None
            path = f"vApp/vapp-{vapp_id}/networkConfigSection/"
            return HttpRequest(what, "PUT", path, section, f"{xml.MEDIA}networkConfigSection+xml")

        return self._changer.carry_out(Change(what, vapp_id, vapp_id, plan, "network"), attempt)

    # Metadata

    def metadata(self, vdc: str, kind: Kind, entity_id: str, key: str) -> str | None:
        """The value under `key` in the SYSTEM domain; the tenant's own metadata is never looked at."""
        self._vapp_of(vdc, kind, entity_id)
        return self._metadata(kind, entity_id, key)

    def set_metadata(
        self, vdc: str, kind: Kind, entity_id: str, key: str, value: str, attempt: Attempt
    ) -> bool:
        """Write `value` as SYSTEM and PRIVATE. It is no lock: Cloud Director has no compare-and-set."""
        path = f"{_path(kind, entity_id)}/metadata"
        body = metadata.body(metadata.checked_key(key), value)

        def request() -> HttpRequest | None:
            if self._metadata(kind, entity_id, key) == value:
                return None
            return HttpRequest(f"write the metadata {key}", "POST", path, body, f"{xml.MEDIA}metadata+xml")

        return self._change_metadata(f"write the metadata {key}", vdc, kind, entity_id, request, attempt)

    def delete_metadata(self, vdc: str, kind: Kind, entity_id: str, key: str, attempt: Attempt) -> bool:
        """Remove `key` from the SYSTEM domain."""
        path = f"{_path(kind, entity_id)}/metadata/SYSTEM/{metadata.checked_key(key)}"

        def request() -> HttpRequest | None:
            if self._metadata(kind, entity_id, key) is None:
                return None
            return HttpRequest(f"remove the metadata {key}", "DELETE", path)

        return self._change_metadata(f"remove the metadata {key}", vdc, kind, entity_id, request, attempt)

    def _metadata(self, kind: Kind, entity_id: str, key: str) -> str | None:
        path = f"{_path(kind, entity_id)}/metadata"
        entries = self._gateway.get(path, f"read the metadata {metadata.checked_key(key)}")
        return metadata.value_of(entries, key)

    def _change_metadata(
        self,
        what: str,
        vdc: str,
        kind: Kind,
        entity_id: str,
        request: Callable[[], HttpRequest | None],
        attempt: Attempt,
    ) -> bool:
        vapp_id = self._vapp_of(vdc, kind, entity_id)[0]

        def plan() -> HttpRequest | Running | None:
            busy = self._vapp_of(vdc, kind, entity_id)[1]
            return Running(busy) if busy else request()

        return self._changer.carry_out(Change(what, vapp_id, entity_id, plan, "metadata"), attempt)

    def settle(self, vdc: str, vm_id: str, attempt: Attempt) -> CloudVm:
        """The VM when no task runs on it: what it shows now stays so. `Expired` when the time ends first."""
        while (vm := self.vm(vdc, vm_id)).busy:
            self._changer.wait_for(vm.busy, attempt)
        return vm

    # Maintenance mode

    def hold_maintenance(self, vdc: str, vapp_id: str, owner: str, attempt: Attempt) -> bool:
        """Keep the tenant from changing the vApp for as long as `owner` needs it."""
        return self._maintenance(vdc, vapp_id, attempt).hold(owner, attempt)

    def release_maintenance(self, vdc: str, vapp_id: str, owner: str, attempt: Attempt) -> bool:
        """`owner` needs it no more. The mode ends with the last owner, unless it was on before the first."""
        return self._maintenance(vdc, vapp_id, attempt).release(owner, attempt)

    def _maintenance(self, vdc: str, vapp_id: str, attempt: Attempt) -> Maintenance:
        def store(record: str | None) -> bool:
            if record is None:
                return self.delete_metadata(vdc, "vapp", vapp_id, MAINTENANCE, attempt)
            return self.set_metadata(vdc, "vapp", vapp_id, MAINTENANCE, record, attempt)

        return Maintenance(
            vapp_id,
            self._changer,
            vapp=lambda: self._reader.vapp(vdc, vapp_id),
            load=lambda: self.metadata(vdc, "vapp", vapp_id, MAINTENANCE),
            store=store,
        )

    # What all changes share

    def _vapp_of(self, vdc: str, kind: Kind, entity_id: str) -> tuple[str, str | None]:
        """The vApp to be written in, and the task that is in the way. Here lies the tenants' border."""
        if kind == "vm":
            vm = self.vm(vdc, entity_id)
            return vm.vapp_id, vm.busy
        if kind != "vapp":
            raise BadRequest(f"Metadata is kept for a vm or a vapp, not for {kind!r}")
        vapp = self._reader.vapp(vdc, entity_id)
        return vapp.id, vapp.busy

    def _change(
        self,
        what: str,
        vdc: str,
        vm_id: str,
        plan: NextCall,
        operation: str,
        attempt: Attempt,
        meanwhile: Callable[[], None] = lambda: None,
        traceless: bool = False,
    ) -> bool:
        vapp_id = self._vapp_of(vdc, "vm", vm_id)[0]
        change = Change(what, vapp_id, vm_id, plan, operation, meanwhile, traceless)
        return self._changer.carry_out(change, attempt)


def _another(vapp: VApp, network: Network) -> WrongState:
    return WrongState(
        f"The vApp {vapp.name} has another network of the name {network.name}",
        left="Its networks are as they were",
        do=f"Rename or remove it; the vApp's {network.name} must be the organization VDC network, bridged",
    )


def _configs(vapp: VApp) -> etree._Element | None:
    return vapp.body.find("{*}NetworkConfigSection")


def _path(kind: Kind, entity_id: str) -> str:
    return f"vApp/{'vm' if kind == 'vm' else 'vapp'}-{xml.checked_uuid(entity_id, kind)}"
