# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""Everything that has a MoRef in the lab's vCenter, and its properties, read from the hypervisor."""

from collections.abc import Callable, Mapping
from typing import Any

from pyVmomi import VmomiSupport as registry
from pyVmomi import vim, vmodl

from lab.hypervisor import Hypervisor, Snapshot, Vm
from lab.vsphere import render, rights, wire
from lab.vsphere.places import DATACENTER, NETWORK_FOLDER, ROOT, VM_FOLDER
from lab.vsphere.sessions import Session
from lab.vsphere.summary import summary
from lab.vsphere.tasks import Tasks

Properties = Mapping[str, Callable[[], Any]]
"""Each property as a function, so that only what is asked for is rendered."""


class Inventory:
    """Finds objects by reference and reads their properties."""

    def __init__(self, hypervisor: Hypervisor, tasks: Tasks, api: str) -> None:
        self.hypervisor = hypervisor
        self.tasks = tasks
        self.snapshots_with_memory: set[str] = set()
        self._portgroups: dict[str, str] = {}
        self.content = vim.ServiceInstanceContent(
            rootFolder=vim.Folder(ROOT),
            propertyCollector=vmodl.query.PropertyCollector("propertyCollector"),
            viewManager=vim.view.ViewManager("ViewManager"),
            sessionManager=vim.SessionManager("SessionManager"),
            searchIndex=vim.SearchIndex("SearchIndex"),
            authorizationManager=vim.AuthorizationManager("AuthorizationManager"),
            taskManager=vim.TaskManager("TaskManager"),
            guestOperationsManager=vim.vm.guest.GuestOperationsManager("guestOperationsManager"),
            about=vim.AboutInfo(
                name="VMware vCenter Server",
                fullName=f"VMware vCenter Server {api} (lab)",
                vendor="lab",
                version=api.rpartition(".")[0],
                build="0",
                osType="linux-x64",
                productLineId="vpx",
                apiType="VirtualCenter",
                apiVersion=api,
                instanceUuid=hypervisor.instance_uuid,
            ),
        )

    def portgroups(self) -> dict[str, str]:
        """Network name → MoRef (and key) of its distributed port group."""
        with self.hypervisor.lock:
            used = {n.network for vm in self.hypervisor.vms.values() for n in vm.nics if n.network}
            for name in sorted((self.hypervisor.networks | used) - self._portgroups.keys()):
                self._portgroups[name] = f"dvportgroup-{self.hypervisor.number()}"
            return self._portgroups

    def vm(self, ref: Any) -> Vm:
        """The VM of a reference. Raises ManagedObjectNotFound."""
        with self.hypervisor.lock:
            vm = self.hypervisor.vms.get(ref._moId)
        if vm is None:
            raise wire.not_found(ref)
        return vm

    def snapshot(self, ref: Any) -> tuple[Vm, Snapshot]:
        """The snapshot of a reference, with its VM. Raises ManagedObjectNotFound."""
        with self.hypervisor.lock:
            for vm in self.hypervisor.vms.values():
                for snap in vm.snapshots:
                    if snap.moref == ref._moId:
                        return vm, snap
        raise wire.not_found(ref)

    def entity(self, ref: Any) -> Any:
        """Whose rights count for a reference: a snapshot and a task belong to their VM (inferred).

        Raises ManagedObjectNotFound.
        """
        if isinstance(ref, vim.vm.Snapshot):
            return vim.VirtualMachine(self.snapshot(ref)[0].moref)
        if isinstance(ref, vim.Task):
            task = self.tasks.find(ref._moId)
            if task is None:
                raise wire.not_found(ref)
            return vim.VirtualMachine(task.vm.moref)
        return ref

    def require(self, session: Session | None, ref: Any, *privileges: str) -> None:
        """Raise NotAuthenticated, ManagedObjectNotFound or NoPermission."""
        if session is None:
            for privilege in privileges:
                rights.check(session, ref, privilege)
        entity = self.entity(ref)
        if isinstance(entity, vim.ManagedEntity):
            self.properties(entity, session)
        for privilege in privileges:
            rights.check(session, entity, privilege)

    def sees(self, session: Session | None, ref: Any) -> bool:
        """Whether the object is there, and may be viewed."""
        try:
            self.require(session, ref, rights.VIEW)
        except (vmodl.fault.ManagedObjectNotFound, vim.fault.NoPermission, vim.fault.NotAuthenticated):
            return False
        return True

    def read(self, ref: Any, path: str, session: Session | None) -> Any:
        """The value at a property path, None when it is unset.

        Inferred: a list of references is told without those to what may not be viewed.
        """
        head, *rest = path.split(".")
        info = wire.property_info(type(ref), head)
        self.require(session, ref, info.privId or rights.READ)
        with self.hypervisor.lock:
            produce = self.properties(ref, session).get(head)
            value = produce() if produce else None
            if session and session.vms is not None and isinstance(value, list):
                value = [
                    v for v in value if not isinstance(v, registry.ManagedObject) or self.sees(session, v)
                ]
            value = _typed(value, info.type)
        for name in rest:
            if value is None:
                return None
            try:
                kind = value._GetPropertyInfo(name).type
            except AttributeError:
                raise vmodl.query.InvalidProperty(name=path, msg="The property is invalid.") from None
            value = _typed(getattr(value, name), kind)
        return value

    def properties(self, ref: Any, session: Session | None) -> Properties:
        """What the object has. Raises ManagedObjectNotFound."""
        if isinstance(ref, vim.VirtualMachine):
            return self._vm(self.vm(ref))
        if isinstance(ref, vim.vm.Snapshot):
            return self._snapshot(*self.snapshot(ref))
        if isinstance(ref, vim.Task):
            task = self.tasks.find(ref._moId)
            if task is None:
                raise wire.not_found(ref)
            return {"info": task.info}
        if isinstance(ref, vim.Network):
            name = next((n for n, m in self.portgroups().items() if m == ref._moId), None)
            if name is None:
                raise wire.not_found(ref)
            return {
                "name": lambda: render.escaped(name),
                "key": lambda: ref._moId,
                "parent": lambda: vim.Folder(NETWORK_FOLDER),
            }
        if isinstance(ref, vim.view.View):
            return self._view(ref, session)
        fixed = self._fixed(session).get((type(ref), ref._moId))
        if fixed is None:
            raise wire.not_found(ref)
        return fixed

    def children(self, ref: Any, session: Session | None) -> list[Any]:
        """References to the entities that are right in a folder or a datacenter; none in what is neither."""
        if ref._moId == DATACENTER:
            folders = [vim.Folder(VM_FOLDER), vim.Folder(NETWORK_FOLDER)]
            return [f for f in folders if self.sees(session, f)]
        return self.read(ref, "childEntity", session) if isinstance(ref, vim.Folder) else []

    def below(self, ref: Any, session: Session | None, recursive: bool = True) -> list[Any]:
        """References to the entities in it, and to those in them."""
        found = []
        for child in self.children(ref, session):
            found += [child, *(self.below(child, session) if recursive else [])]
        return found

    def _view(self, ref: Any, session: Session | None) -> Properties:
        """Views belong to their session."""
        view = session.objects.get(ref._moId) if session else None
        if not isinstance(view, Mapping):
            raise wire.not_found(ref)
        return view

    def _vm(self, vm: Vm) -> Properties:
        groups = self.portgroups()
        used = sorted({groups[n.network] for n in vm.nics if n.network})
        return {
            "name": lambda: render.escaped(vm.name),
            "parent": lambda: vim.Folder(VM_FOLDER),
            "config": lambda: render.config(vm, groups),
            "runtime": lambda: render.runtime(vm),
            "guest": lambda: render.guest(vm),
            "summary": lambda: summary(vm, groups),
            "guestHeartbeatStatus": lambda: render.heartbeat(vm),
            "overallStatus": lambda: "green",
            "network": lambda: [vim.dvs.DistributedVirtualPortgroup(m) for m in used],
            "snapshot": lambda: render.snapshot_info(vm, self.snapshots_with_memory),
            "rootSnapshot": lambda: [vim.vm.Snapshot(s.moref) for s in vm.snapshots if s.parent is None],
            "recentTask": lambda: [vim.Task(t.moref) for t in self.tasks.recent(vm)[-10:]],
        }

    def _snapshot(self, vm: Vm, snap: Snapshot) -> Properties:
        children = [vim.vm.Snapshot(s.moref) for s in vm.snapshots if s.parent is snap]
        return {
            "vm": lambda: vim.VirtualMachine(vm.moref),
            "config": lambda: render.snapshot_config(vm, snap, self.portgroups()),
            "childSnapshot": lambda: children,
        }

    def _fixed(self, session: Session | None) -> dict[tuple[Any, str], Properties]:
        vms = [vim.VirtualMachine(m) for m in self.hypervisor.vms]
        networks = [vim.dvs.DistributedVirtualPortgroup(m) for m in self.portgroups().values()]
        recent = [vim.Task(t.moref) for t in self.tasks.recent()]
        return {
            (vim.ServiceInstance, "ServiceInstance"): {"content": lambda: self.content},
            (vim.SessionManager, "SessionManager"): {"currentSession": lambda: session and session.shown},
            (vim.SearchIndex, "SearchIndex"): {},
            (vim.view.ViewManager, "ViewManager"): {},
            (vim.TaskManager, "TaskManager"): {"recentTask": lambda: recent},
            (vim.vm.guest.GuestOperationsManager, "guestOperationsManager"): {
                "processManager": lambda: vim.vm.guest.ProcessManager("guestOperationsProcessManager"),
            },
            (vim.vm.guest.ProcessManager, "guestOperationsProcessManager"): {},
            (vmodl.query.PropertyCollector, "propertyCollector"): {},
            (vim.Folder, ROOT): {
                "name": lambda: "Datacenters",
                "childEntity": lambda: [vim.Datacenter(DATACENTER)],
            },
            (vim.Datacenter, DATACENTER): {
                "name": lambda: "DC0",
                "parent": lambda: vim.Folder(ROOT),
                "vmFolder": lambda: vim.Folder(VM_FOLDER),
                "networkFolder": lambda: vim.Folder(NETWORK_FOLDER),
            },
            (vim.Folder, VM_FOLDER): {
                "name": lambda: "vm",
                "parent": lambda: vim.Datacenter(DATACENTER),
                "childEntity": lambda: vms,
            },
            (vim.Folder, NETWORK_FOLDER): {
                "name": lambda: "network",
                "parent": lambda: vim.Datacenter(DATACENTER),
                "childEntity": lambda: networks,
            },
        }


def _typed(value: Any, kind: Any) -> Any:
    """Lists in an `anyType` must have their declared type, or pyVmomi cannot write them."""
    if isinstance(value, list) and not isinstance(value, registry.Array):
        return kind(value)
    return value
