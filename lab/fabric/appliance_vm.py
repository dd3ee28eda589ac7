"""An appliance VM as a fabric is asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from lab.hypervisor import Hypervisor, Vm
from partial_failover.contracts.appliance import ApplianceRole


@dataclass(frozen=True)
class ApplianceVm:
    """Its first NIC is the management NIC, with the guest's address. `pair` names the two appliances of one
    tenant; `worker` is the host that may reach it, with `key_file` as its SSH key; `gateways` may reach its
    VPN server."""

    hypervisor: Hypervisor
    vm: Vm
    role: ApplianceRole
    pair: str
    worker: str
    key_file: Path
    gateways: Sequence[IPv4Address] = ()

    @property
    def name(self) -> str:
        """What the fabric calls it."""
        return f"{self.hypervisor.name}/{self.vm.name}"

    def disk(self, folder: Path) -> Path:
        """Its disk among those in `folder`."""
        return folder / f"disk-{self.vm.instance_uuid}"
