"""The backup server's things as JSON, spelled as each revision of the API spells them."""

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from lab.hypervisor import Vm, utc_now
from lab.veeam.replication import Cycle, Exclusion, Job, Point, Task

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


def server_info(name: str, build: str) -> View:
    """A `ServerInfoModel`."""
    return {
        "vbrId": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "name": name,
        "buildVersion": build,
        "patches": [],
        "databaseVendor": "PostgreSQL",
        "sqlServerEdition": "",
        "sqlServerVersion": "15.8",
        "databaseSchemaVersion": "13.0.0.4967",
        "databaseContentVersion": "13.0.0.4967",
        "veeamRegistration": {"isRegistered": False},
        "platform": "Windows",
    }


def token_view(access: str, refresh: str, seconds: int) -> View:
    """A `TokenModel`; it lasts `seconds`."""
    now = utc_now()
    return {
        "access_token": access,
        "token_type": "bearer",
        "refresh_token": refresh,
        "expires_in": seconds,
        ".issued": now.isoformat(),
        ".expires": (now + dt.timedelta(seconds=seconds)).isoformat(),
    }


def replica_view(job: Job, replica: Vm, state: str, version: str) -> View:
    """A `RegularReplicaModel`; its name is the job's. 1.3-rev2 gave its type another word."""
    created = min((s.created for s in replica.snapshots), default=utc_now())
    return {
        "id": str(job.replica_id(replica)),
        "type": "Snapshot" if version == "1.3-rev2" else "Regular",
        "jobId": str(job.id),
        "name": job.name,
        "platformName": "VMware",
        "creationTime": created.isoformat(),
        "state": state,
    }


def point_view(point: Point, state: str) -> View:
    """A `ReplicaPointModel`; its name is the original VM's."""
    return {
        "id": str(point.id),
        "name": point.original.name,
        "platformName": "VMware",
        "platformId": str(uuid.UUID(int=0)),
        "creationTime": point.snapshot.created.isoformat(),
        "replicaId": str(point.job.replica_id(point.replica)),
        "allowedOperations": ["StartViVMSnapshotReplicaFailover"] if state == "Ready" else [],
        "state": state,
        "malwareStatus": point.malware,
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
        "destination": {"host": {**inventory_object(host, "replicas", "domain-c8"), "type": "Cluster"}},
        "schedule": {"runAutomatically": True},
    }


def brief_job_view(job: Job) -> View:
    """A `JobModel`, the base of all jobs."""
    return {
        "id": str(job.id),
        "name": job.name,
        "type": job.kind,
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
        "type": job.kind,
        "description": "",
        "status": casing(status, version),
        "lastResult": cycle.result if cycle else "None",
        "workload": casing("Vm", version),
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
