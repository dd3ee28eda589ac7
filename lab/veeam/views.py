"""The backup server's things as JSON, spelled as each revision of the API spells them."""

from collections.abc import Sequence
from typing import Any

from lab.hypervisor import Vm
from lab.veeam.replication import Cycle, Exclusion, Job, Task

View = dict[str, Any]
"""A JSON object; its values are of any JSON type."""


def casing(word: str, version: str) -> str:
    """Enum values of jobs and logins are capitalised from 1.3-rev1 on."""
    return word.lower() if version == "1.3-rev0" else word


def page(items: Sequence[View], skip: int, limit: int) -> View:
    """One page of a list."""
    part = list(items[skip : skip + limit])
    return {
        "data": part,
        "pagination": {"total": len(items), "count": len(part), "skip": skip, "limit": limit},
    }


def inventory_object(host: str, name: str, object_id: str) -> View:
    """A `VmwareObjectModel` of a VM."""
    return {
        "platform": "VSphere",
        "size": "40 GB",
        "hostName": host,
        "name": name,
        "type": "VirtualMachine",
        "objectId": object_id,
        "urn": f"vc:vm;name={name}",
        "isEnabled": True,
        "metadata": [],
    }


def job_view(job: Job, host: str) -> View:
    """A `VSphereReplicaJobModel`, with the parts that clients of the lab read."""

    def include(original: Vm) -> View:
        return inventory_object(host, original.name, original.moref)

    return {
        **brief_job_view(job),
        "virtualMachines": {
            "includes": [include(original) for original, _ in job.vms],
            "excludes": {"vms": [], "disks": []},
        },
        "destination": {},
        "schedule": {"runAutomatically": True},
    }


def brief_job_view(job: Job) -> View:
    """A `JobModel`, the base of all jobs."""
    return {
        "id": str(job.id),
        "name": job.name,
        "type": "VSphereReplica",
        "isDisabled": False,
        "description": "",
    }


def job_state_view(job: Job, version: str) -> View:
    """A `JobStateModel`."""
    cycle = job.last
    status = "Inactive"
    if cycle is not None and cycle.ended is None:
        status = "Stopping" if cycle.stopping else "Running"
    view: View = {
        "id": str(job.id),
        "name": job.name,
        "type": "VSphereReplica",
        "description": "",
        "status": casing(status, version),
        "lastResult": cycle.result if cycle else "None",
        "workload": "Vm",
        "objectsCount": len(job.vms),
        "highPriority": False,
        "progressPercent": 0,
    }
    if cycle is not None:
        view |= {"sessionId": str(cycle.id), "lastRun": cycle.created.isoformat()}
    return view


def session_view(cycle: Cycle) -> View:
    """A `SessionModel`."""
    view: View = {
        "id": str(cycle.id),
        "name": cycle.job.name,
        "jobId": str(cycle.job.id),
        "sessionType": "ReplicaJob",
        "creationTime": cycle.created.isoformat(),
        "state": cycle.state,
        "usn": 1,
        "platformName": "VMware",
        "result": {"result": cycle.result, "message": "", "isCanceled": cycle.stopping},
    }
    if cycle.ended is not None:
        view["endTime"] = cycle.ended.isoformat()
    return view


def task_view(cycle: Cycle, task: Task) -> View:
    """A `ReplicaTaskSessionModel`."""
    view: View = {
        "id": str(task.id),
        "type": "Replica",
        "sessionId": str(cycle.id),
        "sessionType": "ReplicaJob",
        "creationTime": task.created.isoformat(),
        "name": task.vm,
        "usn": 1,
        "state": task.state,
        "result": {"result": task.result, "message": "", "isCanceled": False},
    }
    if task.ended is not None:
        view["endTime"] = task.ended.isoformat()
    return view


def exclusion_view(exclusion: Exclusion) -> View:
    """A `GlobalVMExclusionModel`; `note` is left out when there is none."""
    vm = inventory_object(exclusion.host, exclusion.name, exclusion.object_id)
    view: View = {"id": str(exclusion.id), "inventoryObject": vm}
    if exclusion.note:
        view["note"] = exclusion.note
    return view
