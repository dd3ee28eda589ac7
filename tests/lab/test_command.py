"""What `python -m lab` leaves and says when it is killed, interrupted, or cannot have real networks."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.fabric.needs import lacks
from tests.examples import ROOT
from tests.waiting import PATIENCE, blocking_until

OWN_A_FOLDER = """
from lab.run_folder import RunFolder
folder = RunFolder()
(folder.path / "keys").mkdir()
print(folder.path, flush=True)
{0}
"""
WHAT_IS_LEFT_OUT = "from lab.fabric.needs import left_out; print(left_out())"
NO_MOUNT = f'mount --bind /bin/false {shutil.which("mount")} && exec "$@"'
root_with_all = pytest.mark.skipif(bool(lacks()), reason="needs root that may make namespaces")


def python(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lab(folder: Path, then: str) -> "tuple[subprocess.Popen[str], Path]":
    """A process that has a lab's folder, and the folder."""
    process = python(folder, "-c", OWN_A_FOLDER.format(then))
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_folder_of_a_killed_lab_goes_with_the_next_one(tmp_path: Path) -> None:
    killed, left = lab(tmp_path, "input()")
    running, used = lab(tmp_path, "input()")
    failed, kept = lab(tmp_path, "folder.keep()")
    killed.kill()
    killed.wait()
    failed.wait()
    assert left.exists()
    ended, own = lab(tmp_path, "folder.remove()")
    ended.wait()
    assert {f for f in (left, used, kept, own) if f.exists()} == {used, kept}
    running.communicate("\n")


def test_ctrl_c_while_it_still_loads_is_silent(tmp_path: Path) -> None:
    process = python(tmp_path, "-m", "lab", "demo")
    maps = Path(f"/proc/{process.pid}/maps")
    blocking_until(lambda: "pydantic_core" in maps.read_text())  # among the first things that it imports
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE)
    assert (said, process.returncode) == ("", -signal.SIGINT)
    assert not list(tmp_path.iterdir())


@pytest.mark.root
@root_with_all
@pytest.mark.parametrize(
    ("lack", "says"),
    [
        (["setpriv", "--bounding-set", "-sys_admin"], "CAP_SYS_ADMIN"),
        (["setpriv", "--bounding-set", "-net_admin"], "CAP_NET_ADMIN"),
        (["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"], "modprobe tun"),
        (["unshare", "-m", "sh", "-c", NO_MOUNT, "sh"], "modprobe overlay"),
    ],
    ids=["no namespaces", "no networks in them", "no tun", "no overlay"],
)
def test_what_a_machine_lacks_is_said_in_one_line_with_its_remedy(lack: list[str], says: str) -> None:
    said = subprocess.check_output([*lack, sys.executable, "-c", WHAT_IS_LEFT_OUT], cwd=ROOT, text=True)
    assert says in said and said.count("\n") == 1
    assert "make setup" not in said, "all programs are there"


def test_without_root_the_set_up_leaves_it_to_the_lab_to_say_what_is_missing(tmp_path: Path) -> None:
    """A machine without the programs and without apt."""
    for program in ("bash", "cat", "id"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    script = (ROOT / "lab" / "system_packages.sh").read_text()
    said = subprocess.run(
        ["bash", "-c", script.replace(":/usr/sbin:/sbin", "")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (said.stdout, said.stderr) == ("", "")
