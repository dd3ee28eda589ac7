"""What this connector reads of the API's answers. Unknown fields are ignored: each revision adds some."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

LONGEST = 300
"""Characters of the backup server's own text that are passed on."""


def plain(text: object) -> str:
    """Another system's text, bounded and without control characters."""
    whole = str(text)[: LONGEST + 1]
    printable = "".join(c if c.isprintable() else " " for c in whole)
    return printable if len(printable) <= LONGEST else printable[:LONGEST] + "…"


Word = Annotated[str, BeforeValidator(lambda value: str(value).lower())]
"""A value of an enum. Their casing changed between revisions, so they are compared in lower case."""

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Token(Answer):
    """`TokenModel`; this one is not in camel case."""

    access_token: str = Field(pattern=r"^[\x21-\x7e]+$")
    refresh_token: str
    expires_in: float = Field(gt=0)
    """Seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=None)


class ServerInfo(Answer):
    """`ServerInfoModel`."""

    name: Text = ""
    build_version: Text = ""


class InventoryObject(Answer):
    """`VmwareObjectModel`, or an object of another platform with fewer fields."""

    platform: Word = ""
    type: Word = ""
    host_name: Text = ""
    name: Text = ""
    object_id: Text = ""

    @property
    def is_vm(self) -> bool:
        """Whether it is one VM of vSphere, not a container of VMs."""
        return self.platform == "vsphere" and self.type == "virtualmachine"


class JobVms(Answer):
    """`virtualMachines` of a job."""

    includes: tuple[InventoryObject, ...] = ()


class Job(Answer):
    """`JobModel`, or `VSphereReplicaJobModel` where `virtual_machines` is there."""

    id: UUID
    name: str
    virtual_machines: JobVms | None = None


class JobState(Answer):
    """`JobStateModel`."""

    id: UUID
    name: str
    type: Word = ""
    status: Word
    session_id: UUID | None = None


class Replica(Answer):
    """`ReplicaModel`; its name is its job's."""

    id: UUID
    state: Word = ""


class ReplicaPoint(Answer):
    """`ReplicaPointModel`; its name is the original VM's."""

    name: Text = ""
    replica_id: UUID
    creation_time: AwareDatetime
    state: Word = ""
    malware_status: Word = ""


class RunResult(Answer):
    """`SessionResultModel`."""

    result: Word = ""


class RunSession(Answer):
    """`SessionModel`: one run of a job. It has ended when the state is "stopped"."""

    id: UUID
    state: Word
    result: RunResult | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.state == "stopped"


class TaskSession(RunSession):
    """`ReplicaTaskSessionModel`: the processing of one VM. It names the VM and has no id of it."""

    name: Text = ""


class Exclusion(Answer):
    """`GlobalVMExclusionModel`."""

    id: UUID
    inventory_object: InventoryObject
    note: Text = ""


class Pagination(Answer):
    """`PaginationResult`."""

    total: int


class Page(Answer):
    """One page of any list. Not every list of every revision can be asked for a few only."""

    data: Annotated[tuple[object, ...], Field(max_length=10_000)]
    pagination: Pagination
