# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""What the lab's vCenter does when a method is called: sessions, look-ups, and the operations on VMs.

Parameter names are those of the vim25 API, because requests are passed as keywords.
"""

import itertools
from collections.abc import Callable
from typing import Any

from pyVmomi import vim, vmodl

from lab.hypervisor import Hypervisor, Nic, Snapshot, Vm, utc_now
from lab.injected_faults import FaultRule
from lab.vsphere import render, rights, wire
from lab.vsphere.guests import GuestProcesses
from lab.vsphere.inventory import Inventory
from lab.vsphere.sessions import Session, Sessions
from lab.vsphere.snapshots import remove_snapshot
from lab.vsphere.tasks import Tasks

Handler = Callable[..., Any]


class Methods:
    """Each method takes the session, the object and the parameters; operations also take a planned fate."""

    def __init__(self, inventory: Inventory, sessions: Sessions, tasks: Tasks) -> None:
        self._hypervisor: Hypervisor = inventory.hypervisor
        self._inventory = inventory
        self._sessions = sessions
        self._tasks = tasks
        self._guests = GuestProcesses(inventory)

    def plain(self) -> dict[str, Handler]:
        """Methods that answer at once."""
        return {
            "RetrieveServiceContent": lambda session, this: self._inventory.content,
            "CurrentTime": lambda session, this: utc_now(),
            "Login": self._login,
            "Logout": lambda session, this: self._sessions.end(session),
            "FindByUuid": self._find_by_uuid,
            "FindByInventoryPath": self._find_by_path,
            "HasPrivilegeOnEntities": self._has_privileges,
            "ShutdownGuest": self._shutdown_guest,
            "StartProgramInGuest": self._guests.start,
            "ListProcessesInGuest": self._guests.processes,
        }

    def operations(self) -> dict[str, Handler]:
        """Methods that start a task."""
        return {
            "RevertToSnapshot_Task": self._revert,
            "PowerOnVM_Task": self._power_on,
            "PowerOffVM_Task": self._power_off,
            "SuspendVM_Task": self._suspend,
            "ReconfigVM_Task": self._reconfigure,
            "CreateSnapshot_Task": self._create_snapshot,
            "RemoveSnapshot_Task": self._remove_snapshot,
        }

    def _login(
        self, session: Session | None, this: Any, userName: str, password: str, locale: str | None = None
    ) -> Any:
        return self._sessions.login(session, userName, password).shown

    def _find_by_uuid(
        self,
        session: Session,
        this: Any,
        uuid: str,
        vmSearch: bool,
        instanceUuid: bool = False,
        datacenter: Any = None,
    ) -> Any:
        """`instanceUuid` unset: the BIOS UUID (source: vSphere API, SearchIndex). Inferred: what may not be
        viewed is not found."""
        if not vmSearch:
            raise vmodl.fault.NotSupported(msg="The lab has no hosts to be found.")
        for vm in self._hypervisor.vms.values():
            ref = vim.VirtualMachine(vm.moref)
            known = vm.instance_uuid if instanceUuid else render.bios_uuid(vm)
            if uuid == known and self._inventory.sees(session, ref):
                return ref
        return None

    def _find_by_path(self, session: Session, this: Any, inventoryPath: str) -> Any:
        """From the root folder on, whose name is not in the path. Inferred: of nothing, the root folder."""
        found: Any = self._inventory.content.rootFolder
        for name in filter(None, inventoryPath.split("/")):
            inside = self._inventory.children(found, session)
            found = next((e for e in inside if self._inventory.read(e, "name", session) == name), None)
            if found is None:
                return None
        return found

    def _has_privileges(
        self, session: Session, this: Any, entity: list[Any], sessionId: str, privId: list[str] | None = None
    ) -> Any:
        kind = vim.AuthorizationManager

        def answers(one: Any) -> list[Any]:
            held = [(p, rights.holds(session, one, p)) for p in privId or []]
            return [kind.PrivilegeAvailability(privId=p, isGranted=granted) for p, granted in held]

        return [kind.EntityPrivilege(entity=e, privAvailability=answers(e)) for e in entity]

    def _start(
        self, session: Session, vm: Vm, description: str, effect: Callable[[], Any], fate: FaultRule | None
    ) -> Any:
        task = self._tasks.start(vm, description, effect, session.shown.userName, fate)
        return vim.Task(task.moref)

    def _power_on(self, session: Session, this: Any, fate: FaultRule | None, host: Any = None) -> Any:
        vm = self._inventory.vm(this)
        _no_host(host)
        effect = lambda: self._hypervisor.power_on(vm)  # noqa: E731
        return self._start(session, vm, "VirtualMachine.powerOn", effect, fate)

    def _power_off(self, session: Session, this: Any, fate: FaultRule | None) -> Any:
        vm = self._inventory.vm(this)
        effect = lambda: self._hypervisor.power_off(vm)  # noqa: E731
        return self._start(session, vm, "VirtualMachine.powerOff", effect, fate)

    def _suspend(self, session: Session, this: Any, fate: FaultRule | None) -> Any:
        vm = self._inventory.vm(this)
        effect = lambda: self._hypervisor.suspend(vm)  # noqa: E731
        return self._start(session, vm, "VirtualMachine.suspend", effect, fate)

    def _shutdown_guest(self, session: Session, this: Any) -> None:
        """Returns at once; the guest switches the VM off when it is done."""
        vm = self._inventory.vm(this)
        if vm.power != "poweredOn":
            raise vim.fault.InvalidPowerState(existingState=vm.power, msg=f"{vm.name} is not powered on")
        if not render.guest_up(vm):
            raise vim.fault.ToolsUnavailable(msg="VMware Tools is not running in this virtual machine.")
        effect = lambda: self._hypervisor.power_off(vm)  # noqa: E731
        self._tasks.start(vm, "VirtualMachine.shutdownGuest", effect, session.shown.userName)

    def _revert(
        self,
        session: Session,
        this: Any,
        fate: FaultRule | None,
        host: Any = None,
        suppressPowerOn: bool = False,
    ) -> Any:
        vm, snap = self._inventory.snapshot(this)
        _no_host(host)

        def effect() -> None:
            if snap not in vm.snapshots:
                raise wire.not_found(this)
            self._hypervisor.revert(vm, snap)
            if snap.moref in self._inventory.snapshots_with_memory:
                # Inferred: with suppressPowerOn the VM is left suspended with the memory of the snapshot.
                if suppressPowerOn:
                    vm.power = "suspended"
                else:
                    self._hypervisor.power_on(vm)

        return self._start(session, vm, "vm.Snapshot.revert", effect, fate)

    def _create_snapshot(
        self,
        session: Session,
        this: Any,
        fate: FaultRule | None,
        name: str,
        memory: bool,
        **other: Any,  # `quiesce` and `description`
    ) -> Any:
        vm = self._inventory.vm(this)

        def effect() -> Any:
            snap = self._hypervisor.snapshot(vm, name, description=other.get("description", ""))
            if memory and vm.power == "poweredOn":
                self._inventory.snapshots_with_memory.add(snap.moref)
            return vim.vm.Snapshot(snap.moref)

        return self._start(session, vm, "VirtualMachine.createSnapshot", effect, fate)

    def _remove_snapshot(
        self,
        session: Session,
        this: Any,
        fate: FaultRule | None,
        removeChildren: bool,
        consolidate: bool | None = None,
    ) -> Any:
        vm, snap = self._inventory.snapshot(this)

        def effect() -> None:
            with self._hypervisor.lock:
                doomed = [s for s in vm.snapshots if s is snap or (removeChildren and _descends(s, snap))]
                for one in reversed(doomed):  # children were taken after their parents
                    remove_snapshot(vm, one)

        return self._start(session, vm, "vm.Snapshot.remove", effect, fate)

    def _reconfigure(self, session: Session, this: Any, fate: FaultRule | None, spec: Any) -> Any:
        vm = self._inventory.vm(this)

        def effect() -> None:
            with self._hypervisor.lock:
                if spec.changeVersion and spec.changeVersion != render.change_version(vm):
                    raise vim.fault.ConcurrentAccess(msg="Another operation has modified the data structure.")
            self._hypervisor.set_nics(vm, self._nics(vm, spec.deviceChange or []))

        return self._start(session, vm, "VirtualMachine.reconfigure", effect, fate)

    def _nics(self, vm: Vm, changes: list[Any]) -> list[Nic]:
        """The VM's NICs with the changes applied. Other devices are refused."""
        nics = {n.index: n for n in vm.nics}
        for position, change in enumerate(changes):
            device = change.device
            if not isinstance(device, vim.vm.device.VirtualEthernetCard):
                raise vmodl.fault.NotSupported(msg="The lab changes NICs only.")
            index = device.key - render.FIRST_NIC_KEY
            if change.operation == "add":
                index = next(i for i in itertools.count() if i not in nics)
                nics[index] = self._nic(index, device, device.macAddress or self._hypervisor.new_mac())
            elif index not in nics:
                raise vim.fault.InvalidDeviceSpec(
                    deviceIndex=position, property="device.key", msg="No such device."
                )
            elif change.operation == "remove":
                del nics[index]
            else:
                nics[index] = self._nic(index, device, device.macAddress or nics[index].mac)
        return list(nics.values())

    def _nic(self, index: int, device: Any, mac: str) -> Nic:
        network: str | None = None
        backing = device.backing
        if isinstance(backing, vim.vm.device.VirtualEthernetCard.NetworkBackingInfo):
            network = backing.deviceName
        elif isinstance(backing, vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo):
            key = backing.port.portgroupKey
            groups = self._inventory.portgroups()
            network = next((n for n, moref in groups.items() if moref == key), key)
        connected = device.connectable.connected if device.connectable else True
        return Nic(index, mac, network, connected)


def reconfigure_privileges(spec: Any) -> list[str]:
    """What a change of NICs needs (source: vSphere API, VirtualMachineConfigSpec)."""
    needed = set()
    for change in spec.deviceChange or []:
        edit = change.operation == "edit"
        needed.add(f"VirtualMachine.Config.{'EditDevice' if edit else 'AddRemoveDevice'}")
        if change.operation != "remove" and change.device.backing:
            needed.add(rights.ASSIGN)
        if edit and change.device.connectable:
            needed.add("VirtualMachine.Interact.DeviceConnection")
    return sorted(needed)


def _no_host(host: Any) -> None:
    """The lab has no host that could be named."""
    if host is not None:
        raise wire.not_found(host)


def _descends(snap: Snapshot, ancestor: Snapshot) -> bool:
    parent = snap.parent
    return parent is not None and (parent is ancestor or _descends(parent, ancestor))
