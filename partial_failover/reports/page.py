"""The page: one HTML document without scripts, links or anything that is loaded from elsewhere."""

from collections.abc import Iterable, Sequence

from lxml import etree
from lxml.html import tostring

from partial_failover.contracts.check import HeartbeatCheck, called
from partial_failover.contracts.failover_test import FailoverTestReport, VmTestReport
from partial_failover.reports.text import clean, moment, seconds, target
from partial_failover.reports.timeline import timeline

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2529; max-width: 1000px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em } h2 { margin-top: 2.5em; border-top: 2px solid #cfd8dc; padding-top: .7em }
table { border-collapse: collapse; width: 100%; margin: 1em 0 }
th, td { text-align: left; vertical-align: top; overflow-wrap: anywhere; padding: .3em .7em .3em 0; border-bottom: 1px solid #e0e6e9 }
th { font-weight: 600; color: #455a64 }
.passed, .pass { color: #2e7d32; font-weight: 600 } .failed, .fail { color: #c62828; font-weight: 600 }
.skipped, .cancelled { color: #78909c; font-weight: 600 }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #37474f }
@media print { h2 { break-before: page } body { margin: 0 } }
"""  # noqa: E501
HEARTBEAT = called(HeartbeatCheck())
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The page asks the browser to load and run nothing, whatever a name in it may look like."""


def page(report: FailoverTestReport) -> str:
    """The whole document. Everything in it is set as text of elements, so nothing can break out of it."""
    html = etree.Element("html", lang="en")
    head = etree.SubElement(html, "head")
    etree.SubElement(head, "meta", charset="utf-8")
    etree.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    _put(head, "title", f"Failover test {report.workflow_id}")
    etree.SubElement(head, "style").text = STYLE
    body = etree.SubElement(html, "body")
    _put(body, "h1", "Failover test")
    _put(body, "p", f"{report.result}: {report.said}.", report.result)
    _facts(
        body,
        (
            ("From", moment(report.started)),
            ("Until", moment(report.ended)),
            ("Workflow", f"{report.workflow_id}, run {report.run_id}"),
            ("Made by", f"partial-failover {report.version}"),
        ),
    )
    _overview(body, report.vms)
    for vm in report.vms:
        _vm(body, vm)
    return "<!DOCTYPE html>\n" + str(tostring(html, encoding="unicode", pretty_print=True))


def _overview(body: etree._Element, vms: Sequence[VmTestReport]) -> None:
    rows = [
        (vm.vm, vm.result, target(vm.rpo), target(vm.rto), seconds(vm.time_to_power_on_s), vm.said)
        for vm in vms
    ]
    _table(body, ("VM", "Result", "Data at risk (RPO)", "Recovery (RTO)", "To power-on", ""), rows)


def _vm(body: etree._Element, vm: VmTestReport) -> None:
    _put(body, "h2", vm.vm)
    _put(body, "p", f"{vm.result}: {vm.said}.", vm.result)
    _facts(body, _about(vm))
    if vm.checks:
        _put(body, "h3", "Checks")
        rows = [(c.what, c.outcome, seconds(c.after_s), c.reason) for c in vm.checks]
        _table(body, ("Check", "Result", "After", "What was seen"), rows)
    if vm.steps:
        _put(body, "h3", "Timeline")
        body.append(timeline(vm))
        steps = [(s.title, f"{s.started:%H:%M:%S}", seconds(s.seconds), s.ended, s.note) for s in vm.steps]
        _table(body, ("Step", "Began", "Took", "Outcome", ""), steps)
    for title, lines in (("Warnings", vm.warnings), ("Left over", vm.left_over)):
        if lines:
            _put(body, "h3", title)
            _table(body, ("",), [(line,) for line in lines])


def _about(vm: VmTestReport) -> list[tuple[str, str]]:
    point = vm.restore_point
    known = bool(vm.run_id)  # else its test has said nothing
    restored = f"{point.name} ({point.id}) of {moment(point.created)}" if point else "none was used"
    tunnel = [("Time to tunnel", seconds(vm.time_to_tunnel_s))] if vm.time_to_tunnel_s is not None else []
    off = "it was not powered on" if vm.time_to_power_on_s is None else ""
    heartbeat = seconds(vm.time_to_heartbeat_s)
    if not any(c.what == HEARTBEAT for c in vm.checks):
        heartbeat = "not asked for"
    return [
        ("Replica", vm.replica or "not known"),
        ("Restore point", restored if known else "not known"),
        ("Its age (RPO)", target(vm.rpo)),
        ("Until every check had passed (RTO)", target(vm.rto)),
        ("Time to power-on", seconds(vm.time_to_power_on_s)),
        ("Time to guest heartbeat", heartbeat),
        *tunnel,
        ("Time to put it back", seconds(vm.time_to_undo_s)),
        ("Isolation", vm.isolation or (off if known else "not known")),
        ("State afterwards", vm.state),
        ("From, until", f"{moment(vm.started)}, {moment(vm.ended)}"),
        ("Workflow", f"{vm.workflow_id}, run {vm.run_id}"),
    ]


def _facts(body: etree._Element, facts: Iterable[tuple[str, str]]) -> None:
    table = etree.SubElement(body, "table")
    for name, value in facts:
        row = etree.SubElement(table, "tr")
        _put(row, "th", name)
        _put(row, "td", value)


def _table(body: etree._Element, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = etree.SubElement(body, "table")
    names = etree.SubElement(table, "tr")
    for name in head:
        _put(names, "th", name)
    for cells in rows:
        row = etree.SubElement(table, "tr")
        for cell in cells:
            _put(row, "td", cell, cell)


def _put(parent: etree._Element, tag: str, text: str, kind: str = "") -> None:
    """An element with a text. `kind`: shown in a colour, if it is the word for a result."""
    element = etree.SubElement(parent, tag)
    element.text = clean(str(text))
    if kind in ("passed", "pass", "failed", "fail", "skipped", "cancelled"):
        element.set("class", str(kind))
