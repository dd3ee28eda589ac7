"""The steps that stories are made of, each with its checks."""

import asyncio
from dataclasses import dataclass

from lab.hypervisor import Disk
from lab.site import APPLIANCE
from lab.stories.context import HEALTHY, Figures, Running, StoryContext
from lab.stories.production import Production
from partial_failover.contracts.report import FailoverReport

Macs = dict[str, frozenset[str]]


@dataclass(frozen=True)
class Before:
    """How things were when the failovers began. `macs` is empty where there are no packets."""

    state: dict[str, object]
    macs: Macs


async def accident(context: StoryContext, *vms: str) -> Before:
    """Production talks to the VMs; then they are corrupted and off, and nobody answers for them."""
    packets = context.packets
    if packets is not None:
        for vm in vms:
            host = _speaker(context, packets, vm)
            answered = await packets.answers(context.site.host(host), packets.address(vm))
            context.check(f"{host} reaches the original {vm} at {packets.address(vm)}", answered)
    for vm in vms:
        context.corrupt(vm)
    if packets is None:
        return Before(context.centre.state(), {})
    all_silent = asyncio.gather(*(packets.silent(vm) for vm in vms))
    macs, silent = await asyncio.gather(packets.resolve(), all_silent)
    for vm, is_silent in zip(vms, silent, strict=True):
        context.check(f"nobody answers for {packets.address(vm)}", is_silent)
    single = all(len(owners) == 1 for owners in macs.values())
    context.check(f"production resolves each other: {len(macs)} pairs", single, macs)
    return Before(context.centre.state(), macs)


async def in_failover(context: StoryContext, running: Running) -> None:
    """Wait for Failover; replication is held, the replica is on and reads its restore point."""
    await context.until_failover(running)
    vm, replica = running.vm, context.centre.replica(running.vm)
    context.check(f"replication of {vm} is held", context.held(vm))
    context.check(f"the replica of {vm} is on", replica.power == "poweredOn", replica.power)
    read = replica.disk.read("orders")
    context.check(f"the replica of {vm} reads what its restore point holds", read == HEALTHY, repr(read))


async def talk(context: StoryContext, vm: str) -> None:
    """Real pings both ways, unchanged addresses; each side resolves the other to the appliance alone."""
    packets = context.packets
    if packets is None:
        return
    neighbour, address = _speaker(context, packets, vm), packets.address(vm)
    here, there = context.site.host(neighbour), context.centre.replica_host(vm)
    await packets.answers(here, address)
    pings, echoes, owners, others = await asyncio.gather(
        packets.pings(here, address),
        packets.pings(there, packets.address(neighbour)),
        packets.owners(here, address),
        packets.owners(there, packets.address(neighbour)),
    )
    context.check(f"production {neighbour} to the replica of {vm} at {address}: {pings}", pings.all_answered)
    context.check(f"the replica of {vm} to production {neighbour}: {echoes}", echoes.all_answered)
    interface, other = packets.tenant_interface(vm), packets.provider_interface(vm)
    context.check(
        f"only the tenant's appliance ({interface}) answers ARP for {address}",
        owners == {interface},
        sorted(owners),
    )
    text = f"only the provider's appliance ({other}) answers the replica for {packets.address(neighbour)}"
    context.check(text, others == {other}, sorted(others))


async def others_as_before(context: StoryContext, before: Before) -> None:
    """No production VM is resolved otherwise than before."""
    if context.packets is not None:
        now = await context.packets.resolve()
        changed = {
            pair: sorted(now.get(pair, ())) for pair in before.macs if now.get(pair) != before.macs[pair]
        }
        context.check("production resolves each other as before", not changed, changed)


def write(context: StoryContext, vm: str) -> Disk:
    """The replica writes: into the delta of its restore point, which itself stays as it was."""
    replica = context.centre.replica(vm)
    replica.write("orders", "4001")
    delta, point = replica.disk, max(replica.snapshots, key=lambda s: s.created)
    landed = delta.data.get("orders") == "4001" and delta.parent is point.disk
    context.check(
        f"what the replica of {vm} writes goes to the delta of {point.name} ({delta.file})",
        landed,
        delta.data,
    )
    read = point.disk.read("orders")
    context.check(f"{point.name} itself is as it was", read == HEALTHY, repr(read))
    return delta


async def undone(context: StoryContext, running: Running, delta: Disk) -> FailoverReport:
    """The tenant sends undo; the replica is Normal and off, its delta gone, replication released."""
    report = await context.undo(running)
    vm, replica = running.vm, context.centre.replica(running.vm)
    context.check(f"the replica of {vm} is Normal", report.state == "Normal", report.state)
    context.check(f"the replica of {vm} is off", replica.power == "poweredOff", replica.power)
    gone = delta not in replica.disk.chain() and not replica.disk.data
    context.check(f"the delta of {vm} is gone ({delta.file})", gone, replica.disk.data)
    context.check(f"replication of {vm} is released", not context.held(vm))
    context.check(f"nothing of {vm} is left over", not report.left_over, "; ".join(report.left_over))
    if context.packets is not None:
        await asyncio.to_thread(context.packets.fabric.settle)
        context.check(
            f"the ping to {context.packets.address(vm)} is unanswered", await context.packets.silent(vm)
        )
    return report


def appliances(context: StoryContext, power: str) -> None:
    """Both are on, or both are off."""
    there = context.centre.provider.find(f"{context.site.tenant.name}-{APPLIANCE}")
    powers = [context.site.vm(APPLIANCE).power, there.power if there else "missing"]
    word = "on" if power == "poweredOn" else "off"
    context.check(f"both appliances are {word}", powers == [power, power], powers)


async def all_as_before(context: StoryContext, before: Before) -> None:
    """The end: everything is as it was when the failovers began."""
    appliances(context, "poweredOff")
    await others_as_before(context, before)
    left = context.differences(before.state)
    text = "power, NICs, metadata, networks, exclusions, restore points and disks are as before"
    context.check(text, not left, ", ".join(left))


def figures(context: StoryContext, reports: list[FailoverReport]) -> Figures:
    """Of the slowest failover each. Without packets nothing was really reached."""
    reached = [r.time_to_reachable_s for r in reports] if context.packets else []
    return Figures(
        "Failover, then " + " and ".join(sorted({r.state.value for r in reports})),
        _slowest([r.time_to_power_on_s for r in reports]),
        _slowest(reached),
        _slowest([r.time_to_undo_s for r in reports]),
    )


def _slowest(seconds: list[float | None]) -> float | None:
    return max((s for s in seconds if s is not None), default=None)


def _speaker(context: StoryContext, packets: Production, vm: str) -> str:
    """Who talks to the VM: the first of its network that has no replica, so is never failed over."""
    return next(m.name for m in packets.neighbours(vm) if not m.replicated)
