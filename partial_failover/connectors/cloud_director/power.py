"""The question that a VM may ask when it is powered on after a revert: was it moved or copied?"""

import re

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.transport import HttpRequest
from partial_failover.contracts.errors import WrongState

_MOVED_OR_COPIED = re.compile(r"msg\.uuid\.altered|moved.{0,80}copied|copied.{0,80}moved", re.I | re.S)
_MOVED = re.compile(r"\bmoved|movedTheVM", re.I)


def answer(question: etree._Element, vm: str, vm_id: str) -> HttpRequest:
    """ "Moved": the replica keeps its identity and MACs. No other question is answered for anybody."""
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
