"""Power of a VM, and what a revert in vCenter makes necessary: a reload, and an answer to its question."""

import re

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.changes import Change, Running
from partial_failover.connectors.cloud_director.reader import VdcReader
from partial_failover.connectors.cloud_director.transport import HttpRequest
from partial_failover.contracts.errors import NotFound, WrongState
from partial_failover.contracts.replica import Power

_MOVED_OR_COPIED = re.compile(r"msg\.uuid\.altered|moved.{0,80}copied|copied.{0,80}moved", re.I | re.S)
_MOVED = re.compile(r"\bmoved|movedTheVM", re.I)


def power_on(reader: VdcReader, vm_id: str, resume: bool = False) -> Change:
    """On, by Cloud Director. A question that the VM asks meanwhile is answered. `resume`: from
    suspended, too, which goes on where it stopped (source: vCloud API, `powerOn` of a suspended VM)."""

    def plan() -> HttpRequest | Running | None:
        vm = reader.vm(vm_id)
        if vm.busy:
            return Running(vm.busy)
        if vm.power is Power.ON:
            return None
        if vm.power is not Power.OFF and not (resume and vm.power is Power.SUSPENDED):
            raise WrongState(
                f"{vm.name} is {vm.power} and cannot be powered on as it is",
                do="Power it off or answer its question in Cloud Director",
            )
        return HttpRequest(f"power on {vm.name}", "POST", f"vApp/vm-{vm_id}/power/action/powerOn")

    return Change(
        what="power on the VM",
        vapp=reader.vm(vm_id).vapp_id,
        entity=vm_id,
        plan=plan,
        operation="power.?on|resume|(?<!un)deploy",
        meanwhile=lambda: _answer(reader, vm_id),
        telling=True,
    )


def undeploy(reader: VdcReader, vm_id: str) -> Change:
    """Off and undeployed: `powerOff` alone leaves it deployed."""

    def plan() -> HttpRequest | Running | None:
        vm = reader.vm(vm_id)
        if vm.busy:
            return Running(vm.busy)
        if vm.power is Power.OFF and not vm.deployed:
            return None
        what, base = f"power off and undeploy {vm.name}", f"vApp/vm-{vm_id}"
        if not vm.deployed and vm.power is Power.SUSPENDED:  # at the end of its vApp's runtime lease
            return HttpRequest(what, "POST", f"{base}/action/discardSuspendedState")
        if not vm.deployed:  # switched on in vCenter, behind Cloud Director's back
            return HttpRequest(what, "POST", f"{base}/power/action/powerOff")
        body = xml.new("UndeployVAppParams")
        xml.add(body, "UndeployPowerAction", "powerOff")
        return HttpRequest(
            what, "POST", f"{base}/action/undeploy", body, f"{xml.MEDIA}undeployVAppParams+xml"
        )

    vapp_id = reader.vm(vm_id).vapp_id
    operation = "power.?off|undeploy|discard"
    return Change("power off and undeploy the VM", vapp_id, vm_id, plan, operation, telling=True)


def reload(reader: VdcReader, vm_id: str) -> Change:
    """Read anew from vCenter. Nothing shows it afterwards but the task."""

    def plan() -> HttpRequest | Running | None:
        vm = reader.vm(vm_id)
        if vm.busy:
            return Running(vm.busy)
        return HttpRequest(f"reload {vm.name}", "POST", f"vApp/vm-{vm_id}/action/reloadFromVc")

    vapp_id = reader.vm(vm_id).vapp_id
    return Change("reload the VM from vCenter", vapp_id, vm_id, plan, operation="reload", traceless=True)


def _answer(reader: VdcReader, vm_id: str) -> HttpRequest | None:
    """The answer to the question that the VM asks now, if it asks one."""
    vm = reader.vm(vm_id)
    if vm.power is not Power.QUESTION:
        return None
    try:
        question = reader.transport.get(
            f"vApp/vm-{vm.id}/question", f"read the question of {vm.name}", "No question"
        )
    except NotFound:
        return None  # answered since
    return _moved(question, vm.name, vm.id)


def _moved(question: etree._Element, vm: str, vm_id: str) -> HttpRequest:
    """After a revert a VM may ask whether it was moved or copied. "Moved": the replica keeps its identity and
    MACs. No other question is answered for anybody."""
    text = question.findtext("{*}Question") or ""
    choices = {c.findtext("{*}Text") or "": c.findtext("{*}Id") for c in question.iterfind("{*}Choices")}
    moved = next((number for label, number in choices.items() if _MOVED.search(label)), None)
    if not _MOVED_OR_COPIED.search(text) or moved is None:
        raise WrongState(
            f"{vm} asks something that only a person may answer: {' '.join(text.split())[:200]!r}",
            left="It waits for the answer and is not powered on",
            do="Answer the question in Cloud Director or vCenter; the power-on then goes on",
        )
    body = xml.new("VmQuestionAnswer")
    xml.add(body, "ChoiceId", moved)
    xml.add(body, "QuestionId", question.findtext("{*}QuestionId") or "")
    return HttpRequest(
        f"answer the question of {vm}",
        "POST",
        f"vApp/vm-{vm_id}/question/action/answer",
        body,
        f"{xml.MEDIA}vmPendingAnswer+xml",
    )
