# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""`Summary` of a lab VM: what scripts read first. Call with the hypervisor's lock held."""

from typing import Any

from pyVmomi import vim

from lab.hypervisor import Vm, utc_now
from lab.vsphere import render


def summary(vm: Vm, portgroups: dict[str, str]) -> Any:
    """It repeats what the VM's other properties tell, without storage."""
    kind, info, guest = vim.vm.Summary, render.config(vm, portgroups), render.guest(vm)
    return kind(
        vm=vim.VirtualMachine(vm.moref),
        runtime=render.runtime(vm),
        guest=kind.GuestSummary(toolsRunningStatus=guest.toolsRunningStatus, ipAddress=guest.ipAddress),
        config=kind.ConfigSummary(
            name=info.name,
            template=info.template,
            vmPathName=info.files.vmPathName,
            memorySizeMB=info.hardware.memoryMB,
            numCpu=info.hardware.numCPU,
            numEthernetCards=len(vm.nics),
            numVirtualDisks=1,
            uuid=info.uuid,
            instanceUuid=info.instanceUuid,
            guestId=info.guestId,
            guestFullName=info.guestFullName,
            annotation=info.annotation,
        ),
        quickStats=kind.QuickStats(
            guestHeartbeatStatus=render.heartbeat(vm), uptimeSeconds=_seconds_since_on(vm)
        ),
        overallStatus="green",
    )


def _seconds_since_on(vm: Vm) -> int | None:
    if vm.power != "poweredOn" or vm.on_since is None:
        return None
    return int((utc_now() - vm.on_since).total_seconds())
