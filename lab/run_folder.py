"""The folder of one lab: keys, disks and logs below the folder for temporary files."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

PREFIX = "partial-failover-"
OWNER = "owner"
"""A file that its lab keeps locked. The kernel unlocks it when the process ends, however that happens."""


class RunFolder:
    """Made anew; what labs left that were killed is removed first, for there are keys in it."""

    def __init__(self) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._owner: IO[str] | None = None
        if sys.platform != "win32":
            new = self.path / f"{OWNER}.new"
            self._owner = new.open("w")
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(self.path / OWNER)  # from now on another lab may look whether it is locked

    def remove(self) -> None:
        """It is not needed any more."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def keep(self) -> None:
        """Somebody is to read the logs: no other lab removes it."""
        (self.path / OWNER).unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._owner is not None:
            self._owner.close()


def _sweep() -> None:
    if sys.platform == "win32":
        return
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        try:
            with owner.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_uid == os.geteuid():
                    shutil.rmtree(owner.parent, ignore_errors=True)
        except OSError:
            continue  # its lab runs, or it is somebody else's
