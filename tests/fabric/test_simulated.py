"""The stand-in answers the product's connector as the real appliances do, as far as it goes."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from lab.fabric import provision
from lab.fabric.appliance_vm import ApplianceVm
from lab.fabric.provision import Access
from lab.fabric.simulated import SimulatedFabric
from lab.hypervisor import GuestAddress, Hypervisor, Vm
from lab.injected_faults import InjectedFaults
from partial_failover.connectors.appliance import Appliance
from partial_failover.contracts.appliance import ApplianceNetwork, ApplianceRole, TunnelState
from partial_failover.contracts.errors import AddressInUse, Misconfigured, NoRight, Unavailable
from tests.fabric.site import LAST, attempt, connect, lease


@dataclass
class Bench:
    fabric: SimulatedFabric
    tenant_side: Hypervisor
    provider_side: Hypervisor
    appliances: dict[str, Vm]
    access: dict[str, Access]
    original: Vm
    replica: Vm

    def appliance(self, role: str) -> Appliance:
        return connect(self.access[role])

    def networks(self, role: str) -> list[ApplianceNetwork]:
        spare, mac = f"192.168.10.{LAST[role]}", self.appliances[role].nics[1].mac
        text = {"subnet": "192.168.10.0/24", "gateway": "192.168.10.1", "spare": spare}
        return [ApplianceNetwork.model_validate({"name": "lan-a", "mac": mac, **text})]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    fabric = SimulatedFabric(tmp_path, InjectedFaults())
    fabric.start()
    sides = {"tenant": Hypervisor("acme", ["lan", "m"]), "provider": Hypervisor("provider", ["lan", "m"])}
    address = GuestAddress(0, IPv4Interface("192.168.10.50/24"))
    guests, appliances, access = {}, {}, {}
    for role, side in sides.items():
        fabric.attach(side, {"lan": f"{side.name}/lan", "m": f"{side.name}/m"})
        guests[role] = side.add_vm("erp", ["lan"], [address])
        management = GuestAddress(0, IPv4Interface("10.0.0.2/24"))
        appliances[role] = side.add_vm("extension", ["m", "lan"], [management], kind="appliance")
    for role, side in sides.items():
        vm = ApplianceVm(side, appliances[role], ApplianceRole(role), "acme", "worker", tmp_path / "key")
        access[role] = fabric.add_appliance(vm)
    yield Bench(
        fabric, sides["tenant"], sides["provider"], appliances, access, guests["tenant"], guests["provider"]
    )
    fabric.close()


async def test_a_failover_as_far_as_the_stand_in_goes(bench: Bench) -> None:
    tenant, provider = bench.appliance("tenant"), bench.appliance("provider")
    with pytest.raises(Unavailable):
        await tenant.status()
    bench.tenant_side.power_on(bench.appliances["tenant"])
    bench.provider_side.power_on(bench.appliances["provider"])
    prints = {
        "tenant": (await tenant.status()).fingerprint,
        "provider": (await provider.status()).fingerprint,
    }
    assert prints["tenant"] != prints["provider"]
    await provider.declare_networks(bench.networks("provider"), attempt())
    await tenant.declare_networks(bench.networks("tenant"), attempt())
    await tenant.connect_vpn("203.0.113.1", 6180, prints["provider"], attempt())
    assert (await tenant.status()).vpn.state is TunnelState.CONNECTING
    await provider.serve_vpn(prints["tenant"], attempt())
    assert (await tenant.status()).vpn.state is TunnelState.CONNECTED
    bench.tenant_side.power_on(bench.original)
    with pytest.raises(AddressInUse):
        await tenant.lease(lease(1), True, False, attempt())
    bench.tenant_side.power_off(bench.original)
    assert await tenant.lease(lease(1), True, False, attempt())
    assert await provider.lease(lease(1), True, False, attempt())
    assert not (await tenant.verify(lease(1).id, 0)).reachable
    bench.provider_side.power_on(bench.replica)
    assert (await tenant.verify(lease(1).id, 0)).reachable
    assert (await provider.verify(lease(1).id, 0)).reachable
    assert (await tenant.release(lease(1).id, True, attempt())).power_off
    bench.tenant_side.power_off(bench.appliances["tenant"])
    with pytest.raises(Unavailable):
        await tenant.status()
    bench.tenant_side.power_on(bench.appliances["tenant"])
    assert not (await tenant.status()).closing


async def test_only_the_pinned_keys_are_good(bench: Bench, tmp_path: Path) -> None:
    bench.tenant_side.power_on(bench.appliances["tenant"])
    access = bench.access["tenant"]
    provision.worker_key(tmp_path / "other")
    with pytest.raises(NoRight):
        await Appliance(access.host, access.port, access.host_key, tmp_path / "other").status()
    with pytest.raises(Misconfigured):
        host_key = bench.access["provider"].host_key
        await Appliance(access.host, access.port, host_key, access.key_file).status()


async def test_a_new_host_key_is_served_to_those_who_connect_then(bench: Bench) -> None:
    bench.tenant_side.power_on(bench.appliances["tenant"])
    tenant, access = bench.appliance("tenant"), bench.access["tenant"]
    key = await tenant.new_host_key(attempt())
    assert await tenant.use_host_key(key, attempt())
    with pytest.raises(Misconfigured):
        await tenant.status()
    await Appliance(access.host, access.port, key, access.key_file).status()
