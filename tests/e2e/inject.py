"""Faults that are injected at the provider or at a tenant's site, each for as long as a `with` lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface
from typing import Any  # Any: any field of a NIC

from lab.cloud_director.model import OFF, ON, CloudNic, MetadataValue
from lab.data_centre import SUFFIX, DataCentre
from lab.injected_faults import FaultKind, FaultRule
from lab.site import APPLIANCE
from partial_failover.contracts.network import AllocationMode
from partial_failover.contracts.replica import Marker, ReplicaState

MARKER = ("SYSTEM", "partial-failover.marker")


@contextmanager
def nothing(centre: DataCentre) -> Iterator[None]:
    """All is well; what is wrong is in the request."""
    yield


@contextmanager
def ten_networks(centre: DataCentre) -> Iterator[None]:
    """Eight organization VDC networks more for acme, which has two."""
    world = centre.cloud.world
    vdc = next(v for v in world.vdcs if v.name == "acme-vdc")
    made = [
        centre.cloud.add_network(vdc, f"acme-more-{n}", IPv4Interface(f"10.77.{n}.1/24")) for n in range(8)
    ]
    try:
        yield
    finally:
        for network in made:
            world.networks.remove(network)
            world.machines.networks.remove(network.port_group)


@contextmanager
def _first_nic(centre: DataCentre, vm: str, **change: Any) -> Iterator[None]:
    cloud = centre.cloud.vm(vm + SUFFIX)
    before = list(cloud.nics)
    cloud.nics[0] = replace(before[0], **change)
    try:
        yield
    finally:
        cloud.nics = before


def dhcp(centre: DataCentre, vm: str = "erp-db-01") -> Any:
    """The replica's NIC has no static address."""
    return _first_nic(centre, vm, mode=AllocationMode.DHCP, address=None)


def outside(centre: DataCentre) -> Any:
    """The replica's address does not belong to its network."""
    return _first_nic(centre, "erp-db-01", address=IPv4Address("172.16.0.9"))


def at(address: str) -> Any:
    """The replica has this address, whose it may not be."""

    def inject(centre: DataCentre) -> Any:
        return _first_nic(centre, "erp-db-01", address=IPv4Address(address))

    inject.__name__ = f"at {address}"
    return inject


def with_router(network: str, router: str) -> Any:
    """A network is not what it was when the appliances' addresses were chosen."""

    @contextmanager
    def inject(centre: DataCentre) -> Iterator[None]:
        found = next(n for n in centre.cloud.world.networks if n.name == network)
        before, found.gateway = found.gateway, IPv4Interface(router)
        try:
            yield
        finally:
            found.gateway = before

    inject.__name__ = f"{network} {router}".replace("/", " ")
    return inject


@contextmanager
def appliance_full(centre: DataCentre) -> Iterator[None]:
    """All ten NICs of the provider's appliance are taken."""
    cloud = centre.cloud.vm(f"acme-{APPLIANCE}")
    before = list(cloud.nics)
    cloud.nics += [CloudNic(i, None, f"00:50:56:77:00:0{i}", connected=False) for i in range(1, 10)]
    try:
        yield
    finally:
        cloud.nics = before


@contextmanager
def management_renamed(centre: DataCentre) -> Iterator[None]:
    """The management network has another name than the worker's settings say."""
    network = next(n for n in centre.cloud.world.networks if n.name == "acme-management")
    cloud = centre.cloud.vm(f"acme-{APPLIANCE}")
    before = list(cloud.nics)
    network.name = "acme-mgmt"
    cloud.nics[0] = replace(before[0], network=network.name)
    try:
        yield
    finally:
        network.name, cloud.nics = "acme-management", before


def unplugged(centre: DataCentre) -> Any:
    """The replica's only NIC is not connected."""
    return _first_nic(centre, "erp-db-01", network=None, connected=False)


@contextmanager
def original_runs(centre: DataCentre, vm: str = "erp-db-01") -> Iterator[None]:
    """The original is on, as if nothing had happened to it."""
    site = next(s for s in centre.sites.values() if s.hypervisor.find(vm))
    site.hypervisor.power_on(site.vm(vm))
    try:
        yield
    finally:
        site.hypervisor.power_off(site.vm(vm))


@contextmanager
def away(centre: DataCentre, endpoint: str) -> Iterator[None]:
    """It refuses everything."""
    rule = FaultRule(endpoint, "*", FaultKind.REFUSE, times=1_000_000)
    centre.faults.add(rule)
    try:
        yield
    finally:
        centre.faults.rules.remove(rule)


def vcenter_away(centre: DataCentre, tenant: str = "initech") -> Any:
    """The vCenter at a tenant's site, or the "provider"'s, does not answer."""
    return away(centre, f"{tenant}-vcenter")


def backup_away(centre: DataCentre) -> Any:
    """The backup server at acme's site does not answer."""
    return away(centre, "acme-veeam")


@contextmanager
def replica_twice(centre: DataCentre) -> Iterator[None]:
    """Two VMs of the organization VDC have the replica's name."""
    name = "erp-db-01" + SUFFIX
    vapp, machine = centre.cloud.vm(name).vapp, centre.provider.add_vm("another", [])
    other = centre.cloud.add_vm(vapp, machine)
    other.name = name
    try:
        yield
    finally:
        vapp.vms.remove(other)
        del centre.provider.vms[machine.moref]


@contextmanager
def named_twice(centre: DataCentre, tenant: str = "initech", vm: str = "tps-01") -> Iterator[None]:
    """Two VMs at the tenant's site have the original's name."""
    hypervisor = centre.sites[tenant].hypervisor
    other = hypervisor.add_vm(vm, [])
    try:
        yield
    finally:
        del hypervisor.vms[other.moref]


@contextmanager
def replica_on(centre: DataCentre) -> Iterator[None]:
    """Somebody switched the replica on in Cloud Director."""
    vm, cloud = centre.replica("erp-db-01"), centre.cloud.vm("erp-db-01" + SUFFIX)
    centre.provider.power_on(vm)
    cloud.status, cloud.deployed = ON, True
    try:
        yield
    finally:
        centre.provider.power_off(vm)
        cloud.status, cloud.deployed = OFF, False


@contextmanager
def marked(centre: DataCentre) -> Iterator[None]:
    """A failover that nobody knows any more has left its marker."""
    marker = Marker(
        state=ReplicaState.FAILOVER, workflow_id="fo-yesterday", run_id="gone", since=datetime.now(UTC)
    )
    cloud = centre.cloud.vm("erp-db-01" + SUFFIX)
    cloud.metadata[MARKER] = MetadataValue(marker.model_dump_json(), "PRIVATE")
    try:
        yield
    finally:
        cloud.metadata.pop(MARKER, None)


@contextmanager
def unreadable_marker(centre: DataCentre) -> Iterator[None]:
    """Something else is where the marker should be."""
    cloud = centre.cloud.vm("erp-db-01" + SUFFIX)
    cloud.metadata[MARKER] = MetadataValue("<b>what?</b>", "PRIVATE")
    try:
        yield
    finally:
        cloud.metadata.pop(MARKER, None)


@contextmanager
def elsewhere(centre: DataCentre, vm: str = "erp-db-01") -> Iterator[None]:
    """The replica runs in a vCenter that the worker knows nothing of."""
    cloud = centre.cloud.vm(vm + SUFFIX)
    cloud.elsewhere = "5b0f3a5e-0000-4000-8000-00000000000e"
    try:
        yield
    finally:
        cloud.elsewhere = None


@contextmanager
def not_replicated(centre: DataCentre, vm: str = "erp-db-01") -> Iterator[None]:
    """No job of the backup server has the VM."""
    jobs = centre.sites["acme"].backup.replication.jobs.values()
    before = {job.id: job.vms for job in jobs}
    for job in jobs:
        job.vms = tuple(pair for pair in job.vms if pair[0].name != vm)
    try:
        yield
    finally:
        for job in jobs:
            job.vms = before[job.id]


@contextmanager
def without_right(centre: DataCentre, right: str) -> Iterator[None]:
    """The worker's account has lost a right in Cloud Director."""
    world, api = centre.cloud.world, centre.cloud.api
    tokens = dict(world.api_tokens)
    for token, who in tokens.items():
        world.api_tokens[token] = replace(who, rights=who.rights - {right})
    for session, (who, ends) in list(api.sessions.items()):
        api.sessions[session] = (replace(who, rights=who.rights - {right}), ends)
    try:
        yield
    finally:
        world.api_tokens.update(tokens)
        for session, (who, ends) in list(api.sessions.items()):
            api.sessions[session] = (replace(who, rights=who.rights | {right}), ends)
