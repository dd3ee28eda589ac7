"""The steps of a test as a picture: one bar a step, drawn over the time of the test."""

from lxml import etree

from partial_failover.contracts.failover_test import VmTestReport
from partial_failover.contracts.step import StepRecord
from partial_failover.reports.text import clean, seconds

WIDTH, LABELS, ROW, RIGHT = 980, 380, 22, 80
COLOURS = {
    "done": "#2e7d32",
    "pass": "#2e7d32",
    "nothing to do": "#90a4ae",
    "skipped": "#90a4ae",
    "cancelled": "#ef6c00",
    "failed": "#c62828",
    "fail": "#c62828",
}
LONGEST = 46
"""Characters of a label: as many as fit, also where a browser's font is wide."""
NARROWEST = 2.0
"""Pixels: what took no time is still seen."""


def timeline(report: VmTestReport) -> etree._Element:
    """An SVG element. Its numbers are in the table of steps too, for whoever cannot see it."""
    whole = max(0.001, (report.ended - report.started).total_seconds())
    height = ROW * (len(report.steps) + 1) + 6
    svg = etree.Element(
        "svg", viewBox=f"0 0 {WIDTH} {height}", role="img", xmlns="http://www.w3.org/2000/svg"
    )
    svg.set("aria-label", f"Timeline of the test: {whole:.1f} seconds")
    _axis(svg, whole, height)
    for number, step in enumerate(report.steps):
        _bar(svg, step, number, (step.started - report.started).total_seconds(), whole)
    return svg


def _axis(svg: etree._Element, whole: float, height: int) -> None:
    for part in range(5):
        x = LABELS + (WIDTH - LABELS - RIGHT) * part / 4
        line = {"x1": f"{x:.1f}", "x2": f"{x:.1f}", "y1": str(ROW), "y2": str(height), "stroke": "#cfd8dc"}
        etree.SubElement(svg, "line", line)
        _text(svg, x, ROW - 8, _mark(whole * part / 4, whole), "middle")


def _mark(after: float, whole: float) -> str:
    """On the axis."""
    return f"{after:.1f} s" if whole < 180 else f"{after / 60:.1f} min"


def _bar(svg: etree._Element, step: StepRecord, number: int, after: float, whole: float) -> None:
    scale = (WIDTH - LABELS - RIGHT) / whole
    top, took = ROW * (number + 1) + 3, step.seconds or 0.0
    x, width = LABELS + after * scale, max(NARROWEST, took * scale)
    label = step.title if len(step.title) <= LONGEST else f"{step.title[: LONGEST - 1]}…"
    _text(svg, LABELS - 8, top + 12, label, "end")
    box = {"x": f"{x:.1f}", "y": str(top), "width": f"{width:.1f}", "height": str(ROW - 6), "rx": "2"}
    bar = etree.SubElement(svg, "rect", box, fill=COLOURS.get(step.outcome, "#546e7a"))
    etree.SubElement(bar, "title").text = clean(f"{step.title}: {step.ended}, {seconds(took)}")
    _text(svg, x + width + 4, top + 12, seconds(took), "start")


def _text(svg: etree._Element, x: float, y: float, text: str, anchor: str) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    etree.SubElement(svg, "text", place).text = clean(text)
