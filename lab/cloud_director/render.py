"""Answers in Cloud Director's XML. Elements only: nothing is put together from strings."""

import uuid

from lxml import etree

from lab.cloud_director import sections
from lab.cloud_director.model import (
    ASKING,
    OFF,
    ON,
    AnyNetwork,
    CloudNic,
    Entity,
    OrgNetwork,
    Principal,
    Task,
    VApp,
    Vm,
)
from lab.cloud_director.world import org_id
from lab.cloud_director.xml import ADMIN, EXTENSION, MEDIA, OVF, XSI, link, put, root, word


class Renderer:
    """`base`: the address that hrefs begin with."""

    def __init__(self, base: str, vcenter_id: str) -> None:
        self.base = base
        self._vcenter_id = vcenter_id

    def href(self, entity: Entity) -> str:
        """Of a vApp or VM."""
        return f"{self.base}/api/vApp/{entity.ref}"

    def task(self, task: Task, parent: etree._Element | None = None) -> etree._Element:
        """A `Task`, on its own or in a list."""
        element = root("Task") if parent is None else put(parent, "Task")
        for key, value in {
            "status": task.status,
            "operationName": task.operation,
            "operation": f"{task.operation} {task.owner.name}",
            "name": "task",
            "id": f"urn:vcloud:task:{task.id}",
            "href": f"{self.base}/api/task/{task.id}",
            "type": f"{MEDIA}task+xml",
        }.items():
            element.set(key, value)
        link(element, "task:cancel", f"{self.base}/api/task/{task.id}/action/cancel")
        put(element, "Owner", href=self.href(task.owner), name=task.owner.name)
        kind = "vApp" if isinstance(task.owner, VApp) else "vm"
        element[-1].set("type", f"{MEDIA}{kind}+xml")
        if task.error is not None:
            put(
                element,
                "Error",
                majorErrorCode="500",
                minorErrorCode="INTERNAL_SERVER_ERROR",
                message=task.error,
            )
        who = task.user
        user = uuid.uuid5(uuid.NAMESPACE_OID, f"{who.org}/{who.user}")
        user_href, org_href = f"{self.base}/api/admin/user/{user}", f"{self.base}/api/org/{org_id(who.org)}"
        put(element, "User", href=user_href, name=who.user, type=f"{ADMIN}user+xml")
        put(element, "Organization", href=org_href, name=who.org, type=f"{MEDIA}org+xml")
        return element

    def vm(
        self, vm: Vm, who: Principal, tasks: list[Task], blocked: bool, parent: etree._Element | None = None
    ) -> etree._Element:
        """A `Vm`. `blocked`: its links are hidden, as while it is busy."""
        element = root("Vm") if parent is None else put(parent, "Vm")
        for key, value in {
            "needsCustomization": "false",
            "deployed": word(vm.seen("deployed")),
            "status": str(vm.seen("status")),
            "name": vm.name,
            "id": f"urn:vcloud:vm:{vm.id}",
            "href": self.href(vm),
            "type": f"{MEDIA}vm+xml",
        }.items():
            element.set(key, value)
        if who.provider:
            self._extension(element, vm)
        self._vm_links(element, vm, who, blocked)
        if tasks:
            holder = put(element, "Tasks")
            for task in tasks:
                self.task(task, holder)
        here = self.href(vm)
        sections.hardware(vm, here, element)
        sections.operating_system(vm, here, element)
        self.connections(vm, element)
        sections.customization(vm, here, element)
        return element

    def vcenter_href(self, vm: Vm) -> str:
        """Of the vCenter that a VM runs in."""
        return f"{self.base}/api/admin/extension/vimServer/{vm.elsewhere or self._vcenter_id}"

    def _extension(self, element: etree._Element, vm: Vm) -> None:
        extension = put(element, "VCloudExtension", required="false")
        info = put(extension, "VmVimInfo", None, EXTENSION)
        ref = put(info, "VmVimObjectRef", None, EXTENSION)
        put(ref, "VimServerRef", None, EXTENSION, href=self.vcenter_href(vm), name="vcenter")
        put(ref, "MoRef", vm.machine.moref, EXTENSION)
        put(ref, "VimObjectType", "VIRTUAL_MACHINE", EXTENSION)

    def _vm_links(self, element: etree._Element, vm: Vm, who: Principal, blocked: bool) -> None:
        here = self.href(vm)
        link(element, "up", self.href(vm.vapp), "vApp")
        link(element, "down", f"{here}/metadata", "metadata")
        if blocked:
            return
        status = vm.seen("status")
        if status == OFF:
            link(element, "power:powerOn", f"{here}/power/action/powerOn")
        if status == ON:
            link(element, "power:powerOff", f"{here}/power/action/powerOff")
        if vm.seen("deployed"):
            link(element, "undeploy", f"{here}/action/undeploy", "undeployVAppParams")
        if status == ASKING:
            link(element, "question", f"{here}/question", "vmPendingQuestion")
        if who.provider:
            link(element, "reloadFromVc", f"{here}/action/reloadFromVc")

    def _section(
        self, owner: Vm | VApp, name: str, info: str, parent: etree._Element | None
    ) -> etree._Element:
        """A section by itself, or in its owner."""
        element = root(name) if parent is None else put(parent, name)
        element.set("href", f"{self.href(owner)}/{name[0].lower()}{name[1:]}/")
        put(element, "Info", info, OVF)
        return element

    def connections(self, vm: Vm, parent: etree._Element | None = None) -> etree._Element:
        """A `NetworkConnectionSection`."""
        info = "Specifies the available VM network connections"
        element = self._section(vm, "NetworkConnectionSection", info, parent)
        if vm.seen("nics"):
            put(element, "PrimaryNetworkConnectionIndex", str(vm.primary))
        for nic in vm.seen("nics"):
            self._connection(element, nic)
        link(element, "edit", element.get("href", ""), "networkConnectionSection")
        return element

    @staticmethod
    def _connection(parent: etree._Element, nic: CloudNic) -> None:
        element = put(parent, "NetworkConnection", network=nic.network or "none", needsCustomization="false")
        put(element, "NetworkConnectionIndex", str(nic.index))
        if nic.address is not None:
            put(element, "IpAddress", str(nic.address))
            put(element, "IpType", f"IPV{nic.address.version}")
        if nic.secondary is not None:
            put(element, "SecondaryIpAddress", str(nic.secondary))
            put(element, "SecondaryIpType", f"IPV{nic.secondary.version}")
        put(element, "IsConnected", word(nic.connected))
        put(element, "MACAddress", nic.mac)
        put(element, "IpAddressAllocationMode", str(nic.mode))
        put(element, "SecondaryIpAddressAllocationMode", str(nic.secondary_mode))
        put(element, "NetworkAdapterType", nic.adapter)

    def vapp(
        self, vapp: VApp, who: Principal, tasks: dict[Entity, list[Task]], blocked: bool
    ) -> etree._Element:
        """A `VApp` with its VMs."""
        statuses = {vm.seen("status") for vm in vapp.vms} or {OFF}
        element = root(
            "VApp",
            deployed=word(any(vm.seen("deployed") for vm in vapp.vms)),
            status=str(statuses.pop() if len(statuses) == 1 else 10),
            name=vapp.name,
            id=f"urn:vcloud:vapp:{vapp.id}",
            href=self.href(vapp),
            type=f"{MEDIA}vApp+xml",
        )
        link(element, "up", f"{self.base}/api/vdc/{vapp.vdc.id}", "vdc")
        link(element, "down", f"{self.href(vapp)}/metadata", "metadata")
        if who.provider:
            action = "exitMaintenanceMode" if vapp.maintenance else "enterMaintenanceMode"
            link(element, action, f"{self.href(vapp)}/action/{action}")
        if tasks.get(vapp):
            holder = put(element, "Tasks")
            for task in tasks[vapp]:
                self.task(task, holder)
        self._lease(vapp, element)
        self.configs(vapp, element)
        put(element, "autoNature", word(vapp.auto))
        put(element, "InMaintenanceMode", word(vapp.maintenance))
        children = put(element, "Children")
        for vm in vapp.vms:
            self.vm(vm, who, tasks.get(vm, []), blocked, children)
        return element

    def _lease(self, vapp: VApp, parent: etree._Element) -> None:
        """A `LeaseSettingsSection`."""
        element, lease = self._section(vapp, "LeaseSettingsSection", "Lease settings", parent), vapp.lease
        put(element, "DeploymentLeaseInSeconds", str(lease.runtime_s))
        put(element, "StorageLeaseInSeconds", str(lease.storage_s))
        if lease.runtime_ends is not None:
            put(element, "DeploymentLeaseExpiration", lease.runtime_ends.isoformat(timespec="milliseconds"))
        if lease.storage_ends is not None:
            put(element, "StorageLeaseExpiration", lease.storage_ends.isoformat(timespec="milliseconds"))

    def configs(self, vapp: VApp, parent: etree._Element | None = None) -> etree._Element:
        """A `NetworkConfigSection`."""
        info = "The configuration parameters for logical networks"
        element = self._section(vapp, "NetworkConfigSection", info, parent)
        link(element, "edit", element.get("href", ""), "networkConfigSection")
        for network in vapp.seen("networks"):
            self._config(element, network)
        return element

    def _config(self, parent: etree._Element, network: AnyNetwork) -> None:
        element = put(parent, "NetworkConfig", networkName=network.name)
        configuration = put(element, "Configuration")
        scope = put(put(configuration, "IpScopes"), "IpScope")
        put(scope, "IsInherited", word(isinstance(network, OrgNetwork)))
        put(scope, "Gateway", str(network.gateway.ip))
        put(scope, "SubnetPrefixLength", str(network.gateway.network.prefixlen))
        above = network if isinstance(network, OrgNetwork) else network.parent
        if above is not None:
            href = f"{self.base}/api/admin/network/{above.id}"
            put(configuration, "ParentNetwork", href=href, name=above.name)
        put(configuration, "FenceMode", network.fence)
        put(element, "IsDeployed", "false")

    def metadata(self, entity: Entity, who: Principal) -> etree._Element:
        """A `Metadata`: a tenant does not see what is PRIVATE."""
        here = f"{self.href(entity)}/metadata"
        element = root("Metadata", href=here)
        link(element, "add", here, "metadata")
        for (domain, key), entry in entity.seen("metadata").items():
            if entry.visibility == "PRIVATE" and not who.provider:
                continue
            item = put(element, "MetadataEntry")
            put(item, "Domain", domain, visibility=entry.visibility)
            put(item, "Key", key)
            typed = put(item, "TypedValue")
            typed.set(f"{{{XSI}}}type", entry.type)
            put(typed, "Value", entry.value)
        return element


def error(status: int, minor: str, message: str) -> etree._Element:
    """An `Error` body."""
    return root("Error", majorErrorCode=str(status), minorErrorCode=minor, message=message)
