"""The tenants of the lab's Cloud Director: how they are built and looked up."""

import threading
import time
import uuid
from collections.abc import Sequence
from ipaddress import IPv4Interface
from typing import Any

from lab import hypervisor
from lab.cloud_director.model import (
    ALL_RIGHTS,
    ON,
    SYSTEM,
    CloudNic,
    Entity,
    NicSpec,
    Org,
    OrgNetwork,
    Principal,
    VApp,
    VAppNetwork,
    Vdc,
    VdcGroup,
    Vm,
    forbidden,
)
from partial_failover.contracts.network import AllocationMode


def new_id() -> str:
    """A UUID, as in hrefs."""
    return str(uuid.uuid4())


def org_id(name: str) -> str:
    """UUID of the organization of that name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


class World:
    """All that Cloud Director keeps. `lock` guards it; effects on the hypervisor are made outside of it."""

    def __init__(self, machines: hypervisor.Hypervisor) -> None:
        self.machines = machines
        self.lock = threading.RLock()
        self.vcenter_id = new_id()
        self.orgs = [Org(org_id(SYSTEM), SYSTEM)]
        self.vdcs: list[Vdc] = []
        self.networks: list[OrgNetwork] = []
        self.vapps: list[VApp] = []
        self.api_tokens: dict[str, Principal] = {}
        self.rotating: set[str] = set()
        """The API tokens that are good for one use."""
        self.lags: dict[str, float] = {}
        """Seconds for which an effect is not seen yet after its task has succeeded, by the attribute of a VM
        or vApp that it changes: status, deployed, nics, networks, metadata."""

    @property
    def power_lag(self) -> float:
        """The same for the power state of all VMs."""
        return self.lags.get("status", 0.0)

    @power_lag.setter
    def power_lag(self, seconds: float) -> None:
        self.lags |= {"status": seconds, "deployed": seconds}

    def change(self, entity: Entity, **attributes: Any) -> None:
        """Change attributes of a VM or vApp, which may be seen late. Any: theirs."""
        for name, value in attributes.items():
            lag = self.lags.get(name, 0.0)
            entity.late[name] = (entity.seen(name), time.monotonic() + lag)
            setattr(entity, name, value)

    @property
    def vms(self) -> list[Vm]:
        """All VMs, those of templates included."""
        return [vm for vapp in self.vapps for vm in vapp.vms]

    def add_org(self, name: str) -> Org:
        """A new tenant."""
        with self.lock:
            self.orgs.append(Org(org_id(name), name))
            return self.orgs[-1]

    def add_vdc(self, org: Org, name: str) -> Vdc:
        """A new organization VDC."""
        with self.lock:
            self.vdcs.append(Vdc(new_id(), name, org))
            return self.vdcs[-1]

    def add_network(self, vdc: Vdc, name: str, gateway: IPv4Interface, type: str = "ISOLATED") -> OrgNetwork:
        """A new organization VDC network, with a port group of its own at the hypervisor.

        `gateway`: with the prefix, as 192.168.10.1/24.
        """
        with self.lock:
            port_group = self._port_group(vdc, name)
            self.networks.append(OrgNetwork(new_id(), name, vdc, gateway, type, port_group))
            return self.networks[-1]

    def share(self, network: OrgNetwork, group: str, vdcs: Sequence[Vdc]) -> VdcGroup:
        """Make a network one of a new VDC group, as `IncreaseScope` does: the group owns it from then on."""
        with self.lock:
            network.group = VdcGroup(new_id(), group, (network.vdc, *vdcs))
            return network.group

    def add_vapp_network(
        self, vapp: VApp, name: str, gateway: IPv4Interface, parent: OrgNetwork | None = None
    ) -> VAppNetwork:
        """A new network of the vApp alone, routed to `parent` by NAT where one is given. It may have its
        parent's name, as the networks of a fenced vApp do."""
        with self.lock:
            network = VAppNetwork(name, gateway, self._port_group(vapp.vdc, name), parent)
            vapp.networks.append(network)
            return network

    def _port_group(self, vdc: Vdc, name: str) -> str:
        with self.machines.lock:
            port_group = name if name not in self.machines.networks else f"{vdc.org.name}-{name}"
            if port_group in self.machines.networks:
                port_group = f"{port_group}-{new_id()[:8]}"
            self.machines.networks.add(port_group)
            return port_group

    def add_vapp(self, vdc: Vdc, name: str, template: bool = False) -> VApp:
        """A new, empty vApp."""
        with self.lock:
            self.vapps.append(VApp(new_id(), name, vdc, template))
            return self.vapps[-1]

    def add_standalone_vm(self, vdc: Vdc, machine: hypervisor.Vm, nics: Sequence[NicSpec] = ()) -> Vm:
        """The same without a vApp that anybody sees: Cloud Director makes one (its name is inferred)."""
        vapp = self.add_vapp(vdc, f"{machine.name}-{new_id()}")
        vapp.auto = True
        return self.add_vm(vapp, machine, nics)

    def add_vm(self, vapp: VApp, machine: hypervisor.Vm, nics: Sequence[NicSpec] = ()) -> Vm:
        """A hypervisor's VM becomes Cloud Director's; its networks are attached to the vApp.

        The hypervisor's own NICs stay as they are: build them on the networks' port groups.
        """
        with self.lock:
            vm = Vm(new_id(), machine.name, vapp, machine)
            macs = {nic.index: nic.mac for nic in machine.nics}
            for index, spec in enumerate(nics):
                if spec.network is not None and spec.network not in {n.name for n in vapp.networks}:
                    vapp.networks.append(self.network_of(vapp.vdc, spec.network))
                mac = macs.get(index) or self.machines.new_mac()
                plugged = spec.network is not None
                second = AllocationMode.MANUAL if spec.secondary else AllocationMode.NONE
                vm.nics.append(
                    CloudNic(
                        index,
                        spec.network,
                        mac,
                        spec.mode,
                        spec.address,
                        plugged,
                        secondary=spec.secondary,
                        secondary_mode=second,
                    )
                )
            if machine.power == "poweredOn":
                vm.status, vm.deployed = ON, True
            vapp.vms.append(vm)
            return vm

    def api_token(
        self, user: str, org: str = SYSTEM, rights: frozenset[str] = ALL_RIGHTS, rotates: bool = False
    ) -> str:
        """A new API token. The organization "System" makes it a provider's. `rotates`: a service account's,
        good for one use."""
        token = uuid.uuid4().hex
        with self.lock:
            self.api_tokens[token] = Principal(user, org, rights)
            if rotates:
                self.rotating.add(token)
        return token

    def use_api_token(self, token: str) -> str | None:
        """The token that is good from now on, where this one was for one use."""
        with self.lock:
            if token not in self.rotating:
                return None
            who = self.api_tokens.pop(token)
            return self.api_token(who.user, who.org, who.rights, rotates=True)

    def vm(self, name: str) -> Vm:
        """The first VM of that name, for tests and the lab's control."""
        with self.lock:
            return next(vm for vm in self.vms if vm.name == name)

    def vapp(self, name: str) -> VApp:
        """The first vApp of that name."""
        with self.lock:
            return next(vapp for vapp in self.vapps if vapp.name == name)

    def network_of(self, vdc: Vdc, name: str) -> OrgNetwork:
        """A network that the VDC can use."""
        return next(n for n in self.usable_in(vdc) if n.name == name)

    def usable_in(self, vdc: Vdc) -> list[OrgNetwork]:
        """Its own networks, and those of its VDC groups."""
        return [n for n in self.networks if vdc in n.vdcs]

    def entity(self, ref: str, principal: Principal) -> Entity:
        """By the last part of its href. What a tenant may not see is refused as what does not exist."""
        for vapp in self.vapps:
            entities: list[Entity] = [vapp, *vapp.vms]
            for entity in entities:
                if entity.ref == ref and sees(principal, vapp.vdc.org):
                    return entity
        raise forbidden(
            "Either you need some or all of the following rights [Base] to perform operations "
            f"[VAPP_VIEW] for {ref} or the target entity is invalid."
        )


def sees(principal: Principal, org: Org) -> bool:
    """Whether somebody may see what belongs to a tenant."""
    return principal.provider or principal.org == org.name


def vapp_of(entity: Entity) -> VApp:
    """The vApp that an entity is or is in."""
    return entity if isinstance(entity, VApp) else entity.vapp
