"""`python -m lab demo [story]`, `stories` and `up`: the lab for people."""

import argparse
import asyncio
import contextlib
import io
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

from lab.fabric.needs import left_out
from lab.lab import Lab
from lab.run_folder import RunFolder
from lab.stories import STORIES
from lab.stories.context import DidNotHold, StoryContext
from lab.timeline import Timeline

TENANT, VM = "acme", "erp-db-01"
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 when everything held, 1 when not, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a story is read as it goes, through a pipe too
    if options.command == "stories":
        for name, story in STORIES.items():
            print(f"{name:<10} {story.tells}")
        return 0
    if options.command == "up":
        return _in_a_folder(lambda folder: _up(folder, options.simulated))
    return _in_a_folder(lambda folder: _demo(folder, options.story, options.simulated))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="A data centre on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="play a story from start to end")
    demo.add_argument("story", nargs="?", default="one-vm", choices=STORIES)
    commands.add_parser("stories", help="name the stories")
    up = commands.add_parser("up", help="bring the lab up, and keep it up until Ctrl-C")
    for command in (demo, up):
        command.add_argument(
            "--simulated", action="store_true", help="leave tunnel, ARP and ping out; needs no root"
        )
    return parser


def _in_a_folder(work: Callable[[Path], Awaitable[int]]) -> int:
    """Run it with a fresh folder, which is removed unless something failed."""
    folder = RunFolder()
    logging.basicConfig(
        filename=folder.path / "lab.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.captureWarnings(True)
    try:
        code = asyncio.run(_interruptible(work(folder.path)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Interrupted; everything that was started has ended.")
        code = INTERRUPTED
    except Exception as error:
        logging.exception("It failed")
        print(f"It failed: {error or type(error).__name__}")
        code = 1
    if code == 1:
        folder.keep()
        print(f"The logs are in {folder.path}")
    else:
        folder.remove()
    return code


async def _interruptible(work: Awaitable[int]) -> int:
    """SIGTERM and SIGHUP end it as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None and sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work


async def _demo(folder: Path, name: str, simulated: bool) -> int:
    print(f"Story {name}: {STORIES[name].tells}.")
    _say_what_is_left_out(simulated)
    print("The lab starts: data centre, Temporal, workers.")
    async with Lab(folder, simulated=simulated) as lab:
        print(f"Temporal's Web UI: {lab.temporal.ui_url}")
        with Timeline() as timeline, StoryContext(lab, TENANT, timeline) as context:
            try:
                figures = await STORIES[name].run(context)
            except DidNotHold as error:
                context.broken.append(str(error))
                timeline.say(f"  ✗ {error}", "bold red")
    if context.broken:
        print(f"{name}: did not hold: {'; '.join(context.broken)}")
        return 1
    print(f"{name}: {figures.line()}")
    return 0


async def _up(folder: Path, simulated: bool) -> int:
    _say_what_is_left_out(simulated)
    print("The lab starts: data centre, Temporal, workers.")
    async with Lab(folder, simulated=simulated) as lab:
        site = lab.centre.sites[TENANT]
        await asyncio.to_thread(site.hypervisor.power_off, site.vm(VM))
        print(_invitation(lab))
        with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is how it ends
            await asyncio.Event().wait()
    print("The lab has ended.")
    return 0


def _say_what_is_left_out(simulated: bool) -> None:
    line = left_out()
    if simulated and not line:
        line = "Left out: tunnel, ARP and ping, as --simulated says; without it they are real."
    if line:
        print(line)


def _invitation(lab: Lab) -> str:
    ui = lab.temporal.ui_url
    form = {"workflowType": "PartialFailover", "taskQueue": "provider", "workflowId": f"failover-{VM}"}
    replicated = {
        name: ", ".join(m.name for m in site.tenant.machines if m.replicated)
        for name, site in lab.centre.sites.items()
    }
    return "\n".join(
        [
            "",
            f"Temporal's Web UI:  {ui}",
            "Namespaces:         one a tenant, with its VMs that have replicas",
            *(f"  {name:<10} {vms}" for name, vms in replicated.items()),
            "",
            f"{VM} of {TENANT} is corrupted and was powered off. Start Workflow, pre-filled:",
            f"  {ui}/namespaces/{TENANT}/workflows/start-workflow?{urlencode(form)}",
            "or by hand:",
            f"  Workflow Type  {form['workflowType']}",
            f"  Task Queue     {form['taskQueue']}",
            f"  Input          {json.dumps({'vm': VM})}",
            'To finish it: More Actions, Send an Update, "undo", input {}.',
            "Ctrl-C ends the lab and leaves nothing behind.",
        ]
    )
