"""One organization VDC at Cloud Director: all that one tenant's failovers may see and touch there."""

from collections.abc import Sequence

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director import networks, nics, power
from partial_failover.connectors.cloud_director.changes import Changer
from partial_failover.connectors.cloud_director.maintenance import Maintenance
from partial_failover.connectors.cloud_director.metadata_store import MetadataStore
from partial_failover.connectors.cloud_director.reader import VdcReader
from partial_failover.connectors.cloud_director.transport import Transport
from partial_failover.contracts.network import Network, Nic
from partial_failover.contracts.replica import CloudVm


class OrganizationVdc:
    """Used from many threads. What lies in another VDC is `NotFound`; all calls raise the errors of
    `contracts.errors` only.

    Calls with an `Attempt` change something: they look first, send at most once, wait for the task and
    verify; True means that it took something, False that it was so already. The provider's own session
    (`org="System"`) is needed for `moref`, `vcenter`, reloads, what is remembered and maintenance mode.
    """

    def __init__(self, transport: Transport, changer: Changer, org: str, name: str) -> None:
        self._reader = VdcReader(transport, org, name)
        self._changer = changer
        self.remembered = MetadataStore(self._reader, changer)
        self._maintenance = Maintenance(self._reader, changer, self.remembered)

    # Reading

    @property
    def id(self) -> str:
        """UUID, asked for once. `NotFound` when there is no such VDC."""
        return self._reader.id

    def vms(self) -> tuple[CloudVm, ...]:
        """All VMs; templates are none."""
        return self._reader.vms()

    def vm_named(self, name: str) -> CloudVm:
        """The VM of exactly this name. `BadRequest` when there are several."""
        return self._reader.vm_named(name)

    def vm(self, vm_id: str) -> CloudVm:
        """The VM with this UUID."""
        return self._reader.vm(vm_id)

    def settle(self, vm_id: str, attempt: Attempt) -> CloudVm:
        """The VM when no task runs on it: what it shows now stays so. `Expired` when the time ends first."""
        while (vm := self._reader.vm(vm_id)).busy:
            self._changer.wait_for(vm.busy, attempt)
        return vm

    def networks(self) -> tuple[Network, ...]:
        """All organization VDC networks with an IPv4 subnet that the VDC can use."""
        return networks.organization_networks(self._reader)

    def vapp_networks(self, vapp_id: str) -> tuple[str, ...]:
        """Names of the networks that are attached to the vApp."""
        return self._reader.vapp(vapp_id).networks

    def is_attached(self, vapp_id: str, network: Network) -> bool:
        """Whether the vApp's network of that name is this very one, bridged."""
        return networks.is_attached(self._reader, vapp_id, network)

    # Changing

    def power_on(self, vm_id: str, attempt: Attempt, resume: bool = False) -> bool:
        """Power the VM on through Cloud Director, which wires its networks."""
        return self._changer.carry_out(power.power_on(self._reader, vm_id, resume), attempt)

    def undeploy(self, vm_id: str, attempt: Attempt) -> bool:
        """Power the VM off hard and release what it holds."""
        return self._changer.carry_out(power.undeploy(self._reader, vm_id), attempt)

    def reload_from_vcenter(self, vm_id: str, attempt: Attempt) -> None:
        """Make Cloud Director read the VM anew from vCenter."""
        self._changer.carry_out(power.reload(self._reader, vm_id), attempt)

    def set_nics(self, vm_id: str, wanted: Sequence[Nic], attempt: Attempt) -> bool:
        """Give the VM exactly these NICs. The MAC of an index stays unless one is given.

        `LimitReached` above 10; `BadRequest` when a network is not attached to the vApp.
        """
        return self._changer.carry_out(nics.replace(self._reader, vm_id, wanted), attempt)

    def attach_networks(self, vapp_id: str, wanted: Sequence[Network], attempt: Attempt) -> bool:
        """Attach these organization VDC networks to the vApp, bridged; those that are there stay.

        `WrongState` where it has another network of that name.
        """
        return self._changer.carry_out(networks.attach(self._reader, vapp_id, wanted), attempt)

    def detach_networks(self, vapp_id: str, names: Sequence[str], attempt: Attempt) -> bool:
        """Take these networks out of the vApp. `WrongState` while a NIC is on one of them."""
        return self._changer.carry_out(networks.detach(self._reader, vapp_id, names), attempt)

    def hold_maintenance(self, vapp_id: str, owner: str, attempt: Attempt) -> bool:
        """Keep the tenant from changing the vApp for as long as `owner` needs it."""
        return self._maintenance.hold(vapp_id, owner, attempt)

    def release_maintenance(self, vapp_id: str, owner: str, attempt: Attempt) -> bool:
        """`owner` needs it no more. The mode ends with the last owner, unless it was on before the first."""
        return self._maintenance.release(vapp_id, owner, attempt)
