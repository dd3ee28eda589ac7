"""What changes something: checked in the request, done by a task.

Assumed, not documented: a VM's links vanish and its writes are refused while it or its vApp is busy; the
provider may power on in maintenance mode; a metadata write makes its entity busy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from lab import hypervisor
from lab.cloud_director import model, strict
from lab.cloud_director.model import (
    ASKING,
    OFF,
    ON,
    SUSPENDED,
    Address,
    AnyNetwork,
    CloudNic,
    Entity,
    Principal,
    Task,
    TaskError,
    VApp,
    Vm,
    bad,
    forbidden,
)
from lab.cloud_director.tasks import Tasks
from lab.cloud_director.world import World, vapp_of
from partial_failover.contracts.network import AllocationMode


@dataclass(frozen=True)
class Actions:
    """All mutations. `call` is the name that faults go by."""

    world: World
    tasks: Tasks

    def _start(
        self,
        call: str,
        operation: str,
        entity: Entity,
        who: Principal,
        right: str,
        effect: Callable[[Task], None],
    ) -> Task:
        """Refuse without the right, in maintenance mode, or while busy; then start the task."""
        if right not in who.rights:
            raise forbidden(f"You need some or all of the following rights [{right}]")
        if vapp_of(entity).maintenance and not who.provider:
            raise forbidden(f"{vapp_of(entity).name} is in maintenance mode")
        self.tasks.refuse_if_busy(entity)
        return self.tasks.start(call, operation, entity, who, effect)

    # Power

    def power_on(self, vm: Vm, who: Principal) -> Task:
        """Only when it is off or suspended. One that is off may ask a question first."""
        if vm.status not in (OFF, SUSPENDED):
            raise bad(f"The requested operation could not be executed since {vm.name} is not powered off")

        def effect(task: Task) -> None:
            if vm.status == OFF:
                self.push(vm)
            if vm.asks is not None:
                self._ask(vm, task)
            self.world.machines.power_on(vm.machine)
            self.world.change(vm, status=ON, deployed=True)

        return self._start("POST powerOn", "vappPowerOn", vm, who, model.POWER_RIGHT, effect)

    def _ask(self, vm: Vm, task: Task) -> None:
        question = vm.asks
        assert question is not None
        vm.answered.clear()
        vm.status = ASKING
        while not vm.answered.wait(0.02):
            if task.cancel.is_set():
                vm.status = OFF
                raise TaskError("cancelled while the VM waited for an answer")
        vm.asks, vm.status = None, OFF
        if vm.answers[-1] != question.go_on:
            raise TaskError(f"The question was answered {vm.answers[-1]}")

    def answer(self, vm: Vm, body: bytes, who: Principal) -> None:
        """Of the question that it asks now."""
        if model.POWER_RIGHT not in who.rights or vm.status != ASKING or vm.asks is None:
            raise forbidden("No access to the question")
        children = strict.in_order(strict.document(body, "VmQuestionAnswer"), ("ChoiceId", "QuestionId"))
        choice = strict.text_of(children, "ChoiceId")
        if not choice.isdecimal() or int(choice) >= len(vm.asks.choices):
            raise bad(f"The choice {choice} is not valid")
        vm.answers.append(vm.asks.choices[int(choice)])
        vm.answered.set()

    def power_off(self, vm: Vm, who: Principal) -> Task:
        """Only when it is on. It stays deployed."""
        if vm.status != ON:
            raise bad(f"The requested operation could not be executed since {vm.name} is not powered on")

        def effect(_: Task) -> None:
            self.world.machines.power_off(vm.machine)
            self.world.change(vm, status=OFF)

        return self._start("POST powerOff", "vappPowerOff", vm, who, model.POWER_RIGHT, effect)

    def suspend(self, vm: Vm, who: Principal) -> Task:
        """Only when it is on: by a person, or by the vApp's runtime lease at its end."""
        if vm.status != ON:
            raise bad(f"The requested operation could not be executed since {vm.name} is not powered on")

        def effect(_: Task) -> None:
            self.world.machines.suspend(vm.machine)
            vm.status = SUSPENDED

        return self._start("POST suspend", "vappSuspend", vm, who, model.POWER_RIGHT, effect)

    def discard_suspended_state(self, vm: Vm, who: Principal) -> Task:
        """Only when it is suspended: off, and what the memory held is lost."""
        if vm.status != SUSPENDED:
            raise bad(f"The requested operation could not be executed since {vm.name} is not suspended")

        def effect(_: Task) -> None:
            self.world.machines.power_off(vm.machine)
            vm.status, vm.deployed = OFF, False

        call, operation = "POST discardSuspendedState", "vappDiscardSuspendedState"
        return self._start(call, operation, vm, who, model.POWER_RIGHT, effect)

    def undeploy(self, vm: Vm, body: bytes, who: Principal) -> Task:
        """Power off, and give back what it holds."""
        children = strict.in_order(strict.document(body, "UndeployVAppParams"), ("UndeployPowerAction",))
        if strict.text_of(children, "UndeployPowerAction") not in ("powerOff", "default"):
            raise bad("The lab undeploys with powerOff only")
        if not vm.deployed:
            raise bad(f"The requested operation could not be executed since {vm.name} is not deployed")

        def effect(_: Task) -> None:
            if vm.status in (ON, SUSPENDED):
                self.world.machines.power_off(vm.machine)
            self.world.change(vm, status=OFF, deployed=False)

        return self._start("POST undeploy", "vappUndeployPowerOff", vm, who, model.POWER_RIGHT, effect)

    def reload(self, vm: Vm, who: Principal) -> Task:
        """Take over power and NICs from the hypervisor. What it does not know there is unplugged."""
        if not who.provider:
            raise forbidden("Only a system administrator can reload a VM")

        def effect(_: Task) -> None:
            vm.late.clear()
            names = {n.port_group: n.name for n in vm.vapp.networks}
            old = {nic.mac: nic for nic in vm.nics}
            vm.nics = [_taken_over(nic, names, old) for nic in vm.machine.nics]
            vm.primary = vm.nics[0].index if vm.nics else 0
            states = {"poweredOn": ON, "poweredOff": OFF, "suspended": SUSPENDED}
            vm.status = states[vm.machine.power]

        return self._start("POST reloadFromVc", "vappReloadFromVc", vm, who, model.EDIT_RIGHT, effect)

    def create_snapshot(self, vm: Vm, who: Principal) -> Task:
        """The hazard: it removes all snapshots that are there, so a replica loses its restore points."""

        def effect(_: Task) -> None:
            with self.world.machines.lock:
                vm.machine.snapshots.clear()
                vm.machine.current = None
            self.world.machines.snapshot(vm.machine, "user-snapshot")

        return self._start("POST createSnapshot", "vappCreateSnapshot", vm, who, model.SNAPSHOT_RIGHT, effect)

    def maintenance(self, vapp: VApp, on: bool, who: Principal) -> None:
        """For a system administrator only; tasks that run go on."""
        if not who.provider:
            raise forbidden("Only a system administrator can change the maintenance mode")
        vapp.maintenance = on

    # Networks

    def push(self, vm: Vm) -> None:
        """Wire the hypervisor's VM as Cloud Director's section says."""
        groups = {n.name: n.port_group for n in vm.vapp.networks}
        self.world.machines.set_nics(
            vm.machine,
            [hypervisor.Nic(n.index, n.mac, groups.get(n.network or ""), n.connected) for n in vm.nics],
        )

    def set_configs(self, vapp: VApp, body: bytes, who: Principal) -> Task:
        """Replace the vApp's networks as a whole. Not those of a stand-alone VM's vApp (inferred)."""
        if vapp.auto:
            raise bad(f"The networks of {vapp.name}, which belongs to a stand-alone VM, cannot be changed")
        wanted = strict.configs(body, self.world.usable_in(vapp.vdc), vapp.networks)
        names = {n.name for n in wanted}
        for vm in vapp.vms:
            if any(n.network is not None and n.network not in names for n in vm.nics):
                raise bad(f"A network that {vm.name} uses cannot be removed")

        def effect(_: Task) -> None:
            self.world.change(vapp, networks=wanted)

        call = "PUT networkConfigSection"
        return self._start(call, "vdcUpdateVappNetworkSection", vapp, who, model.NETWORK_RIGHT, effect)

    def set_connections(self, vm: Vm, body: bytes, who: Principal) -> Task:
        """Replace the VM's NICs as a whole; addresses are given out by the task.

        A stand-alone VM names organization VDC networks, and its vApp has those that it names: attached and
        detached by Cloud Director (inferred from clients, which attach none).
        """
        vapp = vm.vapp
        usable: Sequence[AnyNetwork] = self.world.usable_in(vapp.vdc) if vapp.auto else vapp.networks
        primary, wanted = strict.connections(body, usable)
        named = {nic.network for nic in wanted}

        def effect(_: Task) -> None:
            with self.world.lock:
                nics = [self._settled(vm, nic, usable) for nic in wanted]
                if vapp.auto:
                    self.world.change(vapp, networks=[n for n in usable if n.name in named])
                self.world.change(vm, nics=nics)
                vm.primary = primary
            self.push(vm)

        call = "PUT networkConnectionSection"
        return self._start(call, "vappUpdateVm", vm, who, model.NETWORK_RIGHT, effect)

    def _settled(self, vm: Vm, nic: CloudNic, usable: Sequence[AnyNetwork]) -> CloudNic:
        """With a MAC, and with an address that nobody else of the VDC has."""
        mac = nic.mac or self.world.machines.new_mac()
        if nic.network is None or nic.mode not in (AllocationMode.POOL, AllocationMode.MANUAL):
            return replace(nic, mac=mac, address=None)
        if isinstance(nic.address, IPv6Address):  # the lab's networks have no IPv6 subnet to be outside of
            return replace(nic, mac=mac)
        network = next(n for n in usable if n.name == nic.network)
        taken = {
            other.address
            for other_vm in self.world.vms
            if other_vm is not vm
            for other in other_vm.nics
            if other.network is not None and other_vm.vapp.network(other.network) is network
        }
        gateway = network.gateway
        address = nic.address or _free(gateway.network.hosts(), taken | {gateway.ip})
        if address in taken or address not in gateway.network:
            raise TaskError(f"The IP address {address} is in use or outside of {nic.network}")
        return replace(nic, mac=mac, address=address)

    # Metadata

    def set_metadata(self, entity: Entity, body: bytes, who: Principal) -> Task:
        """Merge entries; a tenant writes GENERAL only."""
        entries = strict.metadata(body)
        if not who.provider and any(domain == "SYSTEM" for domain, _ in entries):
            raise forbidden("Only a system administrator can write metadata of the SYSTEM domain")

        def effect(_: Task) -> None:
            self.world.change(entity, metadata={**entity.metadata, **entries})

        return self._start("POST metadata", "metadataUpdate", entity, who, model.METADATA_RIGHT, effect)

    def delete_metadata(self, entity: Entity, domain: str, key: str, who: Principal) -> Task:
        """One entry; 403 when it is not there."""
        if (domain, key) not in entity.metadata or (domain == "SYSTEM" and not who.provider):
            raise forbidden(f"No access to entity (com.vmware.vcloud.entity.metadata:{key})")

        def effect(_: Task) -> None:
            left = {where: value for where, value in entity.metadata.items() if where != (domain, key)}
            self.world.change(entity, metadata=left)

        return self._start("DELETE metadata", "metadataDelete", entity, who, model.METADATA_RIGHT, effect)


def _taken_over(nic: hypervisor.Nic, names: dict[str, str], old: dict[str, CloudNic]) -> CloudNic:
    network = names.get(nic.network or "")
    known = old.get(nic.mac)
    if network is None:
        return CloudNic(nic.index, None, nic.mac, connected=False)
    if known is not None and known.network == network:
        return replace(known, index=nic.index, connected=nic.connected)
    return CloudNic(nic.index, network, nic.mac, connected=nic.connected)


def _free(hosts: Iterator[IPv4Address], taken: set[Address | None]) -> IPv4Address:
    for address in hosts:
        if address not in taken:
            return address
    raise TaskError("The static IP pool is exhausted")
