"""The API token that logins are made with. A service account's changes at each use (Cloud Director 10.4 and
later): the new one is kept in the file that the settings name, before anything else is done with it.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from partial_failover.connectors.whole_call import seconds_left
from partial_failover.contracts.errors import Misconfigured, Unavailable

ANEW = "Activate the service account anew, and put its token into a file that the worker may write"

LONGEST_WAIT = 60.0
"""Seconds for which another process may have the file."""


class ApiToken:
    """One token. `source`: itself, or the file that has it. Used by one login at a time, in this process and
    in all others that have the file: each reads what the one before has left."""

    def __init__(self, source: str | Path) -> None:
        self._source = source

    @contextmanager
    def in_use(self) -> Iterator[str]:
        """The token, for one exchange and for `replace`."""
        if isinstance(self._source, str):
            yield self._source
            return
        folder = os.open(self._source.resolve().parent, os.O_RDONLY)
        try:
            _lock(folder)
            yield self._read(self._source)
        finally:
            os.close(folder)

    def replace(self, new: str) -> None:
        """Keep the token that came in exchange. `Misconfigured` where there is no place: then it is lost."""
        if isinstance(self._source, str):
            raise _lost("it was not read from a file")
        file = self._source.resolve()
        try:
            _write(file, new)
        except OSError as error:
            raise _lost(f"{self._source} cannot be written ({error.strerror})") from None

    @staticmethod
    def _read(file: Path) -> str:
        try:
            token = file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            token = ""
        if not token:
            raise Misconfigured(
                f"The API token cannot be read from the file {file}",
                do="Put the token into it, as its only line",
            )
        return token


def _lock(folder: int) -> None:
    """Not for ever: another process may have been stopped in the middle."""
    end = monotonic() + seconds_left(LONGEST_WAIT)
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if monotonic() >= end:
                raise Unavailable(
                    "Another process is logging in to Cloud Director and does not end"
                ) from None
            sleep(0.1)


def _write(file: Path, token: str) -> None:
    """Whole or not at all, readable by the same owner alone."""
    owner = file.stat()
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as new:
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(descriptor, owner.st_uid, owner.st_gid)
            new.write(f"{token}\n")
            new.flush()
            os.fsync(descriptor)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def _lost(why: str) -> Misconfigured:
    return Misconfigured(
        f"The API token is a service account's, new after each use, and the new one could not be kept: {why}",
        left="The token was used up by this login",
        do=f"{ANEW}, or give the worker the API token of a user",
    )
