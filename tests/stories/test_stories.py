"""The stories, played by the command that people use."""

import os
import re
import signal
import subprocess

import pytest

from lab.fabric.fabric import Fabric
from lab.stories import STORIES
from tests.stories.conftest import Runner

LAST = (
    r"{}: state {}, then Normal, time to power-on [\d.]+ s, time to reachable {}, time to undo [\d.]+ s"
    r"(, time to repair [\d.]+ s)?"
)
LACKING = ", ".join(Fabric.missing())
real = pytest.mark.skipif(bool(LACKING), reason=f"lacking for real networks: {LACKING}")

# Replication writes onto the replica as soon as it is on: what the hold is there to prevent.
TORN = """
import sys
from lab.command import main
from lab.data_centre import DataCentre
from lab.hypervisor import Vm

class Careless:
    def powered(self, vm: Vm) -> None:
        if vm.name == "erp-db-01_replica" and vm.power == "poweredOn":
            centre.provider.replicate(vm, "Restore Point 5", {"orders": "0"})
    def rewired(self, vm: Vm) -> None:
        pass

start = DataCentre.start
def start_careless(self: DataCentre) -> None:
    global centre
    centre = self
    start(self)
    self.provider.listeners.append(Careless())
DataCentre.start = start_careless
sys.exit(main(["demo", "one-vm", "--simulated"]))
"""

# Somebody removed all snapshots of the replica: there is nothing to go back to.
NO_RESTORE_POINT = """
import sys
from lab.command import main
from lab.data_centre import DataCentre

start = DataCentre.start
def start_empty(self: DataCentre) -> None:
    start(self)
    self.replica("erp-db-01").snapshots.clear()
DataCentre.start = start_empty
sys.exit(main(["demo", "one-vm", "--simulated"]))
"""


def networks() -> str:
    """What the machine itself has of addresses, routes and namespaces."""
    asked = (["addr"], ["route", "show", "table", "all"], ["rule"], ["netns"])
    return "".join(subprocess.check_output(["ip", "-o", *words], text=True) for words in asked)


@real
@pytest.mark.root
@pytest.mark.parametrize("story", STORIES)
def test_a_story_with_real_packets(run: Runner, story: str) -> None:
    command = run.lab("demo", story)
    assert command.end() == 0, command.output
    isolated = story == "failover-test"
    state, reachable = ("passed", "not measured") if isolated else ("Failover", r"[\d.]+ s")
    assert re.fullmatch(LAST.format(story, state, reachable), command.lines[-1]), command.output
    assert ("5 of 5 pings answered" in command.output) is not isolated
    assert "Left out" not in command.output
    assert len(command.descendants) > 10, "the test has not seen what the story started"
    assert command.left() == []


@pytest.mark.parametrize("story", STORIES)
def test_a_story_without_packets(run: Runner, story: str) -> None:
    command = run.lab("demo", story, "--simulated")
    assert command.end() == 0, command.output
    state = "passed" if story == "failover-test" else "Failover"
    assert re.fullmatch(LAST.format(story, state, "not measured"), command.lines[-1]), command.output
    assert "Left out: tunnel, ARP and ping" in command.output
    assert "pings answered" not in command.output
    assert "verified that production reaches" not in command.output
    assert command.left() == []


def test_a_check_that_does_not_hold_is_named(run: Runner) -> None:
    command = run.code(TORN)
    assert command.end() == 1, command.output
    assert "✗ power, NICs, metadata" in command.output
    assert "torn" in command.output
    assert "one-vm: did not hold: " in command.output
    assert "Traceback" not in command.output


def test_a_failover_that_is_refused_ends_the_story(run: Runner) -> None:
    command = run.code(NO_RESTORE_POINT)
    assert command.end() == 1, command.output
    assert "erp-db-01 cannot be failed over now" in command.output
    assert "Traceback" not in command.output
    assert command.lines[-1].startswith("The logs are in ")
    assert "lab.log" in os.listdir(command.lines[-1].removeprefix("The logs are in "))


def test_the_lab_is_kept_up_until_it_is_interrupted(run: Runner) -> None:
    up, killed = run.lab("up", "--simulated"), run.lab("up", "--simulated")
    up.until("Ctrl-C ends the lab")
    killed.until("Ctrl-C ends the lab")
    assert '{"vm": "erp-db-01"}' in up.output
    link = "/namespaces/acme/workflows/start-workflow?workflowType=PartialFailover&taskQueue=provider"
    assert link in up.output
    up.send(signal.SIGINT)
    assert up.end() == 0, up.output
    assert "Traceback" not in up.output
    assert up.left() == []
    killed.kill()
    assert [line for line in killed.left() if not line.startswith(str(killed.folder))] == []


@real
@pytest.mark.root
def test_an_interrupted_story_leaves_nothing(run: Runner) -> None:
    before = networks()
    command = run.lab("demo")
    command.until("Start the VPN client")
    assert networks() == before
    command.send(signal.SIGTERM)
    assert command.end() == 130, command.output
    assert command.left() == []
    assert networks() == before


def test_the_stories_are_named(run: Runner) -> None:
    command = run.lab("stories")
    assert command.end() == 0
    assert [line.split()[0] for line in command.lines] == list(STORIES)
