# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""A lab VM as vim data objects, only as wide as clients here need. Call with the hypervisor's lock held."""

import hashlib
import re
import uuid
from typing import Any

from pyVmomi import vim

from lab.hypervisor import Disk, Nic, Snapshot, Vm, utc_now

FIRST_NIC_KEY = 4000
DISK_KEY = 2000
CAPACITY_KB = 16 * 1024 * 1024


def escaped(name: str) -> str:
    """How names are written: `%`, `/`, `\\` as `%25`, `%2f`, `%5c` (source: vSphere API, ManagedEntity)."""
    return re.sub(r"[%/\\]", lambda match: f"%{ord(match[0]):02x}", name)


def bios_uuid(vm: Vm) -> str:
    """Another than the instance UUID, as on VMs under Cloud Director."""
    return str(uuid.uuid5(uuid.UUID(vm.instance_uuid), "bios"))


def change_version(vm: Vm) -> str:
    """Opaque, and another after every change of the configuration, powering on and reverts included."""
    seen = repr((vm.name, vm.nics, vm.disk.file, sorted(vm.extra_config.items()), vm.reverts))
    return hashlib.sha256(seen.encode()).hexdigest()[:20]


def config(vm: Vm, portgroups: dict[str, str]) -> Any:
    """`ConfigInfo` of the VM as it is now. `portgroups`: network name → MoRef."""
    return _config(vm, vm.nics, vm.disk, change_version(vm), portgroups)


def snapshot_config(vm: Vm, snap: Snapshot, portgroups: dict[str, str]) -> Any:
    """`ConfigInfo` as it was when the snapshot was taken."""
    return _config(vm, snap.nics, snap.disk, str(snap.number), portgroups)


def _config(vm: Vm, nics: tuple[Nic, ...], disk: Disk, version: str, portgroups: dict[str, str]) -> Any:
    devices = [nic_device(n, portgroups) for n in nics] + [disk_device(disk)]
    return vim.vm.ConfigInfo(
        changeVersion=version,
        modified=utc_now(),
        name=escaped(vm.name),
        guestFullName="Debian GNU/Linux 12 (64-bit)",
        version="vmx-19",
        uuid=bios_uuid(vm),
        instanceUuid=vm.instance_uuid,
        template=False,
        guestId="debian12_64Guest",
        alternateGuestName="",
        annotation="",
        files=vim.vm.FileInfo(vmPathName=f"[ds1] {vm.name}/{vm.name}.vmx"),
        flags=vim.vm.FlagInfo(),
        defaultPowerOps=vim.vm.DefaultPowerOpInfo(),
        extraConfig=[vim.option.OptionValue(key=k, value=v) for k, v in vm.extra_config.items()],
        hardware=vim.vm.VirtualHardware(numCPU=1, numCoresPerSocket=1, memoryMB=512, device=devices),
    )


def nic_device(nic: Nic, portgroups: dict[str, str]) -> Any:
    """A NIC on a distributed port group, as VMs under Cloud Director have them; unplugged without backing."""
    backing = None
    if nic.network is not None:
        port = vim.dvs.PortConnection(switchUuid="lab-switch", portgroupKey=portgroups[nic.network])
        backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    return vim.vm.device.VirtualVmxnet3(
        key=FIRST_NIC_KEY + nic.index,
        deviceInfo=vim.Description(label=f"Network adapter {nic.index + 1}", summary=nic.network or ""),
        backing=backing,
        macAddress=nic.mac,
        addressType="assigned",
        connectable=vim.vm.device.VirtualDevice.ConnectInfo(
            startConnected=nic.connected, allowGuestControl=True, connected=nic.connected
        ),
    )


def disk_device(disk: Disk) -> Any:
    """The VM's disk with its chain of files."""
    return vim.vm.device.VirtualDisk(
        key=DISK_KEY,
        deviceInfo=vim.Description(label="Hard disk 1", summary=f"{CAPACITY_KB} KB"),
        controllerKey=1000,
        unitNumber=0,
        capacityInKB=CAPACITY_KB,
        backing=_backing(disk),
    )


def _backing(disk: Disk) -> Any:
    return vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=disk.file,
        diskMode="persistent",
        thinProvisioned=True,
        parent=_backing(disk.parent) if disk.parent else None,
    )


def snapshot_info(vm: Vm, with_memory: set[str]) -> Any:
    """`SnapshotInfo`, unset on a VM without snapshots. `with_memory`: snapshots of a running VM's memory."""
    if not vm.snapshots:
        return None
    current = vim.vm.Snapshot(vm.current.moref) if vm.current else None
    return vim.vm.SnapshotInfo(
        currentSnapshot=current,
        rootSnapshotList=[_tree(vm, s, with_memory) for s in vm.snapshots if s.parent is None],
    )


def _tree(vm: Vm, snap: Snapshot, with_memory: set[str]) -> Any:
    return vim.vm.SnapshotTree(
        snapshot=vim.vm.Snapshot(snap.moref),
        vm=vim.VirtualMachine(vm.moref),
        name=escaped(snap.name),
        description=snap.description,
        id=snap.number,
        createTime=snap.created,
        state="poweredOn" if snap.moref in with_memory else "poweredOff",
        quiesced=False,
        replaySupported=False,
        childSnapshotList=[_tree(vm, s, with_memory) for s in vm.snapshots if s.parent is snap],
    )


def runtime(vm: Vm) -> Any:
    """`RuntimeInfo`."""
    return vim.vm.RuntimeInfo(
        connectionState="connected",
        powerState=vm.power,
        bootTime=vm.on_since if vm.power != "poweredOff" else None,
        question=_question(vm.question) if vm.question is not None else None,
        toolsInstallerMounted=False,
        numMksConnections=0,
        recordReplayState="inactive",
        faultToleranceState="notConfigured",
    )


def _question(text: str) -> Any:
    """A question to which somebody may answer "Retry" or "Cancel"."""
    choices = [
        vim.ElementDescription(key=str(n), label=word, summary=word)
        for n, word in enumerate(("Retry", "Cancel"))
    ]
    options = vim.option.ChoiceOption(choiceInfo=choices, defaultIndex=0)
    return vim.vm.QuestionInfo(id="1", text=text, choice=options)


def guest_up(vm: Vm) -> bool:
    """Whether the guest's tools run."""
    return vm.power == "poweredOn" and vm.boots


def heartbeat(vm: Vm) -> str:
    """Of the guest's tools."""
    return "green" if guest_up(vm) else "gray"


def guest(vm: Vm) -> Any:
    """`GuestInfo`: the guest comes up at once, if it does. Assumed: without a cable it tells no address."""
    up = guest_up(vm)
    cable = any(nic.connected and nic.network is not None for nic in vm.nics)
    return vim.vm.GuestInfo(
        toolsRunningStatus="guestToolsRunning" if up else "guestToolsNotRunning",
        guestState="running" if up else "notRunning",
        ipAddress=str(vm.guest[0].address.ip) if up and cable and vm.guest else None,
    )
