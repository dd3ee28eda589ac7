"""What tells a fabric of the power and the wiring of a hypervisor's VMs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lab.hypervisor import Hypervisor, Vm


class FollowsVms(Protocol):
    """A fabric, real or simulated. `networks`: port group to network key."""

    def power(self, vm: Vm, name: str, networks: Mapping[str, str]) -> None:
        """Follow a power change."""

    def rewire(self, vm: Vm, name: str, networks: Mapping[str, str]) -> None:
        """Follow a change of NICs."""


@dataclass
class Follower:
    """`lab.hypervisor.Listener` for one hypervisor."""

    fabric: FollowsVms
    hypervisor: Hypervisor
    networks: Mapping[str, str]

    def powered(self, vm: Vm) -> None:
        self.fabric.power(vm, f"{self.hypervisor.name}/{vm.name}", self.networks)

    def rewired(self, vm: Vm) -> None:
        self.fabric.rewire(vm, f"{self.hypervisor.name}/{vm.name}", self.networks)
